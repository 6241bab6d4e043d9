"""scripts/sandbox as a person uses it: made, interrupted, made again, looked at, measured, removed.

The tests are one story, told in order: each goes on from where the one before stopped.
"""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from checks import web
from testbed import hosts, images, registry_image
from testbed.shell import TestbedError

ROOT = Path(__file__).resolve().parents[2]
LABEL = "label=hypercode.testbed=sandbox"


def sandbox(*words: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "scripts" / "sandbox", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )


def docker(*words: str) -> str:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True).stdout.strip()


def left_behind() -> list[str]:
    """Return every container, network and volume of the sandbox that is there."""
    return [
        *docker("ps", "--all", "--quiet", "--filter", LABEL).split(),
        *docker("network", "ls", "--quiet", "--filter", LABEL).split(),
        *docker("volume", "ls", "--quiet", "--filter", "name=hypercode-sandbox-").split(),
    ]


@pytest.fixture(scope="module", autouse=True)
def removed_at_the_end():
    """Never take somebody's own sandbox away."""
    if left_behind():
        pytest.skip("a sandbox is up here; to test it: ./scripts/sandbox down", allow_module_level=True)
    # With what most scenarios need: while the registry is filled, a core has time for it.
    registry_image.prepare("docker")
    yield
    sandbox("down")


def test_what_a_run_that_was_cut_off_left_is_out_of_the_way():
    """Dead hosts hold the address range of the scenarios: each one after them could not make its network."""
    bed = hosts.Bed("molecule-cut-off", Path("/nowhere"), "molecule")
    # A scenario may be about to begin in the other range.
    (beside,) = {"molecule", "molecule-2"} - {bed.range}
    hosts.make_network(bed)
    docker("volume", "create", f"{bed.container('web1')}-docker")
    labelled = ["--label", f"hypercode.testbed={bed.name}", "--network", bed.network]
    docker("create", "--name", bed.container("web1"), *labelled, images.app_base(), "true")
    other = hosts.Bed("molecule-next", Path("/nowhere"), "molecule")
    with pytest.raises(TestbedError, match="taken by another test bed"):
        hosts.make_network(other)
    assert hosts.clear_dead({bed.name}, beside) == []
    assert hosts.clear_dead(apart_from=bed.range) == []
    assert hosts.clear_dead(apart_from=beside) == [bed.name]
    assert bed.name not in docker("volume", "ls", "--quiet")
    try:
        hosts.make_network(other)
    finally:
        hosts.remove(other.name)


def test_before_it_is_up_each_verb_says_what_to_type():
    for words in (("status",), ("ssh", "web1")):
        done = sandbox(*words)
        assert done.returncode == 1
        assert "./scripts/sandbox up" in done.stdout


