"""Grafana itself takes the data sources and dashboards of the role: where its image is to be had."""

from __future__ import annotations

import base64
import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLE = ROOT / "roles/monitoring"
TREE = ROLE / "templates/tree/etc/hypercode/monitoring/grafana/provisioning"
DASHBOARDS = ROLE / "files/grafana/dashboards"
PULLED_WITHIN, STARTED_WITHIN = 120, 120  # seconds
# Of a container that lives for seconds and that only this machine can reach.
PASSWORD = "of-a-test-alone"


def image() -> str:
    compose = yaml.safe_load((ROOT / "roles/stack/files/hypercode/compose.yaml").read_text(encoding="utf-8"))
    return str(compose["services"]["grafana"]["image"])


def docker(*words: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=False, timeout=timeout)


class Grafana:
    """A Grafana of this test."""

    def __init__(self, container: str) -> None:
        self.container = container
        self.address = docker("port", container, "3000/tcp").stdout.splitlines()[0]

    def get(self, path: str) -> Any:
        login = base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
        request = urllib.request.Request(f"http://{self.address}{path}", headers={"Authorization": f"Basic {login}"})
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  A container of this test.
            return json.load(answer)

    def wait(self) -> None:
        deadline = time.monotonic() + STARTED_WITHIN
        while True:
            try:
                if self.get("/api/health")["database"] == "ok":
                    return
            except (OSError, urllib.error.URLError, KeyError, ValueError):
                pass
            assert time.monotonic() < deadline, docker("logs", "--tail", "40", self.container).stdout
            time.sleep(1)


@pytest.fixture(scope="module")
def grafana() -> Iterator[Grafana]:
    try:
        pulled = docker("pull", "--quiet", image(), timeout=PULLED_WITHIN)
        problem = pulled.stderr.strip() if pulled.returncode else ""
    except subprocess.TimeoutExpired:
        problem = f"no answer within {PULLED_WITHIN} s"
    if problem:
        pytest.skip("no registry here gives the image of Grafana: " + problem.splitlines()[-1][:120])
    started = docker(
        *("run", "--detach", "--publish", "127.0.0.1::3000", "--env", f"GF_SECURITY_ADMIN_PASSWORD={PASSWORD}"),
        *("--env", "GF_ANALYTICS_CHECK_FOR_UPDATES=false", "--volume", f"{TREE}:/etc/grafana/provisioning:ro"),
        *("--volume", f"{DASHBOARDS}:/etc/grafana/dashboards:ro", image()),
    )
    assert started.returncode == 0, started.stderr
    try:
        made = Grafana(started.stdout.strip())
        made.wait()
        yield made
    finally:
        docker("rm", "--force", "--volumes", started.stdout.strip())


def test_it_has_every_dashboard_in_our_folder(grafana: Grafana) -> None:
    wanted = {json.loads(path.read_text(encoding="utf-8"))["uid"]: path.name for path in DASHBOARDS.glob("*.json")}
    deadline = time.monotonic() + 60
    while {found["uid"] for found in grafana.get("/api/search?type=dash-db")} != set(wanted):
        assert time.monotonic() < deadline, grafana.get("/api/search?type=dash-db")
        time.sleep(1)
    for uid, name in wanted.items():
        found = grafana.get(f"/api/dashboards/uid/{uid}")
        assert (found["meta"]["provisioned"], found["meta"]["folderUid"]) == (True, "hypercode"), name


def test_its_data_sources_have_our_uids(grafana: Grafana) -> None:
    assert {source["uid"] for source in grafana.get("/api/datasources")} == {"prometheus", "jaeger", "alertmanager"}
    said = docker("logs", grafana.container)
    wrong = [line for line in (said.stdout + said.stderr).splitlines() if "level=error" in line and "provision" in line]
    assert wrong == []
