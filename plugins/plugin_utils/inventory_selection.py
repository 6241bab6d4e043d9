# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Was a usable inventory chosen? Rules over what Ansible parsed; only ``find_project`` reads the disk."""

from __future__ import annotations

import dataclasses
import difflib
import fnmatch
import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import ERROR, Finding
from ansible_collections.hypercode.deploy.plugins.plugin_utils.role_specs import SECRET_NAME

# What everybody copies first; nobody deploys to it.
EXAMPLE = "example"
# Host keys of the servers, beside the files that list them.
KNOWN_HOSTS = "known_hosts"
_IMPLICIT_GROUPS = ("all", "ungrouped")
_NOT_HOSTS = (".md", ".txt", ".cfg", ".bak", ".orig", ".retry", ".rst", "~", ".pyc")


@dataclasses.dataclass(frozen=True)
class Project:
    """What the user can choose from. Paths are as they would type them; "" where there is nothing."""

    inventories: tuple[str, ...] = ()
    example: str = ""
    sandbox: str = ""


@dataclasses.dataclass(frozen=True)
class Chosen:
    """What Ansible was given: existing inventory sources, every group with its hosts, and the limit.

    ``limited`` are the hosts that the limit leaves (None without a limit); ``unmatched`` are the parts of the
    limit that name no host and no group.
    """

    sources: tuple[str, ...]
    groups: Mapping[str, Sequence[str]]
    limit: str = ""
    limited: frozenset[str] | None = None
    unmatched: tuple[str, ...] = ()

    @property
    def hosts(self) -> set[str]:
        """Every host of the inventory."""
        return {host for hosts in self.groups.values() for host in hosts}

    @property
    def named_groups(self) -> list[str]:
        """The groups that somebody wrote down."""
        return sorted(group for group in self.groups if group not in _IMPLICIT_GROUPS)


def as_typed(path: Path, cwd: Path) -> str:
    """A path as one would type it in ``cwd``."""
    relative = os.path.relpath(path, cwd)
    return str(path) if relative.startswith("../..") else relative


def holds_hosts(folder: Path) -> bool:
    """Whether an inventory folder has a file with hosts in it (by its name: hosts.yml, 01-hosts.ini, inventory ...)."""
    return any(
        entry.is_file()
        and not entry.name.startswith(".")
        and not entry.name.endswith(_NOT_HOSTS)
        and entry.name != KNOWN_HOSTS
        and ("hosts" in entry.name or "inventory" in entry.name)
        for entry in folder.iterdir()
    )


def find_project(candidates: Iterable[Path], cwd: Path) -> Project:
    """What the first of ``candidates`` that is a project (has a folder ``inventories``) offers."""
    for root in candidates:
        folder = root / "inventories"
        if not folder.is_dir():
            continue
        found = sorted(path for path in folder.iterdir() if path.is_dir() and holds_hosts(path))
        sandbox = root / "scripts" / "sandbox"
        return Project(
            inventories=tuple(as_typed(path, cwd) for path in found if path.name != EXAMPLE),
            example=next((as_typed(path, cwd) for path in found if path.name == EXAMPLE), ""),
            sandbox=_runnable(as_typed(sandbox, cwd)) if sandbox.is_file() else "",
        )
    return Project()


def _runnable(path: str) -> str:
    return path if path.startswith(("/", ".")) else f"./{path}"


def _is_option(argument: str, short: str, long: str, shortest: int) -> tuple[bool, bool]:
    """Whether an argument is this option, and whether its value is the next argument.

    Long options may be abbreviated, down to ``shortest`` characters.
    """
    name, equals, _value = argument.partition("=")
    if name.startswith("--") and len(name) >= shortest and long.startswith(name):
        return True, not equals
    return argument.startswith(short) and not argument.startswith("--"), argument == short


def without_option(arguments: Sequence[str], short: str, long: str, shortest: int) -> list[str]:
    """The command line without every use of an option and its value."""
    kept: list[str] = []
    skip = False
    for argument in arguments:
        if skip:
            skip = False
            continue
        matches, skip = _is_option(argument, short, long, shortest)
        if not matches:
            kept.append(argument)
    return kept


def _masked_value(value: str) -> str:
    """Extra variables without their values when one of them looks like a secret. Files are only named."""
    return "..." if SECRET_NAME.search(value) and not value.startswith("@") else value


def masked(arguments: Sequence[str]) -> list[str]:
    """The command line, fit to be shown: extra variables that look like secrets are replaced by dots."""
    shown: list[str] = []
    value_next = False
    for argument in arguments:
        if value_next:
            shown.append(_masked_value(argument))
            value_next = False
            continue
        matches, value_next = _is_option(argument, "-e", "--extra-vars", 3)
        start = len(argument)
        if matches and not value_next:
            start = argument.index("=") + 1 if argument.startswith("--") else 2
        shown.append(argument[:start] + _masked_value(argument[start:]))
    return shown


def corrected(command: Sequence[str], *, inventory: str = "", limit: str | None = None) -> str:
    """The command line as it was typed, with another inventory, and with another limit ("" takes it away)."""
    arguments = masked(command[1:])
    if inventory:
        arguments = [*without_option(arguments, "-i", "--inventory-file", 5), "-i", inventory]
    if limit is not None:
        arguments = without_option(arguments, "-l", "--limit", 5)
        arguments += ["--limit", limit] if limit else []
    return shlex.join([command[0], *arguments])


