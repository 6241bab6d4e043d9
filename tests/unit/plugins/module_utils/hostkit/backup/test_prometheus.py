"""A snapshot of a real Prometheus."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.config import Config
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.drill import Drill
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.prometheus import data_folder, option
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.put_back import PutBack
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.put_back_plan import make_plan
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.restore import restore_to_folder
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.stack import Container, Stack
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.streams import Deadline
from fakes import backup_host
from fakes.backup_host import BackupHost, Containers
from fakes.put_back_host import hands

real = pytest.mark.skipif(
    not shutil.which("prometheus") or bool(backup_host.missing()), reason="prometheus or restic is not installed"
)


@contextmanager
def prometheus(data: Path, *words: str) -> Iterator[int]:
    """A running Prometheus that asks nobody; yields its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    settings = data.parent / "prometheus.yml"
    settings.write_text(
        "global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n"
        f"scrape_configs: [{{job_name: itself, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]\n"
    )
    places = (f"--config.file={settings}", f"--storage.tsdb.path={data}", f"--web.listen-address=127.0.0.1:{port}")
    process = subprocess.Popen(["prometheus", *places, *words], stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 30
        while b"up{" not in _ask(port) and b'"up"' not in _ask(port):
            assert time.monotonic() < until
            time.sleep(0.1)
        yield port
    finally:
        process.kill()
        process.wait()


def _ask(port: int, path: str = "/api/v1/query?query=up") -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    except OSError:
        return b""
    finally:
        connection.close()


@contextmanager
def stack_with_prometheus(host: BackupHost, *words: str) -> Iterator[Path]:
    data = host.folder / "prometheus"
    data.mkdir()
    host.engine.add_volume("metrics", data, {"com.docker.compose.project": "shop"})
    mount = {"Type": "volume", "Name": "metrics", "Source": str(data), "Destination": "/prometheus"}
    host.add_service("watcher", "prom/prometheus:v3", {}, [mount])
    host.settings["services"] = {"watcher": "prometheus"}
    with prometheus(data, *words) as port:
        host.engine.found[-1]["Args"] = ["--storage.tsdb.path=/prometheus", f"--web.listen-address=:{port}"]
        host.engine.found[-1]["NetworkSettings"] = {"Networks": {"data": {"IPAddress": "127.0.0.1"}}}
        yield data


@real
def test_a_snapshot_is_saved_and_taken_away(host: BackupHost, tmp_path: Path) -> None:
    with stack_with_prometheus(host, "--web.enable-admin-api") as data:
        backup = host.backup()
        assert backup.run() == []
        assert not (data / "snapshots").exists()
        restic, run, manifest = backup.find("latest")
        assert manifest["items"]["prometheus/watcher"]["files"] >= 4
        restore_to_folder(restic, run, manifest, ["prometheus/watcher"], tmp_path / "back", Deadline.after(60))
        # A block of its own, which Prometheus can be started on.
        (index,) = (tmp_path / "back").rglob("index")
        listed = subprocess.run(
            ["promtool", "tsdb", "list", index.parents[1]], capture_output=True, text=True, check=True
        ).stdout
        assert index.parent.name in listed
        drilled = Drill(backup).go()
        assert drilled["failures"] == []
        assert "as it was saved: prometheus/watcher" in host.told


@real
def test_a_snapshot_goes_back_into_the_stack(host: BackupHost) -> None:
    """What was measured until then is there again, and a real Prometheus begins on it."""
    with stack_with_prometheus(host, "--web.enable-admin-api") as data:
        assert host.backup().run() == []
        saved = time.time()
        hand, release = hands(host, {"watcher": []})
        plan = make_plan(hand.backup, release, hand.backup.find("latest"), [])  # type: ignore[arg-type]
        assert plan.stops == {"watcher": "its files are exchanged"}
    # It has stopped: all of its data is lost.
    for path in data.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    host.engine.found[-1]["State"] = {"Status": "exited"}
    PutBack(hand, plan).go()
    assert "up watcher" in release.done
    with prometheus(data) as port:
        known = json.loads(_ask(port, f"/api/v1/query?query=up&time={saved:.3f}"))
    assert [series["metric"]["job"] for series in known["data"]["result"]] == ["itself"]


@real
def test_one_that_makes_no_snapshots_fails_the_run_and_says_what_to_do(host: BackupHost) -> None:
    with stack_with_prometheus(host):
        (failure,) = host.backup().run()
    assert failure.startswith("watcher makes no snapshots: admin APIs disabled. Fix: add --web.enable-admin-api to")


def test_one_that_does_not_answer(tmp_path: Path) -> None:
    host = BackupHost(tmp_path)
    stack = Stack(host.engine, Config("shop", (), "web1"), host.model)  # type: ignore[arg-type]
    nobody = Container("watcher", "1", "prom/prometheus", {}, [], ["--web.listen-address=:9"], ["127.0.0.1"])
    with pytest.raises(Exception, match=r"no volume is mounted at /prometheus. Fix: "):
        data_folder(stack, nobody)


@pytest.mark.parametrize(
    ("arguments", "mount", "within"),
    [
        ([], "/prometheus", ""),
        (["--storage.tsdb.path=/prometheus/data"], "/prometheus", "data"),
        (["--storage.tsdb.path", "/srv/tsdb/"], "/srv/tsdb", ""),
        ([], "/", "prometheus"),
    ],
)
def test_where_its_data_is(tmp_path: Path, arguments: list[str], mount: str, within: str) -> None:
    engine = Containers()
    engine.add_volume("metrics", tmp_path / "metrics", {})
    stack = Stack(engine, Config("shop", (), "web1"), {"services": {}})  # type: ignore[arg-type]
    mounts = [{"Type": "volume", "Name": "metrics", "Destination": mount}]
    container = Container("watcher", "1", "prom/prometheus", {}, mounts, arguments)
    assert data_folder(stack, container) == tmp_path / "metrics" / within


def test_an_option_in_each_of_its_forms() -> None:
    words = ["--one=1", "-two=2", "--three", "3", "--four=", "--fourteen=14"]
    assert [option(words, name) for name in ("one", "two", "three", "four", "five")] == ["1", "2", "3", "", ""]
