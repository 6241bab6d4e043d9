# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Files that ansible-vault encrypts as a whole, with Ansible's own code and its ways to find the password."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.cli import CLI
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import (
    VaultEditor,
    VaultLib,
    VaultSecretsContext,
    is_encrypted,
    match_encrypt_secret,
    parse_vaulttext_envelope,
)
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.layout import shown
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import StoreError, refuse

DEFAULT_ID = "default"
_HOW = "set ANSIBLE_VAULT_PASSWORD_FILE, or add --vault-password-file FILE or --ask-vault-pass"


@dataclasses.dataclass(frozen=True)
class PasswordOptions:
    """What was said on the command line about vault passwords, as ansible-vault understands it."""

    ids: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    ask: bool = False
    encrypt_id: str = ""

    def as_arguments(self) -> list[str]:
        """The same for a command of Ansible. It holds names of files, never a password."""
        arguments = [word for value in self.ids for word in ("--vault-id", value)]
        arguments += [word for value in self.files for word in ("--vault-password-file", value)]
        return [*arguments, "--ask-vault-pass"] if self.ask else arguments


class Passwords:
    """The vault passwords of this run. They are asked for once, when the first encrypted file is there."""

    def __init__(self, options: PasswordOptions, loader: DataLoader) -> None:
        self.options = options
        self.loader = loader
        self._secrets: list[tuple[str, Any]] | None = None

    @property
    def configured(self) -> bool:
        """Whether Ansible knows where a password is, without asking because a terminal is there."""
        options = self.options
        places = (constants.DEFAULT_VAULT_PASSWORD_FILE, constants.DEFAULT_VAULT_IDENTITY_LIST)
        return bool(options.ids or options.files or options.ask or any(places))

    def secrets(self, *, ask: bool = False) -> list[tuple[str, Any]]:
        """Every password by its id, [] when there is none. ``ask`` allows a question on a terminal as the last way."""
        if self._secrets is None and (self.configured or ask):
            self._secrets = self._load(prompt=ask and sys.stdin.isatty())
            self.loader.set_vault_secrets(self._secrets)
        self._share()
        return self._secrets or []

    def _share(self) -> None:
        """Let Ansible open single values too (!vault); it looks for the passwords in one place of the process."""
        context = VaultSecretsContext.current(optional=True)
        if context is None:
            VaultSecretsContext.initialize(VaultSecretsContext(self._secrets or []))
        else:
            context.secrets = self._secrets or []

    def _load(self, *, prompt: bool) -> list[tuple[str, Any]]:
        ids = [*constants.DEFAULT_VAULT_IDENTITY_LIST, *self.options.ids]
        try:
            # Ansible's warnings about a bad password file are folded into one message.
            secrets: list[tuple[str, Any]] = CLI.setup_vault_secrets(
                self.loader,
                vault_ids=ids,
                vault_password_files=list(self.options.files),
                ask_vault_pass=self.options.ask,
                auto_prompt=prompt,
                initialize_context=False,
            )
        except (AnsibleError, OSError, ValueError):
            message = "The vault password cannot be had: the file, program or answer that should give it does not."
            fix = f"check that the password file exists, is not empty, and can be read by you; or {_HOW}."
            raise refuse("vault-password", message, fix) from None
        return secrets


class AnsibleVault:
    """A file of secrets that ansible-vault encrypts (see ``store.Store``)."""

    def __init__(self, path: Path, passwords: Passwords) -> None:
        self.path = path
        self._passwords = passwords
        self._used: tuple[str, Any] | None = None

    def is_sealed(self, data: bytes) -> bool:
        return bool(is_encrypted(data))

    def open(self, data: bytes, *, ask: bool = True) -> bytes:
        secrets = self._passwords.secrets(ask=ask)
        if not secrets:
            raise refuse("vault-locked", f"{shown(self.path)} is encrypted, and no vault password is set.", f"{_HOW}.")
        try:
            text, used, _secret = VaultLib(secrets).decrypt_and_get_vault_id(data)
        except (AnsibleError, ValueError, TypeError):
            raise self._cannot_open(data) from None
        # The id stays as it stands in the file: it is what the next reader looks its password up by.
        self._used = (_id_of(data) or used, _secret)
        return bytes(text)

    def _cannot_open(self, data: bytes) -> StoreError:
        label = _id_of(data)
        known = ", ".join(sorted({name for name, _secret in self._passwords.secrets()}))
        which = (
            f" It was encrypted for the vault id {label}; known here: {known}." if label not in ("", DEFAULT_ID) else ""
        )
        message = (
            f"{shown(self.path)} cannot be decrypted: the vault password is another one, or the file is damaged.{which}"
        )
        wanted = f"--vault-id {label}@FILE" if which else "--vault-password-file FILE with the right one"
        fix = f"use {wanted}. If it is lost or the file is damaged, see docs/secrets.md, 'Lost vault password'."
        return refuse("vault-locked", message, fix)

    def seal(self, text: bytes) -> bytes:
        name, secret = self._used or self._choose()
        # The default id is left out, as ansible-vault does.
        sealed = VaultLib([(name, secret)]).encrypt(text, secret=secret, vault_id=None if name == DEFAULT_ID else name)
        return bytes(sealed)

    def _choose(self) -> tuple[str, Any]:
        """The password for a file that is encrypted for the first time."""
        wanted = self._passwords.options.encrypt_id or constants.DEFAULT_VAULT_ENCRYPT_IDENTITY
        secrets = self._passwords.secrets(ask=True)
        if not secrets:
            raise refuse(
                "vault-locked", f"{shown(self.path)} cannot be encrypted: no vault password is set.", f"{_HOW}."
            )
        try:
            name, secret = match_encrypt_secret(secrets, encrypt_vault_id=wanted or None)
        except AnsibleError:
            known = ", ".join(sorted({name for name, _secret in secrets}))
            message = f"There is no vault password with the id {wanted}. There is: {known}."
            raise refuse("vault-id", message, "correct --encrypt-vault-id.") from None
        return name, secret

    def edit(self, copy: Path) -> None:
        """Ansible's own editor: a file in its private folder, overwritten and removed afterwards."""
        secrets = self._passwords.secrets(ask=True)
        try:
            with _only_the_editor_is_interrupted(), _text_in(copy.parent):
                VaultEditor(VaultLib(secrets)).edit_file(str(copy))
        except AnsibleError:
            message = f"{shown(self.path)} could not be edited: the editor could not be started."
            raise refuse(
                "editor", message, "set EDITOR to the editor of your choice, such as: export EDITOR=nano"
            ) from None


def _id_of(data: bytes) -> str:
    """The vault id in the first line of an encrypted file, "" when it cannot be read."""
    with contextlib.suppress(Exception):
        return str(parse_vaulttext_envelope(data)[3])
    return ""


@contextlib.contextmanager
def _text_in(folder: Path) -> Iterator[None]:
    """Where Ansible writes the text that is edited: a folder that the caller removes, whatever happens."""
    before = constants.DEFAULT_LOCAL_TMP
    constants.DEFAULT_LOCAL_TMP = str(folder)
    try:
        yield
    finally:
        constants.DEFAULT_LOCAL_TMP = before


@contextlib.contextmanager
def _only_the_editor_is_interrupted() -> Iterator[None]:
    """Ctrl-C belongs to the editor; if it ended us, the editor would keep the text open and the file would be left."""
    numbers: Sequence[signal.Signals] = (signal.SIGINT, signal.SIGQUIT)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        for number in numbers:
            # A handler, not SIG_IGN: that would be passed on to the editor.
            signal.signal(number, lambda _number, _frame: None)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
