# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Files that SOPS encrypts. Text goes through pipes: it is never in an argument, the environment or a file."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.layout import shown
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import StoreError, refuse

_UNCHANGED = 200
_PATIENCE = 60
_MARK = re.compile(rb"^(sops|\"sops\"):", re.MULTILINE)
_YAML = ("--input-type", "yaml", "--output-type", "yaml")


class Sops:
    """A file of secrets that SOPS encrypts (see ``store.Store``). The recipients are those of .sops.yaml."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def is_sealed(self, data: bytes) -> bool:
        return _MARK.search(data) is not None and b"ENC[" in data

    def open(self, data: bytes) -> bytes:
        done = self._run(["--decrypt", *_YAML, "/dev/stdin"], data)
        if done.returncode != 0:
            message = f"SOPS cannot decrypt {shown(self.path)}: no key for it was found here, or the file is damaged."
            fix = "make your key known (for age: export SOPS_AGE_KEY_FILE=FILE), or ask one of the recipients."
            raise refuse("vault-locked", message, fix)
        return done.stdout

    def seal(self, text: bytes) -> bytes:
        rules = self._rules()
        done = self._run(["--encrypt", *_YAML, "--filename-override", str(self.path), "/dev/stdin"], text)
        if done.returncode != 0 or not self.is_sealed(done.stdout):
            message = f"SOPS cannot encrypt {shown(self.path)}: no rule fits, or a key in it cannot be used."
            fix = f"give {shown(rules)} a rule whose path_regex fits {self.path.name} (docs/secrets.md)."
            raise refuse("sops-recipients", message, fix)
        return done.stdout

    def edit(self, copy: Path) -> None:
        status = subprocess.run([self._program(), str(copy)], cwd=self._folder(), check=False).returncode
        if status not in (0, _UNCHANGED):
            message = (
                f"{shown(self.path)} could not be edited: SOPS ended with status {status}. What it said stands above."
            )
            raise refuse(
                "editor", message, "export EDITOR=nano, or what you like better; and make your key known to SOPS."
            )

    def _rules(self) -> Path:
        """The .sops.yaml that counts, as SOPS looks for it: in this folder or one above."""
        for folder in (self.path.parent, *self.path.parents):
            if (folder / ".sops.yaml").is_file():
                return folder / ".sops.yaml"
        message = f"There is no .sops.yaml above {shown(self.path)}: SOPS does not know for whom to encrypt."
        fix = "write .sops.yaml at the root of the repository, with your team's keys (docs/secrets.md shows one)."
        raise refuse("sops-recipients", message, fix)

    def _program(self) -> str:
        found = shutil.which("sops")
        if found is None:
            message = f"The program sops is not installed; {shown(self.path)} needs it (secrets_store: sops)."
            raise refuse(
                "sops-missing", message, "install it (https://getsops.io), or take secrets_store out of the inventory."
            )
        return found

    def _folder(self) -> Path:
        return next(folder for folder in self.path.parents if folder.is_dir())

    def _run(self, arguments: Sequence[str], data: bytes) -> subprocess.CompletedProcess[bytes]:
        # What SOPS writes to stderr may hold a line of the file: it is not shown.
        try:
            return subprocess.run(
                [self._program(), *arguments],
                input=data,
                capture_output=True,
                check=False,
                cwd=self._folder(),
                timeout=_PATIENCE,
            )
        except subprocess.TimeoutExpired:
            raise self._late() from None

    def _late(self) -> StoreError:
        message = f"SOPS did not answer within {_PATIENCE} s for {shown(self.path)}."
        return refuse(
            "sops-slow", message, "check the connection to your key service, or that your key needs no touch or PIN."
        )
