"""The role backup: what it writes is what the host command reads, and a cron file that cron and a shell take."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup import command
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.config import read_config
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.cli import _parser
from ansible_collections.hypercode.deploy.plugins.plugin_utils.role_specs import trusted

ROLE = Path(__file__).resolve().parents[3] / "roles" / "backup"
FAR = {
    "backup_repositories": [{"name": "far", "url": "s3:https://s3.test/b", "environment": {"AWS_ACCESS_KEY_ID": "k"}}],
    "backup_password": "p" * 30,
}


def load(name: str) -> Any:
    return yaml.safe_load((ROLE / name).read_text(encoding="utf-8"))


def render(text: str, **settings: Any) -> Any:
    variables = trusted({**load("defaults/main.yml"), **load("vars/main.yml"), "inventory_hostname": "web1"}) | settings
    return Templar(loader=DataLoader(), variables=variables).template(trusted(text))


def config(tmp_path: Path, **settings: Any) -> Any:
    text = render((ROLE / "templates/tree/etc/hypercode/backup.json.j2").read_text(encoding="utf-8"), **settings)
    (tmp_path / "backup.json").write_text(text if isinstance(text, str) else json.dumps(text))
    return read_config(tmp_path / "backup.json")


def findings(**settings: Any) -> list[str]:
    """The names of the settings whose rule does not hold."""
    rules = load("tasks/validate.yml")[0]["hypercode.deploy.settings_check"]["rules"]
    return [rule["name"] for rule in rules if not render(rule["that"], **settings)]


def test_without_any_setting_backups_stay_on_the_host(tmp_path: Path) -> None:
    found = config(tmp_path)
    assert [(entry.name, entry.url) for entry in found.repositories] == [("local", "/var/backups/hypercode")]
    assert found.repositories[0].password_file == "/var/lib/hypercode/backup/password"
    assert (found.project, found.host, found.retention_days, found.timeout) == ("hypercode", "web1", 30, 6 * 3600)
    assert render("{{ __backup_warnings }}", backup_enabled=False)["skipped"]
    warnings = render("{{ __backup_warnings }}", backup_enabled=True)
    assert not warnings["skipped"]
    assert "its password is only there as well" not in warnings["findings"][0]["message"]
    assert "their password is only there as well" in warnings["findings"][0]["message"]
    assert findings() == []


def test_a_repository_elsewhere(tmp_path: Path) -> None:
    found = config(tmp_path, **FAR, backup_paths=["/srv"], backup_services={"x": "none"})
    assert found.repositories[0].environment == {"AWS_ACCESS_KEY_ID": "k"}
    assert found.repositories[0].password_file == "/etc/hypercode/backup/password"
    assert (found.paths, found.services) == (("/srv",), {"x": "none"})
    assert render("{{ __backup_warnings }}", **FAR)["skipped"]
    assert findings(**FAR) == []


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({**FAR, "backup_password": ""}, "backup_password"),
        ({"backup_password": "short"}, "backup_password"),
        ({"backup_time": "2:00"}, "backup_time"),
        ({"backup_time": "24:00"}, "backup_time"),
        ({**FAR, "backup_repositories": FAR["backup_repositories"] * 2}, "backup_repositories"),  # type: ignore[operator]
        ({"backup_services": {"db": "mysql"}}, "backup_services"),
        ({"backup_paths": ["srv"]}, "backup_paths"),
        ({"backup_retention_days": 0}, "backup_retention_days, backup_timeout_hours"),
    ],
)
def test_what_cannot_be_is_found(settings: dict[str, Any], name: str) -> None:
    assert findings(**settings, backup_enabled=True) == [name]
    # A host without backups has no need of a password for them.
    if name == "backup_password":
        assert findings(**settings, backup_enabled=False) == []


def cron_jobs(**settings: Any) -> list[str]:
    text = render((ROLE / "templates/tree/etc/cron.d/hypercode-backup.j2").read_text(encoding="utf-8"), **settings)
    return [line for line in text.splitlines() if line and not line.startswith("#") and not re.match(r"[A-Z]+=", line)]


def test_hosts_that_share_a_repository_do_not_begin_at_once() -> None:
    times = [[job.split()[:2] for job in cron_jobs(inventory_hostname=name)] for name in ("web1", "web1", "web2")]
    assert times[0] == times[1]
    for mine, theirs in list(zip(times[0], times[2], strict=True))[1:]:
        assert mine != theirs
        assert 0 <= int(mine[0]) < 60


def test_cron_runs_what_the_command_knows() -> None:
    jobs = cron_jobs(backup_time="03:07")
    assert jobs[0].startswith("7 3 * * * root timeout -k 120 25200 $GENTLY hypercode backup run --jitter 900 ")
    typed = []
    for job in jobs:
        assert "%" not in job, "cron takes it for a new line"
        words = re.search(r"hypercode (backup .*?) 2>&1 \| logger -t hypercode-backup$", job)
        assert words is not None, job
        typed.append(_parser().parse_args(words[1].split()).function)
        subprocess.run(["sh", "-n", "-c", job.split("root ", 1)[1]], check=True)
    assert typed == [command._run, command._run, command._drill, command._verify]


def test_repositories_are_made_by_one_host_at_a_time_in_each_deploy() -> None:
    task = next(task for task in load("tasks/converge.yml") if "ansible.builtin.command" in task)
    assert task["ansible.builtin.command"]["cmd"] == "hypercode backup init"
    assert task["throttle"] == 1
    assert "when" not in task
