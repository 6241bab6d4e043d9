from __future__ import annotations

from collections.abc import Callable

import pytest

Rules = Callable[..., set[str]]


@pytest.mark.parametrize(
    ("ports", "found"),
    [
        ('["8080:80"]', True),
        ('["0.0.0.0:8080:80"]', True),
        ('["[::]:8080:80"]', True),
        ('["80"]', True),
        ('["127.0.0.1:8080:80", "9000:9000/udp"]', True),
        ("[{target: 80, published: 8080}]", True),
        ('["127.0.0.1:8080:80"]', False),
        ('["[::1]:8080:80"]', False),
        ('["10.0.0.5:8080:80"]', False),
        ("[]", False),
    ],
)
def test_published_everywhere(web: Rules, ports: str, found: bool) -> None:
    assert ("port-published-everywhere" in web(f"ports: {ports}")) is found


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        ("8080:80", "8080:8000", True),
        ("127.0.0.1:8080:80", "0.0.0.0:8080:80", True),
        ("127.0.0.1:8080:80", "10.0.0.5:8080:80", False),
        ("8080:80", "8080:80/udp", False),
        ("80", "80", False),
    ],
)
def test_the_same_port_twice(rules: Rules, first: str, second: str, found: bool) -> None:
    text = f'services: {{web: {{image: "web:1", ports: ["{first}"]}}, api: {{image: "api:1", ports: ["{second}"]}}}}'
    assert ("port-conflict" in rules(text)) is found


def test_copies_of_one_service_cannot_share_a_port(web: Rules) -> None:
    assert "port-conflict" in web('ports: ["127.0.0.1:80:80"]\n    deploy: {replicas: 2}')
    assert "port-conflict" not in web('ports: ["127.0.0.1:80:80"]\n    deploy: {replicas: 1}')


TWO = """
services:
  web: {{image: "web:1", networks: [front], {web}}}
  redis: {{image: "redis:7.4", networks: {{back: {{aliases: [cache]}}}}, {redis}}}
networks: {{front: {{}}, back: {{}}}}
"""


@pytest.mark.parametrize(
    ("web", "found"),
    [
        ('environment: {REDIS_URL: "redis://redis:6379/0"}', True),
        ('environment: {REDIS_URL: "redis://:${PW}@redis:6379/0"}', True),
        ('environment: ["REDIS_URL=redis://u:${PW}@cache/0"]', True),
        ("environment: {REDIS_HOST: redis}", True),
        ('environment: {HOSTS: "a:1,redis:6379"}', True),
        ('command: ["serve", "--redis=redis:6379"]', True),
        ('environment: {REDIS_URL: "redis://redis.example.com:6379"}', False),
        ("environment: {QUEUE: redis}", False),
        ('environment: {IMAGE: "redis:7"}', False),
        ('environment: {IMAGE: "registry.example.com/redis:7000"}', False),
        ('environment: {REDIS_HOST: redis}, extra_hosts: ["redis:10.0.0.5"]', False),
        ("environment: {REDIS_HOST: redis}, network_mode: host, networks: null", False),
    ],
)
def test_an_address_on_no_common_network(rules: Rules, web: str, found: bool) -> None:
    broken = rules(TWO.format(web=web, redis="expose: []"), secret_names=["PW"])
    assert ("service-unreachable" in broken) is found
    assert "service-unreachable" not in rules(
        TWO.format(web=web, redis="expose: []").replace("back:", "front:"), secret_names=["PW"]
    )


@pytest.mark.parametrize(
    ("web", "redis", "found"),
    [
        ("depends_on: [redis]", "expose: []", True),
        ("depends_on: {redis: {condition: service_completed_successfully}}", "expose: []", False),
        # The address says it already, as an error.
        ("depends_on: [redis], environment: {REDIS_HOST: redis}", "expose: []", False),
        ("depends_on: [redis], volumes: ['s:/run/s']", "volumes: ['s:/run/s']", False),
    ],
)
def test_a_dependency_on_no_common_network(rules: Rules, web: str, redis: str, found: bool) -> None:
    text = TWO.format(web=web, redis=redis) + "volumes: {s: {}}\n"
    assert ("dependency-unreachable" in rules(text)) is found


def test_a_service_in_the_network_of_another_one(rules: Rules) -> None:
    text = """
        services:
          web: {image: "web:1", network_mode: "service:vpn", environment: {REDIS_HOST: redis}}
          vpn: {image: "vpn:1", networks: [NET]}
          redis: {image: "redis:7.4", networks: [back]}
        networks: {back: {}, front: {}}
        """
    assert "service-unreachable" in rules(text.replace("NET", "front"))
    assert "service-unreachable" not in rules(text.replace("NET", "back"))


@pytest.mark.parametrize(
    ("url", "api", "rule"),
    [
        ("http://api:8000/x", "expose: ['8000']", None),
        ("http://api:8001/x", "expose: ['8000']", "address-other-port"),
        ("http://api", "expose: ['8000']", "address-other-port"),
        ("http://api", "expose: ['80']", None),
        ("http://api:8001", "command: x", None),
        ("http://api:8001", "command: serve --port 8001, expose: ['8000']", None),
        ("http://api:8001", "environment: {ADMIN_PORT: 8001}, expose: ['8000']", None),
        ("http://api:9090", "ports: ['127.0.0.1:9090:8000']", "address-host-port"),
        ("http://api:9090", "ports: ['127.0.0.1:9090:9090']", None),
        ("redis://redis:6380", "expose: []", "address-other-port"),
        ("redis://redis:6379", "expose: []", None),
    ],
)
def test_the_port_of_an_address(rules: Rules, url: str, api: str, rule: str | None) -> None:
    text = f"""
        services:
          web: {{image: "web:1", environment: {{SOME_URL: "{url}"}}}}
          api: {{image: "api:1", {api}}}
          redis: {{image: "redis:7.4"}}
        """
    assert rules(text) & {"address-host-port", "address-other-port"} == ({rule} if rule else set())


@pytest.mark.parametrize(
    ("image", "found"), [("postgres:17", True), ("bitnami/redis:7", True), ("grafana/grafana:12", False)]
)
def test_databases_belong_on_an_internal_network(rules: Rules, image: str, found: bool) -> None:
    text = f'services: {{db: {{image: "{image}", networks: [back]}}}}\nnetworks: {{back: {{internal: INT}}}}'
    assert ("data-network-missing" in rules(text.replace("INT", "false"))) is found
    assert "data-network-missing" not in rules(text.replace("INT", "true"))
