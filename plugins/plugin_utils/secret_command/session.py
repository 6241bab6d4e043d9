# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""One run of a command on one environment: its inventory, its policy, its file of secrets."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.parsing.dataloader import DataLoader
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_command.inventory import Inventory
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_rules.policy import Policy, read_policy
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store import files
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.ansible_vault import (
    AnsibleVault,
    PasswordOptions,
    Passwords,
)
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.document import DATES, Document
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.layout import (
    Environment,
    find_environment,
    shown,
)
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import Problem, StoreError, refuse
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.sops import Sops
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.store import Store

_DATES_HEAD = b"# Since when each secret has its value, for scripts/secrets check. No secrets in here.\n---\n"


@dataclasses.dataclass
class Place:
    """An environment and its file of secrets, whether or not the file can be read."""

    root: Path
    environment: Environment
    today: datetime.date
    passwords: Passwords
    store: Store

    @property
    def file(self) -> str:
        """The file of secrets as the user would type it."""
        return shown(self.store.path)

    def command(self, verb: str, *words: str) -> str:
        """A command line of this script for this environment."""
        return " ".join(["scripts/secrets", verb, self.environment.name, *words])

    def plain(self, data: bytes) -> bytes:
        """The text of a file of secrets, encrypted or not."""
        return self.store.open(data) if self.store.is_sealed(data) else data

    def plain_problem(self) -> Problem:
        message = f"{self.file} is not encrypted: everybody who gets the file can read the secrets."
        return Problem("vault-plain", message, f"encrypt it, nothing in it changes: {self.command('init')}")

    def sealed(self) -> bytes:
        """The encrypted content. Raises StoreError when there is none, or it is plain."""
        data = files.read(self.store.path)
        if data is None:
            raise refuse("vault-missing", f"There is no {self.file}.", f"make it: {self.command('init')}")
        if not self.store.is_sealed(data):
            raise StoreError(self.plain_problem())
        return data

    def set_dates(self, names: list[str]) -> None:
        """Write down that these secrets have a new value since today."""
        if not names:
            return
        dates = Document(files.read(self.environment.dates) or _DATES_HEAD, shown(self.environment.dates), DATES)
        for name in names:
            dates.set(name, self.today.isoformat())
        files.write(self.environment.dates, dates.text())


@dataclasses.dataclass
class Session(Place):
    """A place whose inventory and policy could be read."""

    inventory: Inventory
    policy: Policy
    raw_policy: Any


def open_place(text: str, root: Path, options: PasswordOptions, today: datetime.date) -> Place:
    """Find an environment and its file of secrets by what lies there. Raises StoreError."""
    environment = find_environment(text, root)
    passwords = Passwords(options, DataLoader())
    store: Store = AnsibleVault(environment.vault, passwords)
    if environment.sops.exists() and not environment.vault.exists():
        store = Sops(environment.sops)
    return Place(root, environment, today, passwords, store)


def open_session(place: Place, *, judged_later: bool = False) -> Session:
    """Read the environment's variables. Raises StoreError.

    ``judged_later`` leaves what is wrong with the policy to who judges the secrets.
    """
    environment, passwords = place.environment, place.passwords
    _unlock(environment, passwords)
    inventory = Inventory(environment, passwords.loader, place.root)
    store = _store(environment, inventory, passwords)
    policy = _plain(inventory.policy())
    rules, findings = read_policy(policy)
    if findings and not judged_later:
        raise StoreError(*(Problem(found.rule, found.message, found.hint, found.secret) for found in findings))
    return Session(place.root, environment, place.today, passwords, store, inventory, rules, policy)


def _unlock(environment: Environment, passwords: Passwords) -> None:
    """Get the vault password before Ansible reads the inventory, and see that what it will read is sound."""
    if (sops := files.read(environment.sops)) is not None:
        Document(sops, shown(environment.sops))
    data = files.read(environment.vault)
    vault = AnsibleVault(environment.vault, passwords)
    if data is None or not vault.is_sealed(data):
        passwords.secrets()
    if data is not None:
        Document(vault.open(data) if vault.is_sealed(data) else data, shown(environment.vault))


def _store(environment: Environment, inventory: Inventory, passwords: Passwords) -> Store:
    kind = inventory.value("secrets_store", default="vault")
    if kind not in ("vault", "sops"):
        fix = "write secrets_store: vault or secrets_store: sops; without it, it is vault."
        raise refuse("secrets-store", "secrets_store has a value that is not known.", fix)
    if kind == "vault":
        if environment.sops.exists():
            fix = (
                f"write secrets_store: sops into {shown(environment.secrets_folder / 'main.yml')}, or remove that file."
            )
            raise refuse(
                "secrets-store", f"{shown(environment.sops)} is there, but the inventory does not say SOPS.", fix
            )
        return AnsibleVault(environment.vault, passwords)
    if environment.sops.exists() and environment.vault.exists():
        message = f"Both {shown(environment.vault)} and {shown(environment.sops)} are there; a deploy would mix them."
        raise refuse("secrets-store", message, "keep the one that is right, remove the other.")
    return Sops(environment.sops)


def _plain(value: Any) -> Any:
    """The value with mappings and lists of Python's own."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
