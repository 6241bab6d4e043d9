# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Kinds with a public shape: keys and webhooks of providers, and password hashes."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from .finding import SecretFinding
from .subject import Subject

_RANDOM_BITS = 128.0


@dataclass(frozen=True)
class _Shape:
    """``pattern`` has the random part in the group ``random``; ``told`` says it in words."""

    pattern: re.Pattern[str]
    told: str
    issuer: str


_SHAPES = {
    "anthropic_key": _Shape(
        re.compile(r"sk-ant-(?:[a-z]{2,10}\d{2}-)?(?P<random>[A-Za-z0-9_-]{40,200})"),
        "sk-ant- and at least 40 letters, digits, - or _",
        "Anthropic's console",
    ),
    "openai_key": _Shape(
        re.compile(r"sk-(?!ant-)(?:(?:proj|svcacct|admin|None)-)?(?P<random>[A-Za-z0-9_-]{40,300})"),
        "sk- or sk-proj- and at least 40 letters, digits, - or _",
        "OpenAI's platform page",
    ),
    "discord_token": _Shape(
        re.compile(r"(?P<id>[A-Za-z0-9_-]{22,30})\.[A-Za-z0-9_-]{6,7}\.(?P<random>[A-Za-z0-9_-]{27,50})"),
        "three parts with a dot between them, the first one the number of the bot in base64",
        "Discord's developer portal, Bot, Reset Token",
    ),
    "discord_webhook": _Shape(
        re.compile(
            r"https://(?:canary\.|ptb\.)?discord(?:app)?\.com/api/(?:v\d{1,2}/)?webhooks/\d{17,20}/"
            r"(?P<random>[A-Za-z0-9_-]{60,90})"
        ),
        "https://discord.com/api/webhooks/, a number, a slash and at least 60 letters, digits, - or _",
        "the channel's settings in Discord, Integrations",
    ),
    "slack_webhook": _Shape(
        re.compile(
            r"https://hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/[A-Z0-9]{8,15}/[A-Z0-9]{8,20}/"
            r"(?:\d{8,25}/)?(?P<random>[A-Za-z0-9]{20,40})"
        ),
        "https://hooks.slack.com/services/, T..., B... and 24 letters and digits, with slashes between them",
        "the settings of your Slack app, Incoming Webhooks",
    ),
}
# Slack's random part has 24 letters and digits; a Discord token's 27 or more.
_HASHES = (
    (re.compile(r"\$2[aby]\$(?P<cost>\d\d)\$(?P<random>[./A-Za-z0-9]{53})"), 10, "bcrypt with a cost of 10 or more"),
    (
        re.compile(r"\$6\$(?:rounds=(?P<cost>\d{1,9})\$)?[./A-Za-z0-9]{1,16}\$(?P<random>[./A-Za-z0-9]{86})"),
        5000,
        "sha512-crypt with 5000 rounds or more",
    ),
    (
        re.compile(
            r"\$argon2(?:id|i|d)\$(?:v=\d+\$)?m=(?P<cost>\d{1,9}),t=(?P<time>\d{1,4}),p=\d{1,4}\$"
            r"[A-Za-z0-9+/]{11,}\$(?P<random>[A-Za-z0-9+/]{21,})"
        ),
        7168,
        "argon2 with 7168 KiB of memory or more, and 5 passes below 19456 KiB, else 2",
    ),
)
_DEFAULT_ROUNDS = 5000
_BCRYPT_SALT = 22


def provider(subject: Subject) -> list[SecretFinding]:
    """A key or webhook of a provider: its shape, and a random part that is random."""
    shape = _SHAPES[subject.rule.kind]
    hint = f"Get a new one ({shape.issuer}), then run: scripts/secrets edit {subject.around.environment}"
    match = shape.pattern.fullmatch(subject.value)
    if match is None:
        known = subject.strength(subject.value, _RANDOM_BITS)
        if known and known[0].rule == "secret-placeholder":
            return [subject.finding("secret-placeholder", "holds a placeholder, not a real value.", hint)]
        return [subject.malformed(f"does not look like one. Its shape is: {shape.told}.", hint)]
    findings = subject.strength(match["random"], _RANDOM_BITS, "random part")
    if not findings:
        findings = subject.stands_out()
    if not findings and "id" in match.groupdict() and not _is_number(match["id"]):
        return [subject.malformed(f"does not look like one. Its shape is: {shape.told}.", hint)]
    return [subject.finding(found.rule, found.message.split(" ", 1)[1], hint) for found in findings]


def _is_number(text: str) -> bool:
    try:
        number = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return False
    return number.isdigit() and 15 <= len(number) <= 21


def password_hash(subject: Subject) -> list[SecretFinding]:
    """A hash of a known sort that is slow enough to compute."""
    hint = (
        f"Make a new hash, such as: htpasswd -nBC 12 NAME, then run: scripts/secrets edit {subject.around.environment}"
    )
    for pattern, least, told in _HASHES:
        match = pattern.fullmatch(subject.value)
        if match is None:
            continue
        cost = int(match["cost"]) if match["cost"] else _DEFAULT_ROUNDS
        cheap = cost < least
        if "time" in match.groupdict():
            cheap = cheap or int(match["time"]) < (2 if cost >= 19456 else 5)
        if cheap:
            problem = f"is a hash that is too quick to compute, so guessing is cheap. Wanted: {told}."
            return [subject.finding("secret-weak", problem, hint)]
        found = subject.strength(match["random"], 100.0)
        return [subject.finding("secret-placeholder", "is a sample of a hash, not a real one.", hint)] if found else []
    known = subject.strength(subject.value, _RANDOM_BITS)
    if known and known[0].rule == "secret-placeholder":
        return [subject.finding("secret-placeholder", "holds a placeholder, not a hash.", hint)]
    wanted = "; ".join(told for _pattern, _least, told in _HASHES)
    return [subject.malformed(f"is no password hash that is safe to use. Known are: {wanted}.", hint)]
