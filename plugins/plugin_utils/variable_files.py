# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Judges the files of variables of an inventory before Ansible reads them: it names no file when a vault is closed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import ERROR, Finding
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store import bounded

FOLDERS = ("group_vars", "host_vars")
# Ansible takes a file without an ending too.
SUFFIXES = ("", ".yml", ".yaml", ".json")
VAULT = b"$ANSIBLE_VAULT;"

# Gives the text of an encrypted file; None when no password that was given opens it.
Open = Callable[[bytes], bytes | None]


def judge_variable_files(sources: Iterable[Path], open_vault: Open, *, has_password: bool) -> list[Finding]:
    """Findings about every file of variables below inventory sources (files or folders): a line names what is wrong.

    No line of a file is shown: any of them may hold a secret.
    """
    return [
        finding
        for path in dict.fromkeys(_files(sources))
        for finding in _judge(path, open_vault, has_password=has_password)
    ]


def _files(sources: Iterable[Path]) -> Iterator[Path]:
    for source in sources:
        folder = source if source.is_dir() else source.parent
        for name in FOLDERS:
            for path in sorted((folder / name).rglob("*")):
                hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
                if path.suffix in SUFFIXES and path.is_file() and not hidden and not path.name.endswith("~"):
                    yield path


def _judge(path: Path, open_vault: Open, *, has_password: bool) -> Iterator[Finding]:
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or "it cannot be opened").lower()
        yield _finding("file-unreadable", path, f"{path} cannot be read: {reason}.", "Correct the rights of the file.")
        return
    if data.startswith(VAULT):
        opened = open_vault(data)
        if opened is None:
            yield _closed(path, has_password=has_password)
            return
        data = opened
    for problem in bounded.load(data, str(path)).problems:
        yield _finding(problem.rule, path, problem.message, problem.fix)


def _closed(path: Path, *, has_password: bool) -> Finding:
    if has_password:
        problem = f"{path} cannot be opened: the vault password that was given does not fit."
        fix = "Give the right one: --ask-vault-pass, or the file of another password: --vault-password-file FILE."
    else:
        problem = f"{path} is encrypted, and no vault password was given."
        fix = "Add --ask-vault-pass. Or set ANSIBLE_VAULT_PASSWORD_FILE to a file that holds the password."
    return _finding("vault-closed", path, problem, fix)


def _finding(rule: str, path: Path, message: str, fix: str) -> Finding:
    return Finding(rule, ERROR, "", message, fix[:1].upper() + fix[1:], str(path))
