"""Files, extends, includes, profiles, env files and paths, through the whole renderer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.render import Result

Run = Callable[..., Result]


def service(result: Result, name: str = "web") -> dict[str, Any]:
    assert result.errors == [], [f.text() for f in result.errors]
    found: dict[str, Any] = result.compose["services"][name]
    return found


def errors(result: Result) -> list[str]:
    assert result.text == ""
    assert result.compose == {}
    assert result.errors
    return [f.text() for f in result.errors]


def test_later_files_override_earlier_ones(run: Run) -> None:
    files = {
        "a.yaml": "services: {web: {image: 'a:1', environment: {A: 1, B: 2}, command: [x]}}",
        "b.yaml": """
            services:
              web:
                image: a:2
                environment: [B=3]
                command: !reset null
                ports: !override []
              db: {image: "b:1"}
            """,
    }
    result = run(files, files=["a.yaml", "b.yaml"])
    web = service(result)
    assert (web["image"], web["environment"]) == ("a:2", {"A": "1", "B": "3"})
    assert "command" not in web
    assert sorted(result.compose["services"]) == ["db", "web"]


def test_anchors_merge_and_extension_fields_go_away(run: Run) -> None:
    text = """
        version: "3.8"
        name: theirs
        x-base: &base
          image: a:1
          environment: {A: "${NOT_NEEDED_HERE-}", B: b}
        services:
          web:
            <<: *base
            command: run
            x-note: kept
        """
    result = run(text)
    assert result.compose["name"] == "demo"
    assert set(result.compose) == {"name", "services"}
    assert service(result)["environment"] == {"A": "", "B": "b"}
    assert service(result)["x-note"] == "kept"
    assert {"service": None, "field": "version", "before": "(set)", "after": None, "rule": "version"} in result.repairs


def test_extends_in_the_same_and_another_file(run: Run) -> None:
    files = {
        "compose.yaml": """
            services:
              base: {image: "a:1", environment: {A: 1, WHO: "${WHO}"}, profiles: [never]}
              web:
                extends: base
                profiles: !reset null
                environment: {B: 2}
              api:
                extends: {file: common/base.yaml, service: api}
                volumes: ["./own:/own"]
            """,
        "common/base.yaml": """
            services:
              api: {extends: root, command: [run], volumes: ["./data:/data"]}
              root: {image: "b:1", command: [sleep]}
            """,
    }
    result = run(files, variables={"WHO": "x"})
    assert service(result)["environment"] == {"A": "1", "B": "2", "WHO": "x"}
    api = service(result, "api")
    assert (api["image"], api["command"]) == ("b:1", ["run"])
    assert [v["source"] for v in api["volumes"]] == [
        "/etc/hypercode/stack/common/data",
        "/etc/hypercode/stack/own",
    ]
    assert sorted(result.services) == ["api", "web"]


def test_an_unset_variable_of_a_base_counts_for_who_extends_it(run: Run) -> None:
    text = """
        services:
          base: {image: "a:${TAG}", profiles: [never]}
          web: {extends: base, profiles: !reset null}
        """
    (found,) = run(text).errors
    assert (found.rule, found.service) == ("variable-unset", "web")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("services: {web: {extends: wbe}, web2: {image: 'a:1'}}", "web extends 'wbe'"),
        ("services: {a: {extends: b}, b: {extends: a}}", "extend each other: a -> b -> a"),
        ("services: {a: {extends: {file: no.yaml, service: x}, image: 'a:1'}}", "no such file"),
        ("services: {a: {extends: {file: x.yaml}, image: 'a:1'}}", "names no service"),
    ],
)
def test_bad_extends(run: Run, text: str, word: str) -> None:
    assert any(word in line for line in errors(run(text)))


def test_include(run: Run) -> None:
    files = {
        "compose.yaml": """
            include:
              - sub/compose.yaml
              - path: [other.yaml, other.override.yaml]
            services: {web: {image: "a:1", depends_on: [db]}}
            """,
        "sub/compose.yaml": "services: {db: {image: 'b:1', volumes: ['./conf:/conf', 'data:/d']}}\nvolumes: {data: }",
        "other.yaml": "services: {job: {image: 'c:1'}}",
        "other.override.yaml": "services: {job: {image: 'c:2'}}",
    }
    result = run(files)
    assert service(result, "job")["image"] == "c:2"
    assert service(result, "db")["volumes"][0]["source"] == "/etc/hypercode/stack/sub/conf"
    assert result.compose["volumes"] == {"data": None}
    assert result.order == [["db", "job"], ["web"]]


@pytest.mark.parametrize(
    ("files", "word"),
    [
        ({"compose.yaml": "include: [compose.yaml]\nservices: {a: {image: 'a:1'}}"}, "includes itself"),
        ({"compose.yaml": "include: ['oci://x/y']\nservices: {a: {image: 'a:1'}}"}, "remote file is not supported yet"),
        (
            {"compose.yaml": "include: [{path: b.yaml, env_file: x}]\nservices: {a: {image: 'a:1'}}"},
            "include with env_file is not supported yet",
        ),
        ({"compose.yaml": "include: [5]\nservices: {a: {image: 'a:1'}}"}, "names no file"),
        ({"compose.yaml": "include: [b.yaml]\nservices: {a: {image: 'a:1'}}"}, "no such file"),
        (
            {
                "compose.yaml": "include: [b.yaml]\nservices: {a: {image: 'a:1'}}",
                "b.yaml": "services: {a: {image: 'a:2'}}",
            },
            "services.a is defined in",
        ),
    ],
)
def test_bad_includes(run: Run, files: dict[str, str], word: str) -> None:
    assert any(word in line for line in errors(run(files)))


PROFILES = """
    services:
      web: {image: "a:1", depends_on: {debug: {condition: service_started, required: false}}}
      debug: {image: "b:${UNSET_ONLY_HERE}", profiles: [debug]}
      tool: {image: "c:1", profiles: [debug, tools], depends_on: [web]}
    """


def test_profiles(run: Run) -> None:
    result = run(PROFILES)
    assert sorted(result.services) == ["web"]
    assert "depends_on" not in service(result)
    assert sorted(run(PROFILES, profiles=["tools"]).services) == ["tool", "web"]
    everything = run(PROFILES, profiles=["*"], variables={"UNSET_ONLY_HERE": "1"})
    assert everything.order == [["debug"], ["web"], ["tool"]]
    assert "profiles" not in service(everything, "tool")


def test_a_service_can_be_switched_off(run: Run) -> None:
    text = "services: {web: {image: 'a:1', depends_on: [db]}, db: {image: 'b:1'}}"
    assert sorted(run(text, services={"web": {"enabled": False}}).services) == ["db"]
    (line,) = errors(run(text, services={"d*": {"enabled": False}}))
    assert "web needs db, which is switched off" in line


def test_env_files(run: Run) -> None:
    files = {
        "compose.yaml": """
            services:
              web:
                image: a:1
                env_file:
                  - base.env
                  - {path: missing.env, required: false}
                  - {path: raw.env, format: raw}
                environment: {B: own, PASSED: , FROM_FILE: }
            """,
        "base.env": "\ufeff# c\r\nexport A=1\r\nB=2\r\nC=\"${A}$$x\"\r\nD='$5'\r\nURL=pg://${PW}@db\r\nFROM_FILE=f\r\nPW=canary\r\n",
        "raw.env": "E='${A}'\n",
    }
    result = run(files, variables={"PASSED": "p$"}, secret_names=["PW"])
    assert service(result)["environment"] == {
        "A": "1",
        "B": "own",
        "C": "1$$x",
        "D": "$$5",
        "E": "'$${A}'",
        "FROM_FILE": "f",
        "PASSED": "p$$",
        "PW": "${PW}",
        "URL": "pg://${PW}@db",
    }
    assert "env_file" not in service(result)
    assert "canary" not in result.text


def test_bad_env_files(run: Run) -> None:
    files = {
        "compose.yaml": """
            services:
              web: {image: "a:1", env_file: [missing.env, bad.env, leak.env], environment: [NOT_SET]}
            """,
        "bad.env": "A=1\n=oops\n",
        "leak.env": "DB_PASSWORD=canary\nPUBLIC=x\nAPI_KEY=${API_KEY}\n",
    }
    result = run(files, secret_names=["API_KEY"])
    lines = errors(result)
    assert any("missing.env is not there" in line for line in lines)
    assert any("/project/bad.env:2" in line and "no name" in line for line in lines)
    assert any("leak.env:1" in line and "DB_PASSWORD stands in clear" in line for line in lines)
    assert any("NOT_SET has no value" in line for line in lines)
    assert len(lines) == 4
    assert "canary" not in repr(result)


def test_relative_binds_come_out_below_bind_root(run: Run) -> None:
    text = """
        services:
          web:
            image: a:1
            volumes:
              - ./conf/../conf/a.yml:/a.yml:ro
              - {type: bind, source: data, target: /data}
              - /srv/x:/x
              - named:/n
            secrets: [s]
        secrets: {s: {file: ./secret.txt}}
        volumes: {named: }
        """
    result = run(text)
    volumes = service(result)["volumes"]
    assert [v["source"] for v in volumes] == [
        "/etc/hypercode/stack/conf/a.yml",
        "/etc/hypercode/stack/data",
        "/srv/x",
        "named",
    ]
    assert result.compose["secrets"] == {"s": {"file": "/etc/hypercode/stack/secret.txt"}}
    assert result.binds[0] == {
        "service": "web",
        "source": "conf/a.yml",
        "host_path": "/etc/hypercode/stack/conf/a.yml",
        "target": "/a.yml",
    }
    assert len(result.binds) == 2


@pytest.mark.parametrize(("source", "word"), [("../x", "outside the project's folder"), ("~/x", "home folder")])
def test_binds_from_outside_are_refused(run: Run, source: str, word: str) -> None:
    text = f"services: {{web: {{image: 'a:1', volumes: ['{source}:/x']}}}}"
    (found,) = run(text).errors
    assert (found.rule, found.service, found.line) == ("bind-outside", "web", 1)
    assert word in found.message


def test_relative_binds_need_a_bind_root(run: Run) -> None:
    (line,) = errors(run("services: {web: {image: 'a:1', volumes: ['./x:/x']}}", bind_root=None))
    assert "set bind_root" in line
    assert service(run("services: {web: {image: 'a:1', volumes: ['/x:/x']}}", bind_root=None))


def test_a_broken_service_does_not_make_others_look_broken(run: Run) -> None:
    text = """
        services:
          web: {image: "a:1", depends_on: {db: {condition: service_healthy}}}
          db: {image: "b:1", prots: [], ports: "80"}
        """
    result = run(text, policy={"c": {"restart": "always"}}, default_class="c")
    assert {(f.rule, f.service) for f in result.findings} == {
        ("unknown-key", "db"),
        ("shape", "db"),
        ("healthcheck-missing", "web"),
        ("limits-missing", "web"),
    }
    assert all(f.line == 4 for f in result.errors)


@pytest.mark.parametrize("text", ["", "[]", "services: {}", "services:", "volumes: {a: }", "a: b: c"])
def test_files_without_services(run: Run, text: str) -> None:
    assert len(errors(run(text))) == 1


def test_services_that_are_no_mapping(run: Run) -> None:
    assert any("services must be a mapping" in line for line in errors(run("services: [web]")))


def test_a_missing_file_and_a_broken_one_are_both_told(run: Run) -> None:
    lines = errors(run({"b.yaml": "services:\n\tweb: {}"}, files=["a.yaml", "b.yaml"]))
    assert len(lines) == 2
    assert any("a tab stands here" in line for line in lines)
