# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Says how a fleet stands before and after an update: a small table and a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.board_text import aligned

NONE = "-"


@dataclass(frozen=True)
class Member:
    """A host of the fleet. Releases are {id, version}; `now` is None where the host could not be asked.

    `error` says why its update failed, `back_error` why its way back did.
    """

    host: str
    before: Mapping[str, Any]
    now: Mapping[str, Any] | None
    wanted: str = ""
    plan: Mapping[str, str] | None = None
    error: str = ""
    back_error: str = ""

    @property
    def is_back(self) -> bool:
        return self.now is not None and not self.back_error and self.now.get("id") == self.before.get("id")


def label(release: Mapping[str, Any] | None) -> str:
    """Return what people call a release: its version, else its id."""
    release = release or {}
    return str(release.get("version") or release.get("id") or NONE)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return columns of text, as wide as they need to be."""
    return "\n".join(line.rstrip() for line in aligned([head, *rows]))


def plan_text(members: Sequence[Member]) -> str:
    """Return the plan: what each host has, what it gets, and what that does to which service."""
    rows = [
        (
            member.host,
            label(member.before),
            member.wanted or NONE,
            "; ".join(f"{name}: {action}" for name, action in (member.plan or {}).items()) or "nothing to do",
        )
        for member in members
    ]
    text = table(("host", "has", "gets", "how"), rows)
    if len({label(member.before) for member in members}) > 1:
        text += "\nThe hosts are not on one version now. When a host fails, each goes back to what it has now."
    return text


def report(members: Sequence[Member], command: str) -> dict[str, Any]:
    """Return {good, bad, text} at the end of an update.

    `bad` names the hosts that failed, `command` takes one host back: it has the words {host} and {release}.
    """
    rows = [
        (member.host, label(member.now) if member.now is not None else "not reached", _word(member))
        for member in members
    ]
    text = table(("host", "version", ""), rows)
    failed = [member for member in members if member.error]
    if not failed:
        # A host that cannot be asked at the very end is not known to be well.
        lost = [member for member in members if member.now is None]
        if lost:
            names = ", ".join(member.host for member in lost)
            return _bad(lost, f"{text}\n{names} cannot be reached any more. Fix: playbooks/verify.yml looks again.")
        return {"good": True, "bad": [], "text": f"{text}\n{_where(members)}"}
    reasons = "\n".join(f"The update to {member.wanted} failed on {member.host}: {member.error}" for member in failed)
    stray = [member for member in members if not member.is_back]
    lines = [text, reasons, _where([member for member in members if member.is_back], of=len(members), again=True)]
    for member in stray:
        why = member.back_error or ("it cannot be reached" if member.now is None else "it has another release")
        lines.append(
            f"{member.host} could not go back to {label(member.before)}: {why.rstrip('.')}. Fix: when that is mended, "
            + command.replace("{host}", member.host).replace("{release}", str(member.before.get("id")))
        )
    return _bad([member for member in members if member.error or not member.is_back], "\n".join(lines))


def _bad(members: Sequence[Member], text: str) -> dict[str, Any]:
    return {"good": False, "bad": [member.host for member in members], "text": text}


def _word(member: Member) -> str:
    if member.error:
        return "failed, and is back" if member.is_back else "failed"
    if member.now is None:
        return ""
    if member.now.get("id") == member.before.get("id"):
        return "as before"
    return "updated"


def _where(members: Sequence[Member], *, of: int = 0, again: bool = False) -> str:
    """Say on which version these hosts are."""
    versions = sorted({label(member.now) for member in members})
    count = f"All {len(members)}" if not of or of == len(members) else f"{len(members)} of {of}"
    if not members:
        return "No host is known to be on the version that it had."
    if len(versions) > 1:
        return f"{count} hosts have the release that they had before; these are not one version: {', '.join(versions)}."
    noun = "hosts are" if len(members) > 1 or of > 1 else "host is"
    if len(members) == 1 and not of:
        return f"The host is on version {versions[0]}."
    return f"{count} {noun} on version {versions[0]}{' again' if again else ''}."
