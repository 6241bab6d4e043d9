# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Says for each service what a new release does to it. Names of secrets are told, values never."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .compose.envfile import EnvFileError, load_env
from .release import Release
from .release_networks import users_of
from .start_first import in_place_reason
from .wanted import Wanted, references_in

ALL = "(all)"


def changes_between(current: Release, wanted: Wanted, before: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Return service -> what is done to it. Never empty: what touches no service stands under `(all)`.

    `before` is the current release's project, where it is to be compared in another form than it was asked for.
    """
    before = current.read_model() if before is None else before
    old, new = before["services"], wanted.model["services"]
    secrets = changed_secrets(current.read_env(), wanted.secrets)
    networks = _changed(before.get("networks"), wanted.model.get("networks"))
    on_changed = {name: key for key in networks for model in (before, wanted.model) for name in users_of(model, key)}
    changes = {name: "start" for name in new if name not in old}
    changes |= {name: "remove" for name in old if name not in new}
    for name in set(old) & set(new):
        used = sorted(references_in(new[name]) & secrets)
        if old[name].get("image") != new[name].get("image"):
            changes[name] = f"replace: {old[name].get('image')} -> {new[name].get('image')}"
        elif old[name] != new[name]:
            changes[name] = "replace: its configuration changed"
        elif used:
            changes[name] = f"replace: the value of {', '.join(used)} changed"
        elif name in on_changed:
            changes[name] = f"check: the network {on_changed[name]} changed"
    if wanted.about.get("start_first"):
        changes = {name: change + _how(name, change, new) for name, change in changes.items()}
    return dict(sorted(changes.items())) or {ALL: _whole(current, before, wanted, secrets)}


def _how(name: str, change: str, services: Mapping[str, Any]) -> str:
    """How a container is replaced: beside the old one, or in place and why."""
    if not change.startswith("replace"):
        return ""
    reason = in_place_reason(name, services[name], services)
    return f" (in place: {reason})" if reason else " (the new one starts first)"


def changed_secrets(before: str, after: Mapping[str, str]) -> frozenset[str]:
    """Return the names whose values differ between the text of an env file and the wanted values."""
    try:
        old = load_env(before)
    except (EnvFileError, ValueError):
        return frozenset(after)
    return frozenset(name for name in {*old, *after} if old.get(name) != after.get(name))


def _whole(current: Release, before: Mapping[str, Any], wanted: Wanted, secrets: frozenset[str]) -> str:
    changed = _changed(before, wanted.model)
    volumes = _changed(before.get("volumes"), wanted.model.get("volumes"))
    kept = sorted(volumes & set(before.get("volumes") or {}) & set(wanted.model.get("volumes") or {}))
    if kept and changed == {"volumes"}:
        return f"record: other settings for the volume {', '.join(kept)}; Docker keeps a volume as it was made"
    if changed:
        return f"check: {', '.join(sorted(changed))} changed"
    if secrets:
        return f"record: {', '.join(sorted(secrets))} changed, which no service uses"
    old = str(current.read().get("version", ""))
    if old != wanted.version:
        return f"record: version {old or '-'} -> {wanted.version or '-'}"
    return "check: the record differs"


def _changed(old: Any, new: Any) -> set[str]:
    before, after = old or {}, new or {}
    return {str(key) for key in {*before, *after} if before.get(key) != after.get(key)}
