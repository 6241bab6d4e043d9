# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The units that look after the certificates. The role edge puts them in place, since it is there where sites are."""

from __future__ import annotations

WATCH_UNIT, WATCH_TIMER = "hypercode-certificates.service", "hypercode-certificates.timer"


def watch_unit() -> str:
    """Writes the figures, with no right but to read what belongs to Caddy."""
    return """\
# Writes how each certificate stands to /var/lib/hypercode/metrics/certificates.prom, for node_exporter.
# Written by the role edge of hypercode.deploy.
[Unit]
Description=Look how much of each certificate's lifetime is left
ConditionPathExists=/etc/hypercode/edge/certificates.json

[Service]
Type=oneshot
ExecStart=/usr/local/bin/hypercode certificates --metrics
StateDirectory=hypercode/metrics
StateDirectoryMode=0755
CapabilityBoundingSet=CAP_DAC_READ_SEARCH
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_UNIX
TimeoutStartSec=1min
"""


def watch_timer() -> str:
    """Often, since a certificate of the own CA lives for hours only. One look takes a quarter of a second."""
    return f"""\
# Looks after the certificates. Written by the role edge of hypercode.deploy.
[Unit]
Description=Look after the certificates every ten minutes

[Timer]
OnBootSec=2min
OnUnitActiveSec=10min
RandomizedDelaySec=30s
Unit={WATCH_UNIT}

[Install]
WantedBy=timers.target
"""
