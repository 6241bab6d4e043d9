from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.interpolate import Interpolator
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.template import escape
from hypothesis import given
from hypothesis import strategies as st

VARIABLES = {"A": "one", "EMPTY": "", "MONEY": "5$x", "NUMBER": 7, "FLAG": True, "NONE": None}


def text(template: str, variables: dict[str, Any] | None = None, secrets: tuple[str, ...] = ("PW",)) -> str:
    return Interpolator(VARIABLES if variables is None else variables, secrets).text(template, "p")


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("no variable", "no variable"),
        ("$A-${A}", "one-one"),
        ("${A:-x}", "one"),
        ("${EMPTY:-x}", "x"),
        ("${EMPTY-x}", ""),
        ("${NOPE:-x}", "x"),
        ("${NOPE-x}", "x"),
        ("${NOPE-}", ""),
        ("${A:+x}", "x"),
        ("${EMPTY:+x}", ""),
        ("${EMPTY+x}", "x"),
        ("${NOPE+x}", ""),
        ("${A:?no}", "one"),
        ("${EMPTY?no}", ""),
        ("${NOPE:-${EMPTY:-${A}}}", "one"),
        ("${NUMBER}${FLAG}", "7true"),
        ("${NONE-unset}", "unset"),
        ("$$A $$", "$$A $$"),
        ("${MONEY}", "5$$x"),
        ("${NOPE:-$$1}", "$$1"),
    ],
)
def test_plain_variables(template: str, expected: str) -> None:
    assert text(template) == expected


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("$PW", "${PW}"),
        ("a${PW}b", "a${PW}b"),
        ("${PW:-changeme}", "${PW:?PW is a secret and has no value}"),
        ("${PW-changeme}", "${PW:?PW is a secret and has no value}"),
        ("${PW:?give it}", "${PW:?give it}"),
        ("${PW?a - b}", "${PW?a b}"),
        ("${PW:+--auth $PW}", "${PW:+--auth ${PW}}"),
        ("${PW+$A}", "${PW+one}"),
        ("${NOPE:-$PW}", "${PW}"),
        ("u:${PW}@$A", "u:${PW}@one"),
    ],
)
def test_secrets_stay_as_references(template: str, expected: str) -> None:
    assert text(template) == expected


def test_a_secret_is_not_replaced_by_a_variable_of_its_name() -> None:
    assert text("$PW ${PW:-x}", {"PW": "canary"}) == "${PW} ${PW:?PW is a secret and has no value}"


def test_a_dropped_default_is_a_warning_that_does_not_hold_it() -> None:
    interpolator = Interpolator({}, ["PW"])
    interpolator.document({"environment": {"X": "${PW:-changeme}", "Y": "${PW:-changeme}"}}, "services.db", "db")
    (finding,) = interpolator.findings()
    assert (finding.rule, finding.severity, finding.service) == ("secret-default", "warning", "db")
    assert "services.db.environment.X, services.db.environment.Y" in finding.message
    assert "changeme" not in finding.text()


def test_all_unset_variables_are_reported_with_all_their_places() -> None:
    interpolator = Interpolator({}, [])
    interpolator.document({"environment": ["Y=$A", "Z=${B:?B tells the port}"], "image": "x:$A"}, "services.x", "x")
    interpolator.document({"command": ["run", "$A"]}, "services.z", "z")
    first, second = interpolator.findings()
    assert first.rule == "variable-unset"
    assert "A has no value" in first.message
    assert "services.x.environment.Y, services.x.image, services.z.command[1]" in first.message
    assert first.service is None
    assert "B tells the port" in second.message
    assert second.service == "x"
    assert interpolator.unset() == ["A", "B"]


def test_services_that_are_switched_off_report_nothing() -> None:
    interpolator = Interpolator({}, ["PW"])
    interpolator.document({"image": "x:$A", "command": ["${PW:-x}", "$"]}, "services.x", "x")
    assert interpolator.findings({"y"}) == []
    assert interpolator.secrets_used({"y"}) == []
    assert {f.rule for f in interpolator.findings({"x"})} == {"variable-unset", "secret-default", "variable-syntax"}


def test_a_word_that_is_not_used_needs_no_value() -> None:
    interpolator = Interpolator({"A": "1"}, [])
    assert interpolator.text("${A:-$NOPE}", "p") == "1"
    assert interpolator.findings() == []


def test_a_broken_template_is_a_finding_and_stays_literal() -> None:
    interpolator = Interpolator({}, [])
    assert interpolator.text("awk '{print $1}'", "services.x.command", "x") == "awk '{print $$1}'"
    (finding,) = interpolator.findings()
    assert finding.rule == "variable-syntax"
    assert "$$" in finding.fix


def test_keys_stay_and_values_of_other_kinds_too() -> None:
    data = {"$A": ["$A", 1, None, True, {"b": 1.5}]}
    assert Interpolator({"A": "x"}, []).document(data) == {"$A": ["x", 1, None, True, {"b": 1.5}]}


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("services.x.healthcheck.retries", "5", 5),
        ("services.x.read_only", "yes", True),
        ("services.x.privileged", "off", False),
        ("services.x.ports[0].target", "80", 80),
        ("networks.n.internal", "true", True),
        ("services.x.healthcheck.retries", "many", "many"),
        ("services.x.environment.A", "5", "5"),
    ],
)
def test_numbers_and_booleans_are_cast_where_they_belong(path: str, value: str, expected: object) -> None:
    result = Interpolator({"V": value}, []).document("$V", path)
    assert result == expected
    assert type(result) is type(expected)


NAMES = st.sampled_from(["A", "B", "S", "T"])
WORDS = st.text(alphabet="ab $c", max_size=5)


def templates() -> st.SearchStrategy[str]:
    literal = WORDS.map(escape)
    plain = NAMES.map("${{{}}}".format)
    defaults = st.builds(
        "${{{}{}{}}}".format, st.sampled_from(["A", "B"]), st.sampled_from([":-", "-", ":+", "+"]), literal
    )
    return st.lists(st.one_of(literal, plain, defaults), max_size=6).map("".join)


@given(templates(), st.fixed_dictionaries({n: st.text(alphabet="xy$}{: ", min_size=1, max_size=6) for n in "ABST"}))
def test_compose_gets_the_same_from_the_result_as_from_everything_at_once(
    template: str, values: dict[str, str]
) -> None:
    plain = {name: values[name] for name in "AB"}
    secrets = {name: values[name] for name in "ST"}
    rendered = Interpolator(plain, list(secrets)).text(template, "p")
    at_once = Interpolator(values, []).text(template, "p")
    assert Interpolator(secrets, []).text(rendered, "p") == at_once
    # A result is a template of its own: once more changes nothing.
    assert Interpolator(plain, list(secrets)).text(rendered, "p") == rendered


@given(st.text(alphabet="${}PWA:-?+ x", max_size=30))
def test_a_secret_value_never_comes_out(template: str) -> None:
    interpolator = Interpolator({"PW": "canary", "A": "a"}, ["PW"])
    assert "canary" not in interpolator.text(template, "p")
    assert all("canary" not in finding.text() for finding in interpolator.findings())
