"""What providers raise, in words. The ones that can be had for real are in test_real_servers.py."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.redact import Redactor
from ansible_collections.hypercode.deploy.plugins.plugin_utils.dns.explain import explain, status_of

TOKEN = "canary-token-0123"


class Told(Exception):
    """An error with an HTTP answer, as requests and boto3 have it."""

    def __init__(self, text: str, response: object = None) -> None:
        super().__init__(text)
        self.response = response


class DigitalOceanClientUnauthorized(Exception):
    pass


class GandiClientForbidden(Exception):
    pass


def text_of(error: BaseException) -> str:
    finding = explain(error, "example.com", "cloudflare", "octodns-cloudflare", Redactor([TOKEN]))
    assert finding.fix
    assert TOKEN not in str(finding)
    assert "\n" not in finding.message
    return f"{finding.message} Fix: {finding.fix}"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (Told("no", SimpleNamespace(status_code=401)), "does not accept the credentials for example.com"),
        (Told("no", SimpleNamespace(status_code=403)), "have no right to do this at cloudflare"),
        (Told("no", {"ResponseMetadata": {"HTTPStatusCode": 403}}), "have no right to do this at cloudflare"),
        (Told("no", SimpleNamespace(status_code=404)), "does not have the zone example.com"),
        (Told("no", SimpleNamespace(status_code=429)), "rate limit"),
        (Told("no", SimpleNamespace(status_code=503)), "has a fault of its own"),
        (DigitalOceanClientUnauthorized("Unauthorized"), "does not accept the credentials"),
        (GandiClientForbidden("no"), "have no right"),
        (TimeoutError("timed out"), "did not answer in time"),
        (ConnectionRefusedError(111, "Connection refused"), "cannot be reached"),
        (ModuleNotFoundError("No module named 'boto3'"), "pip install octodns-cloudflare"),
        (RuntimeError("something odd"), "could not be worked with for example.com: something odd"),
    ],
)
def test_what_was_refused_is_told_with_the_fix(error: BaseException, words: str) -> None:
    assert words in text_of(error)


def test_a_secret_in_an_error_is_not_told() -> None:
    assert "refused ***" in text_of(RuntimeError(f"refused {TOKEN}\nTraceback (most recent call last): ..."))


def test_words_of_the_dns_count_at_a_name_server_alone() -> None:
    assert "could not be worked with" in text_of(RuntimeError("the request was REFUSED"))
    server = explain(RuntimeError("REFUSED"), "example.com", "rfc2136", "octodns-bind", Redactor())
    assert "refused to transfer or to change example.com" in server.message


def test_the_error_behind_an_error_counts() -> None:
    error = RuntimeError("it did not work")
    error.__cause__ = Told("no", SimpleNamespace(status_code=403))
    assert status_of(error) == 403


def test_a_long_answer_is_cut() -> None:
    assert len(text_of(RuntimeError("x" * 5000))) < 600
