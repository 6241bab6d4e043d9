# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keys and webhooks of providers, and password hashes. All values are made up here."""

from __future__ import annotations

import base64
import random
import string

import pytest

from .conftest import Judge

LETTERS = string.ascii_letters + string.digits
SOURCE = random.Random(7)  # noqa: S311 - no secret.


def rand(count: int, letters: str = LETTERS) -> str:
    return "".join(SOURCE.choices(letters, k=count))


BOT = base64.urlsafe_b64encode(b"1134526790" + b"83746215").decode().rstrip("=")
GOOD = {
    "anthropic_key": [f"sk-ant-api03-{rand(93, LETTERS + '-_')}AA", f"sk-ant-{rand(48)}", f"sk-ant-admin01-{rand(90)}"],
    "openai_key": [f"sk-{rand(48)}", f"sk-proj-{rand(120, LETTERS + '-_')}", f"sk-svcacct-{rand(60)}"],
    "discord_token": [f"{BOT}.{rand(6)}.{rand(38)}", f"{BOT}.{rand(6)}.{rand(27)}"],
    "discord_webhook": [
        f"https://discord.com/api/webhooks/1134526790837462{rand(2, '123')}/{rand(68, LETTERS + '-_')}",
        f"https://canary.discord.com/api/v10/webhooks/113452679083746215/{rand(68)}",
    ],
    "slack_webhook": [f"https://hooks.slack.com/services/T0{rand(8).upper()}/B0{rand(8).upper()}/{rand(24)}"],
}
BAD = {
    "anthropic_key": [
        ("sk-ant-api03-" + rand(20), "malformed"),
        ("sk-" + rand(48), "malformed"),
        (rand(100), "malformed"),
        ("sk-ant-placeholder" + "-placeholder" * 6, "placeholder"),
        ("sk-ant-api03-" + "x" * 95, "placeholder"),
        ("sk-ant-api03-" + "abcdefghij" * 9 + "abcAA", "weak"),
        ("sk-ant-api03-your-anthropic-api-key-goes-here-please-replace-me-now", "placeholder"),
        ("sk-ant-xxx", "placeholder"),
        ("changeme", "placeholder"),
        ("${ANTHROPIC_API_KEY}", "placeholder"),
    ],
    "openai_key": [
        ("sk-ant-api03-" + rand(90), "malformed"),
        ("sk-" + rand(20), "malformed"),
        ("sk-placeholder", "placeholder"),
        ("sk-proj-" + "2468013579" * 5, "weak"),
        ("sk-proj-" + "your-openai-key-" * 4, "placeholder"),
    ],
    "discord_token": [
        (f"{BOT}.{rand(6)}.{'x' * 38}", "placeholder"),
        (f"{rand(24)}.{rand(6)}.{rand(38)}", "malformed"),
        (rand(59), "malformed"),
        ("your-bot-token-here", "placeholder"),
    ],
    "discord_webhook": [
        (f"https://discord.com/api/webhooks/113452679083746215/{'x' * 68}", "placeholder"),
        (f"http://discord.com/api/webhooks/113452679083746215/{rand(68)}", "malformed"),
        (f"https://discord.com.example.com/api/webhooks/113452679083746215/{rand(68)}", "malformed"),
        ("https://discord.com/api/webhooks/your-id/your-token", "placeholder"),
    ],
    "slack_webhook": [
        ("https://hooks.slack.com/services/T00000000/B00000000/" + "X" * 24, "placeholder"),
        (f"https://hooks.slack.com/services/{rand(24)}", "malformed"),
        ("https://hooks.slack.com/services/YOUR/WEBHOOK/URL", "placeholder"),
    ],
}


@pytest.mark.parametrize("kind", GOOD)
def test_keys_of_providers(judged: Judge, kind: str) -> None:
    for value in GOOD[kind]:
        assert judged({"V": value}, {"V": {"kind": kind}}) == []
        assert judged({"V": value}, {"V": {"kind": "token"}}) == []


@pytest.mark.parametrize("kind", BAD)
def test_what_is_none(judged: Judge, kind: str) -> None:
    for number, (value, rule) in enumerate(BAD[kind]):
        (finding,) = judged({"V": value}, {"V": {"kind": kind}})
        assert finding.rule == f"secret-{rule}", number
        # Nobody but the provider can make another one.
        assert "scripts/secrets edit production" in finding.hint
        assert finding.message.count("V ") == 1


SALT, DIGEST = "q7ZvK3xWrM9pLb2HcN6dYs", "J8tQk1VwXzR4mB7nCg5hDfLpS0y.Eua"
HASHES = [
    (f"$2b$12${SALT}{DIGEST}", ""),
    (f"$2y$10${SALT}{DIGEST}", ""),
    (f"$2b$09${SALT}{DIGEST}", "weak"),
    (f"$2b$12${SALT}{DIGEST[:-1]}", "malformed"),
    ("$2b$12$" + "x" * 53, "placeholder"),
    (f"$6$rounds=656000${SALT[:16]}${DIGEST}{DIGEST[::-1]}{SALT}ab", ""),
    (f"$6${SALT[:16]}${DIGEST}{DIGEST[::-1]}{SALT}ab", ""),
    (f"$6$rounds=1000${SALT[:16]}${DIGEST}{DIGEST[::-1]}{SALT}ab", "weak"),
    (f"$argon2id$v=19$m=65536,t=3,p=4${SALT}${SALT[::-1]}Zk3vQ8wXr1", ""),
    (f"$argon2id$v=19$m=19456,t=2,p=1${SALT}${SALT[::-1]}Zk3vQ8wXr1", ""),
    (f"$argon2id$v=19$m=4096,t=3,p=1${SALT}${SALT[::-1]}Zk3vQ8wXr1", "weak"),
    (f"$argon2id$v=19$m=9216,t=3,p=1${SALT}${SALT[::-1]}Zk3vQ8wXr1", "weak"),
    (f"$1${SALT[:8]}${SALT}", "malformed"),
    (f"$apr1${SALT[:8]}${SALT}", "malformed"),
    ("vT4kQz9LmXc2Rw7NpJ5bYd8G", "malformed"),
    ("changeme", "placeholder"),
]


@pytest.mark.parametrize(("value", "rule"), HASHES)
def test_password_hashes(judged: Judge, value: str, rule: str) -> None:
    findings = judged({"V": value}, {"V": {"kind": "password_hash"}})
    assert [finding.rule for finding in findings] == ([f"secret-{rule}"] if rule else [])
