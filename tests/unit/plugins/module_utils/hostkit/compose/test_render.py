from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.interpolate import Interpolator
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.render import Result, describe
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Run = Callable[..., Result]

STACK = """
    services:
      web:
        image: a:1
        command: ["sh", "-c", "echo $$HOME '$${X}' ${GREETING}"]
        environment:
          - DB=postgres://u:${PW:-changeme}@db/x?a=1
          - PRICE=$$5
          - NAME=${NAME}
        depends_on: {db: {condition: service_healthy}}
      db:
        image: b:1
        environment: {POSTGRES_PASSWORD: "${PW:?needed}"}
        healthcheck: {test: "pg_isready -U $$POSTGRES_USER"}
    """


def test_secrets_stay_and_dollars_are_doubled(run: Run) -> None:
    result = run(STACK, variables={"NAME": "a$b", "GREETING": "hi", "PW": "canary"}, secret_names=["PW"])
    assert result.errors == []
    web = result.compose["services"]["web"]
    assert web["command"] == ["sh", "-c", "echo $$HOME '$${X}' hi"]
    assert web["environment"] == {
        "DB": "postgres://u:${PW:?PW is a secret and has no value}@db/x?a=1",
        "PRICE": "$$5",
        "NAME": "a$$b",
    }
    assert "canary" not in result.text
    assert "changeme" not in repr(result)
    # Without a policy nothing adds limits, a restart policy or a timeout.
    assert {f.rule for f in result.warnings} == {
        *("secret-default", "secret-in-variables", "healthcheck-missing"),
        *("limits-missing", "restart-missing", "healthcheck-no-timeout"),
    }
    # What Compose makes of it on the host:
    seen = Interpolator({"PW": "s3$cret"}).document(yaml.safe_load(result.text))
    environment = seen["services"]["web"]["environment"]
    assert environment["DB"].replace("$$", "$") == "postgres://u:s3$cret@db/x?a=1"
    assert result.services["db"]["healthcheck"]["test"] == ["CMD-SHELL", "pg_isready -U $POSTGRES_USER"]
    assert result.services["web"]["depends_on"] == {"db": "service_healthy"}
    assert result.variables == {"secrets": ["PW"], "plain": ["GREETING", "NAME"], "unset": []}


def test_the_text_is_the_data_and_is_the_same_each_time(run: Run) -> None:
    options: dict[str, Any] = {"variables": {"NAME": "x", "GREETING": "y"}, "secret_names": ["PW"]}
    first, second = run(STACK, **options), run(STACK, **options)
    assert yaml.safe_load(first.text) == first.compose
    assert first.text == second.text
    assert first.text.startswith("# Resolved by hypercode.deploy")
    assert list(first.compose) == ["name", "services"]


def test_a_rendered_file_renders_to_itself(run: Run) -> None:
    first = run(STACK, variables={"NAME": "x", "GREETING": "y"}, secret_names=["PW"])
    again = run(first.text, secret_names=["PW"])
    assert again.errors == []
    assert again.compose == first.compose
    assert again.repairs == []


def test_all_findings_at_once_with_their_lines(run: Run) -> None:
    text = """
        services:
          web:
            image: a
            imgae: b
            environment:
              A: ${UNSET_ONE}
              B: $5
            depends_on: [api]
            networks: [frnot]
          api:
            image: b:1
            command: ${UNSET_TWO}
            depends_on: [web]
        networks: {front: }
        """
    found = {(f.rule, f.line) for f in run(text).errors}
    assert found == {
        ("unknown-key", 5),
        ("image-not-pinned", 4),
        ("variable-unset", 7),
        ("variable-syntax", 8),
        ("variable-unset", 13),
        ("dependency-cycle", 14),
        ("reference-undefined", 10),
    }


def test_errors_come_first_and_say_where(run: Run) -> None:
    result = run("services:\n  web:\n    image: a\n")
    assert [f.severity for f in result.findings] == ["error", "warning", "warning", "warning"]
    finding = describe(result.findings[0], "/project")
    assert (finding.file, finding.line) == ("compose.yaml", 3)
    assert finding.text().startswith("compose.yaml:3: web: the image a has no tag")


def test_secrets_and_configs_from_variables(run: Run) -> None:
    text = """
        services: {web: {image: "a:1", secrets: [s], configs: [c]}}
        secrets: {s: {environment: PW}}
        configs: {c: {environment: PLAIN}}
        """
    result = run(text, secret_names=["PW"], variables={"PLAIN": "x$"})
    assert result.compose["secrets"] == {"s": {"environment": "PW"}}
    assert result.compose["configs"] == {"c": {"content": "x$$"}}
    assert result.variables["secrets"] == ["PW"]
    assert {f.rule for f in run(text, variables={"PLAIN": "x", "PW": "p"}).errors} == {"secret-not-listed"}
    assert {f.rule for f in run(text, secret_names=["PW"]).errors} == {"variable-unset"}


def test_external_networks_and_volumes_are_warned_of(run: Run) -> None:
    text = "services: {web: {image: 'a:1'}}\nnetworks: {n: {external: true}}\nvolumes: {v: {external: true}}"
    assert {"network-external", "volume-external"} <= {f.rule for f in run(text).warnings}


def test_values_that_a_variable_gave_are_numbers_again(run: Run) -> None:
    text = """
        services:
          web:
            image: a:1
            healthcheck: {test: x, retries: "${R}"}
            privileged: ${P}
            ports: ["127.0.0.1:${PORT}:80"]
        """
    result = run(text, variables={"R": 4, "P": "false", "PORT": 8080}, publish="keep")
    web = result.compose["services"]["web"]
    assert (web["healthcheck"]["retries"], web["privileged"], web["ports"][0]["published"]) == (4, False, "8080")


