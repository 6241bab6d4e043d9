"""`hypercode backup`, as an operator and as cron type it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import cli
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup import command
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.facts import (
    alone,
    read_facts,
    write_facts,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release import Store
from fakes.backup_host import BackupHost, missing

ROOT = Path(__file__).resolve().parents[6]


def typed(host: BackupHost, *words: str) -> int:
    return cli.main(["backup", *words], cli.Host(Store(host.paths), host.engine))  # type: ignore[arg-type]


def write_config(host: BackupHost, **more: Any) -> None:
    host.paths.config.parent.mkdir(parents=True, exist_ok=True)
    repositories = [
        {"name": entry.name, "url": entry.url, "password_file": entry.password_file} for entry in host.repositories
    ]
    host.paths.config.write_text(json.dumps({"project": "shop", "host": "web1", "repositories": repositories, **more}))


def test_where_none_is_set_up(host: BackupHost, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["run"], ["status"], ["list"], ["verify"], ["restore", "--to", "/x"]):
        assert typed(host, *words) == 1
        assert "Fix: run site.yml" in capsys.readouterr().err


@pytest.mark.skipif(bool(missing()), reason=f"not installed: {missing()}")
def test_from_the_first_run_to_the_way_back(
    host: BackupHost, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (host.folder / "password").unlink()
    write_config(host)
    assert typed(host, "status") == 0
    assert "none yet" in capsys.readouterr().out
    assert typed(host, "init") == 0
    assert "Keep a copy elsewhere" in capsys.readouterr().out
    password = host.folder / "password"
    assert password.stat().st_mode & 0o777 == 0o600
    made = password.read_text()
    assert len(made.strip()) > 40
    assert typed(host, "init") == 0
    assert password.read_text() == made

    assert typed(host, "list") == 0
    assert "holds no run of web1 yet" in capsys.readouterr().out
    assert typed(host, "run") == 0
    assert "was read back" in capsys.readouterr().out
    run_id = read_facts(host.paths)["last"]["id"]
    # A run that is not due is none.
    assert typed(host, "run", "--if-due") == 0
    assert read_facts(host.paths)["last"]["id"] == run_id
    assert typed(host, "status") == 0
    assert "last good run" in capsys.readouterr().out
    assert typed(host, "list") == 0
    assert run_id in capsys.readouterr().out
    assert typed(host, "verify") == 0
    capsys.readouterr()

    # As on another host, which knows nothing: the repository tells it all.
    (host.paths.manifests / f"{run_id}.json").unlink()
    assert typed(host, "list", "--json") == 0
    assert set(json.loads(capsys.readouterr().out)[0]["manifest"]["items"]) == {"release", "configuration"}
    target = tmp_path / "back"
    assert typed(host, "restore", "--item", "release", "--to", str(target)) == 0
    assert next(target.rglob("env")).read_text() == "API_KEY=abc\n"
    assert typed(host, "restore", "--to", str(target)) == 1
    assert "is not empty" in capsys.readouterr().err
    assert typed(host, "restore", "--item", "none", "--to", str(tmp_path / "b")) == 1
    assert "There is no item 'none'" in capsys.readouterr().err
    assert typed(host, "restore", "--run", "20200101T000000Z-aaaa", "--to", str(tmp_path / "b")) == 1
    assert f"The newest: {run_id}" in capsys.readouterr().err


@pytest.mark.skipif(bool(missing()), reason=f"not installed: {missing()}")
def test_a_run_that_fails(host: BackupHost, capsys: pytest.CaptureFixture[str]) -> None:
    write_config(host, sources={"paths": ["/srv/none"]})
    # No run makes a repository: another host might make the same one at this moment.
    assert typed(host, "run") == 1
    assert "there is no repository yet. Fix: hypercode backup init" in capsys.readouterr().err
    assert not (host.folder / "repository-main").exists()
    assert typed(host, "init") == 0
    assert typed(host, "run") == 1
    assert "the backup failed. [1] /srv/none is to be backed up" in capsys.readouterr().err
    assert typed(host, "status") == 1
    assert "FAILED, none yet" in capsys.readouterr().out


def test_the_board_of_the_stack_tells_too(
    host: BackupHost, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    board = cli.Host(Store(host.paths), host.engine)  # type: ignore[arg-type]
    assert cli.main(["status"], board) == 0
    assert "backup" not in capsys.readouterr().out
    write_config(host)
    assert cli.main(["status"], board) == 0
    assert "backup main: none yet" in capsys.readouterr().out
    cli.main(["status", "--json"], board)
    assert json.loads(capsys.readouterr().out)["backups"][0]["good"] is True
    write_facts(host.paths, {"repositories": {"main": {"failure": "It broke."}}})
    assert cli.main(["status"], board) == 1
    assert "backup main: FAILED, none yet\n  It broke." in capsys.readouterr().out
    host.paths.config.write_text("{")
    assert cli.main(["status"], board) == 1
    assert "is no JSON" in capsys.readouterr().out
    monkeypatch.setattr("os.access", lambda *_words: False)
    assert cli.main(["status"], board) == 0
    assert "only root may look" in capsys.readouterr().out


def test_two_at_once(host: BackupHost, capsys: pytest.CaptureFixture[str]) -> None:
    write_config(host)
    with alone(host.paths, "run since 02:00 UTC"):
        for verb in ("run", "verify"):
            assert typed(host, verb) == 75
            assert "'hypercode backup run since 02:00 UTC (process " in capsys.readouterr().out
    with alone(host.paths, "init since 02:00 UTC", "init.lock"):
        assert typed(host, "init") == 75


@pytest.mark.skipif(bool(missing()), reason=f"not installed: {missing()}")
def test_a_deploy_does_not_wait_for_a_run(host: BackupHost) -> None:
    write_config(host)
    with alone(host.paths, "run since 02:00 UTC"):
        assert typed(host, "init") == 0
    assert (host.folder / "repository-main" / "config").exists()


@pytest.mark.skipif(bool(missing()), reason=f"not installed: {missing()}")
def test_a_run_that_is_ended_leaves_nothing_behind(host: BackupHost) -> None:
    """systemctl stop, or cron's time-out."""
    fifo = host.paths.at("/srv/slow")
    fifo.mkdir(parents=True)
    (fifo / "big").write_bytes(os.urandom(64 << 20))
    write_config(host, sources={"paths": ["/srv/slow"]})
    assert typed(host, "init") == 0
    code = (
        "import sys; from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import cli\n"
        "from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release import Store\n"
        "from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.config import Paths\n"
        "from pathlib import Path\nfrom fakes.backup_host import Containers\n"
        "sys.exit(cli.main(['backup', 'run'], cli.Host(Store(Paths(Path(sys.argv[1]))), Containers())))"
    )
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}/collections:{ROOT}/tests"}
    process = subprocess.Popen([sys.executable, "-c", code, str(host.paths.root)], env=environment)
    until = time.monotonic() + 30
    while not host.paths.work.exists():
        assert time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 130
    assert read_facts(host.paths)["last"]["failures"] == ["It was stopped before its end"]
    assert not host.paths.work.exists()
    with alone(host.paths, "test"):
        pass


def test_after_failures_it_is_tried_again_later_and_later(host: BackupHost) -> None:
    def due_after(failed: int, hours: float) -> bool:
        write_facts(host.paths, {"failed": failed, "last": {"ended": host.now, "failures": ["x"]}})
        return command.due(host.backup().config, host.paths, host.now + hours * 3600)

    for failed, hours in ((1, 1), (2, 2), (3, 4), (4, 8), (5, 12), (60, 12)):
        assert not due_after(failed, hours - 0.5)
        assert due_after(failed, hours - 0.1)
    assert due_after(0, 0)
    # The clock was set back since.
    assert due_after(60, -100)
