"""The host leaves, with a stack on it: first with its data kept, then with all of it gone. The last of this story."""

from __future__ import annotations

import shutil

import pytest
from checks import stack
from checks.playbook import play

OFFBOARD = "playbooks/offboard.yml"
WORDS = ("-e", "offboard_host=web1", "-e", "offboard_confirm=web1")


@pytest.fixture
def environment(inventory, tmp_path):
    """The inventory as scripts/onboard writes it: the host in a file of its own."""
    folder = tmp_path / "inventory"
    shutil.copytree(inventory, folder)
    (folder / "hosts.yml").unlink()
    (folder / "testbed.yml").rename(folder / "hosts_web1.yml")
    return folder


def volumes(host):
    return stack.root(host, "docker volume ls --quiet --filter label=com.docker.compose.project=hypercode").split()


def test_the_stack_stops_and_its_data_stays(host, environment):
    kept = volumes(host)
    assert kept
    predicted = play("--check", *WORDS, inventory=environment, playbook=OFFBOARD)
    assert predicted.code == 0, predicted.output
    assert stack.containers(host), "--check must not touch it"
    done = play(*WORDS, inventory=environment, playbook=OFFBOARD)
    assert done.code == 0, done.output
    assert done.changed("web1") == predicted.changed("web1")
    assert stack.containers(host) == {}
    assert volumes(host) == kept
    assert "hypercode" not in stack.root(host, "nft list tables; ls /etc/systemd/system /usr/local/bin")
    assert (environment / ".offboarded/web1/hosts_web1.yml").exists()


def test_it_can_come_back_to_its_data(host, inventory):
    kept = volumes(host)
    back = play(inventory=inventory)
    assert back.code == 0, back.output
    assert stack.all_healthy(host)
    assert volumes(host) == kept


def test_with_delete_data_nothing_of_ours_stays(host, environment):
    stack.root(host, "docker volume create somebody-elses")
    done = play(*WORDS, "-e", "offboard_delete_data=true", inventory=environment, playbook=OFFBOARD)
    assert done.code == 0, done.output
    assert stack.containers(host) == {}
    assert stack.root(host, "docker volume ls --quiet").split() == ["somebody-elses"]
    assert stack.root(host, "ls -d /opt/hypercode /var/lib/hypercode /etc/hypercode", ok=False) == ""