def choices(project: Project, command: Sequence[str], taken: Iterable[str] = (), start: str = "Choose") -> str:
    """What to do when another inventory is needed: one command line for each, or how to make the first.

    "" when there is nothing to choose from. ``taken`` are the sources that do not help.
    """
    used = {os.path.normpath(source) for source in taken}
    others = [path for path in project.inventories if os.path.normpath(path) not in used]
    if others:
        lines = [f"{start} an inventory of this project:"]
        return "\n".join([*lines, *(f"  {corrected(command, inventory=path)}" for path in others)])
    lines = []
    if project.example and not project.inventories:
        copy = str(Path(project.example).parent / "production")
        lines += [
            f"Copy {project.example}, write your server into the copy, and run again:",
            f"  cp -r {shlex.quote(project.example)} {shlex.quote(copy)}",
            f"  {corrected(command, inventory=copy)}",
        ]
    if project.sandbox and not project.inventories:
        lines += ["To try it on this machine first:", f"  {project.sandbox} up"]
    return "\n".join(lines)


def names_something(part: str, names: Iterable[str]) -> bool:
    """Whether a part of a limit (a name, a wildcard, ``~regex``, all of these with ``[0:2]``) matches a name."""
    listed = list(names)
    plain = re.sub(r"(?<=.)\[-?\d*(:-?\d*)?\]$", "", part)
    if part.startswith("~"):
        try:
            return any(re.match(part[1:], name) for name in listed)
        except re.error:
            return False
    return part in listed or any(fnmatch.fnmatchcase(name, pattern) for pattern in (part, plain) for name in listed)


def _group_findings(group: str, chosen: Chosen, project: Project, command: Sequence[str]) -> list[Finding]:
    """The group is in the inventory and has hosts."""
    if chosen.groups.get(group):
        return []
    where = ", ".join(chosen.sources) or "the inventory"
    others = choices(project, command, chosen.sources, "Or choose") if project.inventories else ""
    sample = f"  {group}:\n    hosts:\n      server1:\n        ansible_host: 192.0.2.10"
    groups = chosen.named_groups
    near = difflib.get_close_matches(group, groups, n=1, cutoff=0.6)
    if group in groups:
        rule, message = "group-empty", f"The group '{group}' of {where} has no hosts."
        fix = f"Write your server into it:\n{sample}"
    else:
        listed = f"Its groups are: {', '.join(groups)}." if groups else "It has hosts, but no groups."
        guess = f" Did you mean '{near[0]}'?" if near else ""
        rule, message = "group-missing", f"The inventory {where} has no group '{group}'. {listed}{guess}"
        if near:
            fix = f"Rename the group '{near[0]}' to '{group}' in {where}."
        elif any("," in source for source in chosen.sources):
            fix = f"Use an inventory file, with the servers in the group '{group}':\n{sample}"
        else:
            fix = f"Put the servers into the group '{group}' in {where}:\n{sample}"
    return [Finding(rule, ERROR, group, message, f"{fix}\n{others}".rstrip())]


def _limit_findings(groups: Sequence[str], chosen: Chosen, command: Sequence[str]) -> list[Finding]:
    """Every part of the limit names something, and hosts of the wanted groups are left."""
    found = []
    wanted = [host for group in groups for host in chosen.groups.get(group, ())]
    for part in chosen.unmatched:
        near = difflib.get_close_matches(part, sorted({*chosen.hosts, *chosen.named_groups}), n=1, cutoff=0.6)
        guess = f" Did you mean '{near[0]}'?" if near else ""
        fixed = chosen.limit.replace(part, near[0]) if near else ""
        found.append(
            Finding(
                "limit-unknown",
                ERROR,
                part,
                f"--limit names '{part}', but the inventory has no such host or group.{guess} "
                f"Hosts: {', '.join(sorted(chosen.hosts))}.",
                corrected(command, limit=fixed),
            )
        )
    if chosen.limited is not None and not chosen.limited.intersection(wanted) and not found:
        found.append(
            Finding(
                "limit-leaves-nothing",
                ERROR,
                chosen.limit,
                f"--limit {chosen.limit} leaves no host of the group '{', '.join(groups)}', so nothing would be done. "
                f"Hosts of the group: {', '.join(wanted)}.",
                corrected(command, limit=wanted[0]),
            )
        )
    return found


def judge_selection(groups: Sequence[str], chosen: Chosen, project: Project, command: Sequence[str]) -> list[Finding]:
    """Whether there is an inventory with hosts in every one of ``groups``, and whether the limit leaves any.

    ``command`` is the command line as typed (program first); fixes repeat it corrected.
    """
    if not chosen.hosts:
        advice = choices(project, command, chosen.sources)
        if chosen.sources:
            where = ", ".join(chosen.sources)
            fix = advice or f"Write your server into {where}, under the group '{groups[0]}'." if groups else advice
            return [Finding("inventory-empty", ERROR, where, f"The inventory {where} has no hosts.", fix)]
        fallback = f"Write an inventory and name it: {corrected(command, inventory='inventories/production')}"
        message = "No inventory was chosen, so there is no server to work on."
        return [Finding("no-inventory", ERROR, "inventory", message, advice or fallback)]
    found = [finding for group in groups for finding in _group_findings(group, chosen, project, command)]
    return found or _limit_findings(groups, chosen, command)
