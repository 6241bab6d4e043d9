# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
name: secret_files
short_description: Find the files of an inventory that hold secrets
version_added: 0.1.0
author: The hypercode.deploy authors (@hypercode)
description:
  - Lists the files of variables whose name has C(vault) or C(secret) in it, and env files.
  - With O(others), the vaults of the inventories beside it. The one named C(example) is left out.
options:
  _input:
    description: Folder of the inventory, as in C(inventory_dir). Nothing where there is none.
    type: str
    required: true
  others:
    description: List those of the neighbours instead.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Check the secrets
  hypercode.deploy.secrets_validate:
    secrets: "{{ stack_secrets }}"
    files: "{{ inventory_dir | hypercode.deploy.secret_files }}"
    other_files: "{{ inventory_dir | hypercode.deploy.secret_files(others=true) }}"
"""

RETURN = r"""
_value:
  description: Paths on the controller, sorted.
  type: list
  elements: str
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.hypercode.deploy.plugins.plugin_utils.inventory_selection import EXAMPLE

FOLDERS = ("group_vars", "host_vars")
SUFFIXES = (".yml", ".yaml", ".json")


def secret_files(folder: str | None, others: bool = False) -> list[str]:
    """Return the files of the inventory in ``folder``, or of those beside it."""
    if not folder or not Path(folder).is_dir():
        return []
    own = Path(folder)
    if not others:
        return sorted(str(path) for path in _files(own) if _is_secret(path))
    neighbours = [path for path in own.parent.iterdir() if path.is_dir() and path != own and path.name != EXAMPLE]
    # Values are compared, so only whole vaults count: an env file has no names of secrets of the stack.
    return sorted(str(path) for one in neighbours for path in _files(one) if "vault" in path.stem and _is_secret(path))


def _files(folder: Path) -> list[Path]:
    return [path for name in FOLDERS for path in (folder / name).rglob("*") if path.is_file()]


def _is_secret(path: Path) -> bool:
    if path.suffix == ".env" or path.name == ".env":
        return True
    # Dates are no secrets: scripts/secrets keeps them in the clear.
    named = any(word in path.stem.lower() for word in ("vault", "secret"))
    return named and path.suffix in SUFFIXES and not path.stem.endswith("_dates")


class FilterModule:
    """Filters of hypercode.deploy."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"secret_files": secret_files}
