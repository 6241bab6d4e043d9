# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Where an environment keeps its secrets, and which environments there are."""

from __future__ import annotations

import dataclasses
import difflib
import os
import shlex
from pathlib import Path

from ansible_collections.hypercode.deploy.plugins.plugin_utils.inventory_selection import EXAMPLE
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import refuse


@dataclasses.dataclass(frozen=True)
class Environment:
    """An inventory folder. ``name`` is what the user types for it."""

    name: str
    folder: Path

    @property
    def secrets_folder(self) -> Path:
        return self.folder / "group_vars" / "hypercode"

    @property
    def vault(self) -> Path:
        """The file that ansible-vault encrypts."""
        return self.secrets_folder / "vault.yml"

    @property
    def sops(self) -> Path:
        """The file that SOPS encrypts."""
        return self.secrets_folder / "vault.sops.yml"

    @property
    def dates(self) -> Path:
        """Since when each secret has its value; no secrets in it."""
        return self.secrets_folder / "secrets_dates.yml"

    @property
    def neighbours(self) -> list[Environment]:
        """The other environments beside this one that have a file of secrets."""
        folders = sorted(folder for folder in self.folder.parent.iterdir() if folder.is_dir() and folder != self.folder)
        others = [Environment(folder.name, folder) for folder in folders]
        return [other for other in others if other.vault.is_file() or other.sops.is_file()]


def before_of(path: Path) -> Path:
    """Where the content from before a rotation is kept while the rotation is open. Ansible does not read it."""
    return path.with_name(f"{path.name}.before-rotate")


def not_deployed_of(path: Path) -> Path:
    """Where new values are kept that a failed deploy did not bring to the hosts. Ansible does not read it."""
    return path.with_name(f"{path.name}.not-deployed")


def shown(path: Path) -> str:
    """A path as the user would type it here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("../..") else relative


def find_environment(text: str, root: Path) -> Environment:
    """The environment with this name below ``root``/inventories, or at this path. Raises StoreError."""
    given = Path(text).expanduser()
    named = root / "inventories" / text
    folder = named if named.is_dir() and text not in ("", ".", "..") else given
    if not folder.is_dir() or not text.strip():
        raise _unknown(text, root)
    folder = folder.resolve()
    if folder == (root / "inventories" / EXAMPLE).resolve():
        message = f"{shown(folder)} is the folder that you copy; secrets do not belong there."
        raise refuse("environment-example", message, f"cp -r {shown(folder)} {shown(folder.parent / 'production')}")
    return Environment(text.rstrip("/"), folder)


def _unknown(text: str, root: Path) -> Exception:
    inventories = root / "inventories"
    known = sorted(folder.name for folder in inventories.glob("*/") if folder.name != EXAMPLE)
    near = difflib.get_close_matches(text, known, n=1)
    listed = f"There is: {', '.join(known)}." if known else "There is none yet."
    guess = f" Did you mean {near[0]}?" if near else ""
    safe = text if text.strip() and "/" not in text else "production"
    new = shlex.quote(shown(inventories / safe))
    fix = f"make it from the example: cp -r {shown(inventories / EXAMPLE)} {new}"
    return refuse("environment-missing", f"There is no environment {text or '(empty)'}. {listed}{guess}", fix)
