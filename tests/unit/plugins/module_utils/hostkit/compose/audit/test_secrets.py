from __future__ import annotations

from collections.abc import Callable

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.audit.files import Report
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.audit.words import sounds_secret

Audit = Callable[..., Report]
Rules = Callable[..., set[str]]
CANARY = "canary-4711-ZZ"
SUBJECT = frozenset(
    {
        *("secret-in-environment", "secret-in-url", "secret-in-command", "secret-has-default", "secret-empty-default"),
        *("secret-on-command-line", "secret-default"),
    }
)


@pytest.mark.parametrize(
    "name",
    """
    POSTGRES_PASSWORD password DB_PASS MYSQL_PWD API_KEY APIKEY ANTHROPIC_API_KEY AUTH_TOKEN HYPERCODE_JWT_SECRET
    SECRET_KEY SECRET_KEY_BASE
    N8N_ENCRYPTION_KEY AIRFLOW__CORE__FERNET_KEY HYPERCODE_MEMORY_KEY AWS_SECRET_ACCESS_KEY dbPassword
    SSH_PRIVATE_KEY REDIS_PASSWORD_URLENCODED GF_SECURITY_ADMIN_PASSWORD
    """.split(),
)
def test_names_of_secrets(name: str) -> None:
    assert sounds_secret(name)


@pytest.mark.parametrize(
    "name",
    """
    POSTGRES_PASSWORD_FILE TOKEN_TTL PASSWORD_MIN_LENGTH AWS_ACCESS_KEY_ID PUBLIC_KEY PWD OLDPWD KEYBOARD COMPASS BYPASS
    MONKEY SECRET_NAME PRIMARY_KEY REDIS_KEY LICENSE_KEY_PATH
    """.split(),
)
def test_names_of_other_things(name: str) -> None:
    assert not sounds_secret(name)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (f"environment: {{DB_PASSWORD: {CANARY}}}", {"secret-in-environment"}),
        (f"environment: [DB_PASSWORD={CANARY}]", {"secret-in-environment"}),
        ("environment: {DB_PASSWORD: 'pa$$word'}", {"secret-in-environment"}),
        (f"build: {{context: ., args: {{NPM_TOKEN: {CANARY}}}}}", {"secret-in-environment"}),
        ("environment: {DB_PASSWORD: '${PW}'}", set()),
        ("environment: {ALLOW_EMPTY_PASSWORD: 'yes', DB_PASSWORD: ''}", set()),
        ("environment: {DB_PASSWORD_FILE: /run/secrets/db, TLS_PRIVATE_KEY: /certs/key.pem}", set()),
        (f"environment: {{DB_URL: 'postgres://u:{CANARY}@db/x'}}", {"secret-in-url"}),
        (f"command: ['serve', 'amqp://u:{CANARY}@mq:5672']", {"secret-in-url"}),
        ("environment: {DB_URL: 'postgres://u:${PW}@db/x', SITE: 'https://example.com/@me'}", set()),
        ("environment: {BROKER: 'redis://:@redis:6379/0', MAIL: 'smtp://u@mail:25'}", set()),
        (f"command: redis-server --requirepass {CANARY}", {"secret-in-command"}),
        (f"command: [serve, --api-key={CANARY}]", {"secret-in-command"}),
        ("command: serve --password-file /run/secrets/x --token-ttl 60", set()),
        ("command: redis-server --requirepass ${PW}", {"secret-on-command-line"}),
        ("healthcheck: {test: 'redis-cli -a ${PW} ping'}", {"secret-on-command-line"}),
        ("command: sh -c 'redis-server --requirepass $$PW'", set()),
        ("environment: {A: '${DB_PASSWORD:-changeme}'}", {"secret-has-default"}),
        ("environment: {DB_PASSWORD: '${X:-admin}'}", {"secret-has-default"}),
        ("environment: ['DB_PASSWORD=${X-admin}']", {"secret-has-default"}),
        ("environment: {DB_URL: 'postgres://u:${DB_PASSWORD:-hypercode}@db/x'}", {"secret-has-default"}),
        ("environment: {A: '${DB_PASSWORD:-}'}", {"secret-empty-default"}),
        ("environment: {ALLOW_EMPTY_PASSWORD: '${ALLOW:-yes}', TOKEN_TTL: '${TOKEN_TTL:-60}'}", set()),
        ("environment: {A: '${PW:-changeme}'}", {"secret-default"}),
    ],
)
def test_secrets_in_clear(report: Audit, line: str, found: set[str]) -> None:
    audit = report(f'services:\n  web:\n    image: "web:1"\n    {line}\n', secret_names=["PW"])
    assert {f.rule for f in audit.findings} & SUBJECT == found
    # Names and places only, whatever the file holds.
    for value in (CANARY, "changeme", "hypercode}", "pa$$word", "admin"):
        assert all(value not in f.message + f.fix for f in audit.findings)


def test_a_plain_variable_for_a_secret_would_stand_in_the_release(rules: Rules) -> None:
    text = 'services: {web: {image: "web:1", environment: {DB_PASSWORD: "${DB}"}}}'
    assert "secret-in-environment" in rules(text, variables={"DB": CANARY})
    assert "secret-in-environment" not in rules(text, secret_names=["DB"])


def test_an_env_file_of_a_service_is_told_once(report: Audit) -> None:
    text = 'services: {web: {image: "web:1", env_file: web.env}}'
    found = report(text, {"web.env": f"DB_PASSWORD={CANARY}\n"})
    assert [f.rule for f in found.findings if f.rule in SUBJECT | {"env-file-secret"}] == ["env-file-secret"]
    assert CANARY not in repr(found)


def test_an_anchor_is_told_once(report: Audit) -> None:
    text = f"""
        x-env: &env
          DB_PASSWORD: {CANARY}
          DB_URL: postgres://u:{CANARY}@db/x
          OTHER_PASSWORD: ${{OTHER_PASSWORD:-changeme}}
        services:
          web: {{image: "web:1", environment: *env}}
          api: {{image: "api:1", environment: {{<<: *env, A: b}}}}
        """
    found = [f for f in report(text).findings if f.rule in SUBJECT]
    assert sorted((f.rule, f.service, f.line) for f in found) == [
        ("secret-has-default", None, 4),
        ("secret-in-environment", None, 2),
        ("secret-in-url", None, 3),
    ]
    assert all("web" in f.message and "api" in f.message for f in found)
