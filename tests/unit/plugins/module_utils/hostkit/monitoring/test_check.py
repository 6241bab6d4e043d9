# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Settings are judged by the program that reads them. That it is the real one, the scenario monitoring shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import cli
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.monitoring.check import MonitoringError, check

IMAGE = "sha256:" + "1" * 64


def containers(service: str) -> list[dict[str, Any]]:
    return [{"Config": {"Labels": {"com.docker.compose.service": service}}, "Image": IMAGE}]


@pytest.mark.parametrize(
    ("name", "service", "words"),
    [
        ("prometheus.yml", "prometheus", f"--entrypoint promtool {IMAGE} check config /etc/prometheus/prometheus.yml"),
        (
            "alertmanager.yml",
            "alertmanager",
            f"--entrypoint amtool {IMAGE} check-config /etc/alertmanager/alertmanager.yml",
        ),
        ("blackbox.yml", "blackbox-exporter", f"{IMAGE} --config.check --config.file=/etc/blackbox/blackbox.yml"),
    ],
)
def test_the_image_in_use_judges_the_folder_of_the_file(tmp_path: Path, name: str, service: str, words: str) -> None:
    asked: list[str] = []

    def run(argv: Sequence[str], **_options: object) -> CommandResult:
        asked.append(" ".join(argv))
        return CommandResult(0)

    assert check(tmp_path / name, containers(service), run) == ""
    assert asked[0].endswith(words)
    assert f"--volume {tmp_path}:/etc/" in asked[0]
    assert "--network none" in asked[0]


def test_rules_are_judged_with_the_settings_that_name_them(tmp_path: Path) -> None:
    asked: list[str] = []

    def run(argv: Sequence[str], **_options: object) -> CommandResult:
        asked.append(" ".join(argv))
        return CommandResult(0)

    check(tmp_path / "rules/host.yml", containers("prometheus"), run)
    assert f"--volume {tmp_path}:/etc/prometheus:ro" in asked[0]
    assert asked[0].endswith("check config /etc/prometheus/prometheus.yml")


def test_one_that_is_refused_says_why_and_that_the_old_one_stays(tmp_path: Path) -> None:
    def run(_argv: Sequence[str], **_options: object) -> CommandResult:
        return CommandResult(1, "Checking\n  FAILED: bad\n    rule", "")

    with pytest.raises(MonitoringError, match=r"stays as it was: Checking FAILED: bad rule\. Fix: correct"):
        check(tmp_path / "prometheus.yml", containers("prometheus"), run)


def test_without_the_service_there_is_nothing_to_keep(tmp_path: Path) -> None:
    said = check(tmp_path / "prometheus.yml", containers("web"), lambda *_a, **_o: pytest.fail("nobody is asked"))
    assert said == "prometheus.yml is not judged: there is no prometheus yet"


def test_another_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MonitoringError, match=r"alertmanager\.yml, blackbox\.yml, prometheus\.yml"):
        check(tmp_path / "other.yml", [], lambda *_a, **_o: pytest.fail("nobody is asked"))


def test_the_command_line_has_them() -> None:
    parser = cli._parser()
    assert parser.parse_args(["alerts", "--json"]).json is True
    assert parser.parse_args(["monitoring", "check", "/tmp/x/blackbox.yml"]).file == Path("/tmp/x/blackbox.yml")
