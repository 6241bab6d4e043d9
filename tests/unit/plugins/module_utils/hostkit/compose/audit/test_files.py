"""The audit as a whole: env files, what is set aside, what a rendering would repair, bad content."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.audit.files import Report
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Audit = Callable[..., Report]
WEB = 'services: {web: {image: "web:${TAG}", environment: {TOKEN: "${TOKEN}", MODE: "${MODE}"}}}'


def rules_of(report: Report) -> set[str]:
    return {finding.rule for finding in report.findings}


def test_env_files_give_values_as_compose_reads_them(report: Audit) -> None:
    env = "\ufeffTAG=1 # a comment\r\nMODE='a # b'\r\nTOKEN=canary-4711\r\n"
    found = report(WEB, {"a.env": env}, env_files=["a.env"])
    assert "variable-unset" not in rules_of(found)
    assert {"secret-in-environment", "secret-in-url"}.isdisjoint(rules_of(found))
    assert "canary" not in repr(found)


def test_a_later_env_file_wins_and_variables_win_over_both(report: Audit) -> None:
    text = 'services: {web: {image: "web:${TAG}"}}'
    files = {"a.env": "TAG=1\n", "b.env": "TAG=latest\n"}
    assert "image-not-pinned" in rules_of(report(text, files, env_files=["a.env", "b.env"]))
    assert "image-not-pinned" not in rules_of(report(text, files, env_files=["b.env", "a.env"]))
    assert "image-not-pinned" not in rules_of(report(text, files, env_files=["b.env"], variables={"TAG": "3"}))


@pytest.mark.parametrize(
    ("content", "line", "word"),
    [("A=1\nno assignment\n", 2, "no ="), ('A="open canary\n', 1, "never closed"), (None, None, "is not there")],
)
def test_a_broken_env_file_is_a_finding(report: Audit, content: str | None, line: int | None, word: str) -> None:
    files = {"other.env": ""} if content is None else {"a.env": content}
    found = [f for f in report(WEB, files, env_files=["a.env"]).findings if f.rule == "env-file"]
    assert [(f.severity, f.file, f.line) for f in found] == [("error", "/project/a.env", line)]
    assert word in found[0].message
    assert "canary" not in repr(found)


def test_a_url_with_a_password_in_an_env_file_stays_out(report: Audit) -> None:
    text = 'services: {web: {image: "web:1", environment: {DB_URL: "${DB_URL}"}}}'
    found = report(text, {"a.env": "DB_URL=postgres://u:canary-4711@db/x\n"}, env_files=["a.env"])
    assert "secret-in-url" not in rules_of(found)
    assert "secret-in-url" in rules_of(report(text, variables={"DB_URL": "postgres://u:canary-4711@db/x"}))


def test_a_finding_is_set_aside_with_its_reason(report: Audit) -> None:
    text = 'services: {web: {image: "web:1", privileged: true}, api: {image: "api:1", privileged: true}}'
    found = report(text, ignore=[{"rule": "privileged", "service": "w*", "reason": "It loads a module."}])
    assert [f.service for f in found.findings if f.rule == "privileged"] == ["api"]
    assert [(entry["rule"], entry["service"], entry["reason"]) for entry in found.ignored] == [
        ("privileged", "web", "It loads a module.")
    ]
    assert "ignore-unused" not in rules_of(found)


def test_without_a_reason_nothing_is_set_aside(report: Audit) -> None:
    text = 'services: {web: {image: "web:1", privileged: true}}'
    for reason in ({}, {"reason": ""}, {"reason": " "}):
        found = report(text, ignore=[{"rule": "privileged", **reason}])
        assert {"privileged", "option"} <= rules_of(found)
        assert found.ignored == []


def test_an_unused_entry_is_told_with_its_names(report: Audit) -> None:
    entry = {"rule": "privileged", "service": "api", "reason": "x y"}
    text = 'services: {web: {image: "web:1", privileged: true}}'
    (unused,) = [f for f in report(text, ignore=[entry]).findings if f.rule == "ignore-unused"]
    assert (unused.severity, unused.path) == ("warning", "ignore[0]")
    assert "'privileged' of api" in unused.message
    # A file that cannot be read says nothing about its entries.
    assert "ignore-unused" not in rules_of(report("services: [", ignore=[entry]))


def test_what_cannot_be_ignored_stays(report: Audit) -> None:
    found = report('services: {web: {image: "web:1", imgae: x}}', ignore=[{"rule": "unknown-key", "reason": "x"}])
    assert {"unknown-key", "option"} <= rules_of(found)


def test_repairable_is_what_the_given_policy_repairs(report: Audit) -> None:
    text = 'services: {web: {image: "web:1", ports: ["80:80"], privileged: true}}'
    with_policy = {f.rule: f.repairable for f in report(text).findings}
    assert with_policy["port-published-everywhere"]
    assert with_policy["limits-missing"]
    assert not with_policy["privileged"]
    without = {f.rule: f.repairable for f in report(text, settings={"policy": {}, "default_class": None}).findings}
    assert without["port-published-everywhere"]
    assert not without["limits-missing"]


def test_what_a_repair_only_hides_is_not_repairable(report: Audit) -> None:
    # The published port and the fixed name go; who used them is still wrong.
    text = """
        services:
          web: {image: "web:1", environment: {A_URL: "http://api:9090", B_URL: "http://the-api:8000"}}
          api: {image: "api:1", container_name: the-api, ports: ["9090:8000"]}
        """
    found = {f.rule: f.repairable for f in report(text).findings}
    assert (found["address-host-port"], found["address-container-name"]) == (False, False)


def test_a_service_that_is_switched_off_is_not_audited(report: Audit) -> None:
    text = 'services: {web: {image: "web:1"}, debug: {image: debug, privileged: true, profiles: [debug]}}'
    assert {f.service for f in report(text).findings} == {"web"}
    assert "privileged" in rules_of(report(text, profiles=["debug"]))


def test_findings_of_included_and_extended_files_say_where(report: Audit) -> None:
    files = {
        "more/other.yaml": 'services:\n  api:\n    image: "api:1"\n    environment: {A_TOKEN: "${A:-changeme}"}\n',
        "base.yaml": 'services:\n  base:\n    image: "web:1"\n    privileged: true\n',
    }
    text = "include: [more/other.yaml]\nservices: {web: {extends: {file: base.yaml, service: base}}}"
    found = {f.rule: f for f in report(text, files).findings}
    assert (found["secret-has-default"].file, found["secret-has-default"].line) == ("/project/more/other.yaml", 4)
    assert found["privileged"].service == "web"


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 99999)
    | st.sampled_from(["a:1", "${X:-y}", "$", "5s", "./x:/y", "80:80"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["test", "source", "type", "limits", "resources", "aliases", "driver_opts", "args", "A_URL"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
KEYS = """
    image build ports volumes environment env_file depends_on networks healthcheck deploy extends logging profiles tmpfs
    expose restart command entrypoint links privileged cap_add cap_drop devices security_opt user pid network_mode scale
    container_name extra_hosts hostname
    """


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    services=st.dictionaries(
        st.sampled_from(["a", "b"]), st.dictionaries(st.sampled_from(KEYS.split()), VALUES, max_size=6), max_size=2
    ),
    top=st.dictionaries(st.sampled_from(["x", "a"]), VALUES, max_size=2) | VALUES,
)
def test_no_content_makes_it_raise(report: Audit, services: Any, top: Any) -> None:
    report(yaml.safe_dump({"services": services, "volumes": top, "networks": top, "name": top}))