def test_an_interrupted_up_goes_on_where_it_stood():
    process = subprocess.Popen(
        [ROOT / "scripts" / "sandbox", "up", "--no-deploy", "--hosts", "2"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 300
    while not docker("ps", "--quiet", "--filter", LABEL):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "the same command goes on where it stood" in output
    assert "Traceback" not in output
    again = sandbox("up", "--no-deploy", "--hosts", "2")
    assert again.returncode == 0, again.stdout
    hosts = (ROOT / "inventories" / "sandbox" / "hosts.yml").read_text(encoding="utf-8")
    assert "web1" in hosts
    assert "web2" in hosts


def test_fewer_hosts_than_there_are_is_refused_with_the_way_out():
    done = sandbox("up", "--no-deploy")
    assert done.returncode == 1
    assert "--hosts 2" in done.stdout
    assert "--fresh" in done.stdout


def test_up_deploys_to_every_host_and_says_what_to_type():
    done = sandbox("up", "--hosts", "2")
    assert done.returncode == 0, done.stdout
    for host in ("web1", "web2"):
        assert f"{host}: 22 of 22 services healthy" in done.stdout
    assert "ansible-playbook site.yml -i inventories/sandbox" in done.stdout


def test_secrets_are_for_the_operator_alone():
    for name in ("testbed_secrets.yml", "testbed_edge.yml"):
        assert (ROOT / "inventories/sandbox/group_vars/hypercode" / name).stat().st_mode & 0o077 == 0


def test_its_sites_answer_with_a_certificate_of_the_hosts_own_ca():
    bed = hosts.Bed("sandbox", ROOT / ".cache" / "testbed" / "sandbox")
    settings = yaml.safe_load((ROOT / "inventories/sandbox/group_vars/hypercode/testbed_edge.yml").read_text())
    login = base64.b64encode(f"sandbox:{settings['sandbox_edge_password']}".encode()).decode()
    for number, host in enumerate(("web1", "web2")):
        roots = web.text_of(bed.state / f"edge-root-{host}.crt")
        core = web.Site(bed.address(number), "hypercode.test", roots)
        assert core.get("/health").status == 200
        assert core.plain("/health").headers["location"] == "https://hypercode.test/health"
        for board, path in (("grafana", "/api/health"), ("prometheus", "/-/ready"), ("jaeger", "/")):
            site = web.Site(bed.address(number), f"{board}.hypercode.test", roots)
            assert site.get(path).status == 401, board
            assert site.get(path, headers={"Authorization": f"Basic {login}"}).status == 200, board


def test_status_and_ssh():
    done = sandbox("status")
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("22 of 22 services healthy") == 2
    done = sandbox("ssh", "web2", "hostname")
    assert done.stdout.strip() == "web2"
    wrong = sandbox("ssh", "web9", "true")
    assert wrong.returncode == 1
    assert "web1, web2" in wrong.stdout


def test_prometheus_reaches_everybody_and_nobody_is_woken():
    """Without a word about monitoring in the inventory."""
    ask = "sudo docker exec $(sudo docker ps -q --filter label=com.docker.compose.service=prometheus)"
    words = f"{ask} wget -q -O - http://127.0.0.1:9090/api/v1/targets"
    found = json.loads(sandbox("ssh", "web1", words).stdout)["data"]["activeTargets"]
    assert {target["health"] for target in found} == {"up"}, found
    jobs = {target["labels"]["job"] for target in found}
    assert jobs == {"prometheus", "alertmanager", "node", "postgres", "redis", "probe", "hypercode-core"}
    fires = json.loads(sandbox("ssh", "web1", "sudo hypercode alerts --json").stdout)["alerts"]
    assert [alert for alert in fires if alert["severity"] == "critical"] == []


def play(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / ".venv/bin/ansible-playbook", "-i", "inventories/sandbox", *words],
        cwd=ROOT,
        env={**os.environ, "CI": "true"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_is_backed_up_and_a_drill_brings_it_back():
    """Without a word about backups in the inventory."""
    done = play("playbooks/backup.yml", "--limit", "web1")
    assert done.returncode == 0, done.stdout
    listed = sandbox("ssh", "web1", "sudo hypercode backup list").stdout
    assert re.search(r"Z-\w+ .* good$", listed, re.MULTILINE), listed
    assert "any time of postgres from" in listed
    done = play("playbooks/drill.yml", "--limit", "web1")
    assert done.returncode == 0, done.stdout
    assert "came back as it was saved" in done.stdout
    status = sandbox("ssh", "web1", "sudo hypercode backup status")
    assert status.returncode == 0, status.stdout
    assert "In no backup" not in status.stdout
    assert "everything came back" in status.stdout


def test_limit_keeps_to_one_host():
    done = play("site.yml", "--limit", "web2", "--check")
    assert done.returncode == 0, done.stdout
    assert "web2 " in done.stdout
    assert "web1" not in done.stdout


def test_missions_under_load_find_the_ids_that_are_shared(tmp_path):
    """The stand-in makes ids from whole seconds, as the real orchestrator does. That is found, and nothing else."""
    done = play("playbooks/load_test.yml", "--limit", "web1", "-e", f"load_test_report={tmp_path}/web1.json")
    found = json.loads((tmp_path / "web1.json").read_text(encoding="utf-8"))
    assert done.returncode == 2, done.stdout
    assert "The load test of web1 has missed 1 point." in done.stdout
    assert "10 missions were given only" in done.stdout
    assert [point["rule"] for point in found["points"]] == ["ids"]
    assert [mission["status"] for mission in found["missions"]] == ["completed"] * 10
    assert (found["way"], found["limits"]["held"], len(found["limits"]["services"])) == ("tunnel", True, 22)
    services = {row["service"]: row for row in found["limits"]["services"]}
    assert 0 < services["crew-orchestrator"]["memory_peak_bytes"] < services["crew-orchestrator"]["memory_limit_bytes"]


def test_a_site_under_load(tmp_path):
    settings = ("profile=http", "service=hypercode-core", "rate=50", "seconds=5", f"report={tmp_path}/web1.json")
    done = play("playbooks/load_test.yml", "--limit", "web1", *(w for s in settings for w in ("-e", f"load_test_{s}")))
    assert done.returncode == 0, done.stdout
    found = json.loads((tmp_path / "web1.json").read_text(encoding="utf-8"))
    assert (found["url"], found["way"], found["good"]) == ("https://hypercode.test", "site", True)
    assert sum(row["count"] for row in found["requests"]) > 200


def test_a_limit_that_does_not_hold_is_found():
    """A process in a container that wants more memory than the container may have, on a real kernel."""
    greedy = "python3 -c 'bytearray(700 * 2**20)'"
    name = "$(sudo docker ps --quiet --filter name=grafana)"
    watch = "sudo hypercode limits --seconds 6"
    done = sandbox("ssh", "web1", f"(sleep 1; sudo docker exec {name} {greedy}) & {watch}; code=$?; wait; exit $code")
    assert done.returncode == 1, done.stdout
    assert "! grafana: the kernel killed a process of it, since its memory was used up." in done.stdout


def test_bench_converge_measures_two_ways_to_the_same_state(tmp_path):
    """The usual way has a task for each file: it is played as seldom as can be, in check, and on one host."""
    report = tmp_path / "bench.json"
    done = subprocess.run(
        [ROOT / "scripts" / "bench", "converge", "--quick", "--limit", "web2", "--json", report],
        capture_output=True,
        text=True,
        check=False,
        # Only against a hang: how long it takes says nothing here.
        timeout=1200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(report.read_text(encoding="utf-8"))
    assert (found["hosts"], found["runs"], found["ratio"]["median"] > 0) == (1, 1, True)


def test_down_leaves_nothing_behind():
    done = sandbox("down")
    assert done.returncode == 0, done.stdout
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0:
        assert left_behind() == []
        assert docker("images", "--quiet", "--filter", "reference=hypercode-testbed/*")
    assert not (ROOT / "inventories" / "sandbox").exists()
    assert not (ROOT / ".cache" / "testbed" / "sandbox").exists()


def test_down_twice_is_down_once():
    assert sandbox("down").returncode == 0
