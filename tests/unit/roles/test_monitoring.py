"""What Prometheus of the bundled stack asks is there, and what its services read is what the role writes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROOT = Path(__file__).resolve().parents[3]
STACK, ROLE = ROOT / "roles/stack", ROOT / "roles/monitoring"
COMPOSE = yaml.safe_load((STACK / "files/hypercode/compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
MONITORS = {name for name, service in SERVICES.items() if "monitoring" in service.get("profiles", ())}
RULES = STACK / "templates/tree/etc/hypercode/stack/prometheus/rules"
FOLDER = "/etc/hypercode/monitoring/"


def scraped(**changes: Any) -> dict[str, Any]:
    """The configuration of Prometheus as the role renders it for the host web1."""
    variables: dict[str, Any] = {"inventory_hostname": "web1", "stack_monitoring": True}
    for file in ("defaults", "vars"):
        found = yaml.safe_load((STACK / file / "main.yml").read_text(encoding="utf-8"))
        variables = {
            **{key: trust_as_template(value) if isinstance(value, str) else value for key, value in found.items()},
            **variables,
        }
    templar = Templar(DataLoader(), variables={**variables, **changes})
    source = STACK / "templates/tree/etc/hypercode/stack/prometheus/prometheus.yml.j2"
    text = templar.template(trust_as_template(source.read_text(encoding="utf-8")))
    document: dict[str, Any] = yaml.safe_load(text)
    return document


def jobs(document: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    return {job["job_name"]: job["static_configs"] for job in document["scrape_configs"]}


def test_whom_prometheus_asks_is_there_and_listens() -> None:
    document = scraped()
    asked = [target for job in jobs(document).values() for group in job for target in group["targets"]]
    asked += [
        target for group in document["alerting"]["alertmanagers"][0]["static_configs"] for target in group["targets"]
    ]
    for target in asked:
        place = urlsplit(target if "//" in target else f"//{target}")
        if place.hostname == "127.0.0.1":
            continue
        assert place.hostname in SERVICES, target
        assert str(place.port) in SERVICES[str(place.hostname)]["expose"], target


def test_each_agent_is_probed_under_its_own_name() -> None:
    probed = {group["labels"]["service"]: group["targets"][0] for group in jobs(scraped())["probe"]}
    agents = {
        name
        for name, service in SERVICES.items()
        if service["labels"]["hypercode.class"] in ("agent", "core", "orchestrator")
    }
    # It has no port: the watch looks at its container.
    assert agents - {"celery-worker"} <= set(probed)
    assert all(urlsplit(url).hostname == name for name, url in probed.items())


def test_every_job_that_a_rule_names_is_asked_and_everything_has_the_host() -> None:
    found = jobs(scraped())
    named = {job for path in RULES.glob("*.yml") for job in re.findall(r'job[!]?="([\w-]+)"', path.read_text())}
    assert named <= set(found)
    assert all(group["labels"]["host"] == "web1" for job in found.values() for group in job)


def test_more_can_be_asked_and_less_be_probed() -> None:
    more = [{"job": "mailer", "targets": ["mailer:9100"], "path": "/m"}]
    document = scraped(stack_scrape=more, stack_probes={"mailer": "http://mailer:8025/", "grafana": ""})
    mailer = next(job for job in document["scrape_configs"] if job["job_name"] == "mailer")
    assert (mailer["metrics_path"], mailer["static_configs"][0]["targets"]) == ("/m", ["mailer:9100"])
    probed = {group["labels"]["service"] for group in jobs(document)["probe"]}
    assert "mailer" in probed
    assert "grafana" not in probed


def test_without_monitoring_nobody_is_asked_who_is_not_there() -> None:
    document = scraped(stack_monitoring=False)
    assert set(jobs(document)) == {"prometheus", "hypercode-core"}
    assert "alerting" not in document


@pytest.mark.parametrize("name", sorted(MONITORS))
def test_those_that_watch_see_nothing_of_the_host(name: str) -> None:
    service = SERVICES[name]
    assert "@sha256:" in service["image"]
    assert not {"privileged", "pid", "network_mode", "cap_add", "devices"} & set(service)
    for volume in service.get("volumes", ()):
        source = volume.split(":")[0]
        assert not source.startswith("/") or source.startswith((FOLDER, "/var/lib/hypercode/metrics")), volume
        assert not source.startswith("/") or volume.endswith(":ro"), volume


def test_what_services_read_is_what_the_role_writes() -> None:
    tree = ROLE / "templates/tree"
    written = {f"/{path.relative_to(tree).parent}" for path in tree.rglob("*") if path.is_file()}
    written |= {f"{FOLDER}alertmanager", f"{FOLDER}grafana/dashboards", f"{FOLDER}grafana/provisioning"}
    read = {v.split(":")[0] for s in SERVICES.values() for v in s.get("volumes", ()) if v.startswith(FOLDER)}
    assert read
    assert read <= written
