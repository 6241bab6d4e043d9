# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads files that hold secrets, on the controller: who may read them, and what an env file says."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.envfile import EnvFileError, parse_env
from ansible_collections.hypercode.deploy.plugins.plugin_utils.role_specs import SECRET_NAME
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store import bounded

from .across import FileFacts
from .finding import ERROR, WARNING, SecretFinding
from .judge import FileValue
from .kinds_url import parse
from .policy import Policy

_LARGEST = 2 * 1024 * 1024
_MOST_NODES = 50_000
_VAULT = b"$ANSIBLE_VAULT;"
_SOPS_VALUE = re.compile(r"ENC\[AES256_GCM,data:[^\]]*\]")
_YAML = frozenset({".yml", ".yaml", ".json"})
# Names that sound secret, but say where, how long, or which one.
_ABOUT = re.compile(r"_(FILE|PATH|DIR|TTL|SECONDS|MINUTES|HOURS|DAYS|EXPIRY|ALGORITHM|LENGTH|NAME|ID)$", re.IGNORECASE)


@dataclass
class Read:
    """What was learnt from a file."""

    facts: list[FileFacts] = field(default_factory=list)
    values: list[FileValue] = field(default_factory=list)
    findings: list[SecretFinding] = field(default_factory=list)

    def add(self, rule: str, problem: str, hint: str, severity: str = ERROR) -> None:
        """Note a finding that is about the file, not about one secret."""
        self.findings.append(SecretFinding("", rule, severity, problem, hint))


def read_file(path: str, policy: Policy) -> Read:
    """The facts of a file, the secrets in it when it is an env file, and what is wrong with it."""
    result = Read()
    data, mode = _content(path, result)
    if data is None:
        return result
    if data.startswith(_VAULT):
        result.facts.append(FileFacts(path, mode, encrypted=True))
    elif Path(path).suffix.lower() in _YAML:
        result.facts.append(FileFacts(path, mode, encrypted=_read_yaml(path, data, result)))
    else:
        result.facts.append(FileFacts(path, mode, encrypted=_read_env(path, data, policy, result)))
    return result


def _content(path: str, result: Read) -> tuple[bytes | None, int]:
    """The bytes of a regular file of a sane size. Opened without waiting, so that a pipe does not hold us up."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        reason = (error.strerror or "it cannot be opened").lower()
        result.add(
            "file-unreadable", f"{path} cannot be read: {reason}.", "Correct the path, or the rights to read it."
        )
        return None, 0
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        result.add("file-unreadable", f"{path} is no regular file.", "Name a file.")
        return None, 0
    with os.fdopen(handle, "rb") as stream:
        data = stream.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        result.add("file-unreadable", f"{path} is larger than 2 MiB.", "Name a file with secrets in it, nothing else.")
        return None, 0
    return data, stat.S_IMODE(status.st_mode)


def _read_env(path: str, data: bytes, policy: Policy, result: Read) -> bool:
    """Collect the secrets of an env file; whether SOPS has encrypted all of its values."""
    try:
        text = data.decode("utf-8")
        entries = parse_env(text)
    except UnicodeDecodeError:
        result.add("file-unreadable", f"{path} is not UTF-8 text.", "Save it as UTF-8.")
        return False
    except EnvFileError as error:
        problem = f"{path}, line {error.line}, cannot be read: {error}."
        result.add("file-unreadable", problem, "Correct this line.")
        return False
    if text.startswith("\ufeff"):
        problem = f"{path} begins with a byte order mark, which some readers take for a part of the first name."
        result.add("file-byte-order-mark", problem, "Save it as UTF-8 without BOM.", WARNING)
    if "\r\n" in text:
        problem = f"{path} has line ends of Windows, which some readers take for a part of each value."
        result.add("file-line-ends", problem, f"Run: sed -i 's/\\r$//' {path}", WARNING)
    values = [
        FileValue(path, one.line, one.name, one.text.replace("$$", "$")) for one in entries if one.text is not None
    ]
    first: dict[str, int] = {}
    for entry in entries:
        if entry.name not in first:
            first[entry.name] = entry.line
        else:
            problem = (
                f"{path}, line {entry.line}, sets {entry.name} again. It is set in line {first[entry.name]} already."
            )
            result.findings.append(
                SecretFinding(entry.name, "file-duplicate-name", ERROR, problem, "Remove one of the two lines.")
            )
    sops = "sops_mac" in first
    if sops and all(_SOPS_VALUE.fullmatch(value.value) for value in values if not value.name.startswith("sops_")):
        return True
    result.values += [value for value in values if _is_secret(value, policy)]
    return False


def _is_secret(value: FileValue, policy: Policy) -> bool:
    """Whether a variable of an env file is to be judged: by the policy, its name, or a password in it."""
    if policy.names(value.name):
        return True
    if SECRET_NAME.search(value.name):
        return not _ABOUT.search(value.name)
    found = parse(value.value)
    return found is not None and bool(found.password)


def _read_yaml(path: str, data: bytes, result: Read) -> bool:
    """Note duplicate names in a YAML file; whether SOPS has encrypted all of its values."""
    try:
        root = bounded.compose(data.decode("utf-8-sig"), path)
    except bounded.ProblemError as error:
        result.add("file-unreadable", error.problem.message, error.problem.fix)
        return False
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}," if mark else ""
        result.add("file-unreadable", f"{path}{line} is no correct YAML.", "Correct the file.")
        return False
    leaves: list[tuple[str, Any]] = []
    for top, node in _nodes(root):
        if isinstance(node, yaml.MappingNode):
            _duplicate_names(path, node, result)
        elif isinstance(node, yaml.ScalarNode):
            leaves.append((top, node.value))
    encrypted = [value for top, value in leaves if top != "sops"]
    has_mac = any(top == "sops" for top, _value in leaves)
    return has_mac and bool(encrypted) and all(not value or _SOPS_VALUE.fullmatch(value) for value in encrypted)


def _nodes(root: Any) -> Iterator[tuple[str, Any]]:
    """Each node once, with the name at the top that it stands under. A structure that holds itself comes to an end."""
    waiting: list[tuple[str, Any, bool]] = [("", root, True)]
    seen: set[int] = set()
    while waiting and len(seen) < _MOST_NODES:
        top, node, is_root = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield top, node
        if isinstance(node, yaml.MappingNode):
            waiting += [(str(key.value) if is_root else top, value, False) for key, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            waiting += [(top, item, False) for item in node.value]


def _duplicate_names(path: str, node: Any, result: Read) -> None:
    first: dict[str, int] = {}
    for key, _value in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.value == "<<":
            continue
        line = key.start_mark.line + 1
        if key.value not in first:
            first[key.value] = line
        else:
            problem = f"{path}, line {line}, sets {key.value} again. It is set in line {first[key.value]} already."
            result.findings.append(
                SecretFinding(key.value, "file-duplicate-name", ERROR, problem, "Remove one of the two lines.")
            )
