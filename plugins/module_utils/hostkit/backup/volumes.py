# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which volumes of the stack are in the backups, and which ones are in none."""

from __future__ import annotations

from pathlib import Path

from ..engine import Engine, EngineError
from ..files import FileError
from ..finding import WARNING, Finding
from ..release import ReleaseError
from ..release_volumes import written_by
from .config import BackupError, Paths, read_config
from .stack import GRAFANA, POSTGRES, PROMETHEUS, REDIS, Stack, stack_in_use

_PATIENCE = 5


def planned_volumes(stack: Stack) -> list[str]:
    """The volumes that are saved as files: those that are named, and those of which the Compose file says so."""
    return sorted({*stack.config.volumes, *stack.labelled_volumes()})


def unplanned_volumes(stack: Stack) -> list[str]:
    """The volumes of the stack that no backup holds, and that do not say that this is meant."""
    held = set(planned_volumes(stack))
    for kind in (POSTGRES, REDIS, GRAFANA, PROMETHEUS):
        for service in stack.of_kind(kind):
            held.update(written_by(service, stack.data_only(service, kind), stack.config.project))
    return sorted(name for name, label in stack.project_volumes().items() if name not in held and label != "false")


def find_unplanned(root: Path, engine: Engine | None = None) -> list[Finding]:
    """What preflight tells of a host with backups: each volume that holds something and is in none of them.

    Nothing where there is no stack yet. What hinders the look is told by the backups themselves.
    """
    paths = Paths(root)
    if not paths.config.exists():
        return []
    try:
        stack = stack_in_use(read_config(paths.config), paths, engine or Engine(timeout=_PATIENCE))
        names = [name for name in unplanned_volumes(stack) if any(stack.volume_folder(name).iterdir())]
    except (BackupError, EngineError, FileError, ReleaseError, OSError):
        return []
    return [
        Finding(
            "volume-in-no-backup",
            WARNING,
            f"volume {name}",
            f"The volume {name} holds data and is in no backup.",
            "To save it, add x-hypercode-backup: true to the volume in the Compose file, or name it in backup_volumes. "
            "If it can be lost, x-hypercode-backup: false.",
        )
        for name in names
    ]
