# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The environment as this run sees it: its folder, the vault passwords, and the session once it exists."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
from pathlib import Path

from ansible.parsing.dataloader import DataLoader
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding import environment
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.asking import Asker
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.environment import Member
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_command import initialise
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_command.cli import NEW_PASSWORD, password_options
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_command.session import (
    Session,
    open_place,
    open_session,
)
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.ansible_vault import Passwords
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import refuse


@dataclasses.dataclass
class Home:
    """``folder`` may not exist yet. ``to_make`` is a vault password file that is still to be made."""

    folder: Path
    root: Path
    arguments: argparse.Namespace
    members: list[Member] = dataclasses.field(default_factory=list)
    to_make: Path | None = None

    def session(self) -> Session:
        """The environment as Ansible reads it now. Raises StoreError."""
        options = password_options(self.arguments)
        return open_session(open_place(str(self.folder), self.root, options, datetime.date.today()))

    def make(self) -> None:
        """Make the folder and the vault password where they are missing. Raises StoreError."""
        if self.to_make:
            initialise.make_password_file(self.to_make, self.root)
            print(f"The new vault password is in {self.to_make}. Without it the secrets are lost: keep a copy of it")
            print(f"in your password manager, and set ANSIBLE_VAULT_PASSWORD_FILE={self.to_make} from now on.")
            self.to_make = None
        environment.make(self.folder, self.root)


def open_home(arguments: argparse.Namespace, root: Path, asker: Asker) -> Home:
    """Find the environment and the vault password. Raises StoreError."""
    folder = environment.folder_of(_environment(arguments, root, asker), root)
    home = Home(folder, root, arguments)
    if not (folder / "group_vars" / "hypercode" / "vault.sops.yml").exists():
        home.to_make = _vault_password(arguments, asker)
    if environment.has_hosts(folder):
        home.members = environment.members(home.session().inventory)
    return home


def _environment(arguments: argparse.Namespace, root: Path, asker: Asker) -> str:
    present = environment.existing(root)
    default = present[0] if len(present) == 1 else environment.USUAL
    if not asker.terminal and not arguments.env and len(present) != 1:
        listed = f" There is: {', '.join(present)}." if present else ""
        raise refuse("flag-missing", f"It is not said which environment the server joins.{listed}", "add --env ENV")
    listed = f" (there is: {', '.join(present)})" if present else ""
    return asker.text(f"Environment{listed}", default, "--env ENV", arguments.env)


def _vault_password(arguments: argparse.Namespace, asker: Asker) -> Path | None:
    """See that a vault password is known, or where a new one goes."""
    if arguments.new_password_file:
        return _file(arguments, arguments.new_password_file)
    if Passwords(password_options(arguments), DataLoader()).configured:
        return None
    if not asker.terminal:
        message = "No vault password is set, so the server's sudo password cannot be encrypted."
        new = f"--new-password-file {NEW_PASSWORD}"
        fix = f"add --vault-password-file FILE, or have one made, outside of this repository: {new}"
        raise refuse("vault-locked", message, fix)
    question = "File with the vault password; made if it is not there"
    return _file(arguments, asker.text(question, NEW_PASSWORD, "--vault-password-file FILE"))


def _file(arguments: argparse.Namespace, typed: str) -> Path | None:
    """Use a password file from now on; the path when it has to be made first."""
    path = Path(typed).expanduser().absolute()
    arguments.vault_password_file.append(str(path))
    return None if path.exists() else path
