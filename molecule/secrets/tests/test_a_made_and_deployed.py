"""Secrets are made, judged and deployed; their values are nowhere but where they belong."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from checks import stack
from checks.operator import command, secrets_of, site

# Which service may see which secret: see the Compose file.
CORE = {"hypercode-core", "celery-worker"}
OWNERS = {
    "POSTGRES_PASSWORD": {*CORE, "postgres", "database-architect"},
    "REDIS_PASSWORD": {"redis", *CORE, *stack.AGENTS},
    "API_KEY": CORE,
    "HYPERCODE_JWT_SECRET": CORE,
    "HYPERCODE_MEMORY_KEY": CORE,
    "ANTHROPIC_API_KEY": {*CORE, *stack.AGENTS},
    "GRAFANA_ADMIN_PASSWORD": {"grafana"},
}


@pytest.fixture(scope="module")
def values(world, deployed):
    """Return every form in which a value may turn up, by secret."""
    found = secrets_of(world)
    assert set(found) == set(OWNERS)
    return {name: {value, quote(value, safe="")} for name, value in found.items()}


def leaks(values, text):
    return sorted(name for name, forms in values.items() if any(form in text for form in forms))


def test_made_without_being_shown(world, made):
    head = world.vault.read_text(encoding="utf-8")
    assert head.startswith("$ANSIBLE_VAULT;")
    assert world.vault.stat().st_mode & 0o077 == 0
    secrets = secrets_of(world)
    assert "ANTHROPIC_API_KEY" in made.first.output
    assert not [name for name, value in secrets.items() if value in made.first.output + made.edited.output]
    again = command(world, "init", world.inventory)
    assert again.code == 0, again.output
    assert secrets_of(world) == secrets


def test_check_has_nothing_to_say(world, made):
    done = command(world, "check", world.inventory)
    assert done.code == 0, done.output


def test_not_in_the_output_at_vvvv(values, deployed):
    assert len(deployed.output) > 50_000
    assert leaks(values, deployed.output) == []


def test_not_in_what_ansible_runner_keeps(values, deployed):
    files = [path for path in deployed.artifacts.rglob("*") if path.is_file()]
    assert len(files) > 50
    read = "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in files)
    assert "Roll the stack out" in read
    assert leaks(values, read) == []


def test_not_in_the_logs_and_caches_of_the_controller(values, world, deployed):
    log = (world.folder / "ansible.log").read_text(encoding="utf-8")
    assert "Roll the stack out" in log
    assert leaks(values, log) == []


def test_not_in_any_process_but_the_owners(host, values, deployed):
    """The watcher read command lines and environments of all processes, some fifty times a second."""
    containers = stack.containers(host)
    roots = {service: container["State"]["Pid"] for service, container in containers.items()}
    groups = {
        line.split()[0]: line.split()[1]
        for line in stack.root(
            host,
            "for p in /proc/[0-9]*; do echo ${p#/proc/} "
            "$(sed -n 's/.*docker[-/]\\([0-9a-f]\\{12\\}\\).*/\\1/p' $p/cgroup 2>/dev/null | head -1); done",
            ok=False,
        ).splitlines()
        if len(line.split()) == 2
    }
    assert len(set(groups.values())) >= len(roots)
    seen = stack.root(host, "cat /run/watch/seen")
    assert seen.count("\n") > 500
    lines = [line for line in seen.splitlines() if leaks(values, line)]
    in_arguments = [line.split(" ")[:2] for line in lines if line.startswith("cmdline ")]
    assert in_arguments == []
    # What carries one in its environment is a process of a container, seen when it started.
    names = {str(container["Id"])[:12]: service for service, container in containers.items()}
    for line in lines:
        _kind, pid, text = line.split(" ", 2)
        # A container's start passes through runc, which ends before anyone can ask for its group.
        service = names.get(groups.get(pid, ""), "")
        for name in leaks(values, text):
            assert not service or service in OWNERS[name], f"{service} has {name}"


def test_docker_tells_a_value_of_its_owners_only(host, values, deployed):
    for service, container in stack.containers(host).items():
        found = set(leaks(values, json.dumps(container)))
        assert found == {name for name, owners in OWNERS.items() if service in owners}, service


def test_in_no_file_of_the_host_but_the_env_file(host, values, deployed):
    """Everything that is no container's own: journals, logs, records of the rollout, configuration."""
    # Encoded, for sudo writes what it is asked to run into the journal.
    patterns = base64.b64encode("\n".join(form for forms in values.values() for form in forms).encode()).decode()
    stack.root(host, f"echo {patterns} | base64 -d > /run/watch/patterns")
    found = stack.root(
        host,
        "grep -rsF --binary-files=text --exclude-dir=docker --exclude-dir=containerd --files-with-matches "
        "--file=/run/watch/patterns /etc /opt /root /home /tmp /var /srv",
        ok=False,
    ).split()
    # It does find what is there.
    assert stack.root(host, "readlink -f /opt/hypercode/current/env").strip() in found
    assert [path for path in found if not path.endswith("/env")] == []
    assert stack.root(host, "stat -c %a /opt/hypercode/current/env").strip() == "600"
    assert leaks(values, stack.root(host, "journalctl --no-pager --output=cat")) == []


def test_a_second_run_changes_nothing(world, deployed):
    done = site(world)
    assert done.code == 0, done.output
    assert done.changed("web1") == 0
