"""URLs get a new component and stay as they are otherwise."""

from __future__ import annotations

from urllib.parse import quote, unquote, urlsplit

import pytest
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_command.rotation import rewritten
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import StoreError
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("url", "parts", "result"),
    [
        ("redis://:old@redis:6379/0", {"password": ("old", "n/w@1")}, "redis://:n%2Fw%401@redis:6379/0"),
        (
            "postgresql+psycopg://u:old@[::1]:5/d?a=b@c",
            {"password": ("old", "x")},
            "postgresql+psycopg://u:x@[::1]:5/d?a=b@c",
        ),
        ("amqp://u:p@h", {"username": ("u", "v"), "password": ("p", "q")}, "amqp://v:q@h"),
        ("https://token@h/p", {"username": ("token", "new")}, "https://new@h/p"),
        ("pg://u:a%40b@h/d", {"password": ("a@b", "c")}, "pg://u:c@h/d"),
    ],
)
def test_rewritten(url: str, parts: dict[str, tuple[str, str]], result: str) -> None:
    assert rewritten(url, "DSN", parts) == result


@pytest.mark.parametrize(
    "url",
    [
        "pg://u:ol/d@h/d",
        "pg://u:other@h/d",
        "pg://h/d",
        "pg:///d?password=ol/d",
        "host=h password=ol/d",
        "pg://u:ol%2Fd@/d",
        "",
    ],
)
def test_what_cannot_be_rewritten_is_refused_without_a_value(url: str) -> None:
    with pytest.raises(StoreError) as error:
        rewritten(url, "DSN", {"password": ("ol/d", "new-value")})
    assert "ol/d" not in str(error.value)
    assert "new-value" not in str(error.value)


@given(st.text(min_size=1), st.text(min_size=1))
def test_any_value_comes_back(old: str, new: str) -> None:
    try:
        url = f"pg://user:{quote(old, safe='')}@db:5432/app?x=1#y"
        result = rewritten(url, "DSN", {"password": (old, new)})
    except UnicodeEncodeError:  # Half a character; no file can hold one.
        return
    found = urlsplit(result)
    assert unquote(found.password or "") == new
    assert (found.username, found.hostname, found.port, found.path, found.query) == ("user", "db", 5432, "/app", "x=1")
