# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A finding: one thing that is wrong, where, and what to do about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

ERROR = "error"
WARNING = "warning"


@dataclasses.dataclass(frozen=True)
class Finding:
    """One result of a check.

    ``rule`` is a stable identifier, ``severity`` is ``error`` or ``warning``, ``name`` is the thing that is
    wrong (a variable, a path, a port), ``message`` says what is wrong and ``fix`` what to do next. ``file`` and
    ``line`` (from 1) say where it stands, and are empty for what stands in no file.
    """

    rule: str
    severity: str
    name: str
    message: str
    fix: str
    file: str = ""
    line: str = ""

    def as_dict(self) -> dict[str, str]:
        """The finding as plain strings, for JSON. A place that it does not have is left out."""
        texts = {field: str(value) for field, value in dataclasses.asdict(self).items()}
        return {field: text for field, text in texts.items() if text or field not in _PLACE}

    def place(self) -> str:
        """``file:line`` as far as known."""
        return f"{self.file}:{self.line}" if self.file and self.line else self.file

    def text(self) -> str:
        """The finding in one line. The form is that of compose_render: Ansible shows the same warning only once."""
        where = f"{self.place()}: " if self.file else ""
        return f"{where}{self.message} Fix: {self.fix}" if self.fix else f"{where}{self.message}"


_FIELDS = tuple(field.name for field in dataclasses.fields(Finding))
_PLACE = ("file", "line")


def read_findings(items: Iterable[Mapping[str, object]]) -> list[Finding]:
    """Findings from dictionaries as ``as_dict`` gives them; only ``rule`` and ``message`` must be there.

    Raises ValueError, which says what is wrong with which of them.
    """
    return [_read(number, item) for number, item in enumerate(items, 1)]


def _read(number: int, item: Mapping[str, object]) -> Finding:
    unknown = sorted(str(key) for key in item if key not in _FIELDS)
    if unknown:
        raise ValueError(f"entry {number} has {', '.join(unknown)}; it may have {', '.join(_FIELDS)}")
    texts = {field: "" if item.get(field) is None else str(item[field]) for field in _FIELDS}
    texts["severity"] = texts["severity"] or ERROR
    missing = [field for field in ("rule", "message") if not texts[field]]
    if missing:
        raise ValueError(f"entry {number} lacks {' and '.join(missing)}")
    if texts["severity"] not in (ERROR, WARNING):
        raise ValueError(f"entry {number}: severity must be {ERROR} or {WARNING}")
    return Finding(**texts)


def errors(findings: Iterable[Finding]) -> list[Finding]:
    """Only the findings that must stop a deploy."""
    return [finding for finding in findings if finding.severity == ERROR]


def warnings(findings: Iterable[Finding]) -> list[Finding]:
    """Only the findings that the user should know of."""
    return [finding for finding in findings if finding.severity == WARNING]


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def summary(findings: Iterable[Finding], where: str) -> str:
    """One line that says how many findings there are, and where. What they are is shown from the findings."""
    listed = list(findings)
    bad, advice = errors(listed), warnings(listed)
    and_warnings = f", {_counted(len(advice), 'warning')}" if advice else ""
    if not bad:
        return f"{where}: no problems{and_warnings}."
    return f"{where}: {_counted(len(bad), 'problem')}{and_warnings}. Nothing was changed."


def refusal(findings: Sequence[Finding], outcome: str) -> dict[str, Any]:
    """The result of a module that was refused; ``outcome`` is a sentence such as 'sshd on web1 was not changed'."""
    texts = "\n".join(f"- {finding.text()}" for finding in findings)
    return {
        "changed": False,
        "findings": [finding.as_dict() for finding in findings],
        "actions": [],
        "msg": f"{outcome}: {_counted(len(findings), 'problem')}.\n{texts}",
    }
