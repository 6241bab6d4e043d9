"""A real Alertmanager on a port of its own."""

from __future__ import annotations

import contextlib
import datetime
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.plugin_utils.alertmanager import Alertmanager

from .alert_receivers import HOST, until

# From this version on, each secret can be in a file.
OLDEST = (0, 28)
# Another one than that of the machine.
PROGRAM = os.environ.get("ALERTMANAGER") or shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
AMTOOL = os.environ.get("AMTOOL") or shutil.which("amtool")


def _version() -> tuple[int, ...]:
    if not PROGRAM or not AMTOOL:
        return ()
    said = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True)
    match = re.search(r"version (\d+)\.(\d+)", said.stdout + said.stderr)
    return tuple(int(part) for part in match.groups()) if match else ()


needed = pytest.mark.skipif(
    _version() < OLDEST,
    reason="Alertmanager 0.28 or newer is not installed (package prometheus-alertmanager of Debian 13)",
)


class Api:
    """What Prometheus and people do with it."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=10)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, f"/api/v2/{path}", content, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read().decode()
            assert answer.status == 200, text
            return json.loads(text) if text else None
        finally:
            connection.close()

    def fire(self, *alerts: Mapping[str, str], words: Mapping[str, str] | None = None, over: bool = False) -> None:
        """Tell it of alerts, by their labels; or that they are over."""
        now = datetime.datetime.now(datetime.UTC)
        # One that has been there for longer would not wait for its group.
        begin, end = (now - datetime.timedelta(seconds=1), now) if over else (now, now + datetime.timedelta(hours=1))
        times = {"startsAt": begin.isoformat(), "endsAt": end.isoformat()}
        self.ask(
            "POST", "alerts", [{"labels": dict(labels), "annotations": dict(words or {}), **times} for labels in alerts]
        )

    def inhibited(self) -> list[dict[str, str]]:
        """The labels of those that are kept back."""
        return [alert["labels"] for alert in self.ask("GET", "alerts") if alert["status"]["inhibitedBy"]]


def place(made: Alertmanager, folder: Path) -> Path:
    """Write the settings, and the secrets where the settings say; return the file with the settings."""
    (folder / "secrets").mkdir(exist_ok=True)
    for name, content in made.secrets.items():
        (folder / "secrets" / name).write_text(content, encoding="utf-8")
    path = folder / "alertmanager.yml"
    path.write_text(made.text(), encoding="utf-8")
    return path


def checked(path: Path) -> subprocess.CompletedProcess[str]:
    """What amtool says of settings, as strict as later versions will be."""
    command = [str(AMTOOL), "check-config", "--enable-feature=utf8-strict-mode", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@contextlib.contextmanager
def running(made: Alertmanager, folder: Path, trusted: Path) -> Iterator[Api]:
    """Have it run with these settings; `trusted` has the certificates that it believes."""
    settings = place(made, folder)
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = int(probe.getsockname()[1])
    places = (f"--config.file={settings}", f"--storage.path={folder / 'data'}", f"--web.listen-address={HOST}:{port}")
    command = [str(PROGRAM), *places, "--cluster.listen-address=", "--enable-feature=utf8-strict-mode"]
    log = folder / "log"
    with log.open("wb") as output:
        environment = {**os.environ, "SSL_CERT_FILE": str(trusted)}
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
        try:
            api = Api(port)

            def ready() -> bool:
                assert process.poll() is None, log.read_text()
                try:
                    return bool(api.ask("GET", "status"))
                except OSError:
                    return False

            until(ready)
            yield api
        finally:
            process.kill()
            process.wait()
