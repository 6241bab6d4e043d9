"""Both ways to get images that upstream does not publish: built on the host, built on the controller and pushed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from checks import stack
from checks.playbook import ROOT, play
from testbed import registry, source
from testbed.hosts import Bed

BED = Bed("molecule-build", ROOT / ".cache" / "testbed" / "molecule-build", "molecule", "docker")
OWN = sorted(source.CONTEXTS)
# A build that fails fails in this role: the others are left out of the runs that are to fail.
STACK = ("--tags", "stack")


def publish(version):
    """Serve another version of the sources; return its commit."""
    done = subprocess.run(
        [sys.executable, "-m", "testbed", "publish", "--name", BED.name, "--version", version],
        cwd=Path(source.__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def build(**changes):
    settings = {
        "repository": source.address(BED),
        "ref": "main",
        "arguments": {"BASE": f"{BED.registry}/sandbox/base:debian12"},
        **changes,
    }
    return ("-e", json.dumps({"stack_build": settings}))


def test_images_were_built_on_the_host_from_the_commit(host):
    release = stack.release(host)
    containers = stack.containers(host)
    assert len(release["version"]) == 12
    for service in OWN:
        assert containers[service]["Config"]["Image"] == f"localhost/hypercode/{service}:{release['version']}"
        labels = json.loads(stack.root(host, f"docker inspect {containers[service]['Image']}"))[0]["Config"]["Labels"]
        assert labels["org.opencontainers.image.revision"].startswith(release["version"])
    assert stack.all_healthy(host)


def test_nothing_was_pushed(host):
    listed = subprocess.run(
        ["docker", "exec", registry.container(BED), "ls", "/srv/registry/docker/registry/v2/repositories"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "localhost" not in listed.stdout


def test_a_new_commit_is_built_and_deployed(host, inventory):
    before = stack.containers(host)
    commit = publish("2.0.0")
    predicted = play("--check", inventory=inventory)
    assert predicted.code == 0, predicted.output
    done = play(inventory=inventory)
    assert done.code == 0, done.output
    assert done.changes == predicted.changes
    assert stack.release(host)["version"] == commit[:12]
    assert stack.containers(host)["redis"]["Id"] == before["redis"]["Id"]
    code = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8005/status').read().decode())"
    assert '"version": "2.0.0"' in stack.python_in(host, "qa-engineer", code)
    assert play(inventory=inventory).changed("web1") == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ref": "no-such-branch"}, ("no branch or tag 'no-such-branch'", "stack_build.ref")),
        ({"repository": "git://198.51.100.130/nothing.git"}, ("nothing.git cannot be read", "stack_build.repository")),
        ({"arguments": {"BASE": "198.51.100.130:5000/sandbox/nothing:1"}}, ("cannot be built",)),
    ],
    ids=["ref", "repository", "base"],
)
def test_a_build_that_cannot_be(host, inventory, changes, words):
    publish("3.0.0")
    before = {service: item["Id"] for service, item in stack.containers(host).items()}
    outcome = play(*STACK, *build(**changes), inventory=inventory)
    assert outcome.code != 0
    for word in words:
        assert word in outcome.output, outcome.output
    assert "Traceback" not in outcome.output
    assert {service: item["Id"] for service, item in stack.containers(host).items()} == before


def test_a_missing_dockerfile_names_the_setting(host, inventory):
    outcome = play(
        *STACK, "-e", json.dumps({"stack_build_contexts": {"qa-engineer": "agents/nowhere"}}), inventory=inventory
    )
    assert outcome.code != 0
    assert "stack_build_contexts.qa-engineer" in outcome.output


def test_a_build_on_the_controller_needs_a_registry(host, inventory):
    outcome = play(*STACK, *build(where="controller"), inventory=inventory)
    assert outcome.code != 0
    assert "Set stack_registry, or build on the target" in outcome.output


def test_built_on_the_controller_and_pushed(host, inventory, monkeypatch, tmp_path):
    commit = publish("4.0.0")
    monkeypatch.setenv("DOCKER_CONFIG", str(registry.trust(BED)))
    monkeypatch.setenv("DOCKER_BUILDKIT", "0")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    words = (*build(where="controller"), "-e", f"stack_registry={BED.registry}/built")
    done = play(*words, inventory=inventory)
    assert done.code == 0, done.output
    release = stack.release(host)
    assert release["version"] == commit[:12]
    containers = stack.containers(host)
    for service in OWN:
        assert containers[service]["Config"]["Image"].startswith(
            f"{BED.registry}/built/{service}:{commit[:12]}@sha256:"
        )
    assert stack.all_healthy(host)
    assert play(*words, inventory=inventory).changed("web1") == 0


def test_a_stack_of_ones_own_from_git(host, inventory):
    """The Compose file and the images come from the same commit; what the file lacks for production is added."""
    commit = publish("5.0.0")
    settings = {
        "stack_source": source.address(BED),
        "stack_source_path": "deploy",
        "stack_build": {"where": "target", "arguments": {"BASE": f"{BED.registry}/sandbox/base:debian12"}},
        "stack_build_contexts": {"qa-engineer": source.CONTEXTS["qa-engineer"]},
        "stack_environment": {"MIRROR": f"{BED.registry}/sandbox"},
        "stack_images": {},
    }
    words = ("-e", json.dumps(settings))
    predicted = play("--check", *words, inventory=inventory)
    assert predicted.code == 0, predicted.output
    done = play(*words, inventory=inventory)
    assert done.code == 0, done.output
    assert done.changes == predicted.changes
    assert stack.release(host)["version"] == commit[:12]
    containers = stack.containers(host)
    assert set(containers) == {"cache", "qa-engineer"}
    # Repaired on the way: no fixed name, nothing published, limits and a restart policy of the class.
    cache = containers["cache"]
    assert cache["Name"].startswith("/hypercode-cache-")
    assert not cache["HostConfig"]["PortBindings"]
    assert cache["HostConfig"]["Memory"] == 1024**3
    assert containers["qa-engineer"]["HostConfig"]["RestartPolicy"]["Name"] == "on-failure"
    code = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8005/health').read().decode())"
    assert '"redis": "connected"' in stack.python_in(host, "qa-engineer", code)
    assert play(*words, inventory=inventory).changed("web1") == 0


def test_a_ref_of_the_source_that_is_not_there(host, inventory):
    settings = {"stack_source": source.address(BED), "stack_source_ref": "no-such", "stack_images": {}}
    outcome = play(*STACK, "-e", json.dumps(settings), inventory=inventory)
    assert outcome.code != 0
    assert "no branch or tag 'no-such'" in outcome.output
    assert "stack_source_ref" in outcome.output
    assert "Traceback" not in outcome.output
