# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role in a real ansible-playbook against a real name server, with a vaulted key that is never seen, at -vvvv."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from fakes.name_servers import ZONE, Knot, make_key

pytestmark = pytest.mark.playbook

ROOT = Path(__file__).parents[4]
PLAYBOOK = """
- hosts: hypercode
  gather_facts: false
  roles:
    - role: hypercode.deploy.dns
      vars:
        dns_sites: "{{ groups['hypercode'] | hypercode.deploy.served_names(hostvars) }}"
"""


class World:
    """An inventory whose variables a test may change, and the server that its zone is on."""

    def __init__(self, folder: Path, knot: Knot) -> None:
        self.folder, self.knot = folder, knot
        self.hosts: dict[str, Any] = {
            "web1": {"ansible_host": "198.51.100.11"},
            "web2": {"ansible_host": "198.51.100.12", "dns_addresses": ["198.51.100.12", "2001:db8:51::12"]},
            "db1": {"ansible_host": "198.51.100.13", "edge_enabled": False},
        }
        self.settings = knot.settings()

    def play(self, *words: str) -> subprocess.CompletedProcess[str]:
        (self.folder / "play.yml").write_text(PLAYBOOK, encoding="utf-8")
        variables: dict[str, Any] = {
            "ansible_connection": "local",
            "edge_sites": [{"name": f"app.{ZONE}", "aliases": [f"Bücher.{ZONE}"]}],
            "dns_zones": {ZONE: self.settings},
            "dns_owner": "tests",
            "dns_resolvers": [],
            "dns_timeout": 5,
        }
        inventory = {"hypercode": {"hosts": self.hosts, "vars": variables}}
        (self.folder / "hosts.yml").write_text(yaml.safe_dump(inventory, allow_unicode=True), encoding="utf-8")
        command = Path(sys.executable).parent / "ansible-playbook"
        done = subprocess.run(
            [command, "play.yml", "-i", "hosts.yml", "-vvvv", "--diff", *words],
            cwd=self.folder,
            env={
                **os.environ,
                "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
                "ANSIBLE_LOG_PATH": str(self.folder / "log"),
                "ANSIBLE_DISPLAY_ARGS_TO_STDOUT": "1",
                "ANSIBLE_NOCOLOR": "1",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        log = (self.folder / "log").read_text(encoding="utf-8")
        # Nowhere: not in what is printed, not in the log.
        assert str(self.settings["key"]) not in done.stdout + done.stderr + log
        assert "Traceback" not in done.stdout
        return done


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    if not shutil.which("knotd"):
        pytest.skip("knotd is not installed (apt-get install knot)")
    with Knot(tmp_path / "knot").running() as knot:
        yield World(tmp_path, knot)


def test_hosts_and_sites_come_and_go(world: World) -> None:
    before = world.knot.records()
    planned = world.play("--check")
    assert planned.returncode == 0, planned.stdout
    assert f"+app.{ZONE}. 300 AAAA 2001:db8:51::12" in planned.stdout
    assert world.knot.records() == before
    done = world.play()
    assert done.returncode == 0, done.stdout
    assert "changed=1" in done.stdout
    found = world.knot.records()
    assert found[f"app.{ZONE} A"] == ["198.51.100.11", "198.51.100.12"]
    assert found[f"xn--bcher-kva.{ZONE} A"] == ["198.51.100.11", "198.51.100.12"]
    assert found[f"app.{ZONE} CAA"] == ['0 issue "letsencrypt.org"']
    assert found[f"db1.{ZONE} A"] == ["198.51.100.13"]
    # Hosts that are left out of a run are still wanted.
    assert "changed=0" in world.play("--limit", "web2").stdout
    assert world.knot.records() == found
    del world.hosts["db1"]
    assert world.play().returncode == 0
    assert world.knot.records() == {key: value for key, value in found.items() if "db1" not in key}


def test_a_wrong_key_is_one_message(world: World) -> None:
    world.settings["key"] = make_key()
    done = world.play()
    assert done.returncode == 2
    assert "the value of the key is not the one it has (BADSIG)" in done.stdout
    assert "Correct dns_zones['example.test'].key" in done.stdout


def test_without_zones_there_is_one_skipped_task(world: World) -> None:
    done = world.play("-e", '{"dns_zones": {}}')
    assert done.returncode == 0
    assert "skipped=1" in done.stdout or "skipping: [web1]" in done.stdout
    assert "Apply the records" not in done.stdout
