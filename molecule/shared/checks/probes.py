"""Looks at a host from outside: from the probers of the test bed, on the public and on the private network."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

KNOCK = Path(__file__).resolve().parents[2] / "firewall" / "files" / "knock.py"
_OPEN = re.compile(r"(\d+)/open/tcp")


@dataclass(frozen=True, order=True)
class Target:
    """Something that listens: what it is, how it is reached."""

    what: str
    proto: str
    address: str
    port: int

    @property
    def word(self) -> str:
        """As knock.py takes it."""
        return f"{self.proto}/{self.address}/{self.port}"

    @property
    def way(self) -> str:
        """Protocol and family, such as tcp6."""
        return f"{self.proto}{'6' if ':' in self.address else '4'}"


@dataclass(frozen=True)
class Prober:
    """A container of the test bed from which a host is looked at."""

    container: str

    def run(self, *words: str) -> str:
        done = subprocess.run(
            ["docker", "exec", self.container, *words], capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, f"{words}: {done.stderr or done.stdout}"
        return done.stdout

    def start(self, rate: float, seconds: float, targets: Iterable[Target]) -> subprocess.Popen[str]:
        """Start to knock. It ends after the seconds, or when its standard input is closed."""
        words = ["python3", "-c", KNOCK.read_text(encoding="utf-8"), str(rate), str(seconds)]
        return subprocess.Popen(
            ["docker", "exec", "--interactive", self.container, *words, *(target.word for target in targets)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def heard(self, targets: Iterable[Target], seconds: float = 1.5) -> set[Target]:
        """Knock four times a second for a while; return who answered."""
        known = {target.word: target for target in targets}
        report = finish(self.start(4, seconds, known.values()), keep_on=True)
        return {known[word] for word, seen in report.items() if seen["answers"]}

    def scan(self, address: str) -> list[int]:
        """Return the open TCP ports of an address, out of all 65,535."""
        family = ["-6"] if ":" in address else []
        words = "nmap -n -Pn -sS -p- --min-rate 20000 --max-retries 1 -T5 --host-timeout 60s -oG -".split()
        output = self.run(*words, *family, address)
        assert "65535" in output or "Ports:" in output, output
        assert "Timeout" not in output, output
        return sorted(int(port) for port in _OPEN.findall(output))


def finish(process: subprocess.Popen[str], *, keep_on: bool = False) -> dict[str, dict[str, list[float]]]:
    """Return the report of a knocking that was started. Unless it is to keep on, it is ended now."""
    assert process.stdin is not None
    assert process.stdout is not None
    if not keep_on:
        process.stdin.close()
    text = process.stdout.read()
    assert process.wait(30) == 0, text
    if keep_on:
        process.stdin.close()
    report: dict[str, dict[str, list[float]]] = json.loads(text)
    return report
