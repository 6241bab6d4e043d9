from __future__ import annotations

import json
from collections.abc import Callable

import pytest

Rules = Callable[..., set[str]]


def check(test: str | list[str], more: str = "") -> str:
    return f'expose: ["8000"]\n    healthcheck: {{test: {json.dumps(test)}, timeout: 5s}}\n    {more}'


@pytest.mark.parametrize(
    "test",
    [
        "true",
        ["CMD", "true"],
        ["CMD-SHELL", "exit 0"],
        "echo OK",
        ["CMD", "echo", "OK"],
        "curl -f http://localhost:8000/health || exit 0",
        "curl -f http://localhost:8000/health || true",
        "curl -f http://localhost:8000/health; exit 0",
        "curl -f http://localhost:8000/health || echo down",
        ["CMD", "sh", "-c", "exit 0"],
        ["CMD-SHELL", "/bin/true"],
        "curl -f http://localhost:8000 || exit 1 || true",
        ":",
        "date",
        "/bin/hostname -f",
        "test -d /",
        ["CMD", "python3", "-c", "pass"],
        ["CMD", "python", "-c", "import sys; sys.exit(0)"],
        "python3 -c \"print('ok')\"",
        "node -e 'process.exit(0)'",
    ],
)
def test_checks_that_always_pass(web: Rules, test: str | list[str]) -> None:
    assert "healthcheck-always-passes" in web(check(test))


@pytest.mark.parametrize(
    "test",
    [
        "curl -f http://localhost:8000/health",
        "curl -f http://localhost:8000/health || exit 1",
        "curl -f http://localhost:8000/health && echo ok",
        "redis-cli ping | grep -q PONG",
        ["CMD", "python", "-c", "import sys; sys.exit(0 if check() else 1)"],
        "test -f /tmp/ready || (echo not ready; exit 1)",
        "pg_isready && exit 0 || exit 1",
        "echo ruok | nc localhost 8000 | grep imok",
        "curl -f http://localhost:8000/health || exit",
        "python -c 'import urllib.request; urllib.request.urlopen(url); exit(0)'",
        "python -c 'print(check())'",
        "hostname -i | xargs ping -c 1",
        "test -d /ready",
        "identify /srv/logo.png",
        ["NONE"],
    ],
)
def test_checks_that_can_fail(web: Rules, test: str | list[str]) -> None:
    assert "healthcheck-always-passes" not in web(check(test))


@pytest.mark.parametrize(
    "test",
    [
        "tail -f /var/log/app.log",
        ["CMD", "celery", "-A", "app", "events"],
        "docker events",
        "curl http://localhost:8000/stream",
        "curl -N http://localhost:8000/api/events",
        "redis-cli monitor",
        "ping localhost",
        "watch date",
        "journalctl -f",
    ],
)
def test_checks_that_never_end(web: Rules, test: str | list[str]) -> None:
    assert "healthcheck-never-ends" in web(check(test))


@pytest.mark.parametrize(
    "test",
    [
        "tail -n 1 /var/log/app.log",
        "redis-cli ping",
        "celery -A app inspect ping",
        "ping -c 1 localhost",
        "curl --max-time 3 http://localhost:8000/stream",
        "timeout 5 tail -f /var/log/app.log",
        "curl http://localhost:8000/health",
        "curl http://localhost:8000/streaming/health",
        "curl http://localhost:8000/events/health",
    ],
)
def test_checks_that_end(web: Rules, test: str) -> None:
    assert "healthcheck-never-ends" not in web(check(test))


