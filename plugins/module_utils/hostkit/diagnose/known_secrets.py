# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""All secrets that this host knows, read where roles and releases put them. They are never written anywhere."""

from __future__ import annotations

import base64
import json
import os
import re
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ..certificates.wanted import Paths as CertificatePaths
from ..compose.envfile import EnvFileError, load_env
from .bounded import read_bounded
from .patterns import is_secret_name, values_in

# A secret is small: what is larger is read so far.
_MOST = 2**20
_KEYS_MOST = 1000
_LINE = 16
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_KEY = b"PRIVATE KEY"
# Folders and files whose whole content is a secret.
_WHOLE = re.compile(r"(?:^|/)secrets?/|(?:password|passwd|secret|token|credential|webhook)[^/]*$", re.IGNORECASE)
_WORD = re.compile(r"[a-z]{1,9}|\W*|.{1,5}", re.DOTALL)
_HASH = re.compile(r"\$[\w-]{1,12}\$[\w./+=,$-]{16,}")
# Words that stand everywhere, and are no secret wherever they stand.
WORDS = (
    *(
        "hypercode",
        "postgres",
        "postgresql",
        "redis",
        "grafana",
        "prometheus",
        "alertmanager",
        "caddy",
        "docker",
        "admin",
    ),
    *("root", "user", "true", "false", "none", "null", "local", "localhost", "default", "production", "backup", "main"),
)


@dataclass
class Found:
    """Pairs of name and value; words that are no secret; and the places that could not be read, with the reason.

    ``projects`` are the Compose projects that are deployed here.
    """

    secrets: set[tuple[str, str]] = field(default_factory=set)
    projects: set[str] = field(default_factory=set)
    words: set[str] = field(default_factory=lambda: set(WORDS))
    unread: list[str] = field(default_factory=list)

    def add(self, values: Iterable[tuple[str, str]]) -> None:
        """Take them; one of several lines counts as a whole too."""
        self.secrets |= {(name, value) for name, value in values if value.strip()}


def read_secrets(root: Path) -> Found:
    """Read them all. A place that is not there has none; one that cannot be read is named in the result."""
    found = Found()
    etc, releases = root / "etc/hypercode", root / "opt/hypercode/releases"
    for path in _glob(found, releases, "*"):
        _take(found, path / "env", _env)
        _take(found, path / "compose.yaml", guessed_in)
        _take(found, path / "model.json", partial(_model, root))
        _take(found, path / "release.json", partial(_names, found))
    for path in (etc / "docker/config.json", root / "root/.docker/config.json"):
        _take(found, path, _logins)
    _take(found, etc / "backup.json", partial(_backup, root))
    _take(found, etc / "edge/dns.env", _lines_of_env)
    _take(found, etc / "edge/users.caddy", _hashes)
    _take(found, etc / "edge/certificates.json", partial(_given_keys, root))
    handled = {etc / "docker/config.json", etc / "backup.json", etc / "edge/dns.env"}
    for path in _glob(found, etc, "**/*"):
        if not path.is_file() or path in handled:
            continue
        if is_secret_file(path, etc):
            _take(found, path, _whole)
        elif not path.stat().st_mode & 0o004:
            _take(found, path, _settings)
    for folder in (root / "var/lib/caddy", root / "etc/ssh"):
        for number, path in enumerate(_glob(found, folder, "**/*key")):
            if number < _KEYS_MOST and path.is_file():
                _take(found, path, _settings)
    found.add((name, value) for name, value in os.environ.items() if is_secret_name(name))
    return found


def is_secret_file(path: Path, etc: Path) -> bool:
    """Whether the whole content of a file below /etc/hypercode is a secret."""
    return _WHOLE.search(str(path.relative_to(etc))) is not None or path.is_relative_to(etc / "backup")


def secrets_of_environment(environment: Iterable[str]) -> Iterator[tuple[str, str]]:
    """What looks like a secret in the environment of a container, as ``NAME=value``."""
    for entry in environment:
        name, _sign, value = entry.partition("=")
        if is_secret_name(name) and not value.startswith("/") and not _WORD.fullmatch(value):
            yield name, value
        yield from ((inner or name, text) for inner, text in guessed_in(value))


def _glob(found: Found, folder: Path, pattern: str) -> list[Path]:
    try:
        # Releases that are being written count too: their names begin with a point.
        return sorted(folder.glob(pattern))
    except OSError as error:
        found.unread.append(f"{folder}: {error.strerror}")
        return []


def _take(found: Found, path: Path, read: Callable[[str], Iterable[tuple[str, str]]]) -> None:
    try:
        data, _whole = read_bounded(path, limit=_MOST)
        found.add(read(data.decode("utf-8", errors="replace")))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        found.unread.append(f"{path}: {error.strerror or error}")


