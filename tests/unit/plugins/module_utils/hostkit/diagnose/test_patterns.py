"""What looks like a secret is masked, though nobody knows it."""

from __future__ import annotations

import time

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.diagnose.patterns import (
    is_secret_name,
    mask_patterns,
    values_in,
)
from fakes.certificates import issue

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"
KEY = "\n".join(
    (
        *("-----BEGIN RSA PRIVATE KEY-----", "MIIEowIBAAKCAQEAhunter2abcdefghij", "qrstuvwxyzhunter2"),
        "-----END RSA PRIVATE KEY-----",
    )
)


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer hunter2hunter2",
        '{"authorization":"Basic dXNlcjpodW50ZXIy hunter2"}',
        r"{\"Authorization\": \"Bearer hunter2-abc\"}",
        '"Authorization": ["Bearer hunter2xyz"]',
        "curl -H 'X-Api-Key: hunter2' x",
        "Set-Cookie: session=hunter2; Path=/",
        "got Bearer hunter2hunter2",
        "password=hunter2 user=bob",
        "db.password = 'hunter2 with blanks'",
        'PASSWORD_2: "hunter2\\"hunter2"',
        r"{\"token\":\"hunter2\",\"user\":\"x\"}",
        "client_secret=hunter2&grant_type=x",
        "SESSION_KEY=hunter2",
        "api-key: hunter2",
        "apikey=hunter2",
        "webhook_url: https://example.com/hunter2",
        "postgresql://app:hunter2@db/app",
        "redis://:hunter2@redis:6379/0",
        "amqp://u:p@ss/hunter2@mq",
        "https://hunter2@sentry.example.com/1",
        "redis-server --requirepass hunter2 --port 1",
        "- --requirepass\n- hunter2",
        '["--token", "hunter2"]',
        "requirepass hunter2",
        "ALTER ROLE app PASSWORD 'hunter2'",
        "sk-ant-api03-hunter2hunter2",
        "ghp_hunter2hunter2hunter2hunter2",
        "xoxb-1234-hunter2hunter2",
        "https://hooks.slack.com/services/T0/B0/hunter2",
        "https://discord.com/api/webhooks/12/hunter2",
        f"token {JWT}hunter2",
        "$2y$10$hunter2hunter2hunter2hunter2hunter2hunter2hunter2hun",
        "SCRAM-SHA-256$4096:hunter2hunter2hunter2==$x:y",
        KEY,
        KEY.replace("\n", "\\n"),
        "".join(f"12:00:01 web {line}\n" for line in KEY.splitlines()),
        KEY.partition("\n")[2],
        KEY.rpartition("\n")[0],
    ],
)
def test_what_looks_like_a_secret(text: str) -> None:
    masked = mask_patterns(f"one\n{text}\ntwo")
    assert "hunter2" not in masked
    assert "***" in masked
    assert masked.startswith("one\n")


@pytest.mark.parametrize(
    "text",
    [
        "invalid token expired",
        "the secret is out",
        "tokens: 5",
        "secrets:\n  db:\n    file: x",
        "password: null",
        "token_seconds=5",
        "PWD=/root",
        "basic authentication required",
        "http://host:8000/x@y",
        "mail to ops@example.com",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "key: value, primary_key: id",
        "echo $HOME $5$ costs",
        "--token-file /run/x",
    ],
)
def test_what_does_not(text: str) -> None:
    assert mask_patterns(text) == text


def test_a_certificate_stays_and_its_key_goes() -> None:
    made = issue()
    masked = mask_patterns(made.pem + made.key_pem)
    assert masked.startswith(made.pem)
    assert not any(line in masked for line in made.key_pem.splitlines() if not line.startswith("-----"))


@pytest.mark.parametrize("name", ["DB_PASSWORD", "ANTHROPIC_API_KEY", "HYPERCODE_JWT_SECRET", "MEMORY_KEY", "token"])
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["PATH", "PUBLIC_KEY", "PASSWORD_FILE", "MODE", "KEYBOARD", "TOKEN_SECONDS"])
def test_names_of_others(name: str) -> None:
    assert not is_secret_name(name)


def test_values_in_settings() -> None:
    text = 'A_PASSWORD: "one-1"\nB: x\nc_token = two-2\nD_SECRET: ${D}\nurl: redis://:three-3@r\nE_KEY: four-4\n'
    assert {value for _, value in values_in(text)} == {"one-1", "two-2", "three-3", "four-4"}


@pytest.mark.parametrize(
    "text",
    [
        "a" * 300_000,
        "-" * 200_000,
        "token" * 40_000,
        "\\" * 200_000,
        'password="' * 20_000,
        "A_" * 100_000,
        "://:@" * 2000,
    ],
    ids=lambda text: text[:8],
)
def test_no_text_takes_for_ever(text: str) -> None:
    began = time.process_time()
    mask_patterns(text)
    # A tenth of a second usually; squared it would be minutes.
    assert time.process_time() - began < 20
