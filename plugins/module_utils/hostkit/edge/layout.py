# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the parts of the edge lie on a host, and its units."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..certificates.storage import safe

FOLDER = "/etc/hypercode/edge"
CADDYFILE = f"{FOLDER}/Caddyfile"
USERS = f"{FOLDER}/users.caddy"
UPSTREAMS = f"{FOLDER}/upstreams"
CERTIFICATES = f"{FOLDER}/certificates.json"
MANIFEST = f"{FOLDER}/edge.json"
ACME_ROOT = f"{FOLDER}/acme-root.pem"
DNS_ENV = f"{FOLDER}/dns.env"
DATA = "/var/lib/caddy"
LOGS = "/var/log/caddy"
LEGO = f"{DATA}/lego"
BRIDGE = f"{DATA}/bridge"
SOCKET = "/run/caddy/admin.socket"
# Read by node_exporter.
METRICS = "/var/lib/hypercode/metrics/edge.prom"
USER = "caddy"
# While it is there, a load balancer is told to send no more. In memory: a boot takes it away.
DRAINED = "/run/hypercode-edge.drained"
CADDY_UNIT, FOLLOW_UNIT = "caddy.service", "hypercode-edge.service"
RENEW_UNIT, RENEW_TIMER = "hypercode-edge-renew.service", "hypercode-edge-renew.timer"


@dataclass(frozen=True)
class Paths:
    """The same places below ``root``."""

    root: Path = Path("/")

    def at(self, path: str) -> Path:
        """A path of the host."""
        return self.root / path.lstrip("/")

    def stored(self, issuer: str, name: str) -> tuple[Path, Path]:
        """Certificate and key of a name, where Caddy keeps those of an issuer."""
        file = safe(name)
        folder = self.at(f"{DATA}/caddy/certificates/{issuer}/{file}")
        return folder / f"{file}.crt", folder / f"{file}.key"

    def from_lego(self, name: str) -> tuple[Path, Path]:
        """Certificate and key of a site that lego looks after."""
        file = name.replace("*", "_")
        folder = self.at(f"{LEGO}/certificates")
        return folder / f"{file}.crt", folder / f"{file}.key"


def caddy_unit(binary: str, drain_timeout: int) -> str:
    """Caddy with no right but to listen on low ports, and no place to write but its own."""
    return f"""\
# Caddy, the edge of this host. Written by the role edge of hypercode.deploy.
[Unit]
Description=Caddy, the edge of hypercode.deploy
Documentation=https://caddyserver.com/docs/
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
User={USER}
Group={USER}
Environment=XDG_DATA_HOME={DATA} XDG_CONFIG_HOME={DATA}/config HOME={DATA}
ExecStart={binary} run --config {CADDYFILE} --adapter caddyfile
ExecReload={binary} reload --config {CADDYFILE} --adapter caddyfile --address unix/{SOCKET} --force
TimeoutStopSec={drain_timeout + 10}
Restart=on-failure
RestartSec=2
RuntimeDirectory=caddy
RuntimeDirectoryMode=0700
StateDirectory=caddy
StateDirectoryMode=0750
LogsDirectory=caddy
LogsDirectoryMode=0750
UMask=0027
LimitNOFILE=1048576
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
# Its log gets the owner of the one before when it is rolled; to any other owner Caddy has no right.
SystemCallFilter=@chown
# What is not allowed fails; the edge is not killed for it.
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


def follow_unit() -> str:
    """What tells Caddy where the containers are, and writes down what it counts. As root, and it listens nowhere."""
    return f"""\
# Tells Caddy where the containers are, at each change, and writes down what it counts.
# Written by the role edge of hypercode.deploy.
[Unit]
Description=Addresses of containers for the edge of hypercode.deploy
After=docker.service {CADDY_UNIT}
StartLimitIntervalSec=0

[Service]
ExecStart=/usr/local/bin/hypercode edge follow
Restart=always
RestartSec=2
CapabilityBoundingSet=CAP_DAC_OVERRIDE
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths={UPSTREAMS} /run
StateDirectory=hypercode/metrics
ProtectHome=yes
PrivateTmp=yes
PrivateNetwork=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_UNIX
RestrictSUIDSGID=yes
LockPersonality=yes

[Install]
WantedBy=multi-user.target
"""


def renew_unit() -> str:
    """Renews what was got through DNS. Caddy does the others itself."""
    return """\
# Renews certificates that come through DNS. Written by the role edge of hypercode.deploy.
[Unit]
Description=Renewal of certificates through DNS
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
ExecStart=/usr/local/bin/hypercode edge renew
"""


def renew_timer() -> str:
    """Twice a day, at a time that other hosts do not have."""
    return f"""\
# Renews certificates that come through DNS. Written by the role edge of hypercode.deploy.
[Unit]
Description=Renewal of certificates through DNS, twice a day

[Timer]
OnCalendar=*-*-* 03,15:00:00
RandomizedDelaySec=6h
Persistent=true
Unit={RENEW_UNIT}

[Install]
WantedBy=timers.target
"""