def test_45_services_take_less_than_a_second(run: Run) -> None:
    body = """
          s{n}:
            image: registry.example.com/x/s{n}:${{TAG}}
            environment: {{A: "${{A:-1}}", B: "${{PW}}", C: "{n}"}}
            depends_on: [{needs}]
            ports: ["80{n:02}:80"]
            networks: [back]
            volumes: ["d{n}:/data", "./conf:/conf:ro"]
            healthcheck: {{test: ["CMD", "app-check"], interval: 5s}}
        """
    services = "".join(body.format(n=n, needs=f"s{n - 1}" if n else "") for n in range(45))
    volumes = "".join(f"\n          d{n}:" for n in range(45))
    text = f"        services:{services}\n        networks: {{back: }}\n        volumes:{volumes}\n"
    policy = {"c": {"limits": {"cpus": 1, "memory": "1G"}, "restart": "always", "healthcheck": {"interval": "60s"}}}
    start = time.monotonic()
    result = run(text, variables={"TAG": "1"}, secret_names=["PW"], policy=policy, default_class="c")
    assert time.monotonic() - start < 1.0
    assert result.errors == []
    assert len(result.order) == 45


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 99999)
    | st.sampled_from(["a:1", "$X", "${PW:-x}", "$", "5s", "./x:/y", "80:80"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["a", "test", "condition", "source", "file", "type", "limits", "resources"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
KEYS = """
    image build ports volumes environment env_file depends_on networks healthcheck deploy labels extends logging
    profiles tmpfs secrets configs restart ulimits command links x-hypercode-keep x-hypercode-class mem_limit
    """


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.dictionaries(
        st.sampled_from(["a", "b"]),
        st.dictionaries(st.sampled_from(KEYS.split()), VALUES, max_size=4) | VALUES,
        max_size=2,
    ),
    top=VALUES,
)
def test_no_content_makes_it_raise(run: Run, data: Any, top: Any) -> None:
    text = yaml.safe_dump({"services": data, "networks": top, "include": top, "secrets": top})
    policy = {"c": {"limits": {"memory": "1G"}, "healthcheck": {"interval": "5s"}, "security": {"tmpfs": ["/tmp"]}}}
    result = run(text, policy=policy, default_class="c", secret_names=["PW"])
    assert bool(result.errors) is not bool(result.text)


@pytest.mark.parametrize("key", ["networks", "volumes"])
def test_empty_sections_are_left_out(run: Run, key: str) -> None:
    assert key not in run(f"services: {{web: {{image: 'a:1'}}}}\n{key}: {{}}").compose


def maybe(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=keys)


WORDS = st.sampled_from(["a", "${PW:-x}", "$$", "no", "x y", "${V}"])
LIMITS = maybe(
    cpus=st.sampled_from([1, 0.5, "2"]), memory=st.sampled_from(["1G", "512m"]), pids=st.sampled_from([5, "9"])
)
SERVICES = st.fixed_dictionaries(
    {"image": st.sampled_from(["a:1", "r:5/b:2@sha256:" + "0" * 64])},
    optional={
        "command": WORDS | st.lists(WORDS),
        "healthcheck": maybe(test=WORDS | st.just(["NONE"]), interval=st.just("1m30s"), disable=st.booleans()),
        "deploy": maybe(
            resources=maybe(limits=LIMITS, reservations=LIMITS),
            restart_policy=maybe(condition=st.sampled_from(["any", "none", "on-failure"]), max_attempts=st.just(3)),
        ),
        "environment": st.sampled_from([["A=1", "PW", "B=$$", "C=${PW}"], {"A": None, "V": True}]),
        "ports": st.lists(st.sampled_from([80, "8080:80", "127.0.0.1:1:2/udp"]), unique=True),
        "volumes": st.lists(st.sampled_from(["v:/x", "./a:/b:ro", "/c", {"type": "tmpfs", "target": "/tmp"}])),
        "depends_on": st.sampled_from([["a"], {"a": {"condition": "service_completed_successfully"}}]),
        "networks": st.sampled_from([["n"], {"n": None, "default": {"aliases": ["x"]}}]),
        "logging": maybe(driver=st.sampled_from(["local", "journald"]), options=maybe(**{"max-size": st.just("1m")})),
        "tmpfs": st.just("/tmp"),
        "mem_limit": st.just("2g"),
        "mem_reservation": st.just("2g"),
        "restart": st.sampled_from(["no", "always"]),
        "labels": st.sampled_from([["hypercode.class=c", "a"], {"x": 1}]),
    },
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(["a", "b"]), SERVICES, min_size=1), st.booleans())
def test_what_was_repaired_needs_no_repair(run: Run, services: Any, override: bool) -> None:
    services["a"] = {"image": "a:1"}
    options: dict[str, Any] = {
        "policy": {
            "c": {"limits": {"memory": "1G"}, "restart": "always", "security": {"tmpfs": ["/tmp"], "init": True}}
        },
        "services": {"b*": {"healthcheck": {"interval": 5}, "publish": "loopback", "user": 5}} if override else {},
        "default_class": "c",
        "secret_names": ["PW"],
        "variables": {"V": "v$", "A": "x"},
    }
    first = run(yaml.safe_dump({"services": services, "networks": {"n": {}}, "volumes": {"v": None}}), **options)
    assert first.errors == []
    assert yaml.safe_load(first.text) == first.compose
    again = run(first.text, **options)
    assert again.compose == first.compose
    assert again.repairs == []
