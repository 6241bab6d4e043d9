# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules about secrets in Compose files. No message ever holds a value: names and places only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .addresses import texts
from .addresses import words as one_line
from .rule import ERROR, WARNING, AuditRule, Example, Hit
from .view import Default, View
from .words import has_credentials, is_literal, is_switch, sounds_secret

_OPTION = re.compile(
    r"(?:^|\s)--?(?P<name>[\w.-]*(?:pass|password|passwd|requirepass|masterauth|secret|token|api-?key|secret-?key))(?:=|\s+)"
    r"(?P<value>(?!-)[^\s]+)",
    re.IGNORECASE,
)
_REFERENCE = re.compile(r"(?<!\$)(?:\$\$)*\$\{(\w+)")


def _secret_defaults(view: View) -> Iterator[Default]:
    """Defaults of what is a secret by its name or its use; secrets that the caller lists have a rule of their own."""
    for default in view.defaults:
        about = sounds_secret(default.name) or sounds_secret(default.key)
        if about and default.name not in view.context.secret_names:
            yield default


def _grouped(defaults: Iterator[Default]) -> Iterator[tuple[str, list[Default]]]:
    """By variable: anchors bring the same one into many services."""
    groups: dict[str, list[Default]] = {}
    for default in defaults:
        groups.setdefault(default.name, []).append(default)
    yield from groups.items()


def _owner(places: list[Default]) -> str | None:
    owners = {place.service for place in places}
    return owners.pop() if len(owners) == 1 else None


def _has_default(view: View) -> Iterator[Hit]:
    for name, places in _grouped(d for d in _secret_defaults(view) if d.word is None or not is_switch(d.word)):
        listed = ", ".join(dict.fromkeys(place.path for place in places))
        message = f"{name} is a secret with a default in the file, which everyone knows. It stands in {listed}."
        yield Hit(
            _owner(places), message, places[0].path, f"write ${{{name}:?}} there and list {name} in secret_names."
        )


def _empty_default(view: View) -> Iterator[Hit]:
    for name, places in _grouped(d for d in _secret_defaults(view) if d.word == ""):
        listed = ", ".join(dict.fromkeys(place.path for place in places))
        message = f"{name} is a secret that may be empty without anyone noticing. It stands in {listed}."
        yield Hit(
            _owner(places), message, places[0].path, f"write ${{{name}:?}} there and list {name} in secret_names."
        )


def _defaulted(view: View) -> set[tuple[str | None, str]]:
    return {(default.service, default.key) for default in _secret_defaults(view)}


def _in_environment(view: View) -> Iterator[Hit]:
    # What came from an env_file of the service was told when that was read.
    read = (f.message.split() for f in view.project.findings if f.rule == "env-file-secret")
    told = {*_defaulted(view), *((words[0].rstrip(":"), words[1]) for words in read)}
    found = []
    for name, service in view.services.items():
        for section, table in (("environment", service.get("environment")), ("build.args", _arguments(service))):
            found += [
                (name, str(key), f"services.{name}.{section}.{key}")
                for key, value in (table or {}).items()
                if (name, key) not in told and sounds_secret(str(key)) and is_literal(str(value or ""))
            ]
    for owner, whom, key, path in _once(view, found):
        message = f"{whom}: the value of {key} is written in clear, for everyone who can read the file."
        fix = f"write ${{{key}}} there, list {key} in secret_names, and give the value as a secret; then change it."
        yield Hit(owner, message, path, fix)


def _arguments(service: Mapping[str, Any]) -> Mapping[str, Any] | None:
    arguments = (service.get("build") or {}).get("args")
    return arguments if isinstance(arguments, dict) else None


def _in_url(view: View) -> Iterator[Hit]:
    told = _defaulted(view)
    found = [
        (name, label, path)
        for name, service in view.services.items()
        for label, text, path in texts(service, name)
        if (name, label) not in told and not sounds_secret(label) and has_credentials(text)
    ]
    for owner, whom, label, path in _once(view, found):
        yield Hit(owner, f"{whom}: a URL in {label} holds a password in clear.", path)


def _once(view: View, found: list[tuple[str, str, str]]) -> Iterator[tuple[str | None, str, str, str]]:
    """Each place of a file once: an anchor brings one line into many services. Service, its name(s), key and path."""
    places: dict[tuple[object, ...], list[tuple[str, str, str]]] = {}
    for name, key, path in found:
        file, line = view.project.locator.find(path)
        places.setdefault((key, file, line), []).append((name, key, path))
    for same in places.values():
        names = [name for name, _key, _path in same]
        yield names[0] if len(names) == 1 else None, ", ".join(names), same[0][1], same[0][2]


