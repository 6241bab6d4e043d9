from __future__ import annotations

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
from ansible_collections.hypercode.deploy.plugins.action import compose_audit
from ansible_collections.hypercode.deploy.plugins.action.compose_audit import ARGUMENTS, ActionModule
from ansible_collections.hypercode.deploy.plugins.modules import compose_audit as stub
from ansible_collections.hypercode.deploy.plugins.plugin_utils.role_specs import trusted

ROOT = Path(compose_audit.__file__).resolve().parents[2]
CLEAN = f"""
services:
  web:
    image: web:1@sha256:{"0" * 64}
    environment: {{API_TOKEN: "${{API_TOKEN}}"}}
    volumes: ["./conf:/etc/web:ro"]
    healthcheck: {{test: web-check, timeout: 5s}}
    restart: unless-stopped
    deploy: {{resources: {{limits: {{cpus: "1", memory: 1G}}}}}}
    logging: {{driver: local}}
"""


def run(tmp_path: Path, args: dict[str, Any], text: str = CLEAN) -> dict[str, Any]:
    """The action's result; an argument of None is left out. The host must not be asked."""
    (tmp_path / "compose.yaml").write_text(text)
    (tmp_path / "conf").mkdir(exist_ok=True)
    task = MagicMock()
    given = {"files": ["compose.yaml"], "secret_names": ["API_TOKEN"], **args}
    task.args = {name: value for name, value in given.items() if value is not None}
    task.async_val = 0
    task.check_mode = True
    loader = DataLoader()
    loader.set_basedir(str(tmp_path))
    action = ActionModule(task, MagicMock(), MagicMock(), loader, MagicMock(), MagicMock())
    action._execute_module = MagicMock(side_effect=AssertionError("connected"))
    result: dict[str, Any] = action.run(task_vars={})
    return result


def test_a_clean_file_is_valid(tmp_path: Path) -> None:
    result = run(tmp_path, {"fail_on": "warning"})
    assert (result["findings"], result["ignored"]) == ([], [])
    assert (result["valid"], result["changed"], result.get("failed")) == (True, False, None)
    assert result["msg"].startswith("0 errors, 0 warnings, 0 ignored;")


def test_a_finding_says_all_there_is_to_say(tmp_path: Path) -> None:
    result = run(tmp_path, {}, "services:\n  web:\n    image: web:1\n    privileged: true\n")
    (finding,) = [f for f in result["findings"] if f["severity"] == "error"]
    assert finding.keys() == {*("rule severity service message fix line file path repairable".split())}
    assert (finding["rule"], finding["service"], finding["file"], finding["line"]) == (
        *("privileged", "web", "compose.yaml", 4),
    )
    assert finding["path"] == "services.web.privileged"
    assert finding["repairable"] is False
    assert (result["failed"], result["valid"], result["changed"]) == (True, False, False)
    assert result["msg"].startswith("compose.yaml is not fit for production: 1 problem. compose.yaml:4: web is privi")
    json.dumps(result)


@pytest.mark.parametrize(
    ("text", "fail_on", "failed", "valid"),
    [
        ("services: {web: {image: 'web:1'}}", "error", False, True),
        ("services: {web: {image: 'web:1'}}", "warning", True, False),
        ("services: {web: {image: 'web:1'}}", "never", False, True),
        ("services: {web: {image: web}}", "error", True, False),
        ("services: {web: {image: web}}", "never", False, False),
        ("services: [", "never", False, False),
    ],
)
def test_fail_on(tmp_path: Path, text: str, fail_on: str, failed: bool, valid: bool) -> None:
    result = run(tmp_path, {"fail_on": fail_on}, text)
    assert (result.get("failed", False), result["valid"]) == (failed, valid)
    assert result["findings"]


def test_env_files_and_project_directory(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "stack.env").write_text("\ufeffTAG='1'\r\nAPI_TOKEN=canary-4711\r\n", encoding="utf-8")
    text = "services: {web: {image: 'web:${TAG}', build: ./src, environment: {API_TOKEN: '${API_TOKEN}'}}}"
    args = {"env_files": ["stack.env"], "secret_names": None, "project_directory": "app"}
    result = run(tmp_path, args, text)
    assert [f["rule"] for f in result["findings"] if f["severity"] == "error"] == ["build-context-missing"]
    assert "canary" not in json.dumps(result)
    (tmp_path / "app" / "src").mkdir()
    (tmp_path / "app" / "src" / "Dockerfile").write_text("FROM scratch\n")
    assert run(tmp_path, args, text)["valid"]


