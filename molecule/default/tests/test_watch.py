"""The daemon that watches the containers: it sees all of them, after a reboot too, and takes little."""

from __future__ import annotations

import json

from checks import stack

MIB = 1024**2
SECONDS = 30
UNIT = "hypercode-watch.service"


def test_all_containers_are_watched(host):
    assert host.service(UNIT).is_running
    assert host.service(UNIT).is_enabled
    assert stack.all_healthy(host), stack.board(host)
    report = json.loads(stack.root(host, "sleep 16; hypercode watch status --json"))
    assert report["good"], report
    assert {row["service"] for row in report["containers"]} == set(stack.SERVICES)
    bare = [
        row["container"] for row in report["containers"] if not row["memory_bytes"] or not row["memory_limit_bytes"]
    ]
    assert bare == []


def test_the_journal_can_be_read_line_by_line(host):
    lines = [json.loads(line) for line in stack.root(host, "cat /var/lib/hypercode/watch/journal-*.jsonl").splitlines()]
    assert {line["schema"] for line in lines} == {1}
    samples = [line for line in lines if line["kind"] == "sample"]
    assert {row["service"] for row in samples[-1]["containers"]} == set(stack.SERVICES)
    assert samples[0]["boot"]


def test_it_takes_little(host, figure):
    pid = stack.root(host, f"systemctl show --property MainPID --value {UNIT}").strip()
    spent = f"cat /proc/{pid}/task/*/schedstat"
    before, after = stack.root(host, f"{spent}; sleep {SECONDS}; echo; {spent}").split("\n\n")
    core = sum(_nanoseconds(text) * sign for text, sign in ((after, 1), (before, -1))) / 1e9 / SECONDS
    memory = int(stack.root(host, f"grep VmRSS /proc/{pid}/status").split()[1]) * 1024
    figure("hypercode watch, 17 containers", f"{core:.2%} of a core, {memory / MIB:.1f} MiB")
    assert core <= 0.01
    assert memory <= 30 * MIB


def _nanoseconds(text: str) -> int:
    return sum(int(line.split()[0]) for line in text.splitlines() if line)
