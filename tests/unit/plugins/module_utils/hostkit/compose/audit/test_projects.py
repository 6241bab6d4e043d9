"""Whole projects as people write them: what must be found, and that nothing else is called an error."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.audit.files import Report

Audit = Callable[..., Report]

CLOUD = """
services:
  files:
    image: "cloud:29-fpm"
    restart: always
    links: [db]
    depends_on: [db, redis]
    volumes: ["files:/var/www/html"]
    environment: ["MYSQL_HOST=db", "MYSQL_PASSWORD=${DB_PASSWORD}", "REDIS_HOST=redis", "PHP_MEMORY_LIMIT=512M"]
  front:
    image: "nginx:1.27"
    ports: ["8080:80"]
    depends_on: [files]
    volumes_from: [files]
    healthcheck: {test: "curl -f http://localhost/ || exit 1"}
  cron:
    image: "cloud:29-fpm"
    entrypoint: /cron.sh
    volumes_from: [files]
  db:
    image: "mariadb:11.4"
    command: --transaction-isolation=READ-COMMITTED --binlog-format=ROW
    volumes: ["db:/var/lib/mysql"]
    environment: {MYSQL_PASSWORD: "${DB_PASSWORD}", MARIADB_RANDOM_ROOT_PASSWORD: "1"}
  redis: {image: "redis:7.4-alpine"}
volumes: {db: , files: }
"""

FLOWS = """
x-flow: &flow
  image: "flow:1.70"
  environment: &env
    DB_HOST: postgres
    DB_PORT: "5432"
    DB_PASSWORD: ${DB_PASSWORD}
    QUEUE_REDIS_HOST: redis
    BROKER_URL: redis://redis:6379/0
    ENCRYPTION_KEY: ${ENCRYPTION_KEY}
    WEBHOOK_URL: https://flow.example.com/
  volumes: ["flow:/home/flow"]
  depends_on: &needs
    redis: {condition: service_healthy}
    postgres: {condition: service_healthy}
services:
  postgres:
    image: "postgres:16"
    environment: {POSTGRES_PASSWORD: "${DB_PASSWORD}", POSTGRES_USER: flow}
    volumes: ["db:/var/lib/postgresql/data"]
    healthcheck: {test: "pg_isready -h localhost -U flow", interval: 5s, timeout: 5s, retries: 10}
  redis:
    image: "redis:7.4"
    volumes: ["redis:/data"]
    healthcheck: {test: [CMD, redis-cli, ping], timeout: 5s}
  migrate: {<<: *flow, command: migrate, user: "0:0"}
  web:
    <<: *flow
    command: serve --port 5678
    ports: ["127.0.0.1:5678:5678"]
    healthcheck: {test: [CMD, curl, --fail, "http://localhost:5678/health"], timeout: 10s}
    depends_on: {<<: *needs, migrate: {condition: service_completed_successfully}}
  scheduler:
    <<: *flow
    environment: {<<: *env, HEALTH_PORT: "8974"}
    healthcheck: {test: "curl --fail http://localhost:8974/health", timeout: 10s}
  worker:
    <<: *flow
    command: worker --concurrency=10
    healthcheck: {test: 'celery -A flow inspect ping -d "worker@$$HOSTNAME"', timeout: 10s}
volumes: {db: , redis: , flow: }
"""

MEDIA = """
services:
  proxy:
    image: "traefik:v3.2"
    command: ["--providers.docker=true", "--entrypoints.web.address=:80"]
    ports: ["80:80", "127.0.0.1:8080:8080"]
    volumes: ["/var/run/docker.sock:/var/run/docker.sock:ro", "./certs:/certs"]
  vpn:
    image: "vpn:3.39"
    cap_add: [NET_ADMIN]
    devices: ["/dev/net/tun:/dev/net/tun"]
    environment: {WIREGUARD_PRIVATE_KEY: "${WIREGUARD_PRIVATE_KEY}"}
  fetch:
    image: "fetch:4.6"
    network_mode: "service:vpn"
    environment: {WEBUI_PORT: "8090", TZ: Europe/Berlin}
    volumes: ["/srv/media:/media", "/etc/localtime:/etc/localtime:ro"]
    healthcheck: {test: "curl -sf http://localhost:8090 || exit 1", timeout: 5s}
  index: {image: "index:4.0", environment: {FETCH_URL: "http://vpn:8090"}}
  broker:
    image: "broker:7.7"
    environment:
      ADVERTISED_LISTENERS: PLAINTEXT://broker:29092,OUTSIDE://localhost:9092
      LISTENERS: PLAINTEXT://0.0.0.0:29092,OUTSIDE://0.0.0.0:9092
    ports: ["127.0.0.1:9092:9092"]
    healthcheck: {test: "nc -z localhost 29092 || exit 1", timeout: 5s}
  consumer: {image: "consumer:1.2", environment: {BROKERS: "broker:29092", AUTH_TOKEN_TTL: "3600"}}
