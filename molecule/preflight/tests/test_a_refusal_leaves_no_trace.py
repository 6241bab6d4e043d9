"""A deploy that is refused: everything that is wrong is said at once, and the host is what it was before."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest
import yaml
from checks import stack
from checks.footprint import difference, footprint
from checks.playbook import play

CANARY = "Canary4Preflight"
COMPOSE = """\
services:
  web:
    image: registry.example.com/web:latest
    container_name: web
    privileged: true
    ports: ["5432:5432"]
    volumes: [/var/run/docker.sock:/var/run/docker.sock]
    environment: {API_KEY: "${API_KEY:-changeme}"}
"""
# Of one kind each: a missing secret, a placeholder, one that is too short, the same twice, one of the wrong shape.
SECRETS = {
    "REDIS_PASSWORD": "changeme",
    "API_KEY": CANARY,
    "HYPERCODE_JWT_SECRET": f"{CANARY}/6Jt9qLm2",
    "HYPERCODE_MEMORY_KEY": f"{CANARY}/6Jt9qLm2",
    "ANTHROPIC_API_KEY": "sk-placeholder",
    "GRAFANA_ADMIN_PASSWORD": "admin",
}


@pytest.fixture(scope="class")
def untouched(host):
    """Whatever these tests do, the host is the same before and after."""
    # The first login of a boot writes things of its own.
    stack.root(host, "true")
    before = footprint(host)
    assert len(before["files"]) > 1000
    yield
    assert difference(before, footprint(host)) == {}


def test_a_trace_would_be_seen(host):
    before = footprint(host)
    stack.root(host, "touch /etc/hypercode-was-here; systemd-run --unit=trace --collect sleep 60")
    seen = difference(before, footprint(host))
    assert any("/etc/hypercode-was-here" in line for line in seen["files"])
    assert any("sleep 60" in line for line in seen["processes"])
    stack.root(host, "systemctl stop trace; rm /etc/hypercode-was-here")


@pytest.mark.usefixtures("untouched")
class TestRefused:
    def test_everything_that_is_wrong_is_said_at_once(self, host, inventory, tmp_path):
        (tmp_path / "compose.yaml").write_text(COMPOSE, encoding="utf-8")
        settings = {
            "stack_source": str(tmp_path),
            "stack_images": {},
            "stack_secrets": SECRETS,
            "stack_secrets_policy": yaml.safe_load(POLICY),
            "preflight_disk_min_gb": 90000,
            "stack_regsitry": "misspelt",
        }
        variables = tmp_path / "variables.json"
        variables.write_text(json.dumps(settings), encoding="utf-8")
        outcome = play("-e", f"@{variables}", inventory=inventory)
        assert outcome.code != 0
        for word in (
            *("POSTGRES_PASSWORD", "REDIS_PASSWORD", "HYPERCODE_JWT_SECRET", "HYPERCODE_MEMORY_KEY"),
            *("ANTHROPIC_API_KEY", "GRAFANA_ADMIN_PASSWORD", "latest", "privileged", "docker.sock"),
            *("compose.yaml:3", "stack_regsitry", "/var/lib/docker", "Nothing was changed", "fix:"),
        ):
            assert word in outcome.output, f"{word!r} is missing in:\n{outcome.output}"
        assert CANARY not in outcome.output
        assert "Traceback" not in outcome.output
        assert outcome.changed("web1") == 0

    def test_a_value_is_not_shown_even_to_who_wants_to_see_all(self, host, inventory, tmp_path):
        variables = tmp_path / "variables.json"
        variables.write_text(json.dumps({"stack_secrets": SECRETS}), encoding="utf-8")
        # The file, not the value, is what ps shows of the controller.
        outcome = play("-vvvv", "--diff", "-e", f"@{variables}", inventory=inventory)
        assert outcome.code != 0
        assert "API_KEY" in outcome.output
        assert CANARY not in outcome.output

    def test_reports_for_a_ci_system(self, host, inventory, tmp_path):
        reports = {"HYPERCODE_JUNIT": str(tmp_path / "r/junit.xml"), "HYPERCODE_SARIF": str(tmp_path / "r/out.sarif")}
        variables = tmp_path / "variables.json"
        variables.write_text(json.dumps({"stack_secrets": SECRETS}), encoding="utf-8")
        outcome = play(
            "-e", f"@{variables}", inventory=inventory, playbook="playbooks/preflight.yml", variables=reports
        )
        assert outcome.code != 0
        (suite,) = ElementTree.parse(tmp_path / "r/junit.xml").getroot().findall("testsuite")
        assert suite.get("name") == "web1"
        assert int(suite.get("failures") or 0) >= len(SECRETS)
        document = json.loads((tmp_path / "r/out.sarif").read_text(encoding="utf-8"))
        assert {"error"} <= {result["level"] for result in document["runs"][0]["results"]}
        assert CANARY not in (tmp_path / "r/junit.xml").read_text(encoding="utf-8") + json.dumps(document)

    def test_preflight_passes_alone_and_says_so(self, host, inventory, tmp_path):
        reports = {"HYPERCODE_JUNIT": str(tmp_path / "junit.xml")}
        outcome = play(inventory=inventory, playbook="playbooks/preflight.yml", variables=reports)
        assert outcome.code == 0, outcome.output
        assert outcome.changed("web1") == 0
        (suite,) = ElementTree.parse(tmp_path / "junit.xml").getroot().findall("testsuite")
        assert suite.get("failures") == "0"

    def test_a_misspelt_environment_is_production(self, host, inventory):
        outcome = play(
            *("-e", "stack_secrets_environment=devlopment", "-e", '{"stack_secrets": {"API_KEY": "changeme"}}'),
            inventory=inventory,
            playbook="playbooks/preflight.yml",
        )
        assert outcome.code != 0
        assert "environment-unknown" in outcome.output


POLICY = """
POSTGRES_PASSWORD: {kind: token}
HYPERCODE_JWT_SECRET: {kind: jwt_hs256}
HYPERCODE_MEMORY_KEY: {kind: aes_key_base64}
ANTHROPIC_API_KEY: {kind: anthropic_key}
GRAFANA_ADMIN_PASSWORD: {kind: password}
"""
