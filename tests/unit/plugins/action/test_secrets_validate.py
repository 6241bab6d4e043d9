# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The action: options as Ansible gives them, vaulted values that open or do not, and a result without values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible.template import Templar
from ansible_collections.hypercode.deploy.plugins.action.secrets_validate import ARGUMENTS, ActionModule
from ansible_collections.hypercode.deploy.plugins.modules import secrets_validate as stub
from ansible_collections.hypercode.deploy.plugins.plugin_utils.role_specs import trusted
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_rules import words

GOOD = "vT4kQz9LmXc2Rw7NpJ5bYd8G"
OTHER = "hR8wZc3NfKq6Xv1TjPm5LsYb"
CANARY = "CANARYzq81"
INSIDE, OUTSIDE = VaultSecret(b"inside"), VaultSecret(b"outside")


def run(tmp_path: Path, variables: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    """The action's result, its options evaluated by itself as Ansible has it do; the vault password is "inside"."""
    loader = DataLoader()
    loader.set_basedir(str(tmp_path))
    loader.set_vault_secrets([("default", INSIDE)])
    templar = Templar(loader=loader, variables=trusted(variables or {}))
    options = {"environment": "production", **options}
    args = {
        name: ActionModule.finalize_task_arg(name, trusted(value), templar, None) for name, value in options.items()
    }
    task = MagicMock(args=args, async_val=0, check_mode=False)
    action = ActionModule(task, MagicMock(), MagicMock(), loader, templar, MagicMock())
    action._execute_module = MagicMock(side_effect=AssertionError("connected"))
    result: dict[str, Any] = action.run(task_vars={})
    text = json.dumps(result)
    for value in (GOOD, OTHER, CANARY):
        assert value not in text
    assert "invocation" not in result
    assert result["changed"] is False
    return result


def rules(result: dict[str, Any]) -> list[tuple[str, str]]:
    return [(finding["secret"], finding["rule"]) for finding in result["findings"]]


def encrypted(text: str, secret: VaultSecret = INSIDE) -> bytes:
    data: bytes = VaultLib([("default", secret)]).encrypt(text)
    return data


def test_good_secrets(tmp_path: Path) -> None:
    result = run(tmp_path, {"all": {"B": GOOD, "A": OTHER}}, secrets="{{ all }}")
    assert (result["valid"], result["checked"], result["findings"]) == (True, ["A", "B"], [])
    assert not result.get("failed")


def test_all_findings_at_once_errors_first(tmp_path: Path) -> None:
    policy = {"D": {"kind": "jwt_hs256"}, "B": {"max_age_days": 3}}
    secrets = {"A": "changeme", "B": GOOD, "C": GOOD, "N": 12345678}
    result = run(tmp_path, secrets=secrets, policy=policy)
    assert rules(result) == [
        ("N", "secret-not-text"),
        ("A", "secret-placeholder"),
        ("D", "secret-missing"),
        ("C", "secret-duplicate"),
        ("B", "secret-age-unknown"),
    ]
    assert (result["valid"], result["failed"]) == (False, True)
    assert result["msg"] == "The secrets are not fit for use (4 errors, 1 warning): N, A, D, C. See findings."


def test_fail_on(tmp_path: Path) -> None:
    secrets = {"A": GOOD + "\n"}
    assert run(tmp_path, secrets=secrets)["valid"] is True
    strict = run(tmp_path, secrets=secrets, fail_on="warning")
    assert (strict["valid"], strict["failed"]) == (False, True)
    assert strict["msg"] == "The secrets are not fit for use (0 errors, 1 warning): A. See findings."


@pytest.mark.parametrize("form", ["{{ all }}", "{{ all | combine({}) }}", "{{all}}"])
def test_a_value_that_cannot_be_had_names_the_secret_and_hides_no_other(tmp_path: Path, form: str) -> None:
    variables = {
        "GOOD": GOOD,
        "WEAK": "changeme",
        "UNSET": "{{ nope }}" + CANARY,
        "BROKEN": "{{ '" + CANARY + "' | no_such_filter }}",
        "ZERO": "{{ 1 / 0 }}",
    }
    result = run(tmp_path, {"all": variables}, secrets=form)
    found = {finding["secret"]: finding for finding in result["findings"]}
    assert found["UNSET"]["rule"] == found["BROKEN"]["rule"] == found["ZERO"]["rule"] == "secret-unreadable"
    assert found["UNSET"]["message"] == "UNSET uses nope, which is not set."
    assert found["BROKEN"]["message"] == "BROKEN cannot be evaluated."
    assert found["WEAK"]["rule"] == "secret-placeholder"
    assert "GOOD" not in found
    assert result["checked"] == sorted(variables)


@pytest.mark.parametrize(
    "secrets", ["{{ nope }}", "{{ nope.x }}", "a {{ nope }}", "{{ all | no_such_filter }}", "{{ 1 / 0 }}"]
)
def test_secrets_that_cannot_be_had_at_all(tmp_path: Path, secrets: str) -> None:
    result = run(tmp_path, {"all": {"A": CANARY}}, secrets=secrets, policy={"A": {}})
    assert rules(result)[:2] == [("", "secrets-invalid"), ("A", "secret-missing")]
    assert result["valid"] is False


@pytest.mark.parametrize("name", ["policy", "related", "set_on"])
def test_another_option_that_cannot_be_had(tmp_path: Path, name: str) -> None:
    options: dict[str, Any] = {"secrets": {"A": GOOD}, name: "{{ nope }}"}
    result = run(tmp_path, **options)
    assert rules(result) == [("", "policy-invalid" if name == "policy" else "input-invalid")]
    assert result["valid"] is False


@pytest.mark.parametrize("environment", ["{{ nope }}", None, ""])
def test_an_environment_that_cannot_be_had_is_production(tmp_path: Path, environment: Any) -> None:
    result = run(tmp_path, secrets={"A": "changeme"}, environment=environment)
    assert rules(result) == [("A", "secret-placeholder"), ("", "environment-unknown")]


@pytest.mark.parametrize("secrets", [["A"], "A=b", 3, None, True])
def test_secrets_that_are_no_mapping(tmp_path: Path, secrets: Any) -> None:
    result = run(tmp_path, secrets=secrets, policy={"A": {}})
    assert result["valid"] is False
    assert result["checked"] == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "The option secrets is missing."),
        ({"secrets": {}, "polcy": {}}, "There is no option polcy."),
        ({"secrets": {}, "fail_on": "never"}, "fail_on"),
        ({"secrets": {}, "files": {"a": 1}}, "files"),
    ],
)
def test_a_task_that_is_written_wrong_is_a_finding(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    result = run(tmp_path, **options)
    assert ("", "input-invalid") in rules(result)
    assert said in str(result["findings"])
    assert result["failed"] is True


def test_files_are_read_on_the_controller(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("API_KEY=changeme\n")
    (tmp_path / ".env").chmod(0o644)
    (tmp_path / "vault.yml").write_bytes(encrypted(f"a: {GOOD}\n"))
    result = run(tmp_path, secrets={"A": GOOD}, files=[".env", "vault.yml", "gone.env"])
    assert rules(result) == [
        ("", "file-unreadable"),
        ("API_KEY", "secret-placeholder"),
        ("", "file-readable-by-others"),
    ]


def test_other_environments(tmp_path: Path) -> None:
    folder = tmp_path / "inventories"
    for name, secret in (("staging", INSIDE), ("test", OUTSIDE)):
        path = folder / name / "group_vars" / "hypercode" / "vault.yml"
        path.parent.mkdir(parents=True)
        path.write_bytes(encrypted(f"stack_secrets: {{X: {GOOD}, N: 3, L: [{OTHER}]}}\nvault_y: short\n", secret))
    files = [str(path) for path in sorted(folder.glob("*/group_vars/hypercode/vault.yml"))]
    result = run(tmp_path, secrets={"A": GOOD, "B": OTHER, "C": OTHER[::-1]}, other_files=[*files, "gone.yml"])
    assert rules(result) == [
        ("A", "secret-shared-with-environment"),
        ("B", "secret-shared-with-environment"),
        ("", "vault-not-compared"),
        ("", "vault-not-compared"),
    ]
    assert "X in the environment staging" in result["findings"][0]["message"]
    assert "inventories/test/group_vars" in result["findings"][2]["message"]


def test_files_of_other_environments_that_cannot_be_compared(tmp_path: Path) -> None:
    (tmp_path / "list.yml").write_text("[1]\n")
    (tmp_path / "sops.yml").write_text("a: b\nsops: {mac: x}\n")
    (tmp_path / "wrong.yml").write_text(f"a: [{CANARY}\n")
    result = run(tmp_path, secrets={"A": GOOD}, other_files=["list.yml", "sops.yml", "wrong.yml"])
    assert rules(result) == [("", "vault-not-compared")] * 3
    assert result["valid"] is True
    quiet = run(tmp_path, secrets={"A": GOOD}, other_files=["wrong.yml"], other_files_required=False)
    assert quiet["findings"] == []
    (tmp_path / "loop.yml").write_text("a: &a\n  b: *a\n")
    assert run(tmp_path, secrets={"A": GOOD}, other_files=["loop.yml"])["findings"] == []


def test_a_package_that_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "INSTALLED", False)
    result = run(tmp_path, secrets={"A": GOOD})
    assert (result["failed"], result["valid"]) == (True, False)
    assert "zxcvbn" in result["findings"][0]["message"]


def test_the_documentation_covers_every_option() -> None:
    options = yaml.safe_load(stub.DOCUMENTATION)["options"]
    assert options.keys() == ARGUMENTS.keys()
    for name, wanted in ARGUMENTS.items():
        for key in ("type", "elements", "required", "default", "choices"):
            assert options[name].get(key) == wanted.get(key), (name, key)
    (example,) = yaml.safe_load(stub.EXAMPLES)
    assert example["hypercode.deploy.secrets_validate"].keys() <= ARGUMENTS.keys()


def test_the_sample_of_the_documentation_is_what_comes(tmp_path: Path) -> None:
    (sample,) = yaml.safe_load(stub.RETURN)["findings"]["sample"]
    assert run(tmp_path, secrets={"API_KEY": "changeme"})["findings"] == [sample]
