# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The secrets of other environments, as far as the passwords at hand open their vaults."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Protocol

from ansible.errors import AnsibleError

from .finding import WARNING, SecretFinding
from .guesses import is_template

_MOST = 5000
_DEEPEST = 6
_SHORTEST = 6


class Loader(Protocol):
    """The part of Ansible's DataLoader that is used here."""

    def load_from_file(self, file_name: str, cache: str = "all") -> Any:
        """The data of a file, opened with the vault passwords at hand."""


def environment_of(path: str) -> str:
    """The environment that a vault file belongs to: the folder below ``inventories``, else the whole path."""
    parts = PurePath(path).parts
    for index, part in enumerate(parts[:-2]):
        if part == "inventories":
            return parts[index + 1]
    return path


def read_other(path: str, loader: Loader) -> tuple[dict[str, str], list[SecretFinding]]:
    """The texts in another environment's vault, by name. A vault that does not open is a warning."""
    try:
        data = loader.load_from_file(path, cache="none")
        if isinstance(data, Mapping) and "sops" in data:
            return {}, [_not_compared(path, "It is encrypted with SOPS.")]
        if data is not None and not isinstance(data, Mapping):
            return {}, [_not_compared(path, "It holds no mapping of names to values.")]
        return _texts(data or {}), []
    except (AnsibleError, OSError, ValueError, RecursionError):
        # The reason may show lines of the file.
        return {}, [_not_compared(path, "It cannot be opened with the vault passwords at hand.")]


def _not_compared(path: str, why: str) -> SecretFinding:
    problem = f"{path} was not compared with these secrets. {why}"
    hint = f"Give its vault password too (--vault-id {environment_of(path)}@prompt), or remove it from other_files."
    return SecretFinding("", "vault-not-compared", WARNING, problem, hint)


def _texts(data: Mapping[Any, Any]) -> dict[str, str]:
    """Every text that may be a secret, by its own name. Bounded, for structures that hold themselves."""
    texts: dict[str, str] = {}
    waiting: list[tuple[str, Any, int]] = [(str(key), value, 0) for key, value in data.items()]
    for _count in range(_MOST):
        if not waiting:
            break
        name, value, depth = waiting.pop()
        if isinstance(value, Mapping):
            inner = [(str(key), item, depth + 1) for key, item in value.items()]
            waiting += inner[:_MOST] if depth < _DEEPEST else []
        elif isinstance(value, (list, tuple)):
            waiting += [(name, item, depth + 1) for item in value[:_MOST]] if depth < _DEEPEST else []
        elif isinstance(value, str) or type(value).__name__ == "EncryptedString":
            # A vaulted text opens here, or raises.
            text = str(value).strip()
            if len(text) >= _SHORTEST and not is_template(text):
                texts[name] = text
    return texts
