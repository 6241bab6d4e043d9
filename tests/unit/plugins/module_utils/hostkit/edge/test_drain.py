# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host that is drained says so to a load balancer, and answers everybody else as before."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import cli
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge import command, layout, render
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.read import read_settings

SITE = {"name": "app.test", "certificate": "internal", "service": "app", "port": 8000}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def status(port: int, path: str) -> tuple[int, str | None]:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    client.request("GET", path, headers={"Host": "app.test"})
    answer = client.getresponse()
    answer.read()
    return answer.status, answer.getheader("Cache-Control")


def test_caddy_answers_by_the_marker_without_a_reload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # CADDY names another one, such as Debian's 2.6.
    program = os.environ.get("CADDY") or shutil.which("caddy", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("caddy is not installed: scripts/test makes an environment that has it")
    marker, port = tmp_path / "drained", free_port()
    monkeypatch.setattr(render, "DRAINED", str(marker))
    lines = render.Lines(["{", "\tadmin off", "}", f"http://app.test:{port} {{", "\troute {"])
    lines.depth = 2
    render._health(lines, "/edge-health")
    (tmp_path / "Caddyfile").write_text("\n".join([*lines, "\t\trespond service 201", "\t}", "}", ""]))
    caddy = subprocess.Popen(
        [program, "run", "--config", tmp_path / "Caddyfile", "--adapter", "caddyfile"],
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                assert status(port, "/edge-health") == (200, "no-store")
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        marker.touch()
        assert status(port, "/edge-health") == (503, "no-store")
        assert status(port, "/edge-health/more")[0] == status(port, "/")[0] == 201
        marker.unlink()
        assert status(port, "/edge-health")[0] == 200
    finally:
        caddy.terminate()
        caddy.wait(timeout=10)


def wanted(path: Any) -> Any:
    return read_settings({"sites": [SITE], "health_path": path})


def test_every_site_has_it_before_its_routes_or_none_has() -> None:
    for version in ((2, 11), (2, 6)):
        text = render.caddyfile(wanted("/edge-health")[0], version)
        assert text.index("@health path /edge-health") < text.index("reverse_proxy")
        assert "@health" not in render.caddyfile(wanted("")[0], version)


@pytest.mark.parametrize("path", ["health", "/", "//x", "/a/../b", "/{x}", "/a b", ["/x"]])
def test_what_is_no_path_is_refused(path: Any) -> None:
    assert [finding.name for finding in wanted(path)[1]] == ["edge_health_path"]


def test_a_path_that_a_route_has_is_refused() -> None:
    site = {**SITE, "service": None, "port": None, "routes": [{"path": "/ok", "service": "app", "port": 1}]}
    site = {key: value for key, value in site.items() if value is not None}
    _settings, findings = read_settings({"sites": [site], "health_path": "/ok"})
    assert [finding.rule for finding in findings] == ["duplicate"]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> layout.Paths:
    paths = layout.Paths(tmp_path)
    monkeypatch.setattr(command, "Paths", lambda: paths)
    (tmp_path / "run").mkdir()
    paths.at(layout.FOLDER).mkdir(parents=True)
    manifest = json.loads(render.manifest(wanted("/edge-health")[0], (2, 11)))
    paths.at(layout.MANIFEST).write_text(json.dumps(manifest))
    return paths


def test_drained_and_undrained(host: layout.Paths, capsys: pytest.CaptureFixture[str]) -> None:
    waited: list[float] = []
    assert cli.main(["edge", "undrain"]) == 0
    assert "was not drained" in capsys.readouterr().out
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command.time, "sleep", waited.append)
        assert cli.main(["edge", "drain", "--wait", "15"]) == 0
    assert waited == [15]
    assert host.at(layout.DRAINED).stat().st_mode & 0o777 == 0o644
    assert "/edge-health is answered with 503" in capsys.readouterr().out
    assert cli.main(["edge", "drain"]) == 0
    assert cli.main(["edge", "undrain"]) == 0
    assert not host.at(layout.DRAINED).exists()


def test_an_update_lifts_its_own_drain_only(host: layout.Paths, capsys: pytest.CaptureFixture[str]) -> None:
    marker = host.at(layout.DRAINED)
    assert cli.main(["edge", "drain", "--for-update"]) == 0
    assert marker.exists()
    assert cli.main(["edge", "undrain", "--for-update"]) == 0
    assert not marker.exists()
    # An operator has drained it: before the update, or in the middle of it.
    for words in (["drain"], ["drain", "--for-update"]), (["drain", "--for-update"], ["drain"]):
        for word in words:
            assert cli.main(["edge", *word]) == 0
        capsys.readouterr()
        assert cli.main(["edge", "undrain", "--for-update"]) == 0
        assert "drained by hand, and stays so. Next: hypercode edge undrain" in capsys.readouterr().out
        assert marker.exists()
        assert cli.main(["edge", "undrain"]) == 0
        assert not marker.exists()


def test_a_host_that_was_drained_by_hand_is_not_waited_for(host: layout.Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(command.time, "sleep", waited.append)
    cli.main(["edge", "drain"])
    cli.main(["edge", "drain", "--for-update", "--wait", "15"])
    assert 15 not in waited


def test_a_host_that_nobody_asks_is_not_drained(host: layout.Paths, capsys: pytest.CaptureFixture[str]) -> None:
    host.at(layout.MANIFEST).write_text(json.dumps({"health_path": ""}))
    assert cli.main(["edge", "drain"]) == 1
    assert "Fix: set edge_health_path" in capsys.readouterr().out
    host.at(layout.MANIFEST).unlink()
    assert cli.main(["edge", "drain"]) == 1
    assert not host.at(layout.DRAINED).exists()
    with pytest.raises(SystemExit):
        cli.main(["edge", "drain", "--wait", "-1"])
