from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.hypercode.deploy.plugins.action import compose_render
from ansible_collections.hypercode.deploy.plugins.action.compose_render import ARGUMENTS, ActionModule
from ansible_collections.hypercode.deploy.plugins.modules import compose_render as stub
from ansible_collections.hypercode.deploy.plugins.plugin_utils.lenient_action import plain
from ansible_collections.hypercode.deploy.plugins.plugin_utils.role_specs import trusted

COMPOSE = """
services:
  web:
    image: registry.example.com/web:1
    environment: {DB: "postgres://u:${PW}@db", NAME: "${NAME}"}
    volumes: ["./conf:/conf:ro"]
    healthcheck: {test: ["CMD", "web-check"], timeout: 5s}
    deploy: {resources: {limits: {cpus: "1", memory: 1G}}}
    restart: unless-stopped
"""


def run(
    tmp_path: Path, args: dict[str, Any], text: str = COMPOSE, diff: bool = False, slurp: Any = None
) -> dict[str, Any]:
    """The action's result; an argument of None is left out. ``slurp`` is what the host answers, if it may be asked."""
    (tmp_path / "compose.yaml").write_text(text)
    (tmp_path / "conf").mkdir(exist_ok=True)
    task = MagicMock()
    given = {"project_name": "demo", "files": ["compose.yaml"], **args}
    task.args = {name: value for name, value in given.items() if value is not None}
    task.async_val = 0
    task.check_mode = True
    task.diff = diff
    loader = DataLoader()
    loader.set_basedir(str(tmp_path))
    action = ActionModule(task, MagicMock(), MagicMock(), loader, MagicMock(), MagicMock())
    action._execute_module = MagicMock(return_value=slurp, side_effect=None if slurp else AssertionError("connected"))
    result: dict[str, Any] = action.run(task_vars={})
    return result


def test_it_renders_without_connecting(tmp_path: Path) -> None:
    args = {"secret_names": ["PW"], "environment_variables": {"NAME": "x"}, "bind_root": "/etc/hypercode/stack"}
    result = run(tmp_path, args, diff=True)
    assert not result.get("failed")
    assert result["changed"] is False
    assert result["warnings"] == []
    assert yaml.safe_load(result["text"]) == result["compose"]
    assert result["compose"]["services"]["web"]["environment"] == {"DB": "postgres://u:${PW}@db", "NAME": "x"}
    assert result["binds"][0]["host_path"] == "/etc/hypercode/stack/conf"
    assert result["order"] == [["web"]]
    assert result["variables"] == {"secrets": ["PW"], "plain": ["NAME"], "unset": []}
    assert "diff" not in result
    json.dumps(result)


def test_bad_files_fail_with_all_findings(tmp_path: Path) -> None:
    result = run(tmp_path, {}, "services:\n  web:\n    image: web\n    command: ${A}\n  db:\n    imgae: b:1\n")
    assert result["failed"] is True
    assert result["changed"] is False
    assert {(f["rule"], f["line"], f["file"]) for f in result["findings"] if f["severity"] == "error"} == {
        ("image-not-pinned", 3, "compose.yaml"),
        ("variable-unset", 4, "compose.yaml"),
        ("unknown-key", 6, "compose.yaml"),
        ("image-missing", 5, "compose.yaml"),
    }
    assert result["msg"].startswith("compose.yaml cannot be released: 4 problems. First: compose.yaml:3: ")
    assert "Fix: " in result["msg"]
    assert "compose.yaml:6" in result["msg"]
    assert "text" not in result


def test_one_problem_is_told_in_one_sentence(tmp_path: Path) -> None:
    result = run(tmp_path, {}, "services:\n\tweb: {}\n")
    assert result["msg"].startswith("compose.yaml cannot be released: 1 problem. compose.yaml:2: ")
    assert "a tab stands here" in result["msg"]
    assert "problems" not in result["msg"]


def test_a_wrong_option_is_told_as_such(tmp_path: Path) -> None:
    result = run(tmp_path, {"services": {"wbe": {}}}, "services: {web: {image: 'a:1'}}")
    assert result["failed"] is True
    assert result["msg"].startswith("The options of compose_render")
    assert 'Did you mean "web"?' in result["msg"]


def test_many_problems_do_not_make_a_wall_of_text(tmp_path: Path) -> None:
    services = "".join(f"  s{n}: {{image: a}}\n" for n in range(40))
    result = run(tmp_path, {}, f"services:\n{services}")
    assert "and 30 more, see findings" in result["msg"]
    assert len([f for f in result["findings"] if f["severity"] == "error"]) == 40


def test_warnings_are_lines(tmp_path: Path) -> None:
    result = run(tmp_path, {}, "services: {web: {image: 'a:1'}}")
    assert all(line.startswith("compose.yaml:1: web has no ") for line in result["warnings"])
    assert [line.split(" no ")[1].split(" ")[0].rstrip(",") for line in result["warnings"]] == [
        *("healthcheck", "limit", "restart")
    ]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"flies": []}, ["Unsupported parameters", "flies"]),
        ({"project_name": None}, ["missing required", "project_name"]),
        ({"publish": "all"}, ["publish", "none, loopback, keep"]),
        ({"policy": "x"}, ["policy", "dict"]),
        ({"ignore": ["x"]}, ["ignore", "dict"]),
    ],
)
def test_wrong_options_of_the_task_are_findings(tmp_path: Path, args: dict[str, Any], words: list[str]) -> None:
    # Not an exception: whoever collects the findings of several checks gets these too.
    result = run(tmp_path, args)
    assert (result["failed"], result["changed"]) == (True, False)
    (finding,) = result["findings"]
    assert (finding["rule"], finding["severity"], finding["message"]) == ("option", "error", result["msg"])
    assert finding["fix"]
    assert all(word in result["msg"] for word in words), result["msg"]
    returned = yaml.safe_load(stub.RETURN)
    assert {name for name in returned if returned[name]["returned"] == "always"} <= set(result)
    assert "compose" not in result
    json.dumps(result)


