# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report as JUnit XML, for CI: a suite for the soak, a case for each check."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import Any

from .view import FAIL, INCONCLUSIVE, NOT_TESTED, PASS, RUNNING, Check, Report, read, span, when

# What XML 1.0 has no way to write.
_FORBIDDEN = re.compile(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_KINDS = {FAIL: "failure", INCONCLUSIVE: "error", NOT_TESTED: "skipped"}


def render(report: Mapping[str, Any]) -> str:
    """The report as JUnit: FAIL is a failure, INCONCLUSIVE an error, NOT TESTED skipped with its reason.

    A bad verdict that no check shows has a case of its own: CI must not be green then. All checks look at the same
    time, which the suite has; so a case takes none of its own.
    """
    seen = read(report)
    cases = [_case(check, seen.host) for check in seen.checks]
    overall = _overall(seen)
    if overall is not None:
        cases.insert(0, overall)
    counts = {kind: sum(case.find(kind) is not None for case in cases) for kind in _KINDS.values()}
    suite = _element(
        "testsuite",
        name=f"soak {seen.name}" if seen.name and seen.name != "soak" else "soak",
        tests=len(cases),
        failures=counts["failure"],
        errors=counts["error"],
        skipped=counts["skipped"],
        time=f"{seen.elapsed:.0f}",
        hostname=seen.host,
        **({"timestamp": when(seen.began, "%Y-%m-%dT%H:%M:%S")} if seen.began is not None else {}),
    )
    properties = ET.SubElement(suite, "properties")
    facts = {"run": seen.run, "host": seen.host, "release": seen.release, "verdict": seen.verdict, "next": seen.next}
    for name, value in facts.items():
        properties.append(_element("property", name=name, value=value))
    suite.extend(cases)
    whole = ET.Element("testsuites")
    whole.append(suite)
    ET.indent(whole)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(whole, encoding="unicode") + "\n"


def _element(tag: str, text: str = "", **attributes: object) -> ET.Element:
    element = ET.Element(tag, {name: _valid(str(value)) for name, value in attributes.items()})
    element.text = _valid(text) or None
    return element


def _valid(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)


def _overall(seen: Report) -> ET.Element | None:
    if seen.verdict == RUNNING:
        kind, message = "skipped", f"still running, {span(seen.left)} left" if seen.left else "still running"
    elif seen.unproven or (seen.verdict == PASS and not seen.checks):
        kind, message = ("failure" if seen.verdict == FAIL else "error"), seen.reason or "no check shows the verdict"
    else:
        return None
    case = _element("testcase", name="The verdict", classname=f"soak.{seen.host}", time="0")
    case.append(_element(kind, seen.next, message=message))
    return case


def _case(check: Check, host: str) -> ET.Element:
    case = _element("testcase", name=check.title, classname=f"soak.{host}", time="0")
    kind = _KINDS.get(check.verdict)
    lines = _lines(check)
    if kind == "skipped":
        case.append(_element(kind, message=check.untested or check.observed or "not tested"))
    elif kind:
        case.append(_element(kind, "\n".join(lines), message=check.observed or check.verdict, type=check.verdict))
    elif lines:
        case.append(_element("system-out", "\n".join(lines)))
    return case


def _lines(check: Check) -> list[str]:
    facts = {"Limit": check.limit, "Observed": check.observed, "Not tested": check.untested, "Next": check.next}
    lines = [f"{name}: {value}" for name, value in facts.items() if value]
    lines += [f"{when(at)}: {text}" if at is not None else text for at, text in check.evidence]
    return lines + [
        f"{subject.verdict} {subject.name}: {subject.observed}" for subject in check.subjects if subject.verdict != PASS
    ]
