# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judges secrets by their policy. What is not known counts as the worst case: no policy, no known environment."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import across, kinds_keys, kinds_known, kinds_random, kinds_url, words
from .across import FileFacts
from .finding import ERROR, WARNING, SecretFinding, in_order
from .kinds_url import TWIN
from .policy import Policy, read_policy
from .subject import UNKNOWN_ENVIRONMENT, Around, Subject, first_value
from .values import read

ENVIRONMENTS = ("production", "staging", "development", "test")
_LENIENT = frozenset({"development", "test"})
_SOFT = frozenset({"secret-weak", "secret-placeholder", "secret-duplicate", "secret-old"})
_DEEPEST, _MOST = 6, 5000

_KINDS: dict[str, Callable[[Subject], list[SecretFinding]]] = {
    "token": kinds_random.token,
    "password": kinds_random.password,
    "jwt_hs256": kinds_random.token,
    "aes_key_base64": kinds_random.aes_key_base64,
    "fernet": kinds_random.fernet,
    "hex": kinds_random.hexadecimal,
    "text": kinds_random.text,
    "url": kinds_url.url,
    "pem_private_key": kinds_keys.pem_private_key,
    "ssh_private_key": kinds_keys.ssh_private_key,
    "password_hash": kinds_known.password_hash,
    "anthropic_key": kinds_known.provider,
    "openai_key": kinds_known.provider,
    "discord_token": kinds_known.provider,
    "discord_webhook": kinds_known.provider,
    "slack_webhook": kinds_known.provider,
}


@dataclass(frozen=True)
class FileValue:
    """A value that was read from an env file."""

    path: str
    line: int
    name: str
    value: str = field(repr=False)


@dataclass(frozen=True)
class Request:
    """What to judge. The values are raw: whatever Ansible or a file gave. None of them is shown by ``repr``."""

    secrets: Any = field(default_factory=dict, repr=False)
    policy: Any = field(default_factory=dict)
    environment: Any = ""
    related: Any = field(default_factory=dict, repr=False)
    set_on: Any = field(default_factory=dict)
    others: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    files: Sequence[FileFacts] = ()
    today: datetime.date = field(default_factory=lambda: datetime.datetime.now(datetime.UTC).date())
    words: Collection[str] = ()
    file_values: Sequence[FileValue] = field(default=(), repr=False)


def judge(request: Request) -> list[SecretFinding]:
    """Every finding at once, errors first. Bad input of any sort is a finding, never an exception."""
    if not words.INSTALLED:
        problem = "The Python package zxcvbn is missing, so no secret can be judged."
        return [SecretFinding("", "package-missing", ERROR, problem, "Run: pip install -r requirements.lock")]
    policy, findings = read_policy(request.policy)
    name, unknown = environment(request.environment)
    findings += unknown
    shown = name or UNKNOWN_ENVIRONMENT
    secrets, wrong = _mapping(request.secrets, "secrets", "secrets-invalid")
    set_on, wrong_dates = _mapping(request.set_on, "set_on", "input-invalid")
    related, wrong_related = _mapping(request.related, "related", "input-invalid")
    findings += [*wrong, *wrong_dates, *wrong_related]

    texts: dict[str, str] = {}
    for secret in sorted(secrets):
        text, problems = read(secret, secrets[secret], policy.rule_for(secret.removesuffix(TWIN)), shown)
        findings += problems
        if text is not None:
            texts[secret] = text
    around = Around(shown, texts, dict(_flat(related)), request.today, frozenset(map(str, request.words)))
    for secret, text in texts.items():
        if not across.is_twin(secret, secrets):
            findings += _judge_one(secret, text, policy, around)
    findings += _judge_files(request.file_values, policy, around)
    findings += _missing(policy, secrets, shown)
    findings += across.twins(texts)
    findings += across.duplicates(texts, policy, shown)
    findings += across.shared(texts, request.others, policy, shown)
    findings += across.ages(secrets, policy, set_on, request.today, shown)
    findings += across.files(request.files)
    for key, value in _flat(related):
        findings += kinds_url.related(key, value, texts, policy.rule_for(key.split(".")[-1]).embeds)
    return in_order([_softer(finding) for finding in findings] if name in _LENIENT else findings)


def environment(raw: Any) -> tuple[str, list[SecretFinding]]:
    """The environment, "" with a warning when it is none that we know: then everything counts as in production."""
    name = str.__str__(raw).strip().lower() if isinstance(raw, str) else ""
    if name in ENVIRONMENTS:
        return name, []
    problem = "The environment is none of " + ", ".join(ENVIRONMENTS) + ". The secrets are judged as in production."
    return "", [SecretFinding("", "environment-unknown", WARNING, problem, "Correct the name of the environment.")]


def _softer(finding: SecretFinding) -> SecretFinding:
    return dataclasses.replace(finding, severity=WARNING) if finding.rule in _SOFT else finding


def _mapping(raw: Any, what: str, rule: str) -> tuple[dict[str, Any], list[SecretFinding]]:
    """The entries of a mapping whose names are text; what is wrong with it is a finding."""
    if raw is None:
        return {}, []
    if not isinstance(raw, Mapping):
        problem = f"{what} must be a mapping of names to values."
        return {}, [SecretFinding("", rule, ERROR, problem, f"Correct {what} in the inventory or in the task.")]
    known = {str.__str__(key): value for key, value in raw.items() if isinstance(key, str) and key}
    if len(known) == len(raw):
        return known, []
    problem = f"A name in {what} is empty or not text."
    return known, [SecretFinding("", rule, ERROR, problem, "Put the names in quotes.")]


def _judge_one(name: str, text: str, policy: Policy, around: Around, place: str = "") -> list[SecretFinding]:
    rule = policy.rule_for(name)
    subject = Subject(name, text, rule, words.own_words(name, around.words), around, place)
    return _KINDS[rule.kind](subject)


def _judge_files(values: Sequence[FileValue], policy: Policy, around: Around) -> Iterator[SecretFinding]:
    """Values in env files are secrets like the others; the same value under the same name is no second secret."""
    for value in values:
        place = f" ({value.path}, line {value.line})"
        text, problems = read(value.name, value.value, policy.rule_for(value.name), around.environment, place)
        yield from problems
        if text is not None:
            yield from _judge_one(value.name, text, policy, around, place)


def _missing(policy: Policy, secrets: Mapping[str, Any], shown: str) -> Iterator[SecretFinding]:
    for name in policy.required:
        if name not in secrets:
            hint = first_value(policy.exact[name], shown)
            yield SecretFinding(name, "secret-missing", ERROR, f"{name} is required, and it is not there.", hint)


def _flat(value: Any) -> Iterator[tuple[str, str]]:
    """Every text in a structure with its path. Bounded, so that one that holds itself does no harm."""
    waiting: list[tuple[str, Any, int]] = [("", value, 0)]
    seen = 0
    while waiting and seen < _MOST:
        path, item, depth = waiting.pop()
        seen += 1
        if isinstance(item, str):
            yield path, str.__str__(item)
        elif depth < _DEEPEST and isinstance(item, Mapping):
            pairs = ((f"{path}.{key}" if path else str(key), inner) for key, inner in item.items())
            waiting += [(key, inner, depth + 1) for key, inner in pairs][:_MOST]
        elif depth < _DEEPEST and isinstance(item, (list, tuple)):
            waiting += [(f"{path}[{index}]", inner, depth + 1) for index, inner in enumerate(item[:_MOST])]