@pytest.mark.parametrize(
    ("test", "more", "found"),
    [
        ("curl http://localhost:8007/health", "", True),
        ("curl http://127.0.0.1:8007", "", True),
        ("curl http://web:8007", "", True),
        ("curl http://localhost/health", "", True),
        ("nc -z localhost 8007", "", True),
        (["CMD", "python", "-c", "import socket; socket.create_connection(('127.0.0.1', 8007))"], "", True),
        ("curl http://localhost:8000/health", "", False),
        ("curl http://localhost:8007/health", 'ports: ["127.0.0.1:9:8007"]', False),
        ("curl http://localhost:8007/health", "environment: {ADMIN_PORT: 8007}", False),
        ("curl http://localhost:8007/health", "command: serve --admin-port=8007", False),
        ("curl http://localhost:8007/health", "command: [gunicorn, -b, '0.0.0.0:8007']", False),
        ("curl http://other:8007/health", "", False),
        ("curl http://localhost:$$PORT/health", "", False),
        ("web-check --retries 8007", "", False),
    ],
)
def test_the_port_of_a_check(web: Rules, test: str | list[str], more: str, found: bool) -> None:
    assert ("healthcheck-wrong-port" in web(check(test, more))) is found


def test_without_evidence_no_port_is_wrong(rules: Rules) -> None:
    text = 'services: {web: {image: "web:1", environment: {DB_PORT: 5432}, healthcheck: {test: "curl localhost:8007"}}}'
    assert "healthcheck-wrong-port" not in rules(text)
    assert "healthcheck-wrong-port" in rules(text.replace("DB_PORT", "AGENT_PORT"))


def test_upstreams_check_of_another_agents_port(report: Callable[..., object]) -> None:
    text = """
        services:
          qa-engineer:
            image: "qa:1"
            environment: {AGENT_PORT: "8005", AGENT_HEALTH_URL: "http://qa-engineer:8005/health"}
            healthcheck: {test: [CMD, python, -c, "import httpx; httpx.get('http://localhost:8007/health')"]}
        """
    findings = report(text).findings  # type: ignore[attr-defined]
    (found,) = [f for f in findings if f.rule == "healthcheck-wrong-port"]
    assert (found.service, found.line) == ("qa-engineer", 5)
    assert "8007" in found.message
    assert "8005" in found.message


@pytest.mark.parametrize(
    ("value", "found"),
    [("http://web:8000/health", False), ("http://web:8000/healthz", True), ("http://api:8000/healthz", False)],
)
def test_the_path_of_a_check(web: Rules, value: str, found: bool) -> None:
    line = check("curl http://localhost:8000/health", f"environment: {{AGENT_HEALTH_URL: '{value}'}}")
    assert ("healthcheck-wrong-path" in web(line)) is found


@pytest.mark.parametrize(
    ("timing", "found"),
    [
        ("interval: 30s, timeout: 10s", False),
        ("interval: 29s, timeout: 10s", True),
        ("interval: 1m, timeout: 9s", True),
        ("retries: 1", True),
        ("retries: 5", False),
    ],
)
def test_timing_against_the_class(web: Rules, timing: str, found: bool) -> None:
    line = f"healthcheck: {{test: web-check, {timing}}}"
    assert ("healthcheck-too-tight" in web(line)) is found
    assert "healthcheck-too-tight" not in web(line, settings={"policy": {}, "default_class": None})


def test_who_waits_for_health_needs_a_check(rules: Rules) -> None:
    text = """
        services:
          web: {image: "web:1", depends_on: {db: {condition: service_healthy}}}
          db: {image: "db:1", healthcheck: {HEALTH}}
        """
    assert "healthcheck-awaited" in rules(text.replace("HEALTH", "disable: true"))
    assert "healthcheck-awaited" in rules(text.replace("HEALTH", "test: [NONE]"))
    assert "healthcheck-awaited" not in rules(text.replace("HEALTH", "test: db-check"))


def test_a_check_in_the_network_of_another_service(rules: Rules) -> None:
    text = """
        services:
          vpn: {image: "vpn:1", expose: ["8007"]}
          web:
            image: "web:1"
            network_mode: MODE
            environment: {PORT: "8000"}
            healthcheck: {test: "curl http://localhost:8007/health"}
        """
    assert "healthcheck-wrong-port" in rules(text.replace("MODE", "bridge"))
    assert "healthcheck-wrong-port" not in rules(text.replace("MODE", "service:vpn"))
    assert "healthcheck-wrong-port" not in rules(text.replace("MODE", "host"))
