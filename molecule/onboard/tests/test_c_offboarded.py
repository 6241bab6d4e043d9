"""A managed host leaves: only when its name is said twice, only from where it is, and without losing anything."""

from __future__ import annotations

from checks.playbook import RECAP


def counts(done):
    return {host: int(changed) for host, _ok, changed, _unreachable, _failed in RECAP.findall(done.output)}


def test_not_by_a_slip(desk, fresh):
    before = desk.files()
    unnamed = desk.playbook("offboard")
    assert unnamed.code != 0
    assert "offboard_host=NAME" in unnamed.output
    assert "web1" in unnamed.output
    once = desk.playbook("offboard", "-e", "offboard_host=web1")
    assert once.code != 0
    assert "offboard_confirm=web1" in once.output
    unknown = desk.playbook("offboard", "-e", "offboard_host=web7", "-e", "offboard_confirm=web7")
    assert unknown.code != 0
    assert "no host web7" in unknown.output
    assert desk.files() == before
    assert fresh.shell("test -e /etc/docker/daemon.json && echo there") == "there"


def test_check_mode_tells_and_does_nothing(desk, fresh):
    before, rules = desk.files(), fresh.shell("nft list tables")
    done = desk.playbook("offboard", "--check", "-e", "offboard_host=web1")
    assert done.code == 0, done.output
    assert "would change" in done.output
    assert counts(done)["web1"] >= 5
    assert desk.files() == before
    assert fresh.shell("nft list tables") == rules
    assert fresh.shell("test -e /usr/local/bin/hypercode && echo there") == "there"


def test_it_leaves_and_keeps_data_and_users(desk, fresh):
    fresh.shell("docker volume create kept > /dev/null; docker volume inspect kept > /dev/null")
    predicted = counts(desk.playbook("offboard", "--check", "-e", "offboard_host=web1"))["web1"]
    before = desk.files()
    done = desk.playbook("offboard", "-e", "offboard_host=web1", "-e", "offboard_confirm=web1")
    assert done.code == 0, done.output
    assert counts(done)["web1"] == predicted
    assert "table inet hypercode" not in fresh.shell("nft list tables")
    assert fresh.shell("ls /usr/local/bin/hypercode /etc/docker/daemon.json 2>/dev/null", ok=False) == ""
    assert fresh.shell("docker volume ls --quiet") == "kept"
    assert desk.ssh(fresh, "deploy").output == "deploy"
    # Moved aside, not lost: each file is still there, byte for byte; those of the others are as they were.
    after = desk.files()
    for name, digest in before.items():
        if name.startswith("host_vars/web1/"):
            assert after[f".offboarded/web1/host_vars/{name.removeprefix('host_vars/web1/')}"] == digest
        elif name == "hosts_web1.yml":
            assert after[".offboarded/web1/hosts_web1.yml"] == digest
        elif name != "known_hosts":
            assert after[name] == digest
    known = (desk.environment() / "known_hosts").read_text(encoding="utf-8")
    assert f"{fresh.address} " not in known
    assert len(known.splitlines()) >= 3


def test_twice_is_no_harm(desk):
    before = desk.files()
    done = desk.playbook("offboard", "-e", "offboard_host=web1", "-e", "offboard_confirm=web1")
    assert done.code == 0, done.output
    assert "has left already" in done.output
    assert desk.files() == before


def test_a_host_that_is_gone(desk, sudoer):
    sudoer.shell("systemctl stop ssh.socket ssh.service 2>/dev/null || systemctl stop ssh")
    words = ("-e", "offboard_host=web2", "-e", "offboard_confirm=web2")
    before = desk.files()
    refused = desk.playbook("offboard", *words)
    assert refused.code != 0
    assert "offboard_unreachable=true" in refused.output
    assert desk.files() == before
    done = desk.playbook("offboard", *words, "-e", "offboard_unreachable=true")
    assert done.code == 0, done.output
    assert (desk.environment() / ".offboarded/web2/host_vars/connection.yml").exists()
    assert not (desk.environment() / "host_vars/web2").exists()
