# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""scripts/secrets init: every secret that can be made is made, once; the file is encrypted."""

from __future__ import annotations

import dataclasses
import os
import re
import secrets
from pathlib import Path

from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_command.session import Session
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_rules.generate import (
    CannotGenerateError,
    can_generate,
    generate,
)
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store import files
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.ansible_vault import AnsibleVault
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.document import Document
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.layout import shown
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import Problem, StoreError, refuse
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.sops import Sops

# Not one of the stack's own: no service gets it. Without it no backup can be read.
BACKUP_PASSWORD = "backup_password"  # noqa: S105  Its name.
_NO_BACKUP_PASSWORD = re.compile(
    rb"""^backup_password:[ \t]*(?:""|'')?(?=[ \t]*(?:#.*)?\r?$(?!\n[ \t]+\S))""", re.MULTILINE
)
_NEW_FILE = b"# The secrets of this environment. To change them: scripts/secrets edit\n---\n"


@dataclasses.dataclass
class Outcome:
    """What init did, by name."""

    generated: list[str] = dataclasses.field(default_factory=list)
    kept: list[str] = dataclasses.field(default_factory=list)
    to_fill_in: list[str] = dataclasses.field(default_factory=list)
    left_empty: list[str] = dataclasses.field(default_factory=list)
    written: bool = False


def make_password_file(path: Path, root: Path) -> None:
    """Write a new vault password to a file of the user's choice. Raises StoreError."""
    path = path.expanduser().absolute()
    if path.resolve().is_relative_to(root.resolve()):
        message = f"{shown(path)} lies inside the repository: the password would travel with what it protects."
        raise refuse("password-file", message, "choose a path outside, such as ~/.config/hypercode/vault-password")
    if os.path.lexists(path):
        fix = f"use it: --vault-password-file {path}; or choose another path."
        raise refuse("password-file", f"{path} is there already. It stays as it is.", fix)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        raise refuse("password-file", f"{path.parent} cannot be made.", "choose a folder of your own.") from None
    files.write(path, f"{secrets.token_urlsafe(48)}\n".encode())


def _source(session: Session) -> tuple[bytes | None, Path]:
    """What there is to begin with, and where it lies."""
    data = files.read(session.store.path)
    if data is not None or not isinstance(session.store, Sops):
        return data, session.store.path
    # A copy of the example has a plain vault.yml; with SOPS its content moves.
    data = files.read(session.environment.vault)
    if data is not None and AnsibleVault(session.environment.vault, session.passwords).is_sealed(data):
        vault = shown(session.environment.vault)
        message = f"The inventory says SOPS, but {vault} is encrypted with ansible-vault."
        raise refuse(
            "secrets-store", message, f"ansible-vault decrypt {vault}, then run this again: it is encrypted with SOPS."
        )
    return data, session.environment.vault


def run(session: Session) -> Outcome:
    """Generate what is missing and encrypt the file. Raises StoreError, and then nothing was changed."""
    data, source = _source(session)
    sealed = data is not None and session.store.is_sealed(data)
    text = session.plain(data) if data is not None else _NEW_FILE
    filled = _NO_BACKUP_PASSWORD.sub(f'{BACKUP_PASSWORD}: "{secrets.token_urlsafe(32)}"'.encode(), text, count=1)
    document = Document(filled, shown(source))
    outcome = _fill(session, document)
    if not sealed or document.changed or filled != text:
        session.store.path.parent.mkdir(parents=True, exist_ok=True)
        files.write(session.store.path, session.store.seal(document.text()))
        outcome.written = True
    if source != session.store.path:
        files.remove(source)
    session.set_dates(outcome.generated)
    if filled != text:
        outcome.generated.append(BACKUP_PASSWORD)
    return outcome


def _fill(session: Session, document: Document) -> Outcome:
    outcome = Outcome()
    problems: list[Problem] = []
    names = list(dict.fromkeys([*session.policy.exact, *document.values]))
    for name in names:
        rule = session.policy.rule_for(name)
        if document.has(name):
            outcome.kept.append(name)
        elif name in session.policy.exact and not rule.required:
            outcome.left_empty.append(name)
        elif not session.policy.names(name) or not (rule.generate and can_generate(rule.kind)):
            # A name that the policy does not know may be somebody else's key: not ours to invent.
            outcome.to_fill_in.append(name)
            document.ask_for(name, rule.description)
        else:
            try:
                document.set(name, generate(rule, name))
            except CannotGenerateError as error:
                message, _fix, fix = str(error).partition(" Fix: ")
                problems.append(Problem("policy-invalid", message, fix, name))
            outcome.generated.append(name)
    if problems:
        raise StoreError(*problems)
    return outcome
