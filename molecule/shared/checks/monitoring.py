"""Asks the Prometheus of a host, and reads what its Alertmanager has sent to a receiver of ours."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from testbed.shell import docker

from .stack import root

# Runs on the host, which reaches containers by their addresses: many questions in one go.
_ASK = """
import json, sys, urllib.parse, urllib.request
base, questions = sys.argv[1], json.load(sys.stdin)
answers = []
for question in questions:
    data = urllib.parse.urlencode({"query": question}).encode()
    try:
        with urllib.request.urlopen(base + "/api/v1/query", data, timeout=30) as answer:
            answers.append(json.load(answer)["data"]["result"])
    except urllib.error.HTTPError as error:
        answers.append(json.load(error)["error"])
print(json.dumps(answers))
"""
PORT = 8900


def address(host: Any, service: str) -> str:
    """Where the host reaches a service, on the network that all that is asked for metrics is on."""
    label = f"--filter label=com.docker.compose.service={service}"
    found = root(host, f"docker inspect $(docker ps --quiet {label})")
    networks = json.loads(found)[0]["NetworkSettings"]["Networks"]
    return str(networks["hypercode_backend-net"]["IPAddress"])


def ask(host: Any, questions: Iterable[str]) -> list[Any]:
    """Return what Prometheus answers to each: the series, or the text of its error."""
    base = f"http://{address(host, 'prometheus')}:9090"
    words = f"python3 -c {shlex.quote(_ASK)} {base} <<'QUESTIONS'\n{json.dumps(list(questions))}\nQUESTIONS"
    answers: list[Any] = json.loads(root(host, words))
    return answers


def values(host: Any, question: str, label: str) -> dict[str, float]:
    """Return the value of each series by one of its labels."""
    (answer,) = ask(host, [question])
    assert isinstance(answer, list), answer
    return {series["metric"].get(label, ""): float(series["value"][1]) for series in answer}


def until(what: Callable[[], Any], seconds: float, why: str) -> Any:
    """Return what it returns, as soon as that is something."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, f"{why}: not within {seconds:.0f} s"
        time.sleep(1)
    return found


class Receiver:
    """A receiver of webhooks in a container beside the host."""

    def __init__(self, container: str, program: Path) -> None:
        self.container = container
        docker("cp", str(program), f"{container}:/tmp/receiver.py")
        docker("exec", container, "sh", "-c", "rm -f /tmp/told && touch /tmp/told")
        docker("exec", "--detach", container, "python3", "/tmp/receiver.py", str(PORT), "/tmp/told")

    def calls(self) -> list[dict[str, Any]]:
        """All calls so far: `at`, `path`, `body`."""
        return [json.loads(line) for line in docker("exec", self.container, "cat", "/tmp/told").splitlines()]

    def alerts(self, path: str, status: str, **labels: str) -> list[tuple[float, Mapping[str, Any]]]:
        """The alerts with these labels that came to a path, with when they came first."""
        return [
            (call["at"], alert)
            for call in self.calls()
            if call["path"] == path
            for alert in call["body"]["alerts"]
            if alert["status"] == status and labels.items() <= alert["labels"].items()
        ]

    def wait(self, path: str, status: str, seconds: float, **labels: str) -> tuple[float, Mapping[str, Any]]:
        """Wait for the first such alert."""
        found = until(lambda: self.alerts(path, status, **labels), seconds, f"{status} {labels} at {path}")
        first: tuple[float, Mapping[str, Any]] = found[0]
        return first