def test_ignore_with_and_without_a_reason(tmp_path: Path) -> None:
    text = "services: {web: {image: 'web:1', privileged: true}}"
    entry = {"rule": "privileged", "service": "web", "reason": "It loads a kernel module."}
    result = run(tmp_path, {"ignore": [entry]}, text)
    assert result["valid"]
    assert [(f["rule"], f["reason"]) for f in result["ignored"]] == [("privileged", "It loads a kernel module.")]
    refused = run(tmp_path, {"ignore": [{"rule": "privileged"}]}, text)
    assert {"option", "privileged"} <= {f["rule"] for f in refused["findings"]}
    assert refused["failed"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"flies": []}, ["Unsupported parameters", "flies"]),
        ({"files": None}, ["missing required", "files"]),
        ({"fail_on": "nothing"}, ["fail_on", "error, warning, never"]),
    ],
)
def test_wrong_options_of_the_task_are_findings(tmp_path: Path, args: dict[str, Any], words: list[str]) -> None:
    result = run(tmp_path, args)
    assert (result["failed"], result["valid"], result["changed"]) == (True, False, False)
    assert [finding["rule"] for finding in result["findings"]] == ["option"]
    assert all(word in result["msg"] for word in words)


def test_an_option_that_cannot_be_evaluated_is_a_finding(tmp_path: Path) -> None:
    templar = Templar(loader=DataLoader(), variables={})
    args = {"policy": ActionModule.finalize_task_arg("policy", trusted("{{ nope }}"), templar, None)}
    result = run(tmp_path, {**args, "fail_on": "never"})
    assert (result["failed"], result["findings"][0]["path"]) == (True, "policy")
    assert "'nope' is undefined" in result["msg"]


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\x00s",
        b"services: &a {web: *a}",
        b"a: b: c",
        b"services: {web: {image: 'w:1', image: 'w:2'}}",
        b"\x00",
        b"services:\n" + b"  x: &x [*y]\n",
        b"",
        b"- 1",
    ],
)
def test_bad_files_are_findings(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.yaml").write_bytes(content)
    result = run(tmp_path, {"files": ["bad.yaml"]})
    assert result["failed"]
    assert result["findings"][0]["severity"] == "error"


def test_the_documentation_covers_every_option_and_result() -> None:
    options = yaml.safe_load(stub.DOCUMENTATION)["options"]
    assert options.keys() == ARGUMENTS.keys()
    for name, spec in ARGUMENTS.items():
        for key, default in (("type", None), ("required", False), ("default", None), ("choices", None)):
            assert options[name].get(key, default) == spec.get(key, default), (name, key)
    assert isinstance(yaml.safe_load(stub.EXAMPLES), list)
    assert set(yaml.safe_load(stub.RETURN)) == {"findings", "ignored", "valid", "msg"}


def test_the_bundled_stack_has_no_errors(tmp_path: Path) -> None:
    folder = ROOT / "roles" / "stack" / "files" / "hypercode"
    defaults = yaml.safe_load((ROOT / "roles" / "stack" / "defaults" / "main.yml").read_text())
    names = "REDIS_PASSWORD REDIS_PASSWORD_URLENCODED POSTGRES_PASSWORD POSTGRES_PASSWORD_URLENCODED API_KEY"
    names += " ANTHROPIC_API_KEY HYPERCODE_MEMORY_KEY HYPERCODE_JWT_SECRET GRAFANA_ADMIN_PASSWORD"
    args = {
        "files": [str(folder / "compose.yaml")],
        "secret_names": names.split(),
        "environment_variables": {"STACK_REGISTRY": "registry.example.com/x", "STACK_VERSION": "1.0"},
        "policy": defaults["stack_classes"],
        "default_class": defaults["stack_default_class"],
    }
    result = run(tmp_path, args)
    assert [f for f in result["findings"] if f["severity"] == "error"] == []
    # What is left after the repairs of a deploy: its own images are named by a version.
    assert {f["rule"] for f in result["findings"] if not f["repairable"]} == {"image-no-digest"}


def test_in_ansible_itself_without_a_host(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(CLEAN)
    (tmp_path / "stack.env").write_text("API_TOKEN=canary-4711\n")
    (tmp_path / "ansible.cfg").write_text("[defaults]\n")
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
        "ANSIBLE_LOCAL_TEMP": str(tmp_path / "tmp"),
    }
    command = [sys.executable, "-m", "ansible.cli.adhoc", "-i", "host.invalid,", "all", "-vvv"]
    command += ["-m", "hypercode.deploy.compose_audit", "-a"]
    args = {"files": ["compose.yaml"], "env_files": ["stack.env"]}
    done = subprocess.run(
        [*command, json.dumps(args)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "canary" not in done.stdout + done.stderr
    out = json.loads(done.stdout.partition("SUCCESS => ")[2])
    assert [f["rule"] for f in out["findings"]] == ["bind-missing"]
    assert (out["changed"], out["valid"]) == (False, True)
