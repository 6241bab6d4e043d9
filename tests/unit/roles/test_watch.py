"""The role watch: what it writes is what the daemon reads, and a unit that systemd takes."""

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
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.cli import _parser
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.watch.config import Config, read_config
from ansible_collections.hypercode.deploy.plugins.plugin_utils.role_specs import trusted

ROLE = Path(__file__).resolve().parents[3] / "roles" / "watch"
UNIT = ROLE / "templates/tree/etc/systemd/system/hypercode-watch.service"


def load(name: str) -> Any:
    return yaml.safe_load((ROLE / name).read_text(encoding="utf-8"))


def render(text: str, **settings: Any) -> Any:
    variables = trusted({**load("defaults/main.yml"), **load("vars/main.yml")}) | settings
    return Templar(loader=DataLoader(), variables=variables).template(trusted(text))


def config(tmp_path: Path, **settings: Any) -> Config:
    text = render((ROLE / "templates/tree/etc/hypercode/watch.json.j2").read_text(encoding="utf-8"), **settings)
    (tmp_path / "watch.json").write_text(text if isinstance(text, str) else json.dumps(text))
    return read_config(tmp_path / "watch.json")


def findings(**settings: Any) -> list[str]:
    """The names of the settings whose rule does not hold."""
    rules = load("tasks/validate.yml")[0]["hypercode.deploy.settings_check"]["rules"]
    return [rule["name"] for rule in rules if not render(rule["that"], **settings)]


def test_the_defaults_are_those_of_the_daemon(tmp_path: Path) -> None:
    assert config(tmp_path) == Config(("hypercode",))
    assert config(tmp_path, stack_project="shop") == Config(("shop",))
    assert findings() == []


def test_every_setting_arrives(tmp_path: Path) -> None:
    given = {
        "watch_projects": ["a", "b"],
        "watch_interval": "5",
        "watch_journal_interval": 300,
        "watch_journal_days": 7,
        "watch_journal_max_bytes": 2**30,
        "watch_heal": "no",
        "watch_heal_after": 0,
        "watch_heal_max": 1,
    }
    assert findings(**given) == []
    assert config(tmp_path, **given) == Config(("a", "b"), 5, 300, 7, 2**30, heal=False, heal_after=0, heal_max=1)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"watch_projects": []}, "watch_projects"),
        ({"watch_projects": ["Shop"]}, "watch_projects"),
        ({"watch_interval": 0}, "watch_interval"),
        ({"watch_interval": "soon"}, "watch_interval"),
        ({"watch_interval": 61, "watch_journal_interval": 61}, "watch_interval"),
        ({"watch_journal_interval": 5}, "watch_journal_interval"),
        ({"watch_journal_days": 0}, "watch_journal_days, watch_journal_max_bytes"),
        ({"watch_journal_max_bytes": 1000}, "watch_journal_days, watch_journal_max_bytes"),
        ({"watch_heal_after": -1}, "watch_heal_after, watch_heal_max"),
        ({"watch_heal_max": 0}, "watch_heal_after, watch_heal_max"),
    ],
)
def test_what_cannot_be_is_found(settings: dict[str, Any], name: str) -> None:
    assert findings(**settings) == [name]


def test_the_unit_runs_what_the_command_knows() -> None:
    lines = dict(line.split("=", 1) for line in UNIT.read_text().splitlines() if line.startswith("ExecStart="))
    assert lines["ExecStart"].split()[0] == "/usr/local/bin/hypercode"
    assert _parser().parse_args(lines["ExecStart"].split()[1:]).function


def test_it_outlives_docker() -> None:
    text = UNIT.read_text()
    assert "After=docker.service" in text
    assert not [word for word in ("Requires=", "PartOf=", "BindsTo=", "Requisite=") if word in text]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze (package systemd) is not installed")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    path = tmp_path / UNIT.name
    path.write_text(UNIT.read_text().replace("/usr/local/bin/hypercode watch run", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if UNIT.name in line]) == (0, [])


def test_figures_that_nobody_renews_go_with_the_role() -> None:
    removed = [
        task["ansible.builtin.file"]["path"] for task in load("tasks/remove.yml") if "ansible.builtin.file" in task
    ]
    assert removed == ["/var/lib/hypercode/metrics/watch.prom"]
