# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Replaces variables over a whole document, and leaves secrets as references.

The result is itself a template: Compose reads it with ``--env-file`` and puts the secrets in. So each literal ``$`` is
written ``$$``, and interpolating a result once more changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from .findings import Finding, error, warning
from .schema import cast
from .template import Node, TemplateError, Variable, escape, parse

# Sections written as KEY=VALUE lists or as mappings: a list item is named by its key in messages.
_KEYED = ("environment", "labels", "annotations", "args", "sysctls")
_KEYED_ITEM = re.compile(r"([^=\s$]+)(?:=|$)")


def plain_text(value: Any) -> str:
    """A variable's value as text, the way YAML writes it (``true``, not ``True``)."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


class _Place(NamedTuple):
    """Where a variable without a value stands: the service that owns it, and what the file says about it."""

    owner: str | None
    message: str


class Interpolator:
    """Interpolates documents and collects what it met on the way.

    ``variables`` are the values that may be written out (None counts as unset); ``secret_names`` are never replaced,
    not even when a variable of that name is given. One object serves a whole project: ``findings()`` reports an unset
    variable once, with all its places.
    """

    def __init__(self, variables: Mapping[str, Any], secret_names: Collection[str] = ()) -> None:
        self._secrets = frozenset(secret_names)
        self._variables = {
            name: plain_text(value)
            for name, value in variables.items()
            if value is not None and name not in self._secrets
        }
        self._used: dict[str, set[str | None]] = {}
        self._secrets_used: dict[str, set[str | None]] = {}
        self._unset: dict[str, dict[str, _Place]] = {}
        self._dropped: dict[str, dict[str, str | None]] = {}
        self._broken: list[Finding] = []
        self._path = ""
        self._service: str | None = None

    def document(self, data: Any, path: str = "", service: str | None = None) -> Any:
        """A copy of ``data`` with every text value interpolated; keys stay. ``service`` owns what is found."""
        if isinstance(data, dict):
            return {
                key: self.document(value, f"{path}.{key}" if path else str(key), service) for key, value in data.items()
            }
        if isinstance(data, list):
            return [self.document(item, _item_path(path, index, item), service) for index, item in enumerate(data)]
        if isinstance(data, str):
            return cast(path, self.text(data, path, service))
        return data

    def text(self, text: str, path: str, service: str | None = None, local: Mapping[str, str] | None = None) -> str:
        """One value as template text; ``local`` holds further values that are template text already."""
        if "$" not in text:
            return text
        self._path, self._service = path, service
        try:
            return self._render(parse(text), local or {})
        except TemplateError as exc:
            name = path.rsplit(".", 1)[-1]
            self._broken.append(
                error(
                    "variable-syntax",
                    f"{name}: {exc}.",
                    "write ${NAME}, ${NAME:-default}, or $$ for a dollar sign.",
                    path,
                    service,
                )
            )
            return escape(text)

    def reference(self, name: str, path: str, service: str | None, required: bool = True) -> str | None:
        """Template text for a variable that is passed through by its name; None when it is not set."""
        self._path, self._service = path, service
        if name in self._secrets:
            self._secrets_used.setdefault(name, set()).add(service)
            return f"${{{name}}}"
        if name in self._variables:
            self._used.setdefault(name, set()).add(service)
            return escape(self._variables[name])
        if required:
            self._note_unset(name, "")
        return None

    def is_secret(self, name: str) -> bool:
        """Whether a name is one that is never replaced."""
        return name in self._secrets

    def _render(self, nodes: tuple[Node, ...], local: Mapping[str, str]) -> str:
        return "".join(escape(n) if isinstance(n, str) else self._variable(n, local) for n in nodes)

    def _variable(self, node: Variable, local: Mapping[str, str]) -> str:
        if node.name in self._secrets:
            return self._secret(node, local)
        value = self._value(node.name, local)
        empty_counts = node.operator.startswith(":")
        present = value is not None and not (empty_counts and value == "")
        match node.operator.lstrip(":"):
            case "-":
                return value if present and value is not None else self._render(node.word, local)
            case "+":
                return self._render(node.word, local) if present else ""
            case "?":
                if not present:
                    self._note_unset(node.name, self._render(node.word, local))
                return value or ""
        if value is None:
            self._note_unset(node.name, "")
        return value or ""

    def _value(self, name: str, local: Mapping[str, str]) -> str | None:
        if name in self._variables:
            self._used.setdefault(name, set()).add(self._service)
            return escape(self._variables[name])
        return local.get(name)

    def _secret(self, node: Variable, local: Mapping[str, str]) -> str:
        name = node.name
        self._secrets_used.setdefault(name, set()).add(self._service)
        match node.operator.lstrip(":"):
            case "-":
                self._dropped.setdefault(name, {})[self._path] = self._service
                return f"${{{name}:?{name} is a secret and has no value}}"
            case "?":
                return f"${{{name}{node.operator}{_message(self._render(node.word, local))}}}"
            case "+":
                word = self._render(node.word, local)
                kept = f"${{{name}{node.operator}{word}}}"
                if len(parse(kept)) != 1:
                    raise TemplateError(f"the text after ${{{name}{node.operator} must not contain a closing brace")
                return kept
        return f"${{{name}}}"

    def _note_unset(self, name: str, message: str) -> None:
        self._unset.setdefault(name, {})[self._path] = _Place(self._service, _message(message))

    def used(self, services: Collection[str] | None = None) -> list[str]:
        """Names of plain variables that were written out, sorted; only those of ``services`` where given."""
        return sorted(n for n, owners in self._used.items() if any(_active(o, services) for o in owners))

    def secrets_used(self, services: Collection[str] | None = None) -> list[str]:
        """Names of secrets the document refers to, sorted; only those of ``services`` where given."""
        return sorted(n for n, owners in self._secrets_used.items() if any(_active(o, services) for o in owners))

    def unset(self, services: Collection[str] | None = None) -> list[str]:
        """Names without a value and without a default, sorted."""
        return sorted(
            n for n, places in self._unset.items() if any(_active(p.owner, services) for p in places.values())
        )

    def unset_at(self, service: str, key: str) -> bool:
        """Whether ``key`` of a service holds a variable without a value, so that its text says nothing yet."""
        places = (place for found in self._unset.values() for place in found.items())
        return any(place.owner == service and path.endswith(f".{key}") for path, place in places)

    def findings(self, services: Collection[str] | None = None) -> list[Finding]:
        """Everything found so far; what belongs to a service outside ``services`` is left out."""
        found = [f for f in self._broken if _active(f.service, services)]
        for name, places in sorted(self._unset.items()):
            active = {path: place.owner for path, place in places.items() if _active(place.owner, services)}
            if active:
                message = next((place.message for place in places.values() if place.message), "")
                found.append(_unset_finding(name, active, message))
        for name, dropped in sorted(self._dropped.items()):
            owners = {path: owner for path, owner in dropped.items() if _active(owner, services)}
            if owners:
                found.append(_dropped_finding(name, owners))
        return found


def _unset_finding(name: str, places: Mapping[str, str | None], message: str) -> Finding:
    said = f" ({message})" if message else ""
    return error(
        "variable-unset",
        f"{name} has no value and no default{said}. It is used in {', '.join(places)}.",
        f"give {name} a value in environment_variables; list it in secret_names instead where it is a secret.",
        next(iter(places)),
        _one_owner(places),
    )


def _dropped_finding(name: str, places: Mapping[str, str | None]) -> Finding:
    return warning(
        "secret-default",
        f"{name} is a secret with a default value; the default is not used. It stands in {', '.join(places)}.",
        f"write ${{{name}:?}} there: a default hides a missing secret.",
        next(iter(places)),
        _one_owner(places),
    )


def _one_owner(places: Mapping[str, str | None]) -> str | None:
    owners = set(places.values())
    return owners.pop() if len(owners) == 1 else None


def _active(owner: str | None, services: Collection[str] | None) -> bool:
    return owner is None or services is None or owner in services


def _message(text: str) -> str:
    # Older readers split at the first operator sign they see anywhere, so an error message may hold none.
    return " ".join(re.sub(r"[-+?:${}]", " ", text).split())


def _item_path(path: str, index: int, item: Any) -> str:
    if path.rsplit(".", 1)[-1] in _KEYED and isinstance(item, str):
        match = _KEYED_ITEM.match(item)
        if match:
            return f"{path}.{match[1]}"
    return f"{path}[{index}]"