"""
SECRETS = ["DB_PASSWORD", "ENCRYPTION_KEY", "WIREGUARD_PRIVATE_KEY"]


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        (CLOUD, {("port-published-everywhere", "front")}),
        (FLOWS, set()),
        (
            MEDIA,
            {("port-published-everywhere", "proxy"), ("docker-socket", "proxy"), ("capability-dangerous", "vpn")},
        ),
    ],
    ids=["cloud", "flows", "media"],
)
def test_no_false_errors(report: Audit, text: str, errors: set[tuple[str, str]]) -> None:
    settings: dict[str, Any] = {"policy": {}, "default_class": None}
    found = report(text, secret_names=SECRETS, settings=settings).findings
    assert {(f.rule, f.service) for f in found if f.severity == "error"} == errors


def service(number: int) -> dict[str, Any]:
    """One of 45: an agent as in a real stack, each with faults that must be found."""
    before = f"agent-{number - 1}"
    return {
        "image": f"registry.example.com/agents/agent-{number}:1.{number}",
        "container_name": f"agent-{number}",
        "environment": {
            "AGENT_PORT": str(8000 + number),
            "REDIS_URL": "redis://:${REDIS_PASSWORD}@redis:6379/0",
            "CORE_URL": f"http://{before if number else 'agent-44'}:{8000 + (number - 1) % 45}",
            "API_TOKEN": "${API_TOKEN:-changeme}",
            **{f"SETTING_{index}": f"${{LEVEL:-value}} {index}" for index in range(12)},
        },
        "ports": [f"{9000 + number}:{8000 + number}"],
        "volumes": [f"data-{number}:/data", "./conf:/etc/agent:ro"],
        "networks": ["front", "data"],
        "depends_on": {before: {"condition": "service_healthy"}} if number else {},
        "healthcheck": {"test": f"curl -f http://localhost:{8000 + number}/health || exit 1", "interval": "5s"},
    }


def test_45_services_take_less_than_a_second(report: Audit) -> None:
    services = {f"agent-{number}": service(number) for number in range(45)}
    services["agent-44"] |= {"image": "redis:7.4", "networks": {"front": {}, "data": {"aliases": ["redis"]}}}
    data = {
        "services": services,
        "networks": {"front": {}, "data": {"internal": True}},
        "volumes": {f"data-{number}": {} for number in range(45)},
    }
    text = yaml.safe_dump(data)
    # Of this processor, whatever else the machine does.
    start = time.process_time()
    found = report(text, secret_names=["REDIS_PASSWORD"]).findings
    assert time.process_time() - start < 1.0
    by_rule = {rule: [f for f in found if f.rule == rule] for rule in {f.rule for f in found}}
    assert len(by_rule["port-published-everywhere"]) == 45
    assert len(by_rule["container-name"]) == 45
    assert len(by_rule["secret-has-default"]) == 1
    assert {rule for rule in by_rule if by_rule[rule][0].severity == "error" and not by_rule[rule][0].repairable} == {
        "secret-has-default"
    }


@pytest.mark.parametrize("word", ["a", "postgres://", "--port", "celery ", "a:1,", "${A:-b}"])
def test_a_huge_value_is_judged_in_time(report: Audit, word: str) -> None:
    # References cost most, as each is parsed; they grow with the text, not faster.
    value = word * ((30_000 if "$" in word else 250_000) // len(word))
    service: dict[str, Any] = {"image": "web:1", "command": value, "healthcheck": {"test": value}}
    service["environment"] = {"A_URL": value, "A_TOKEN": value}
    # JSON is YAML, and much faster to write.
    text = json.dumps({"services": {"web": service, "celery": {"image": "c:1"}}})
    # Of this processor, whatever else the machine does.
    start = time.process_time()
    found = report(text).findings
    assert time.process_time() - start < 3.0
    assert "limits-missing" in {finding.rule for finding in found}


@pytest.mark.parametrize("port", ["\u00b2", "9" * 5000, "1-99999999999", "-", "0-70000"])
def test_odd_ports_are_no_ports(report: Audit, port: str) -> None:
    web = {
        "image": "web:1",
        "expose": [port],
        "environment": {"PORT": port},
        "ports": [{"target": 80, "published": port}],
    }
    assert report(yaml.safe_dump({"services": {"web": web}})).findings
