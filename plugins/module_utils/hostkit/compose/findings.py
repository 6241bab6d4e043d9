# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with a Compose project, and where: findings, documents and their line numbers."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

ERROR = "error"
WARNING = "warning"

# A file that could not be read.
UNREAD = frozenset({"yaml-syntax", "yaml-duplicate-key", "yaml-alias", "yaml-encoding", "file-missing"})
# Without these the rendered file would be wrong or incomplete, so no reason can set them aside.
NOT_IGNORABLE = UNREAD | frozenset(
    {
        "shape",
        "unknown-key",
        "variable-unset",
        "variable-syntax",
        "reference-undefined",
        "dependency-cycle",
        "dependency-disabled",
        "not-supported",
        "extends",
        "include",
        "env-file",
        "image-missing",
        "image-invalid",
        "option",
    }
)


@dataclass(frozen=True)
class Finding:
    """One thing to mend.

    ``rule`` is a stable name, ``severity`` is ``error`` or ``warning``, ``path`` is the place in the document
    (``services.web.ports[0]``), ``line`` counts from 1 in ``file``. ``repairable`` says that a rendering mends it.
    """

    rule: str
    severity: str
    service: str | None
    message: str
    fix: str
    path: str
    line: int | None = None
    file: str | None = None
    repairable: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The finding as a plain dictionary, every field present."""
        return asdict(self)

    def where(self) -> str:
        """``file:line`` as far as known, else the path in the document."""
        if self.file:
            return f"{self.file}:{self.line}" if self.line else self.file
        return self.path

    def text(self) -> str:
        """The finding in one line: where, what, and the fix."""
        where = self.where()
        return f"{where}: {self.message} Fix: {self.fix}" if where else f"{self.message} Fix: {self.fix}"


@dataclass
class Document:
    """One loaded YAML file.

    ``data`` is the mapping at its root, ``lines`` maps a path to its line (from 1), ``tags`` maps a path to ``reset``
    or ``override`` (Compose's merge tags), ``findings`` says why it could not be loaded, if so.
    """

    file: str
    data: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


class Locator:
    """Finds the file and line of a path over several documents; a later document wins."""

    def __init__(self) -> None:
        self._places: dict[str, tuple[str, int]] = {}

    def add(self, document: Document) -> None:
        """Take over the line numbers of a document."""
        for path, line in document.lines.items():
            self._places[path] = (document.file, line)

    def find(self, path: str) -> tuple[str | None, int | None]:
        """File and line of a path, or of its nearest parent that a file states; (None, None) when nothing fits."""
        while path:
            place = self._places.get(path)
            if place:
                return place
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return None, None

    def place(self, finding: Finding) -> Finding:
        """The finding with file and line filled in, where they are missing and known."""
        if finding.file is not None:
            return finding
        file, line = self.find(finding.path)
        return replace(finding, file=file, line=line)


def error(rule: str, message: str, fix: str, path: str = "", service: str | None = None) -> Finding:
    """A finding that stops the release."""
    return Finding(rule, ERROR, service, message, fix, path)


def warning(rule: str, message: str, fix: str, path: str = "", service: str | None = None) -> Finding:
    """A finding that is told and does not stop the release."""
    return Finding(rule, WARNING, service, message, fix, path)


def closest(word: str, known: Iterable[str]) -> str:
    """`` Did you mean "x"?`` for a mistyped word, or an empty string."""
    match = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f' Did you mean "{match[0]}"?' if match else ""


def check_ignore(ignore: Sequence[Any]) -> list[Finding]:
    """Findings for entries of ``ignore`` that are not ``{rule, service, reason}`` with a reason."""
    findings = []
    for index, entry in enumerate(ignore):
        path = f"ignore[{index}]"
        if not isinstance(entry, Mapping) or not str(entry.get("rule") or "").strip():
            findings.append(error("option", f"{path} names no rule.", "write {rule: ..., service: ..., reason: ...}."))
            continue
        unknown = sorted(set(entry) - {"rule", "service", "reason"})
        if unknown:
            fix = "only rule, service and reason are known."
            findings.append(error("option", f"{path} has the unknown key {unknown[0]!r}.", fix))
        if not str(entry.get("reason") or "").strip():
            findings.append(
                error(
                    "option",
                    f"{path} ignores the rule {entry['rule']!r} and gives no reason.",
                    "add reason: one sentence that a colleague can judge.",
                )
            )
        if entry["rule"] in NOT_IGNORABLE:
            findings.append(
                error(
                    "option",
                    f"{path}: the rule {entry['rule']!r} cannot be ignored; the release would be broken.",
                    "mend what the rule reports and remove this entry.",
                )
            )
    return findings


def apply_ignore(
    findings: Iterable[Finding], ignore: Sequence[Mapping[str, Any]]
) -> tuple[list[Finding], list[dict[str, Any]]]:
    """Split findings into those that stand and those set aside with a reason (as dictionaries with ``reason``)."""
    standing: list[Finding] = []
    ignored: list[dict[str, Any]] = []
    # An entry without a reason sets nothing aside; check_ignore refuses it.
    given = [entry for entry in ignore if isinstance(entry, Mapping) and str(entry.get("reason") or "").strip()]
    for finding in findings:
        entry = next((e for e in given if _covers(e, finding)), None)
        if entry is None or finding.rule in NOT_IGNORABLE:
            standing.append(finding)
        else:
            ignored.append({**finding.as_dict(), "reason": str(entry["reason"])})
    return standing, ignored


def unused_ignores(findings: Iterable[Finding], ignore: Sequence[Any]) -> list[Finding]:
    """Warnings for entries of ``ignore`` that fit none of ``findings``; ``findings`` are all, also those set aside.

    Where a file could not be read, nothing is said: what the entry is for may stand in there.
    """
    found = list(findings)
    if any(finding.rule in UNREAD for finding in found):
        return []
    result = []
    for index, entry in enumerate(ignore):
        if not isinstance(entry, Mapping) or not entry.get("rule") or any(_covers(entry, f) for f in found):
            continue
        whom = f" of {entry['service']}" if entry.get("service") else ""
        message = f"ignore[{index}] sets the rule {entry['rule']!r}{whom} aside, and nothing breaks that rule."
        result.append(warning("ignore-unused", message, "remove the entry, or correct its names.", f"ignore[{index}]"))
    return result


def _covers(entry: Mapping[str, Any], finding: Finding) -> bool:
    if entry.get("rule") != finding.rule:
        return False
    pattern = entry.get("service")
    return not pattern or fnmatch.fnmatchcase(finding.service or "", str(pattern))
