# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the inventory learns of a new server: files of its own. What is there already is never written again."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Iterable
from pathlib import Path

from ansible_collections.hypercode.deploy.plugins.plugin_utils.inventory_selection import KNOWN_HOSTS
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding import host_key
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.host_key import HostKey
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.reach import Target
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_command.session import Session
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_rules.generate import generate
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store import files
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.ansible_vault import AnsibleVault
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.layout import shown
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import refuse
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.sops import Sops
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.store import Store

try:
    from passlib.hash import sha512_crypt
except ImportError:
    sha512_crypt = None

# The password has 140 bits of its own: more rounds would only slow down every sudo.
_ROUNDS = 10_000
_READABLE = 0o644
# host_vars/NAME is inside of the environment, so that this holds wherever the project lies.
_SSH_ARGS = (
    "-o 'UserKnownHostsFile=\"{{ inventory_dir }}/known_hosts\"' -o GlobalKnownHostsFile=/dev/null"
    " -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes"
)


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What is to stand in the inventory."""

    name: str
    group: str
    target: Target
    deploy_user: str
    sudo: str
    key_typed: str
    public_keys: tuple[str, ...]
    host_keys: tuple[HostKey, ...]


@dataclasses.dataclass(frozen=True)
class _Wish:
    """For generate(): an ordinary password."""

    kind: str = "password"
    length: int | None = None
    bits: int | None = None


def write(wanted: Wanted, session: Session) -> list[str]:
    """Write what is missing; the files that are new, as one types them. Raises StoreError."""
    folder = session.environment.folder
    own = folder / "host_vars" / wanted.name
    new = [shown(folder / KNOWN_HOSTS)] if _learn(folder / KNOWN_HOSTS, wanted) else []
    vault = vault_of(session, wanted.name)
    own.mkdir(parents=True, exist_ok=True)
    if not vault.path.exists():
        _private(vault, vault.seal(secrets_text(wanted).encode()))
        new.append(shown(vault.path))
    texts = {
        own / "users.yml": users_text(wanted),
        own / "connection.yml": connection_text(wanted),
        # The last one: from now on the host is in the inventory.
        folder / f"hosts_{wanted.name}.yml": hosts_text(wanted),
    }
    for path, text in texts.items():
        if not path.exists():
            files.write(path, text.encode())
            path.chmod(_READABLE)
            new.append(shown(path))
    return new


def _private(vault: Store, data: bytes) -> None:
    files.write(vault.path, data)


def vault_of(session: Session, name: str) -> Store:
    """The file of a host's secrets, encrypted in the way of its environment."""
    folder = session.environment.folder / "host_vars" / name
    if isinstance(session.store, Sops):
        return Sops(folder / "vault.sops.yml")
    return AnsibleVault(folder / "vault.yml", session.passwords)


def check(wanted: Wanted, session: Session) -> None:
    """See that Ansible reads what was written; what somebody wrote elsewhere may say otherwise. Raises StoreError."""
    found = _read_back(wanted.name, session)
    expected = {"ansible_host": wanted.target.host, "ansible_user": wanted.deploy_user}
    if wanted.target.port != 22 or "ansible_port" in found:
        expected["ansible_port"] = str(wanted.target.port)
    wrong = [name for name, value in expected.items() if found.get(name) != value]
    if wrong:
        told = ", ".join(f"{name} is {found.get(name, 'not set')}, not {expected[name]}" for name in wrong)
        message = f"The inventory says otherwise of {wanted.name}: {told}."
        fix = f"correct it in {shown(session.environment.folder / 'host_vars' / wanted.name)}, or where else it is set."
        raise refuse("inventory-differs", message, fix)


def _read_back(name: str, session: Session) -> dict[str, str]:
    """The host's variables as the next run reads them: this process has read the folder before, and would not look."""
    vault = session.passwords.options.as_arguments()
    words = ["ansible-inventory", "-i", str(session.environment.folder), "--host", name, *vault]
    done = subprocess.run(words, capture_output=True, text=True, cwd=session.root, check=False)
    try:
        return {key: str(value) for key, value in json.loads(done.stdout).items()}
    except ValueError:
        folder = shown(session.environment.folder)
        fix = f"see why, and correct it: ansible-inventory -i {folder} --list > /dev/null"
        raise refuse("inventory", f"Ansible cannot read the inventory {folder}.", fix) from None


def _learn(path: Path, wanted: Wanted) -> bool:
    """Add the host's keys to those that the environment knows."""
    there = {key for name, key in host_key.known(path) if name == wanted.target.key_name}
    lines = host_key.lines_for(wanted.target, [key for key in wanted.host_keys if key not in there])
    if not lines:
        return False
    before = files.read(path) or b"# Host keys that an operator has compared. Written by scripts/onboard.\n"
    files.write(path, before.rstrip(b"\n") + b"\n" + lines.encode())
    path.chmod(_READABLE)
    return True


def hosts_text(wanted: Wanted) -> str:
    return (
        f"---\n# Written by scripts/onboard. How the host is reached stands in host_vars/{wanted.name}/.\n"
        f"{wanted.group}:\n  hosts:\n    {wanted.name}: {{}}\n"
    )


def connection_text(wanted: Wanted) -> str:
    values: dict[str, object] = {"ansible_host": wanted.target.host}
    if wanted.target.port != 22:
        values["ansible_port"] = wanted.target.port
    values["ansible_user"] = wanted.deploy_user
    values["ansible_ssh_private_key_file"] = wanted.key_typed
    values["ansible_ssh_common_args"] = _SSH_ARGS
    return _yaml("How the host is reached. Its sudo password is in the vault beside this file.", values)


def users_text(wanted: Wanted) -> str:
    user = {
        "name": wanted.deploy_user,
        "keys": list(wanted.public_keys),
        "password_hash": "{{ vault_deploy_password_hash }}",
        "sudo": wanted.sudo,
    }
    lines = [
        "---",
        "# Who may log in: the role base makes these users. Add your colleagues here, with a key each.",
        "base_users:",
        *(f"  {'- ' if name == 'name' else '  '}{name}: {json.dumps(value)}" for name, value in user.items()),
        f"base_sshd_allow_users: {json.dumps([wanted.deploy_user])}",
    ]
    return "\n".join(lines) + "\n"


def secrets_text(wanted: Wanted) -> str:
    """A new password and its hash, to be encrypted. Raises StoreError."""
    if sha512_crypt is None:
        fix = "pip install --require-hashes -r requirements.lock"
        raise refuse("package-missing", "The Python package libpass is missing.", fix)
    password = generate(_Wish(), f"the sudo password of {wanted.deploy_user}")
    hashed = sha512_crypt.using(rounds=_ROUNDS).hash(password)
    values: dict[str, object] = {"ansible_become_password": password, "vault_deploy_password_hash": hashed}
    return _yaml(f"The password of {wanted.deploy_user} on {wanted.name}, for sudo and the console.", values)


def _yaml(comment: str, values: dict[str, object]) -> str:
    lines: Iterable[str] = (f"{name}: {json.dumps(value)}" for name, value in values.items())
    return "\n".join(["---", f"# {comment} Written by scripts/onboard.", *lines]) + "\n"