def test_options_that_cannot_be_evaluated_are_findings_all_at_once(tmp_path: Path) -> None:
    templar = Templar(loader=DataLoader(), variables={"stack_images": {"web": {"tag": "2"}}})
    raw = {
        "services": "{{ nope }}",
        "images": "{{ stack_images }}",
        "classes": {"web": "{{ 1 / 0 }}"},
        "publish": "keep",
    }
    args = {name: ActionModule.finalize_task_arg(name, trusted(value), templar, None) for name, value in raw.items()}
    assert args["images"] == {"web": {"tag": "2"}}
    result = run(tmp_path, args)
    assert (result["failed"], result["changed"]) == (True, False)
    assert [(finding["rule"], finding["path"]) for finding in result["findings"]] == [
        ("option", "services"),
        ("option", "classes"),
    ]
    assert "services cannot be evaluated: 'nope' is undefined." in result["msg"]
    assert "division by zero" in result["msg"]


def test_diff_reads_the_deployed_file(tmp_path: Path) -> None:
    answer = {"content": base64.b64encode(b"old: 1\n").decode()}
    args = {"compare_with": "/opt/hypercode/current/compose.yaml"}
    text = "services: {web: {image: 'a:1'}}"
    result = run(tmp_path, args, text, diff=True, slurp=answer)
    assert result["diff"]["before"] == "old: 1\n"
    assert result["diff"]["after"] == result["text"]
    assert result["diff"]["before_header"] == "/opt/hypercode/current/compose.yaml"
    missing = run(tmp_path, args, text, diff=True, slurp={"failed": True, "msg": "file not found"})
    assert missing["diff"]["before"] == ""
    assert not missing.get("failed")
    assert "diff" not in run(tmp_path, args, text, diff=False)


def test_project_directory(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    text = "services: {web: {image: 'a:1', env_file: own.env, volumes: ['./x:/x']}}"
    (tmp_path / "sub" / "own.env").write_text("A=1\n")
    result = run(tmp_path, {"project_directory": "sub", "bind_root": "/b"}, text)
    assert result["compose"]["services"]["web"]["environment"] == {"A": "1"}
    assert result["binds"][0]["host_path"] == "/b/x"


def test_values_become_plain_types() -> None:
    class Text(str):
        __slots__ = ()

        def __str__(self) -> str:
            return self

    value = plain({Text("a"): [Text("b"), True, 1, 1.5, None, (2,)]})
    assert value == {"a": ["b", True, 1, 1.5, None, [2]]}
    assert type(next(iter(value))) is str
    assert type(value["a"][0]) is str


def test_the_documentation_covers_every_option_and_result() -> None:
    options = yaml.safe_load(stub.DOCUMENTATION)["options"]
    assert options.keys() == ARGUMENTS.keys()
    for name, spec in ARGUMENTS.items():
        assert options[name]["type"] == spec["type"], name
        assert options[name].get("required", False) == spec.get("required", False), name
        assert options[name].get("default") == spec.get("default"), name
        assert options[name].get("choices") == spec.get("choices"), name
    assert isinstance(yaml.safe_load(stub.EXAMPLES), list)
    documented = set(yaml.safe_load(stub.RETURN))
    returned = "compose text services order repairs binds findings ignored warnings variables diff"
    assert documented == set(returned.split())


def test_in_ansible_itself_no_secret_shows_up(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    (tmp_path / "conf").mkdir()
    (tmp_path / "ansible.cfg").write_text("[defaults]\n")
    root = Path(compose_render.__file__).resolve().parents[2]
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(root / "collections"),
        "ANSIBLE_LOCAL_TEMP": str(tmp_path / "tmp"),
    }
    args = {
        "project_name": "demo",
        "files": ["compose.yaml"],
        "secret_names": "{{ secrets.keys() | list }}",
        "environment_variables": {"NAME": "{{ 1 + 1 }}"},
        "services": {"web": {"restart": "always"}},
        "bind_root": "/b",
    }
    # The host does not answer: rendering must not need it.
    command = [sys.executable, "-m", "ansible.cli.adhoc", "-i", "host.invalid,", "all", "-vvv", "--check", "--diff"]
    command += ["-e", json.dumps({"secrets": {"PW": "canary"}}), "-m", "hypercode.deploy.compose_render"]
    done = subprocess.run(
        [*command, "-a", json.dumps(args)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "canary" not in done.stdout + done.stderr
    out = json.loads(done.stdout.partition("SUCCESS => ")[2])
    assert out["compose"]["services"]["web"]["environment"]["NAME"] == "2"
    assert out["compose"]["services"]["web"]["restart"] == "always"
    assert "${PW}" in out["text"]
    assert (out["changed"], out["findings"]) == (False, [])
