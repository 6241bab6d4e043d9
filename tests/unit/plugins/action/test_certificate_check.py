"""Certificates that the operator gives: those that work, and everything that would not."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible.template import Templar
from ansible_collections.hypercode.deploy.plugins.action import certificate_check
from ansible_collections.hypercode.deploy.plugins.action.certificate_check import ActionModule
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates import given as given_rules
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.given_here import judge_given
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.wanted import WantedCertificate
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.x509 import parse_pem
from ansible_collections.hypercode.deploy.plugins.plugin_utils.role_specs import trusted
from fakes.certificates import DAY, NOW, OTHER_KEY, Issued, authority, issue, pem_of

APP = "app.example.com"
ROOT = authority("Example Root")
MIDDLE = authority("Example Intermediate", issuer=ROOT, key=OTHER_KEY)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate_check, "now", lambda: float(NOW))
    monkeypatch.setattr(
        given_rules.judge, "__defaults__", (None, lambda: frozenset({parse_pem(ROOT.pem)[0].subject_der}))
    )


def check(loader: DataLoader | None = None, **options: Any) -> dict[str, Any]:
    """The result of the action, its options evaluated as Ansible has it do."""
    loader = loader or DataLoader()
    templar = Templar(loader=loader, variables={})
    args = {
        name: ActionModule.finalize_task_arg(name, trusted(value), templar, None) for name, value in options.items()
    }
    task = MagicMock(args=args, async_val=0, check_mode=False)
    action = ActionModule(task, MagicMock(), MagicMock(), loader, templar, MagicMock())
    action._execute_module = MagicMock(side_effect=AssertionError("connected"))
    result: dict[str, Any] = action.run(task_vars={})
    assert not [line for line in KEY.splitlines()[1:-1] if line in json.dumps(result)]
    assert result["changed"] is False
    return result


def on_host(folder: Path, chain: str, key: str, names: tuple[str, ...] = (APP,)) -> list[str]:
    """The rules that are broken where the files lie on a host."""
    entry = given(folder, chain, key, names, 0o640)
    wanted = WantedCertificate(names[0], names, "files", "/app.pem", "/app.key")
    assert entry["certificate_file"].endswith(wanted.certificate_file)
    found = judge_given([wanted], "web1", "nobody-of-this-name", root=folder, clock=lambda: NOW)
    assert all(finding.message.endswith(".") and finding.fix.endswith(".") for finding in found)
    return [finding.rule.removeprefix("certificate-") for finding in found]


def rules(folder: Path, chain: str, key: str, names: tuple[str, ...] = (APP,), mode: int = 0o600) -> list[str]:
    """The rules that are broken, warnings with a question mark."""
    result = check(certificates=[given(folder, chain, key, names, mode)])
    assert all(finding["message"].endswith(".") and finding["fix"].endswith(".") for finding in result["findings"])
    return [
        finding["rule"].removeprefix("certificate-") + "?" * (finding["severity"] == "warning")
        for finding in result["findings"]
    ]


def given(folder: Path, chain: str, key: str, names: tuple[str, ...] = (APP,), mode: int = 0o600) -> dict[str, Any]:
    (folder / "app.pem").write_text(chain)
    (folder / "app.key").write_text(key)
    (folder / "app.key").chmod(mode)
    files = {"certificate_file": str(folder / "app.pem"), "key_file": str(folder / "app.key")}
    return {"name": names[0], "names": list(names), **files}


def leaf(**options: Any) -> Issued:
    return issue((APP, "www.example.com"), issuer=MIDDLE, aia=True, **options)


GOOD = leaf().pem + MIDDLE.pem
KEY = leaf().key_pem


@pytest.mark.parametrize("chain", [GOOD, GOOD + ROOT.pem, issue(issuer=ROOT).pem], ids=["chain", "root", "direct"])
def test_what_works(tmp_path: Path, chain: str) -> None:
    assert rules(tmp_path, chain, KEY) == on_host(tmp_path, chain, KEY) == []
    assert check(certificates=[given(tmp_path, chain, KEY)], fail_on_findings=True).get("failed") is None


@pytest.mark.parametrize(
    ("chain", "key", "broken"),
    [
        (GOOD, pem_of(OTHER_KEY), ["order", "names"]),
        (leaf().pem, pem_of(OTHER_KEY), ["key-mismatch", "chain"]),
        (GOOD, pem_of(OTHER_KEY, b"secret"), ["key-invalid"]),
        (GOOD, "no key", ["key-invalid"]),
        (GOOD, GOOD, ["key-invalid"]),
        ("no certificate", KEY, ["invalid"]),
        (KEY, KEY, ["invalid"]),
        (GOOD[:400], KEY, ["invalid"]),
        (GOOD.replace("MII", "AAA", 1), KEY, ["invalid"]),
        (MIDDLE.pem + leaf().pem, KEY, ["order"]),
        (leaf().pem + ROOT.pem + MIDDLE.pem, KEY, ["order"]),
        (leaf().pem + ROOT.pem, KEY, ["chain"]),
        (leaf().pem, KEY, ["chain"]),
        (leaf(begin=NOW - 90 * DAY, end=NOW - DAY).pem + MIDDLE.pem, KEY, ["expired"]),
        (leaf(begin=NOW + DAY).pem + MIDDLE.pem, KEY, ["not-yet-valid"]),
        (leaf(begin=NOW - 80 * DAY, end=NOW + 10 * DAY).pem + MIDDLE.pem, KEY, ["ends-soon?"]),
        (issue().pem, KEY, ["self-signed?"]),
        (issue(issuer=authority("Company CA", key=OTHER_KEY)).pem, KEY, ["unknown-ca?"]),
    ],
)
def test_what_does_not(tmp_path: Path, chain: str, key: str, broken: list[str]) -> None:
    assert rules(tmp_path, chain, key) == broken
    # With what a host has, the same is found. What is merely unwise stops no deploy.
    assert on_host(tmp_path, chain, key) == [rule for rule in broken if not rule.endswith("?")]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can look as another user")
def test_files_that_the_user_of_caddy_cannot_read() -> None:
    wanted = WantedCertificate(APP, (APP,), "files", "/app.pem", "/app.key")
    # The folders of tests are closed to others.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        given(folder, GOOD, KEY)
        (closed,) = judge_given([wanted], "web1", "nobody", root=folder, clock=lambda: NOW)
        lost = replace(wanted, key_file="/no.key")
        (missing,) = judge_given([lost], "web1", "nobody", root=folder, clock=lambda: NOW)
        (folder / "app.key").chmod(0o644)
        (opened,) = judge_given([wanted], "web1", "nobody", root=folder, clock=lambda: NOW)
        folder.chmod(0o700)
        assert judge_given([wanted], "web1", "nobody-of-this-name", root=folder, clock=lambda: NOW) == []
    assert closed.message == "/app.key cannot be read by the user nobody on web1."
    assert closed.fix.startswith("chgrp nobody /app.key && chmod 640 /app.key")
    assert missing.message == "/no.key does not exist on web1."
    assert opened.message == "The key /app.key can be read by everybody on web1 (mode 0644)."
    assert opened.fix == "chgrp nobody /app.key && chmod 640 /app.key."


def test_names_that_it_does_not_cover(tmp_path: Path) -> None:
    result = check(certificates=[given(tmp_path, GOOD, KEY, (APP, "b.example.com", "c.example.com"))])
    (finding,) = result["findings"]
    assert f"is for {APP}, www.example.com, not for b.example.com, c.example.com." in finding["message"]
    assert (finding["name"], finding["file"]) == (APP, str(tmp_path / "app.pem"))


@pytest.mark.parametrize(("mode", "broken"), [(0o644, ["key-mode"]), (0o604, ["key-mode"]), (0o640, []), (0o400, [])])
def test_a_key_that_others_can_read(tmp_path: Path, mode: int, broken: list[str]) -> None:
    assert rules(tmp_path, GOOD, KEY, mode=mode) == broken


def test_a_weak_key(tmp_path: Path) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "rsa:1024", "-nodes", "-days", "3650", "-subj", f"/CN={APP}"]
    extra = ["-addext", f"subjectAltName=DNS:{APP}", "-keyout", tmp_path / "k", "-out", tmp_path / "c"]
    subprocess.run([*command, *extra], check=True, capture_output=True)
    chain, key = (tmp_path / "c").read_text(), (tmp_path / "k").read_text()
    assert "key-weak" in rules(tmp_path, chain, key)
    assert "key-weak" in on_host(tmp_path, chain, key)


def test_a_signature_that_is_another_ones(tmp_path: Path) -> None:
    """The names of the chain are right, and yet nobody would believe it."""
    twin = authority("Example Intermediate", issuer=ROOT)
    chain = leaf().pem + twin.pem
    assert rules(tmp_path, chain, KEY) == on_host(tmp_path, chain, KEY) == ["chain"]


def test_all_at_once_and_files_that_are_not_there(tmp_path: Path) -> None:
    missing = {"name": "b.example.com", "certificate_file": str(tmp_path / "no.pem"), "key_file": ""}
    result = check(
        certificates=[given(tmp_path, GOOD, KEY, (APP, "b.example.com"), 0o644), missing], fail_on_findings=True
    )
    assert (result["failed"], result["msg"]) == (True, "Given certificates: 4 problems. Nothing was changed.")
    assert [(finding["name"], finding["rule"]) for finding in result["findings"]] == [
        (APP, "certificate-key-mode"),
        (APP, "certificate-names"),
        ("b.example.com", "certificate-file"),
        ("b.example.com", "certificate-file"),
    ]
    assert "no.pem does not exist on this machine" in result["findings"][2]["message"]


def test_a_key_in_a_vault(tmp_path: Path) -> None:
    secrets = [("default", VaultSecret(b"password"))]
    encrypted = VaultLib(secrets).encrypt(KEY).decode()
    entry = given(tmp_path, GOOD, encrypted, mode=0o644)
    loader = DataLoader()
    loader.set_vault_secrets(secrets)
    assert check(loader, certificates=[entry])["findings"] == []
    (finding,) = check(certificates=[entry])["findings"]
    assert "no vault password opens it" in finding["message"]


def test_options_that_cannot_be_used_are_findings(tmp_path: Path) -> None:
    assert check(certificates="{{ edge_nothing }}")["findings"][0]["rule"] == "option"
    assert check(certificates=[{"name": APP}])["findings"][0]["rule"] == "option"


def test_this_machine_knows_some_cas() -> None:
    if not Path("/etc/ssl/certs/ca-certificates.crt").exists():
        pytest.skip("no bundle of CAs on this machine")
    assert len(given_rules.system_roots()) > 10
