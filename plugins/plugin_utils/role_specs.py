# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the roles say about their variables: argument specs, defaults, and the table of removed variables."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible.template import trust_as_template

# A value whose name matches is never shown.
SECRET_NAME = re.compile(r"pass(word|wd|phrase)|secret|token|key|credential", re.IGNORECASE)
_TEMPLATE_SIGNS = ("{{", "{%", "{#")


class SpecError(Exception):
    """A file of a role cannot be used. The text names the file and what is wrong with it."""


class _Opaque(str):
    """A value with a tag of its own (a vaulted or an unsafe string): present, but never a template."""


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The fast loader, which takes tags that it does not know for plain strings."""


_Loader.add_multi_constructor("!", lambda _loader, _suffix, node: _Opaque(getattr(node, "value", "")))


@dataclasses.dataclass(frozen=True)
class RoleSpec:
    """The variables of one role: ``options`` by name as in argument_specs, ``defaults`` and ``internals`` by name.

    ``internals`` are what the role sets in vars/main.yml; nobody else should.
    """

    name: str
    options: Mapping[str, Mapping[str, Any]]
    defaults: Mapping[str, Any]
    internals: Mapping[str, Any]
    path: Path


@dataclasses.dataclass(frozen=True)
class Removed:
    """A variable that is gone since release ``since``; ``use`` is the one to set instead ("" when there is none)."""

    name: str
    since: str
    use: str = ""
    note: str = ""


@functools.lru_cache(maxsize=256)
def _parse(path: str, _changed: int, _size: int) -> Any:
    try:
        with Path(path).open(encoding="utf-8") as stream:
            return yaml.load(stream, Loader=_Loader)  # noqa: S506 - a subclass of the safe loader.
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it is not YAML"
        raise SpecError(f"{path}{line} cannot be read: {problem}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path} cannot be read: {error}.") from None


def load_yaml(path: Path) -> Any:
    """The data of a YAML file, None without a file. Parsed once in a process while the file stays as it is.

    Raises SpecError. The data is shared: do not change it.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return _parse(str(path), status.st_mtime_ns, status.st_size)


def _mapping(value: Any, path: Path, what: str) -> Mapping[str, Any]:
    """``value`` when it is a mapping, nothing when it is empty, SpecError otherwise."""
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise SpecError(f"{path} cannot be used: {what} must be a mapping of names.")
    return value


def trusted(value: Any) -> Any:
    """A copy of data from one of our own files, whose strings Ansible may evaluate as templates."""
    if isinstance(value, dict):
        return {key: trusted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [trusted(item) for item in value]
    if isinstance(value, _Opaque):
        return str(value)
    if isinstance(value, str) and any(sign in value for sign in _TEMPLATE_SIGNS):
        return trust_as_template(value)
    return value


def load_role(path: Path) -> RoleSpec | None:
    """The variables of the role in this folder; None when it does not describe them. Raises SpecError."""
    specs_file = path / "meta" / "argument_specs.yml"
    content = load_yaml(specs_file)
    if content is None:
        return None
    specs = _mapping(_mapping(content, specs_file, "the file").get("argument_specs"), specs_file, "argument_specs")
    entry = _mapping(specs.get("main"), specs_file, "argument_specs.main")
    options = _mapping(entry.get("options"), specs_file, "argument_specs.main.options")
    for name, option in options.items():
        _mapping(option, specs_file, f"option {name}")
    files = (path / "defaults" / "main.yml", path / "vars" / "main.yml")
    defaults, internals = (trusted(_mapping(load_yaml(file), file, "the file")) for file in files)
    return RoleSpec(path.name, {name: option or {} for name, option in options.items()}, defaults, internals, path)


def load_roles(path: Path) -> dict[str, RoleSpec]:
    """Every role in a folder that describes its variables, by name. Raises SpecError."""
    if not path.is_dir():
        raise SpecError(f"{path} is not a folder with roles.")
    roles = (load_role(folder) for folder in sorted(path.iterdir()) if folder.is_dir())
    return {role.name: role for role in roles if role}


def load_removed(path: Path) -> dict[str, Removed]:
    """The table of removed variables, by name; empty without a file. Raises SpecError."""
    content = load_yaml(path)
    if content is None:
        return {}
    if not isinstance(content, list):
        raise SpecError(f"{path} cannot be used: it must be a list.")
    removed = {}
    for number, entry in enumerate(content, start=1):
        fields = _mapping(entry, path, f"entry {number}")
        if not isinstance(fields.get("name"), str) or fields.get("since") is None:
            raise SpecError(f"{path} cannot be used: entry {number} needs a name and the release (since).")
        texts = {key: str(fields.get(key) or "") for key in ("use", "note")}
        removed[fields["name"]] = Removed(fields["name"], str(fields["since"]), **texts)
    return removed
