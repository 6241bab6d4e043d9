# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Are the names of a host's variables right? Pure rules over names."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import ERROR, WARNING, Finding
from ansible_collections.hypercode.deploy.plugins.plugin_utils.role_specs import Removed, RoleSpec

# How alike two names must be to suggest one for the other.
_ALIKE = 0.72
_VERY_ALIKE = 0.85
# Says where a variable is set, such as "inventories/prod/group_vars/all.yml:12"; "" when that is not known.
Where = Callable[[str], str]


def is_result(value: Any) -> bool:
    """Whether a value is what a task registered: no user wrote it."""
    return isinstance(value, Mapping) and "changed" in value and ("failed" in value or "skipped" in value)


def role_of(name: str, roles: Iterable[str]) -> str:
    """The role to which a variable belongs by its name, "" when to none; the longest name of a role wins."""
    return max((role for role in roles if name.startswith(f"{role}_")), key=len, default="")


def closest(name: str, known: Iterable[str], role: str = "") -> str:
    """The known name that looks most like ``name``, one of the same role first; "" when none does."""
    listed = sorted(one for one in known if one != name)
    if role:
        # The part that all names of a role share would make them all look alike.
        rests = [one[len(role) :] for one in listed if one.startswith(f"{role}_")]
        near = difflib.get_close_matches(name[len(role) :], rests, n=1, cutoff=_ALIKE)
        if near:
            return f"{role}{near[0]}"
    near = difflib.get_close_matches(name, listed, n=1, cutoff=_VERY_ALIKE)
    return near[0] if near else ""


def _at(place: str) -> str:
    return f" ({place})" if place else ""


def removed_finding(gone: Removed, host: str, place: str) -> Finding:
    """A variable that an earlier release knew."""
    instead = f"Set {gone.use} instead." if gone.use else "Remove it from the inventory."
    return Finding(
        "variable-removed",
        ERROR,
        gone.name,
        f"{gone.name} is set for {host}{_at(place)}, but it left in release {gone.since}.",
        f"{instead} {gone.note}".strip(),
    )


def unknown_finding(name: str, role: str, near: str, host: str, place: str) -> Finding:
    """A variable that looks like a role's, but is not."""
    guess = f" Did you mean {near}?" if near else ""
    fix = (
        f"Rename it to {near}"
        if near
        else f"Remove it (roles/{role}/meta/argument_specs.yml lists the variables of the role)"
    )
    return Finding(
        "variable-unknown",
        ERROR,
        name,
        f"{name} is set for {host}{_at(place)}, but the role {role} has no such variable.{guess}",
        f"{fix}, or, if something else needs it, add it to `preflight_known_variables`.",
    )


def misspelt_role(name: str, roles: Mapping[str, RoleSpec]) -> str:
    """The variable that was meant when only the role's part of a name is misspelt (stak_enabled); "" otherwise."""
    prefix, _underscore, rest = name.partition("_")
    fitting = {role: f"{role}_{rest}" for role in roles if f"{role}_{rest}" in roles[role].options}
    near = difflib.get_close_matches(prefix, fitting, n=1, cutoff=_ALIKE) if rest else []
    return fitting[near[0]] if near else ""


def judge_names(
    variables: Mapping[str, Any],
    roles: Mapping[str, RoleSpec],
    removed: Mapping[str, Removed],
    *,
    allowed: Iterable[str],
    host: str,
    where: Where,
) -> list[Finding]:
    """Names that a role no longer has or never had, and (a warning) names with a misspelt role.

    ``allowed`` are names or globs that belong to somebody else. Names of Ansible's own, internal names
    (``__role_x``) and results of tasks are passed over.
    """
    known = {option for role in roles.values() for option in role.options}
    patterns = list(allowed)
    found = []
    for name in sorted(variables):
        if name in known or name.startswith(("ansible_", "_")):
            continue
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns) or is_result(variables[name]):
            continue
        role = role_of(name, roles)
        if name in removed:
            found.append(removed_finding(removed[name], host, where(name)))
        elif role:
            found.append(unknown_finding(name, role, closest(name, known, role), host, where(name)))
        elif meant := misspelt_role(name, roles):
            found.append(
                Finding(
                    "variable-misspelt",
                    WARNING,
                    name,
                    f"No role uses {name}, which is set for {host}{_at(where(name))}. Did you mean {meant}?",
                    f"Rename it to {meant}, or add it to `preflight_known_variables`.",
                )
            )
    return found
