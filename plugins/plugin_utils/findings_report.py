# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Findings as files that a CI system reads: JUnit XML and SARIF 2.1.0."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.files import write_file
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import ERROR, Finding, errors

TOOL = "hypercode.deploy"
SUITE = "preflight"
# SARIF wants a place for everything; what stands in no file is about the inventory.
NO_LINE = 1
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Report = Mapping[str, Sequence[Finding]]


def junit(report: Report) -> str:
    """JUnit XML: a suite for each host, a case for each finding, and one that passes where nothing stops the deploy."""
    root = ElementTree.Element("testsuites", name=TOOL)
    for host, findings in report.items():
        bad = errors(findings)
        cases = [*findings, None] if not bad else list(findings)
        suite = ElementTree.SubElement(
            root, "testsuite", name=_xml(host), tests=str(len(cases)), failures=str(len(bad)), errors="0"
        )
        for finding in cases:
            _case(suite, host, finding)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(suite: ElementTree.Element, host: str, finding: Finding | None) -> None:
    name = "nothing stops the deploy" if finding is None else f"{finding.rule}: {finding.name}"
    case = ElementTree.SubElement(suite, "testcase", classname=_xml(f"{SUITE}.{host}"), name=_xml(name))
    if finding is None:
        return
    text = _xml("\n".join(line for line in (finding.place(), finding.message, f"fix: {finding.fix}") if line))
    if finding.severity == ERROR:
        ElementTree.SubElement(case, "failure", type=_xml(finding.rule), message=_xml(finding.message)).text = text
    else:
        ElementTree.SubElement(case, "system-out").text = f"warning: {text}"


def _xml(text: str) -> str:
    """Text without what XML cannot hold."""
    return _NOT_XML.sub("?", text)


def sarif(report: Report, *, version: str, inventory: str, base: str) -> str:
    """SARIF 2.1.0: one result for each finding, however many hosts have it.

    ``inventory`` is the path that stands for what is in no file; paths below ``base`` come out relative to it.
    """
    hosts: dict[Finding, list[str]] = {}
    for host, findings in report.items():
        for finding in findings:
            hosts.setdefault(finding, []).append(host)
    rules = list(dict.fromkeys(finding.rule for finding in hosts))
    results = [
        {
            "ruleId": finding.rule,
            "ruleIndex": rules.index(finding.rule),
            "level": "error" if finding.severity == ERROR else "warning",
            "message": {"text": f"{finding.message} Fix: {finding.fix}"},
            "locations": [_location(finding, names, _relative(finding.file or inventory, base))],
            "properties": {"hosts": names},
        }
        for finding, names in hosts.items()
    ]
    driver = {"name": TOOL, "version": version, "rules": [{"id": rule} for rule in rules]}
    run = {
        "tool": {"driver": driver},
        "invocations": [{"executionSuccessful": not errors(hosts)}],
        "results": results,
    }
    document = {"version": "2.1.0", "$schema": "https://json.schemastore.org/sarif-2.1.0.json", "runs": [run]}
    return json.dumps(document, indent=2) + "\n"


def _location(finding: Finding, hosts: Sequence[str], path: str) -> dict[str, Any]:
    line = int(finding.line) if finding.line.isdigit() and finding.line != "0" else NO_LINE
    named = [{"fullyQualifiedName": f"{host}/{finding.name}"} for host in hosts]
    return {
        "physicalLocation": {"artifactLocation": {"uri": path}, "region": {"startLine": line}},
        "logicalLocations": named,
    }


def _relative(path: str, base: str) -> str:
    """A path as a URI reference: relative to ``base`` where it lies below."""
    full = Path(base, path)
    return full.relative_to(base).as_posix() if full.is_relative_to(base) else full.as_uri()


def save(path: str, text: str) -> None:
    """Write a report whole. Raises OSError."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_file(target, text.encode())