def _in_command(view: View) -> Iterator[Hit]:
    for name, service in view.services.items():
        for key, text in (("command", service.get("command")), ("entrypoint", service.get("entrypoint"))):
            for match in _OPTION.finditer(one_line(text)):
                value = match["value"].strip("'\"")
                if is_literal(value) and "$" not in value and not value.isdigit():
                    message = f"{name}: the value behind --{match['name'].lstrip('-')} in {key} is written in clear."
                    yield Hit(name, message, f"services.{name}.{key}")


def _on_command_line(view: View) -> Iterator[Hit]:
    for name, service in view.services.items():
        places = {key: one_line(service.get(key)) for key in ("command", "entrypoint")}
        places["healthcheck.test"] = one_line((service.get("healthcheck") or {}).get("test"))
        for key, text in places.items():
            secrets = set(view.context.secret_names)
            found = sorted({ref for ref in _REFERENCE.findall(text) if ref in secrets or sounds_secret(ref)})
            if found:
                message = f"{name}: {key} puts {', '.join(found)} on a command line, where every process list shows it."
                yield Hit(name, message, f"services.{name}.{key}")


def _env(line: str, **options: list[str]) -> Example:
    return Example(f'services:\n  web:\n    image: "web:1"\n    {line}\n', options=options)


_GOOD = _env('environment: {API_TOKEN: "${API_TOKEN:?}"}', secret_names=["API_TOKEN"])

RULES = (
    AuditRule(
        "secret-has-default",
        ERROR,
        "A secret has a default value in the file.",
        "When the real one is missing, the service starts with a password that everyone can read.",
        "write ${NAME:?} and list the name in secret_names.",
        bad=_env('environment: {API_TOKEN: "${API_TOKEN:-changeme}"}'),
        good=_GOOD,
        check=_has_default,
    ),
    AuditRule(
        "secret-empty-default",
        WARNING,
        "A secret has an empty default.",
        "When it is missing, the service starts without it, and nobody is told.",
        "write ${NAME:?} and list the name in secret_names; if it is optional, ignore this rule with that reason.",
        bad=_env('environment: {API_TOKEN: "${API_TOKEN:-}"}'),
        good=_GOOD,
        check=_empty_default,
    ),
    AuditRule(
        "secret-in-environment",
        ERROR,
        "A secret is written in clear.",
        "It lies in every clone, backup and log of the file, and in the file of the release.",
        "write ${NAME}, list the name in secret_names and give the value as a secret; then change it.",
        bad=_env("environment: {API_TOKEN: not-a-real-one-4711}"),
        good=_GOOD,
        check=_in_environment,
    ),
    AuditRule(
        "secret-in-url",
        ERROR,
        "A URL holds a password in clear.",
        "It lies in every clone, backup and log of the file. A password with @ : / or ? also breaks the URL.",
        "write ${NAME_URLENCODED} in place of the password, and give NAME as a secret.",
        bad=_env('environment: {DB_URL: "postgres://web:not-a-real-one@db:5432/web"}'),
        good=_env(
            'environment: {DB_URL: "postgres://web:${DB_PASSWORD_URLENCODED}@db:5432/web"}',
            secret_names=["DB_PASSWORD_URLENCODED"],
        ),
        check=_in_url,
    ),
    AuditRule(
        "secret-in-command",
        ERROR,
        "A command holds a secret in clear.",
        "Besides the file, every process list on the host shows it.",
        "give it as an environment variable or a file that the program reads.",
        bad=_env("command: server --password not-a-real-one"),
        good=_env("command: server --password-file /run/secrets/password"),
        check=_in_command,
    ),
    AuditRule(
        "secret-on-command-line",
        WARNING,
        "A secret is put on a command line.",
        "Every process list on the host, and docker inspect, show it.",
        "give it as an environment variable or a file; redis-cli reads REDISCLI_AUTH, psql reads PGPASSWORD.",
        bad=_env('command: "server --password ${DB_PASSWORD}"', secret_names=["DB_PASSWORD"]),
        good=_env('environment: {DB_PASSWORD: "${DB_PASSWORD}"}', secret_names=["DB_PASSWORD"]),
        check=_on_command_line,
    ),
)