def _env(text: str) -> Iterator[tuple[str, str]]:
    try:
        pairs: Iterable[tuple[str, str]] = load_env(text).items()
    except (EnvFileError, ValueError):
        pairs = _lines_of_env(text)
    for name, value in pairs:
        yield name, value
        # The password in an address counts by itself too.
        for _form, inside in guessed_in(value):
            yield from (("", inside), ("", urllib.parse.unquote(inside)))


def _lines_of_env(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, _sign, value = line.partition("=")
        yield name.strip(), value.strip()
        yield name.strip(), value.strip().strip("'\"")


def _json(text: str) -> Any:
    """A document; None where it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def _strings(text: str) -> Iterator[tuple[str, str]]:
    """Every longer string of a document that cannot be read as one: rather too much than too little."""
    for match in _STRING.finditer(text):
        if len(match[1]) >= 8:
            yield "", match[1]


def _logins(text: str) -> Iterator[tuple[str, str]]:
    document = _json(text)
    if not isinstance(document, dict):
        yield from _strings(text)
        return
    for login in _mappings(document.get("auths")):
        yield from (
            (key, str(login[key])) for key in ("auth", "password", "identitytoken", "registrytoken") if key in login
        )
        try:
            decoded = base64.b64decode(str(login.get("auth") or ""), validate=False).decode()
        except ValueError:
            continue
        yield "password", decoded.partition(":")[2]
    headers = document.get("HttpHeaders")
    yield from ((str(key), str(value)) for key, value in (headers if isinstance(headers, dict) else {}).items())


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    yield from (entry for entry in values if isinstance(entry, dict))


def _backup(root: Path, text: str) -> Iterator[tuple[str, str]]:
    document = _json(text)
    if not isinstance(document, dict):
        yield from _strings(text)
        return
    for repository in _mappings(document.get("repositories")):
        environment = repository.get("environment")
        yield from (
            (str(name), str(value)) for name, value in (environment if isinstance(environment, dict) else {}).items()
        )
        yield from guessed_in(str(repository.get("url") or ""))
        yield from _file(root, repository.get("password_file"))


def _model(root: Path, text: str) -> Iterator[tuple[str, str]]:
    """The secrets of a Compose project: those in files, those that stand in it, and environments."""
    document = _json(text)
    if not isinstance(document, dict):
        return
    for secret in _mappings(document.get("secrets")):
        yield from _file(root, secret.get("file"))
        if secret.get("content"):
            yield from _whole(str(secret["content"]))
    for service in _mappings(document.get("services")):
        environment = service.get("environment")
        if isinstance(environment, dict):
            pairs = (f"{name}={value}" for name, value in environment.items() if "${" not in str(value))
            yield from secrets_of_environment(pairs)


def _given_keys(root: Path, text: str) -> Iterator[tuple[str, str]]:
    for entry in _mappings(_json(text)):
        yield from _file(CertificatePaths(root).root, entry.get("key_file"))


def _file(root: Path, path: Any) -> Iterator[tuple[str, str]]:
    """The content of a file that a setting names. It may be gone."""
    if path and isinstance(path, str):
        inner = Found()
        _take(inner, root / path.lstrip("/"), _whole)
        if inner.unread:
            raise OSError(0, inner.unread[0])
        yield from inner.secrets


def _names(found: Found, text: str) -> Iterable[tuple[str, str]]:
    """The names of project and services are words that stand everywhere. No secret is in here."""
    document = _json(text)
    if isinstance(document, dict):
        services = document.get("services")
        found.projects.add(str(document.get("project") or "hypercode"))
        found.words |= found.projects
        found.words |= {str(name) for name in (services if isinstance(services, dict) else {})}
    return ()


def _whole(text: str) -> Iterator[tuple[str, str]]:
    """A file that is a secret: all of it, each line, and the last part of an address."""
    yield "", text.strip()
    for line in text.splitlines():
        if not line.startswith("-----"):
            yield "", line.strip()
            name, equals, value = line.partition("=")
            if equals and re.fullmatch(r"\w+", name):
                yield name, value.strip().strip("'\"")
        if "://" in line and len(line.rstrip("/").rpartition("/")[2]) >= _LINE // 2:
            yield "", line.strip().rstrip("/").rpartition("/")[2]
    yield from guessed_in(text)


def _settings(text: str) -> Iterator[tuple[str, str]]:
    """Some file of settings: what looks like a secret in it; of a private key, every line."""
    if _KEY.decode() in text:
        yield from (
            ("", line.strip()) for line in text.splitlines() if len(line) >= _LINE and not line.startswith("-----")
        )
    elif "\0" not in text:
        yield from guessed_in(text)
        yield from _hashes(text)


def _hashes(text: str) -> Iterator[tuple[str, str]]:
    yield from (("", match[0]) for match in _HASH.finditer(text))


def guessed_in(text: str) -> Iterator[tuple[str, str]]:
    """What looks like a secret in settings. A plain word does not: it is masked behind its name only."""
    yield from ((name, value) for name, value in values_in(text) if not _WORD.fullmatch(value))
