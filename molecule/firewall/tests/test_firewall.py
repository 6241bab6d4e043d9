"""From outside: 22, 80 and 443 answer, and nothing else, ever. The tests are one story, told in order.

On the host wait, each on TCP and UDP, IPv4 and IPv6: a program of the host, a container with a published port, one in
the host's network, and one on each of the two networks beside the host (macvlan).
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from checks import playbook, stack
from checks.probes import Prober, Target, finish
from testbed import hosts, neighbours
from testbed.hosts import Bed

BED = Bed("molecule-firewall", playbook.ROOT / ".cache" / "testbed" / "molecule-firewall", "molecule", "docker")
FILES = Path(__file__).resolve().parents[1] / "files"
REPORT = playbook.ROOT / "tests" / "output" / "firewall-probes.md"
OUTSIDER, NEIGHBOUR = (Prober(BED.container(name)) for name in ("outsider", "neighbour"))
PUBLIC, PRIVATE = BED.address(0), neighbours.private_address(0)
# Containers on the host, in ranges that nothing else uses.
NETWORK, NETWORK6 = "198.51.100.224/28", "2001:db8:54::/64"
CONTAINER, CONTAINER6 = "198.51.100.226", "2001:db8:54::2"
# parent -> subnets, gateways and addresses of the macvlan container on it
BESIDE = {
    "eth0": ("198.51.100.128/26", "198.51.100.129", "198.51.100.180", "2001:db8:52::/64", "2001:db8:52::b4"),
    "eth1": ("198.51.100.192/27", "198.51.100.193", "198.51.100.210", "2001:db8:53::/64", "2001:db8:53::d2"),
}
OPEN = [22, 80, 443]
HOST_PROGRAM, PUBLISHED, HOST_NETWORK, INSIDE, LAN = 8096, 8099, 8097, 8080, 8095


def address6(host: Any, interface: str) -> str:
    found = json.loads(host.check_output(f"ip -json -6 address show dev {interface} scope global"))
    return str(found[0]["addr_info"][0]["local"])


@pytest.fixture(scope="module")
def exposed(host: Any) -> None:
    """Have everything that could be exposed wait on the host, to come back after a reboot."""
    done = subprocess.run(
        ["docker", "exec", "-i", BED.container("web1"), "sh", "-c", "cat > /srv/answer.py"],
        input=(FILES / "answer.py").read_text(encoding="utf-8"),
        text=True,
        check=False,
    )
    assert done.returncode == 0
    unit = "[Service]\\nExecStart=/usr/bin/python3 /srv/answer.py 80 8096\\n[Install]\\nWantedBy=multi-user.target\\n"
    stack.root(host, f"printf '{unit}' > /etc/systemd/system/answer.service && systemctl enable --now answer.service")
    image = f"{BED.registry}/sandbox/base:debian12"
    stack.root(host, f"docker --config /etc/hypercode/docker pull --quiet {image}")
    stack.root(host, f"docker network create --ipv6 --subnet {NETWORK} --subnet {NETWORK6} exposed")
    for parent, (subnet, gateway, _address, subnet6, _address6) in BESIDE.items():
        way = f"--subnet {subnet} --gateway {gateway} --ipv6 --subnet {subnet6}"
        stack.root(host, f"docker network create --driver macvlan --opt parent={parent} {way} lan-{parent}")
    run = "docker run --detach --init --restart always --volume /srv/answer.py:/answer.py:ro"
    ports = f"--publish {PUBLISHED}:{INSIDE} --publish {PUBLISHED}:{INSIDE}/udp --publish 443:{INSIDE}"
    start = f"{image} python3 /answer.py"
    where = f"--network exposed --ip {CONTAINER} --ip6 {CONTAINER6}"
    stack.root(host, f"{run} --name published {where} {ports} {start} {INSIDE}")
    stack.root(host, f"{run} --name host-network --network host {start} {HOST_NETWORK}")
    for parent, (_subnet, _gateway, address, _subnet6, address_6) in BESIDE.items():
        where = f"--network lan-{parent} --ip {address} --ip6 {address_6}"
        stack.root(host, f"{run} --name lan-{parent} {where} {start} {LAN} 443")
    for prober, via, via6 in (
        (OUTSIDER, PUBLIC, address6(host, "eth0")),
        (NEIGHBOUR, PRIVATE, address6(host, "eth1")),
    ):
        prober.run("ip", "route", "replace", NETWORK, "via", via)
        prober.run("ip", "-6", "route", "replace", NETWORK6, "via", via6)
    # The host's public address, asked for through its private one.
    NEIGHBOUR.run("ip", "route", "replace", PUBLIC, "via", PRIVATE)


@pytest.fixture(scope="module")
def seen(host: Any, exposed: None) -> dict[Prober, list[Target]]:
    """What each prober knocks at, and must never hear."""
    found: dict[Prober, list[Target]] = {}
    for prober, interface, addresses in (
        (OUTSIDER, "eth0", (PUBLIC, address6(host, "eth0"))),
        (NEIGHBOUR, "eth1", (PRIVATE, address6(host, "eth1"), PUBLIC)),
    ):
        places = [
            *(("program of the host", at, HOST_PROGRAM) for at in addresses),
            *(("published port", at, PUBLISHED) for at in addresses),
            *(("container in the host's network", at, HOST_NETWORK) for at in addresses),
            *(("container's own address", at, INSIDE) for at in (CONTAINER, CONTAINER6)),
            *(("macvlan container", at, LAN) for at in (BESIDE[interface][2], BESIDE[interface][4])),
        ]
        found[prober] = [
            Target(what, proto, at, port)
            for what, at, port in places
            for proto in ("tcp", "udp")
            # By UDP a program of the host answers a neighbour from its private address, whichever was asked.
            if not (proto == "udp" and prober is NEIGHBOUR and at == PUBLIC and port != PUBLISHED)
        ]
    return found


@pytest.fixture(scope="module")
def session() -> Iterator[subprocess.Popen[str]]:
    """An SSH session that is open all the time, until the reboot."""
    process = subprocess.Popen(
        [*hosts.ssh_words(BED, "web1"), "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    yield process
    process.kill()
    process.wait()


def echo(session: subprocess.Popen[str], text: str) -> str:
    assert session.stdin is not None
    assert session.stdout is not None
    session.stdin.write(f"{text}\n")
    session.stdin.flush()
    return session.stdout.readline().strip()


def firewall(inventory: Path, **variables: Any) -> playbook.Outcome:
    words = ["--tags", "firewall", *(["--extra-vars", json.dumps(variables)] if variables else [])]
    return playbook.play(*words, inventory=inventory)


def note(state: str, prober: str, way: str, what: str) -> None:
    with REPORT.open("a", encoding="utf-8") as report:
        report.write(f"| {state} | {prober} | {way} | {what} |\n")


def look(state: str, seen: dict[Prober, list[Target]]) -> None:
    """All ports of the host, and everything that may not be heard, from both networks at once."""

    def of_one(prober: Prober) -> None:
        targets = seen[prober]
        name = prober.container.rpartition("-")[2]
        addresses = sorted({target.address for target in targets if target.what == "program of the host"})
        for address in addresses:
            found = prober.scan(address)
            note(state, name, "tcp6" if ":" in address else "tcp4", f"{address}: {', '.join(map(str, found))}")
            assert found == OPEN, f"{state}, {name} at {address}"
        heard = prober.heard(targets)
        for way in ("tcp4", "tcp6", "udp4", "udp6"):
            asked = [target for target in targets if target.way == way]
            answered = sorted(f"{target.what} {target.port}" for target in asked if target in heard)
            note(state, name, way, f"{len(asked)} that listen behind: {', '.join(answered) or 'none'}")
        assert heard == set(), f"{state}, {name}"

    with ThreadPoolExecutor() as pool:
        list(pool.map(of_one, seen))


def test_the_distributions_own_nftables_is_out_of_the_way(host):
    """The presets of a first boot switch it on; at shutdown it would flush every rule while containers still run."""
    assert host.run("systemctl is-enabled nftables").stdout.strip() == "disabled"
    assert host.run("systemctl is-active nftables").stdout.strip() == "inactive"
    # Stopped, it has flushed nothing: Docker's rules are there, and ours.
    tables = stack.root(host, "nft list tables")
    assert "table ip nat" in tables
    assert "table inet hypercode" in tables


def test_without_the_firewall_everything_answers(host, seen, session):
    """Else the silence below would prove nothing."""
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text("| state | from | protocol | open |\n|---|---|---|---|\n", encoding="utf-8")
    stack.root(host, "nft delete table inet hypercode && nft delete table netdev hypercode")
    for prober, targets in seen.items():
        unheard = set(targets) - prober.heard(targets)
        assert not unheard, f"{prober.container}: {sorted(target.word for target in unheard)}"
        note("no firewall", prober.container.rpartition("-")[2], "all", f"all {len(targets)} that listen answer")
    assert echo(session, "still here") == "still here"


def test_what_was_deleted_by_hand_is_predicted_then_put_back(host, inventory, session):
    predicted = playbook.play("--check", "--diff", inventory=inventory)
    assert predicted.code == 0, predicted.output
    assert "table netdev hypercode" in predicted.output
    done = playbook.play(inventory=inventory)
    assert done.code == 0, done.output
    assert done.changes == predicted.changes == [("web1", "firewall : Apply the firewall")]
    assert echo(session, "after an apply") == "after an apply"


def test_only_what_is_configured_answers(host, seen):
    look("converged", seen)


def test_after_a_restart_of_docker(host, seen, session):
    stack.root(host, "systemctl restart docker")
    look("docker restarted", seen)
    assert echo(session, "after docker") == "after docker"


def test_the_host_and_its_containers_still_reach_what_they_need(host):
    code = "import socket,sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)"

    def reaches(where: str, address: str, port: int) -> bool:
        with host.sudo():
            return bool(host.run(f"{where} python3 -c '{code}' {address} {port}").rc == 0)

    registry = BED.registry.partition(":")[0]
    assert reaches("docker exec published", registry, 5000), "the outside"
    assert reaches("docker exec lan-eth0", registry, 5000), "the outside, from beside the host"
    assert reaches("", CONTAINER, INSIDE), "the host its containers"
    assert reaches("", CONTAINER6, INSIDE), "the host its containers, IPv6"
    # Containers reach neither the host nor what is published on it, nor the host's private neighbours are asked here:
    # these are tried with real packets in the unit tests.
    for address in (PUBLIC, PRIVATE, "198.51.100.225"):
        for port in (22, HOST_PROGRAM, 80):
            assert not reaches("docker exec published", address, port), (address, port)


def test_a_change_that_cuts_the_operator_off_is_refused(host, inventory):
    done = firewall(inventory, firewall_ssh_from=["198.51.100.250"])
    assert done.code != 0
    assert "you would lock yourself out" in done.output
    assert "Nothing was changed" in done.output


def test_a_change_that_cuts_the_operator_off_all_the_same_is_undone_by_the_host(host, inventory, session):
    """Nobody helps: the operator has no way in until the host goes back by itself."""
    gone = Target("web", "tcp", PUBLIC, 80)
    watch = OUTSIDER.start(10, 120, [gone])
    nobody = {"firewall_ssh_from": ["198.51.100.250"], "firewall_open_ports": []}
    done = firewall(inventory, **nobody, firewall_refuse_lockout=False)
    time.sleep(1)
    answers = finish(watch)[gone.word]["answers"]
    assert done.code != 0
    assert "It has put the old rules back by itself" in done.output, done.output
    cut_off = max(after - before for before, after in pairwise(answers))
    note("rules that cut the operator off", "outsider", "tcp4", f"80 was closed for {cut_off:.1f} s, then as before")
    assert 5 < cut_off <= 30
    assert echo(session, "through it all") == "through it all"
    assert firewall(inventory).changed("web1") == 0


def test_while_the_host_boots_nobody_gets_in(host, seen):
    """A prober at 20 knocks a second, from before the shutdown until all containers answer again."""
    addresses = {OUTSIDER: PUBLIC, NEIGHBOUR: PRIVATE}
    allowed = {prober: Target("published 443", "tcp", at, 443) for prober, at in addresses.items()}
    watches = {prober: prober.start(20, 150, [*targets, allowed[prober]]) for prober, targets in seen.items()}
    time.sleep(2)
    began = time.monotonic()
    hosts.reboot(BED, "web1")
    names = ("published", "host-network", "lan-eth0", "lan-eth1")
    for name in names:
        while stack.root(host, f"docker inspect --format '{{{{.State.Running}}}}' {name}", ok=False).strip() != "true":
            assert time.monotonic() - began < 90, f"{name} did not come back"
            time.sleep(0.5)
    # All of them listen: the host hears each where the firewall has no say.
    stack.root(host, "for n in published lan-eth0 lan-eth1; do docker exec $n python3 -c 'print(1)'; done")
    time.sleep(3)
    for prober, watch in watches.items():
        report = finish(watch)
        name = prober.container.rpartition("-")[2]
        elapsed = time.monotonic() - began
        sent = report[allowed[prober].word]["sent"]
        answers = report[allowed[prober].word]["answers"]
        assert sent > 20 * elapsed * 0.8, f"{name} knocked only {sent} times in {elapsed:.0f} s"
        assert any(at < 2 for at in answers), "443 answered before"
        assert any(at > elapsed - 3 for at in answers), "443 answered after"
        through = {word: seen["answers"] for word, seen in report.items() if seen["answers"]}
        through.pop(allowed[prober].word)
        note("while it boots", name, "all", f"{sent} knocks at each of {len(report) - 1}: {len(through)} answered")
        assert through == {}, name


def test_after_a_reboot(host, seen):
    look("rebooted", seen)


def test_another_firewall_is_refused_then_replaced_when_told(host, inventory):
    stack.root(host, "apt-get -qq update && apt-get install -y -qq --no-install-recommends ufw >/dev/null 2>&1")
    stack.root(host, "ufw allow 22/tcp && ufw --force enable")
    refused = playbook.play(inventory=inventory)
    assert refused.code != 0
    assert "ufw is switched on" in refused.output
    assert "firewall_replace: [ufw]" in refused.output
    assert "Nothing was changed" in refused.output
    assert "active" in stack.root(host, "ufw status")
    replaced = firewall(inventory, firewall_replace=["ufw"])
    assert replaced.code == 0, replaced.output
    assert "inactive" in stack.root(host, "ufw status")
    assert firewall(inventory).changed("web1") == 0


def test_it_can_be_taken_away(host, inventory):
    remove = Path("molecule/firewall/remove.yml")
    predicted = playbook.play("--check", inventory=inventory, playbook=str(remove))
    done = playbook.play(inventory=inventory, playbook=str(remove))
    assert done.code == 0, done.output
    assert done.changes == predicted.changes
    assert "hypercode" not in stack.root(host, "nft list tables")
    assert "firewall" not in stack.root(host, "ls -R /etc/hypercode /etc/systemd/system")
    assert playbook.play(inventory=inventory, playbook=str(remove)).changed("web1") == 0
