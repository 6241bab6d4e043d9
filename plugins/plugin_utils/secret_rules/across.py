# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules that look at more than one value: repeated ones, ones of other environments, ages, files."""

from __future__ import annotations

import datetime
import urllib.parse
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .finding import ERROR, WARNING, SecretFinding
from .kinds_url import TWIN, parse
from .policy import Policy
from .subject import new_value

_OTHERS_READ, _OTHERS_WRITE = 0o004, 0o002


@dataclass(frozen=True)
class FileFacts:
    """A file that holds secrets: ``mode`` as in stat, ``encrypted`` when nothing in it can be read without a key."""

    path: str
    mode: int
    encrypted: bool = False


def is_twin(name: str, names: Collection[str]) -> bool:
    """Whether a name is the percent-encoded form of another secret, and no secret of its own."""
    return name.endswith(TWIN) and name.removesuffix(TWIN) in names


def twins(texts: Mapping[str, str]) -> Iterator[SecretFinding]:
    """Percent-encoded forms that say something else than their secret."""
    for name in sorted(texts):
        plain = name.removesuffix(TWIN)
        if is_twin(name, texts) and urllib.parse.unquote(texts[name]) != texts[plain]:
            problem = f"{name} is not the percent-encoded form of {plain}."
            yield SecretFinding(name, "secret-url-mismatch", ERROR, problem, f"Remove {name}: it is made from {plain}.")


def duplicates(texts: Mapping[str, str], policy: Policy, environment: str) -> Iterator[SecretFinding]:
    """The same value under two names, unless the policy says that they may be the same."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in sorted(texts):
        if _is_own(name, texts, policy):
            groups[texts[name]].append(name)
    for names in groups.values():
        for index, name in enumerate(names):
            rule = policy.rule_for(name)
            for first in names[:index]:
                if first not in rule.same_as and name not in policy.rule_for(first).same_as:
                    problem = f"{name} has the same value as {first}. Who gets one of them has both."
                    hint = new_value(name, rule, environment)
                    yield SecretFinding(name, "secret-duplicate", ERROR, problem, hint)
                    break


def _is_own(name: str, texts: Mapping[str, str], policy: Policy) -> bool:
    """Whether a name stands for a secret of its own: no user name, no URL made of other secrets, no encoded twin."""
    kind = policy.rule_for(name).kind
    made = kind == "url" or (kind == "token" and parse(texts[name]) is not None)
    return kind != "text" and not made and not is_twin(name, texts)


def shared(
    texts: Mapping[str, str], others: Mapping[str, Mapping[str, Any]], policy: Policy, environment: str
) -> Iterator[SecretFinding]:
    """Values that another environment uses as well."""
    for other in sorted(others):
        theirs = {str.__str__(value).strip(): key for key, value in others[other].items() if isinstance(value, str)}
        for name in sorted(texts):
            found = parse(texts[name])
            secret = policy.rule_for(name).kind != "text" and not is_twin(name, texts)
            if secret and texts[name] in theirs and (found is None or found.password or "webhook" in texts[name]):
                problem = f"{name} has the same value as {theirs[texts[name]]} in the environment {other}."
                hint = new_value(name, policy.rule_for(name), environment)
                yield SecretFinding(name, "secret-shared-with-environment", ERROR, problem, hint)


def ages(
    names: Collection[str], policy: Policy, set_on: Mapping[str, Any], today: datetime.date, environment: str
) -> Iterator[SecretFinding]:
    """Secrets that are due for a new value. A warning: a deploy that is urgent must not wait for a rotation."""
    unknown: list[str] = []
    for name in sorted(names):
        rule = policy.rule_for(name)
        if rule.max_age_days is None or is_twin(name, names):
            continue
        since = _date(set_on.get(name))
        if since is None or since > today + datetime.timedelta(days=1):
            unknown.append(name)
        elif (today - since).days > rule.max_age_days:
            problem = f"{name} is {(today - since).days} days old. It should be renewed every {rule.max_age_days} days."
            yield SecretFinding(name, "secret-old", WARNING, problem, new_value(name, rule, environment))
    if unknown:
        # One line for all: five that say the same are a wall.
        listed = ", ".join(unknown)
        problem = f"The day on which these were set is not known, so nobody is told when they are due: {listed}."
        hint = "Write it (year-month-day) into stack_secrets_set_on; scripts/secrets does that by itself."
        yield SecretFinding(unknown[0] if len(unknown) == 1 else "", "secret-age-unknown", WARNING, problem, hint)


def _date(value: Any) -> datetime.date | None:
    if isinstance(value, datetime.datetime):
        return value.date()
    if isinstance(value, datetime.date):
        return value
    try:
        return datetime.datetime.fromisoformat(value.strip()).date() if isinstance(value, str) else None
    except ValueError:
        return None


def files(facts: Sequence[FileFacts]) -> Iterator[SecretFinding]:
    """Files whose secrets other users of the machine can read or change."""
    for file in facts:
        if file.mode & _OTHERS_READ and not file.encrypted:
            problem = f"{file.path} can be read by every user of this machine."
            yield SecretFinding("", "file-readable-by-others", ERROR, problem, f"Run: chmod 600 {file.path}")
        elif file.mode & _OTHERS_WRITE:
            problem = f"{file.path} can be changed by every user of this machine."
            yield SecretFinding("", "file-writable-by-others", ERROR, problem, f"Run: chmod 600 {file.path}")
