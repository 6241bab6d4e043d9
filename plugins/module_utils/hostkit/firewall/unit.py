# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The unit that loads the rules at boot, and where everything lies on a host."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

NAME = "hypercode-firewall.service"
_FOLDER = "/etc/hypercode/firewall"
RULES = f"{_FOLDER}/rules.nft"
FALLBACK = f"{_FOLDER}/fallback.nft"

# Without default dependencies it need not wait for the basic system: it starts as soon as there are files. Everything
# that brings up a network (networkd, ifupdown, NetworkManager, cloud-init) comes after network-pre.target, which is
# only there when someone wants it. nftables.service would flush our table if it came later.
UNIT = f"""\
[Unit]
Description=Firewall of hypercode.deploy
Documentation=file:{RULES}
DefaultDependencies=no
Wants=network-pre.target
Before=network-pre.target docker.service shutdown.target
After=local-fs.target systemd-modules-load.service nftables.service
Conflicts=shutdown.target
ConditionPathExists={RULES}

[Service]
Type=oneshot
RemainAfterExit=yes
StandardInput=null
# A kernel or an nft that no longer takes the rules must not leave the host open: then only sshd answers, and the unit
# counts as failed.
ExecStart=/bin/sh -c 'nft -f {RULES} || {{ nft -f {FALLBACK}; exit 1; }}'
ExecReload=/usr/sbin/nft -f {RULES}
# There is no ExecStop: stopping the unit, or a restart that fails, leaves the rules loaded. What takes the firewall
# away is tasks/remove.yml of the role firewall.

[Install]
WantedBy=sysinit.target
"""


@dataclass(frozen=True)
class Paths:
    """Where things lie, below ``root``."""

    root: Path = Path("/")

    @property
    def folder(self) -> Path:
        """What is loaded at boot."""
        return self.root / _FOLDER.lstrip("/")

    @property
    def rules(self) -> Path:
        """The rules of the next boot: only confirmed ones."""
        return self.root / RULES.lstrip("/")

    @property
    def candidate(self) -> Path:
        """The rules that are being tried."""
        return self.folder / "candidate.nft"

    @property
    def fallback(self) -> Path:
        """For a boot at which the rules cannot be loaded."""
        return self.root / FALLBACK.lstrip("/")

    @property
    def unit(self) -> Path:
        """The unit file."""
        return self.root / "etc/systemd/system" / NAME

    @property
    def trial(self) -> Path:
        """What belongs to a trial. In memory: after a reboot the last confirmed rules are loaded anyway."""
        return self.root / "run/hypercode/firewall"

    @property
    def lock(self) -> Path:
        """What two runs at once fight for."""
        return self.root / "run/hypercode/firewall.lock"
