"""The role soak: what it writes is what the recorder reads, what it asks for is what starts one, and its unit."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.hypercode.deploy.plugins.filter import served_names, soak_findings
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.cli import _parser
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.record.config import (
    Config,
    Site,
    read_config,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.record.request import document_from
from ansible_collections.hypercode.deploy.plugins.plugin_utils.role_specs import trusted

ROLE = Path(__file__).resolve().parents[3] / "roles" / "soak"
UNIT = ROLE / "templates/tree/etc/systemd/system/hypercode-soak.service"
PLAYBOOKS = ("site.yml", "update.yml")
HOSTS = {
    "web1": {"ansible_host": "192.0.2.1", "edge_sites": [{"name": "app.example.com", "aliases": ["www.example.com"]}]},
    "web2": {"ansible_host": "192.0.2.2", "edge_sites": [{"name": "app.example.com"}, {"name": "*.example.com"}]},
    "db": {"ansible_host": "192.0.2.3"},
}


def load(name: str) -> Any:
    return yaml.safe_load((ROLE / name).read_text(encoding="utf-8"))


def render(text: Any, **settings: Any) -> Any:
    facts = {"inventory_hostname": "web1", "groups": {"hypercode": list(HOSTS)}, "hostvars": HOSTS}
    variables = trusted({**load("defaults/main.yml"), **load("vars/main.yml")}) | facts | settings
    templar = Templar(loader=DataLoader(), variables=variables)
    for names in (served_names.FilterModule(), soak_findings.FilterModule()):
        for name, function in names.filters().items():
            templar.environment.filters[f"hypercode.deploy.{name}"] = function
    return templar.template(trusted(text))


def config(tmp_path: Path, **settings: Any) -> Config:
    text = render((ROLE / "templates/tree/etc/hypercode/soak.json.j2").read_text(encoding="utf-8"), **settings)
    (tmp_path / "soak.json").write_text(text if isinstance(text, str) else json.dumps(text))
    return read_config(tmp_path / "soak.json")


def findings(**settings: Any) -> list[str]:
    """The names of the settings whose rule does not hold, or what is found of them."""
    rules = load("tasks/validate.yml")[0]["hypercode.deploy.settings_check"]["rules"]
    wrong = [rule["name"] for rule in rules if "that" in rule and not render(rule["that"], **settings)]
    found = [one for rule in rules if "findings" in rule for one in render(rule["findings"], **settings)]
    return wrong + [str(one["message"]) for one in found]


def test_each_host_asks_its_own_sites_and_those_of_the_others(tmp_path: Path) -> None:
    assert config(tmp_path).sites == (
        Site("app.example.com"),
        Site("www.example.com"),
        Site("app.example.com", "192.0.2.2", "web2"),
    )
    other = config(tmp_path, inventory_hostname="db", soak_site_path="/health")
    assert [(site.name, site.host, site.path) for site in other.sites] == [
        ("app.example.com", "web1", "/health"),
        ("www.example.com", "web1", "/health"),
        ("app.example.com", "web2", "/health"),
    ]
    assert config(tmp_path, groups={}).sites == (Site("app.example.com"), Site("www.example.com"))


def test_addresses_of_the_stack_and_of_its_own(tmp_path: Path) -> None:
    given = {"core": "http://core:8000/health", "grafana": "http://grafana:3000/"}
    assert config(tmp_path, stack_probes=given).probes == given
    found = config(tmp_path, soak_stack_probes=given, soak_probes={"grafana": "", "mailer": "http://mailer:1/"})
    assert found.probes == {"core": "http://core:8000/health", "mailer": "http://mailer:1/"}
    assert (found.project, found.timeout, found.prometheus) == ("hypercode", 10.0, "prometheus")
    assert config(tmp_path, stack_project="shop", soak_timeout="3").timeout == 3.0


def test_the_defaults_are_a_soak_of_a_day() -> None:
    assert findings() == []
    request = render("{{ __soak_request }}")
    found = document_from({name: value for name, value in request.items() if value != ""})
    assert (found["duration"], found["warmup"], found["interval"]) == (86400, 1800, 60)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"soak_start": "sometimes"}, "soak_start"),
        ({"soak_timeout": 0}, "soak_timeout"),
        ({"soak_probes": {"web": "web:80"}}, "soak_probes"),
        ({"soak_site_path": "health"}, "soak_site_path"),
        ({"soak_duration": "1s"}, "a duration of 1 s makes no sense"),
        ({"soak_duration": "soon"}, "duration has to be a time"),
        ({"soak_warmup": "20h"}, "a warmup of 72000 s"),
        ({"soak_limits": {"p95_ms": -1}}, "limits.p95_ms"),
        ({"soak_expect": [{"what": "rain", "ends": "1h"}]}, "`what` has to be one of"),
        ({"soak_faults": {"flood": True}}, "faults may have kill and reboot"),
    ],
)
def test_what_cannot_be_is_found_before_any_host_is_touched(settings: dict[str, Any], words: str) -> None:
    (found,) = findings(**settings)
    assert words in found
    assert findings(**settings, soak_enabled=False) == ([] if "makes" in found or " " in found else [found])


def test_the_unit_runs_what_the_command_knows_only_while_a_soak_is_under_way() -> None:
    text = UNIT.read_text()
    lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    assert _parser().parse_args(lines["ExecStart"].split()[1:]).function
    assert lines["ConditionPathExists"] == "/var/lib/hypercode/soak/unfinished.json"
    assert (lines["Restart"], lines["WantedBy"]) == ("always", "multi-user.target")
    assert not [word for word in ("Requires=", "PartOf=", "BindsTo=", "Requisite=") if word in text]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze (package systemd) is not installed")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    path = tmp_path / UNIT.name
    path.write_text(UNIT.read_text().replace("/usr/local/bin/hypercode soak run", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if UNIT.name in line]) == (0, [])


def test_a_verdict_that_nobody_renews_goes_with_the_role() -> None:
    removed = [
        task["ansible.builtin.file"]["path"] for task in load("tasks/remove.yml") if "ansible.builtin.file" in task
    ]
    assert removed == ["/var/lib/hypercode/metrics/soak.prom"]


def test_only_a_deploy_that_asks_for_one_starts_one() -> None:
    playbooks = ROLE.parents[1] / "playbooks"
    (task,) = yaml.safe_load((playbooks / "tasks/start_soak.yml").read_text(encoding="utf-8"))
    assert task["vars"] == {"soak_occasion": "{{ soak_start | default('first') }}"}
    assert not render("{{ " + f"({task['when'][2]})" + " }}", soak_start="never")
    assert render("{{ " + f"({task['when'][2]})" + " }}")
    plays = {name: yaml.safe_load((playbooks / name).read_text(encoding="utf-8"))[-1] for name in PLAYBOOKS}
    assert {play["name"] for play in plays.values()} == {"Start the soak check"}
    (update,) = plays["update.yml"]["tasks"]
    for start, wanted in (("first", False), ("never", False), ("release", True), ("always", True)):
        assert render("{{ " + f"({update['when']})" + " }}", soak_start=start) is wanted
    start = load("tasks/start.yml")[0]["hypercode.deploy.soak_check"]
    assert render(start["occasion"]) == "always", "playbooks/soak.yml starts one in any case"
