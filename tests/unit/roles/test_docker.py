"""The role docker: what it hands to apt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.hypercode.deploy.plugins.plugin_utils.role_specs import trusted

ROLE = Path(__file__).resolve().parents[3] / "roles" / "docker"


def load(name: str) -> Any:
    return yaml.safe_load((ROLE / name).read_text(encoding="utf-8"))


def vendor_packages(version: str) -> list[str]:
    """What the task of vendor.yml asks apt for."""
    (task,) = [task for task in load("tasks/vendor.yml") if "ansible.builtin.apt" in task]
    variables = trusted({**load("defaults/main.yml"), **load("vars/main.yml")}) | {"docker_version": version}
    packages = Templar(loader=DataLoader(), variables=variables).template(trusted(task["ansible.builtin.apt"]["name"]))
    return list(packages)


@pytest.mark.parametrize("version", ["5:28.5.*", "5:29.1.2-1~debian.13~trixie"])
def test_the_engine_is_moved_to_the_version_that_is_asked_for(version: str) -> None:
    assert vendor_packages(version) == [
        f"docker-ce={version}",
        f"docker-ce-cli={version}",
        "containerd.io",
        "docker-compose-plugin",
        "docker-buildx-plugin",
    ]


def test_the_same_version_is_pinned_for_everyone_else() -> None:
    pin = (ROLE / "templates/vendor/etc/apt/preferences.d/hypercode-docker.j2").read_text(encoding="utf-8")
    assert "Pin: version {{ docker_version }}" in pin
    assert {package.partition("=")[0] for package in vendor_packages("1") if "=" in package} <= set(pin.split())
