"""Every rule by its own examples: the bad one gives the finding, the good one does not."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils import compose_yaml
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose import audit as package
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.audit.examples import run
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.audit.registry import RULES, SUBJECTS
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.audit.rule import AuditRule
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.findings import NOT_IGNORABLE

EACH = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)


@EACH
def test_the_bad_example_gives_the_finding(rule: AuditRule) -> None:
    findings = [finding for finding in run(rule.bad, compose_yaml.load).findings if finding.rule == rule.id]
    assert findings
    for finding in findings:
        assert finding.severity == rule.severity
        assert finding.message
        assert finding.fix


@EACH
def test_the_good_example_does_not(rule: AuditRule) -> None:
    report = run(rule.good, compose_yaml.load)
    assert rule.id not in {finding.rule for finding in report.findings}


@EACH
def test_the_words_are_sentences(rule: AuditRule) -> None:
    assert rule.severity in ("error", "warning")
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", rule.id)
    for text in (rule.title, rule.why, rule.fix):
        assert text.endswith(".")
        assert "\u2014" not in text
    assert rule.title[0].isupper()
    assert rule.fix[0].islower()


def test_no_rule_stands_twice() -> None:
    assert len(RULES) == sum(len(rules) for rules in SUBJECTS.values())


def test_every_rule_that_the_code_names_is_in_the_registry() -> None:
    compose = Path(package.__file__).resolve().parents[1]
    files = [*compose.glob("*.py"), Path(compose_yaml.__file__).resolve()]
    named = {name for file in files for name in reported(file)}
    assert len(named) > 25
    assert named == {rule.id for rule in RULES.values() if rule.check is None}
    assert named >= NOT_IGNORABLE


def reported(file: Path) -> set[str]:
    """The rules of the findings that a file makes, by the first argument of the calls."""
    calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    makers = ("error", "warning", "Finding", "_finding")
    first = [call.args[0] for call in calls if isinstance(call.func, ast.Name) and call.func.id in makers and call.args]
    found = {node.value for node in first if isinstance(node, ast.Constant)}
    # f"{thing}-external" for networks and volumes.
    if any(isinstance(node, ast.JoinedStr) for node in first):
        found |= {"network-external", "volume-external"}
    return {str(name) for name in found}
