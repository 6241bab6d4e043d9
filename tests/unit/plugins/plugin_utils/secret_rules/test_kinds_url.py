# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""URLs: they parse, are percent-encoded, and agree with the secrets that they embed."""

from __future__ import annotations

import urllib.parse
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_rules.kinds_url import parse
from hypothesis import given
from hypothesis import strategies as st

from .conftest import Judge

HARD = "vT4k@z9L/Xc2:w7N?J5b#d8G%x"
EASY = "vT4kQz9LmXc2Rw7NpJ5bYd8G"
QUOTED = urllib.parse.quote(HARD, safe="")
POLICY: dict[str, Any] = {"PW": {"kind": "password"}, "URL": {"kind": "url", "embeds": {"password": "PW"}}}


def found(judged: Judge, url: str, password: str = EASY, policy: Any = None) -> list[str]:
    return [finding.rule for finding in judged({"PW": password, "URL": url}, policy or POLICY)]


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://hypercode:{EASY}@postgres:5432/hypercode",
        f"postgresql+asyncpg://hypercode:{EASY}@postgres/hypercode?sslmode=require",
        f"redis://:{EASY}@redis:6379/0",
        f"mongodb://u:{EASY}@a:27017,b:27017/x",
        f"redis://:{EASY}@[::1]:6379/0",
    ],
)
def test_urls_that_agree(judged: Judge, url: str) -> None:
    assert found(judged, url) == []


def test_a_password_with_signs_is_percent_encoded(judged: Judge) -> None:
    assert found(judged, f"postgresql://u:{QUOTED}@db/x", HARD) == []
    (finding,) = judged({"PW": HARD, "URL": f"postgresql://u:{HARD}@db/x"}, POLICY)
    assert finding.rule == "secret-url-encoding"
    assert "PW_URLENCODED" in finding.hint


@pytest.mark.parametrize("sign", ["@", ":", "/", "?", "#", " ", "%", "[", '"', "{"])
def test_each_sign_that_breaks_an_url(judged: Judge, sign: str) -> None:
    password = f"vT4kQz9LmXc2{sign}Rw7NpJ5bYd8G"
    assert found(judged, f"redis://u:{password}@db:6379/0", password) != []
    assert found(judged, f"redis://u:{urllib.parse.quote(password, safe='')}@db:6379/0", password) == []


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("redis://redis:6379/0", "secret-url-mismatch"),
        ("redis://:hR8wZc3NfKq6Xv1TjPm5LsYb@redis:6379/0", "secret-url-mismatch"),
        (f"redis://:{EASY}@:6379/0", "secret-malformed"),
        (f"redis://:{EASY}@", "secret-malformed"),
        (f"redis://:{EASY}@redis:port/0", "secret-malformed"),
        (f"redis://:{EASY}@redis:70000/0", "secret-malformed"),
        (EASY, "secret-malformed"),
        ("zq81:6379", "secret-malformed"),
        ("your-database-url-here", "secret-placeholder"),
        ("redis://:${REDIS_PASSWORD}@redis:6379/0", "secret-placeholder"),
    ],
)
def test_urls_that_are_refused(judged: Judge, url: str, rule: str) -> None:
    assert rule in found(judged, url)


def test_the_user_name_is_compared_too(judged: Judge) -> None:
    policy = {**POLICY, "URL": {"kind": "url", "embeds": {"username": "U", "password": "PW"}}, "U": {"kind": "text"}}
    secrets = {"PW": EASY, "U": "hypercode", "URL": f"postgresql://hypercode:{EASY}@db/x"}
    assert judged(secrets, policy) == []
    assert [finding.rule for finding in judged({**secrets, "U": "other"}, policy)] == ["secret-url-mismatch"]


def test_embedding_a_secret_that_is_not_there(judged: Judge) -> None:
    findings = judged({"URL": f"redis://:{EASY}@redis/0"}, {"URL": POLICY["URL"]})
    assert [finding.rule for finding in findings] == ["secret-url-mismatch"]


def test_a_password_of_its_own_is_judged(judged: Judge) -> None:
    policy = {"URL": {"kind": "url"}}
    assert [f.rule for f in judged({"URL": "postgresql://u:changeme@db/x"}, policy)] == ["secret-placeholder"]
    assert judged({"URL": f"postgresql://u:{EASY}@db/x"}, policy) == []
    assert judged({"URL": "http://ollama:11434"}, policy) == []


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        (f"redis://:{EASY}@redis:6379/0", ""),
        ("redis://:${REDIS_PASSWORD}@redis:6379/0", ""),
        ("redis://:${REDIS_PASSWORD_URLENCODED:?}@redis:6379/0", ""),
        ("postgresql://u:${POSTGRES_PASSWORD_URLENCODED}@postgres/x", ""),
        ("http://ollama:11434/api", ""),
        ("no url", ""),
        ("postgresql://u:${POSTGRES_PASSWORD}@postgres/x", "secret-url-encoding"),
        ("redis://:${REDIS_PASS}@redis:6379/0", "secret-url-mismatch"),
        (f"postgresql://u:{EASY}@postgres/x", "secret-url-mismatch"),
        ("amqp://u:hR8wZc3NfKq6Xv1TjPm5LsYb@queue/x", "secret-url-mismatch"),
        (f"postgresql://u:{HARD}@postgres/x", "secret-url-encoding"),
    ],
)
def test_urls_beside_the_secrets(judged: Judge, url: str, rule: str) -> None:
    secrets = {"REDIS_PASSWORD": EASY, "POSTGRES_PASSWORD": HARD}
    for related in ({"SOME_URL": url}, {"web": {"environment": [{"SOME_URL": url}]}}):
        findings = judged(secrets, related=related)
        assert [finding.rule for finding in findings] == ([rule] if rule else [])


def test_the_policy_can_say_which_secret_an_url_embeds(judged: Judge) -> None:
    policy = {"CACHE": {"kind": "url", "required": False, "embeds": {"password": "B"}}}
    secrets = {"A": EASY, "B": "hR8wZc3NfKq6Xv1TjPm5LsYb"}
    findings = judged(secrets, policy, related={"CACHE": f"redis://:{EASY}@cache"})
    assert [(finding.secret, finding.rule) for finding in findings] == [("CACHE", "secret-url-mismatch")]
    assert judged(secrets, policy, related={"CACHE": "redis://:hR8wZc3NfKq6Xv1TjPm5LsYb@cache"}) == []
    assert len(judged(secrets, policy, related={"CACHE": "redis://cache"})) == 1


@given(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=30))
def test_a_quoted_password_always_comes_back(user: str, password: str) -> None:
    quoted = [urllib.parse.quote(text, safe="", errors="replace") for text in (user, password)]
    url = parse(f"scheme://{quoted[0]}:{quoted[1]}@host:1/path")
    assert url is not None
    assert (url.username, url.password, url.host, url.problem) == (*quoted, "host:1", "")
