"""The unit tests and the corpus of secrets: pytest, counted from its JUnit report."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

from testbed import engine

from .context import Context, begin_log
from .outcome import Outcome, read_lines

# Scenarios may run beside it, and then it takes several times as long as by itself.
TIMEOUT = 1500.0
# The longest of them.
PLAYBOOKS_TIMEOUT = 2400.0

# Of pytest's report: whose failure it is, where it happened, what was wrong (the first lines of it), and the list.
_TELLING = re.compile(r"_{2,} .* _{2,}|\S+\.py:\d+: .*|(?:FAILED|ERROR) .*")
_WRONG_LINES = 6


# How many values of each kind and shape are made and judged.
CORPUS_SIZE = 12_000
CORPUS_TESTS = tuple(f"tests/unit/plugins/plugin_utils/secret_rules/test_{name}.py" for name in ("corpus", "generate"))


# Real parts that some tests use; where they cannot be installed, these tests are skipped and say so.
TOOLS = {
    "nft": "nftables",
    "ip": "iproute2",
    "age-keygen": "age",
    "sshd": "openssh-server",
    "ssh-keygen": "openssh-client",
    "visudo": "sudo",
    "knotd": "knot",
    "pdns_server": "pdns-backend-sqlite3",
    "pebble": "pebble",
    "restic": "restic",
    "redis-server": "redis-server",
    "pg_dump": "postgresql",
    "prometheus": "prometheus",
    "chromium": "chromium",
    **{
        f"prometheus-{name}-exporter": f"prometheus-{name}-exporter"
        for name in ("node", "redis", "postgres", "blackbox")
    },
}


# Debian 12 has one that takes no secret of every kind from a file.
ALERTMANAGER = ("prometheus-alertmanager", (0, 28), "trixie")


def install_tools() -> None:
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    engine.install([package for command, package in TOOLS.items() if not shutil.which(command)])
    package, oldest, suite = ALERTMANAGER
    if version_of(package) < oldest:
        engine.install_from(suite, package)


def version_of(package: str) -> tuple[int, ...]:
    """The version of a Debian package that is installed, empty without it."""
    command = ["dpkg-query", "--show", "--showformat=${Version}", package]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return tuple(int(part) for part in re.findall(r"\d+", said.partition(":")[2] or said)[:2])


def run(context: Context) -> Outcome:
    install_tools()
    # Files stay whole, for what a file's tests share is made once.
    return pytest(context, "unit", "tests/unit", "-m", "not playbook", "--dist=loadfile")


def playbooks(context: Context) -> Outcome:
    """What only a real run of Ansible, or of a script, can show."""
    install_tools()
    return pytest(context, "playbooks", "tests/unit", "-m", "playbook", "--dist=loadfile", timeout=PLAYBOOKS_TIMEOUT)


def corpus(context: Context) -> Outcome:
    """The corpus of weak and of random secrets, all of it. It has no hurry: what runs beside it comes first."""
    words = (*CORPUS_TESTS, "--dist=load")
    return pytest(context, "corpus", *words, before=("nice", "-n", "19"), timeout=1800, SECRETS_CORPUS=str(CORPUS_SIZE))


def pytest(
    context: Context,
    name: str,
    *words: str,
    before: tuple[str, ...] = (),
    timeout: float = TIMEOUT,
    **variables: str,
) -> Outcome:
    """Run tests on two cores; the part's name is that of its log and report, `before` goes before the command."""
    log = begin_log(context.output / f"{name}.log")
    report = context.output / f"{name}.xml"
    report.unlink(missing_ok=True)
    options = (f"--junitxml={report}", "--tb=short", "--maxfail=30", "-rfE", "--numprocesses=2")
    command = [*before, sys.executable, "-m", "pytest", *words, *options]
    code = context.run(command, log, env=variables or None, timeout=timeout)
    return judge(report, code, read_lines(log))


def judge(report: Path, code: int, lines: list[str]) -> Outcome:
    """Return the outcome from pytest's report and exit code; the lines are its output."""
    outcome = Outcome()
    names: list[str] = []
    if report.exists():
        for case in ET.parse(report).iter("testcase"):
            outcome.figures += [
                entry.get("value", "") for entry in case.iter("property") if entry.get("name") == "figure"
            ]
            name = f"{case.get('classname', '')}.{case.get('name', '')}".strip(".")
            skip = case.find("skipped")
            if case.find("failure") is not None or case.find("error") is not None:
                names.append(name)
            elif skip is not None:
                outcome.skipped.append((name, skip.get("message") or "no reason given"))
            else:
                outcome.passed += 1
    if names:
        outcome.fail(f"{len(names)} unit test{'s' if len(names) > 1 else ''}", essence(lines), len(names))
    elif code not in (0, 5):
        outcome.fail(f"pytest ended with exit code {code}", lines)
    return outcome


def essence(lines: list[str]) -> list[str]:
    """Return the lines of a report that help; all of them where it has another form."""
    kept = []
    wrong = 0
    for line in lines:
        wrong = wrong + 1 if line.startswith("E ") else 0
        if 0 < wrong <= _WRONG_LINES or _TELLING.fullmatch(line):
            kept.append(line)
    return kept or lines
