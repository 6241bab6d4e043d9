# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measured: every placeholder and weak value of the corpus is refused, and no random value is.

A part of it here; all of it with scripts/test corpus. With SECRETS_CORPUS_FRESH=1 the random values are new each time.
"""

from __future__ import annotations

import base64
import os
import random
import string
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_rules.judge import Request, judge

CORPUS = Path(__file__).parents[4] / "corpus" / "weak"
ALPHANUMERIC = string.ascii_letters + string.digits
EACH = int(os.environ.get("SECRETS_CORPUS", "250"))
FRESH = os.environ.get("SECRETS_CORPUS_FRESH") == "1"
# Reproducible by itself: about one random value in 16 million looks like a guessable one.
SOURCE: random.Random = random.SystemRandom() if FRESH else random.Random()  # noqa: S311 - no secret.
NAMES = ["V", "API_KEY", "POSTGRES_PASSWORD", "HYPERCODE_JWT_SECRET"]
WORDS = ["hypercode", "postgres", "redis", "grafana"]


def weak_values() -> list[str]:
    """Every value of the corpus."""
    lines = [line for file in sorted(CORPUS.glob("*.txt")) for line in file.read_text("utf-8").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def test_the_corpus_is_large_and_holds_each_value_once() -> None:
    values = weak_values()
    assert len(values) >= 400
    assert len(set(values)) == len(values)


@pytest.mark.parametrize("rule", [{"kind": "token"}, {"kind": "password"}, None])
def test_every_weak_value_is_refused(rule: dict[str, str] | None, record_property: Callable[..., None]) -> None:
    policy = {"V": rule} if rule else {}
    values = weak_values()
    passed = [value for value in values if not _errors("V", value, policy)]
    kind = rule["kind"] if rule else "default policy"
    record_property("figure", f"weak values refused|{kind} {len(values) - len(passed)} of {len(values)}")
    assert passed == []


def _errors(name: str, value: str, policy: object) -> list[str]:
    findings = judge(Request(secrets={name: value}, policy=policy, environment="production", words=WORDS))
    return [finding.rule for finding in findings if finding.severity == "error"]


def _letters(count: int, letters: str = ALPHANUMERIC) -> str:
    return "".join(SOURCE.choices(letters, k=count))


def _base64(count: int) -> str:
    return base64.b64encode(SOURCE.randbytes(count)).decode()


SHAPES: dict[str, Callable[[], str]] = {
    "openssl rand -hex 24": lambda: SOURCE.randbytes(24).hex(),
    "openssl rand -base64 24": lambda: _base64(24),
    "secrets.token_urlsafe(24)": lambda: base64.urlsafe_b64encode(SOURCE.randbytes(24)).decode().rstrip("="),
    "24 random letters and digits": lambda: _letters(24),
    "pwgen -s 32": lambda: _letters(32),
    "openssl rand -hex 32": lambda: SOURCE.randbytes(32).hex(),
    "openssl rand -base64 32": lambda: _base64(32),
    "openssl rand -hex 16": lambda: SOURCE.randbytes(16).hex(),
    "pwgen -sy 32": lambda: _letters(32, ALPHANUMERIC + "!#%&()*+,-./:;<=>?@[]^_{|}~"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_no_random_value_is_refused(shape: str, record_property: Callable[..., None]) -> None:
    if not FRESH:
        SOURCE.seed(f"{shape} 20261124")
    # Each value is judged under one name in turn.
    pairs = [(NAMES[number % len(NAMES)], SHAPES[shape]()) for number in range(EACH)]
    refused = [name for name, value in pairs if _errors(name, value, {})]
    record_property("figure", f"random values refused|{shape} {len(refused)} of {len(pairs)}")
    assert refused == []


def test_passwords_and_keys_drawn_at_random_fit_their_kinds() -> None:
    for _ in range(40):
        assert not _errors("V", _letters(24), {"V": {"kind": "password"}})
        assert not _errors("V", _letters(16), {"V": {"kind": "password"}})
        assert not _errors("V", _base64(32), {"V": {"kind": "aes_key_base64"}})
        assert not _errors("V", _base64(16), {"V": {"kind": "aes_key_base64"}})
        assert not _errors("V", _base64(32), {"V": {"kind": "jwt_hs256"}})
        assert not _errors("V", SOURCE.randbytes(32).hex(), {"V": {"kind": "jwt_hs256"}})
        assert not _errors("V", SOURCE.randbytes(16).hex(), {"V": {"kind": "hex"}})
        key = base64.urlsafe_b64encode(SOURCE.randbytes(32)).decode()
        assert not _errors("V", key, {"V": {"kind": "fernet"}})


def test_two_hundred_secrets_are_judged_in_no_time(record_property: Callable[..., None]) -> None:
    secrets = {f"KEY_{number}": _letters(24) for number in range(100)}
    secrets |= {f"LOGIN_{number}": _letters(14) for number in range(100)}
    policy = {"LOGIN_*": {"kind": "password"}}
    start = time.perf_counter()
    judge(Request(secrets=secrets, policy=policy, environment="production", words=WORDS))
    seconds = time.perf_counter() - start
    record_property("figure", f"time|validation of 200 secrets {seconds:.2f} s")
    # Measured: 0.2 s. The limit leaves room for a busy machine, and none for a rule that takes long for each secret.
    assert seconds < 10
