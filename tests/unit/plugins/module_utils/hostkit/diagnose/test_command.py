"""`hypercode diagnose` as an operator types it: a process of its own, real tar, on a host full of canaries."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import cli
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.wanted import Paths
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.diagnose import collect as collecting
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.diagnose import command
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.diagnose.bounded import Output
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.diagnose.isolate import run_here
from fakes.diagnosed_host import CANARIES, KEY, ORDINARY, RELEASE, DiagnosedHost, leaks, unpack
from fakes.small_stack import SmallStack, make_wanted

# Where a program or a record quotes every canary in every way.
QUOTING = (
    *("logs/demo-web-1.log", "journal/hypercode.log", "journal/docker.log", "journal/caddy.log", "journal/kernel.log"),
    *("docker/inspect/demo-web-1.json", "docker/networks.json", "docker/info.json", "metrics/app.prom"),
    *(f"releases/{RELEASE}/release.json", f"releases/{RELEASE}/rollout.jsonl", f"evidence/{RELEASE}/web.log"),
    *("watch/journal.jsonl", "config/Caddyfile", "host/firewall.txt", "host/failed-units.txt"),
    *("host/processes-by-memory.txt", "host/timers.txt", "host/addresses.txt"),
)


@pytest.fixture
def host(tmp_path: Path) -> DiagnosedHost:
    return DiagnosedHost(tmp_path)


@pytest.mark.playbook
class TestWholeRun:
    def test_no_canary_is_in_it_and_ordinary_text_is(self, host: DiagnosedHost) -> None:
        before = files_of(host.root)
        done = host.run("diagnose", "--json")
        assert done.returncode == 1, done.stderr
        about = json.loads(done.stdout)
        path = Path(about["path"])
        assert path.parent == host.root / "var/lib/hypercode/diagnose"
        assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        assert path.stat().st_size == about["bytes"]
        found = unpack(path)
        # They are all told the canaries, and were to be able to tell them.
        for value in CANARIES.values():
            assert leaks(host.quoting(), value)
        everything = "\n".join([*found, *found.values(), done.stdout, done.stderr])
        for name, value in CANARIES.items():
            for part in (value, *value.splitlines()):
                assert leaks(everything, part) == [], name
        assert "CanaryKeyLine" not in everything
        assert "hunter2" not in everything
        assert "SHORT=x7q" not in everything
        assert KEY.splitlines()[1] not in path.read_bytes().decode("latin-1")
        for name in QUOTING:
            assert ORDINARY in found[name], name
        assert "MODE: production" in found[f"releases/{RELEASE}/compose.yaml"]
        assert "DB_PASSWORD: ${DB_PASSWORD}" in found[f"releases/{RELEASE}/compose.yaml"]
        assert json.loads(found["docker/inspect/demo-web-1.json"])[0]["Config"]["Env"][-1] == "MODE=***"
        # The line that Docker cut in the middle of a secret.
        assert "x *** after it\n" in found["logs/demo-web-1.log"]
        assert "logs/elsewhere.log" not in found
        # Nothing but the file was written.
        assert files_of(host.root) - before == {f"var/lib/hypercode/diagnose/{path.name}"}

    def test_the_index_names_what_failed(self, host: DiagnosedHost) -> None:
        done = host.run("diagnose", "--output", str(host.folder / "it.tar.gz"))
        assert done.returncode == 1, done.stderr
        found = unpack(host.folder / "it.tar.gz")
        index = json.loads(found["index.json"])
        failed = {entry["step"] for entry in index["failed"]}
        assert {"versions", "board", "memory and load"} <= failed
        assert {entry["name"] for entry in index["files"]} == set(found) - {"README.md", "index.json"}
        for entry in index["failed"]:
            assert f"- {entry['step']}: {entry['why']}" in found["README.md"]
            assert f"not collected: {entry['step']}: " in done.stdout
        assert str(host.folder / "it.tar.gz") in done.stdout
        assert any("core: left out, it is no text" in what for what in index["absent"])

    def test_without_docker(self, host: DiagnosedHost) -> None:
        (host.programs / "docker-away").touch()
        done = host.run("diagnose", "--json")
        assert done.returncode == 1, done.stderr
        about = json.loads(done.stdout)
        found = unpack(Path(about["path"]))
        assert any(why.startswith("Docker: Cannot connect to the Docker daemon") for why in about["failed"])
        assert not [name for name in found if name.startswith(("docker/", "logs/"))]
        assert ORDINARY in found["journal/docker.log"]

    def test_where_secrets_cannot_be_read_what_might_quote_them_is_left_out(self, host: DiagnosedHost) -> None:
        env = host.root / f"opt/hypercode/releases/{RELEASE}/env"
        env.unlink()
        env.mkdir()
        done = host.run("diagnose", "--json")
        assert done.returncode == 1, done.stderr
        about = json.loads(done.stdout)
        found = unpack(Path(about["path"]))
        assert any(why.startswith("secrets: ") and "env" in why for why in about["failed"])
        assert any("not all secrets are known" in why for why in about["failed"])
        assert not [
            name for name in found if name.startswith(("logs/", "journal/", "releases/", "evidence/", "docker/"))
        ]
        assert "versions.txt" in found

    def test_docker_that_hangs_costs_its_own_part_only(self, host: DiagnosedHost) -> None:
        (host.programs / "docker-hangs").touch()
        began = time.monotonic()
        done = host.run("diagnose", "--json")
        assert time.monotonic() - began < 120
        about = json.loads(done.stdout)
        assert any("docker did not end within 20 s" in why for why in about["failed"])
        assert ORDINARY in unpack(Path(about["path"]))["journal/docker.log"]

    def test_stopped_it_leaves_nothing_behind(self, host: DiagnosedHost) -> None:
        (host.programs / "docker-hangs").touch()
        with host.start("diagnose", "--output", str(host.folder / "out" / "it.tar.gz")) as process:
            (host.folder / "out").mkdir()
            time.sleep(3)
            process.terminate()
            assert process.wait(timeout=30) == 130
        assert list((host.folder / "out").iterdir()) == []
        assert not running(str(host.programs))

    @pytest.mark.parametrize("words", [["--since", "yesterday"], ["--since", "0m"], ["--since", "99d"], ["--sinc"]])
    def test_typed_wrong(self, host: DiagnosedHost, words: list[str]) -> None:
        done = host.run("diagnose", *words)
        assert done.returncode == 2
        assert "usage: hypercode" in done.stderr

    def test_where_nothing_can_be_written(self, host: DiagnosedHost) -> None:
        done = host.run("diagnose", "--output", str(host.folder / "not/there.tar.gz"))
        assert (done.returncode, done.stdout) == (3, "")
        assert "there is no bundle" in done.stderr
        assert "--output" in done.stderr


def running(words: str) -> list[str]:
    """The processes that were started with these words."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            text = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            found += [text] if words in text else []
    return found


def files_of(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


# ---- in this process: a deployed stack on a Docker that is made up ------------------------------------------------


@pytest.fixture
def typed(stack: SmallStack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Type `diagnose`; return exit code and what was printed. No program is there."""
    monkeypatch.setattr(command, "run_apart", run_here)
    monkeypatch.setattr(command, "run_bounded", lambda argv, **_: Output(127, "", f"{argv[0]}: command not found"))

    def run(*words: str) -> tuple[int, str]:
        host = cli.Host(stack.store, stack.engine, stack.docker, stack.rollout, Paths(stack.store.paths.root))
        code = cli.main(["diagnose", *words], host)
        return code, capsys.readouterr().out

    return run


def test_the_board_of_a_deployed_stack(typed: Any, stack: SmallStack, tmp_path: Path) -> None:
    about = stack.deploy(make_wanted())
    code, _ = typed("--output", str(tmp_path / "it.tar.gz"))
    assert code == 1
    found = unpack(tmp_path / "it.tar.gz")
    board = json.loads(found["board.json"])
    assert [row["service"] for row in board["board"]] == ["db", "web", "worker"]
    assert found["releases/current.txt"] == f"releases/{about['id']}\n"
    assert '"event": "done"' in found[f"releases/{about['id']}/rollout.jsonl"]


def test_steps_after_the_time_for_all_are_left_out(typed: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(collecting, "LONGEST", 0.0)
    code, said = typed("--output", str(tmp_path / "it.tar.gz"))
    assert code == 1
    assert said.count("everything before it took too long") >= len(collecting.STEPS)
    assert "README.md" in unpack(tmp_path / "it.tar.gz")


def test_a_whole_one_ends_with_zero(typed: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(collecting, "STEPS", ())
    monkeypatch.setattr(collecting, "LAST", ())
    monkeypatch.setattr(command, "run_bounded", lambda _argv, **_: Output(0, ""))
    code, said = typed("--output", str(tmp_path / "it.tar.gz"))
    assert code == 0
    assert "not collected" not in said
    assert "Nothing: it is whole." in unpack(tmp_path / "it.tar.gz")["README.md"]


def test_where_the_disk_is_full_it_goes_to_memory(
    typed: Any, stack: SmallStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "free_bytes", lambda folder: 2**40 if "run/" in str(folder) else 1000)
    typed()
    root = stack.store.paths.root
    assert len(list((root / "run/hypercode-diagnose").iterdir())) == 1
    assert not (root / "var/lib/hypercode/diagnose").exists()


def test_only_the_newest_stay(typed: Any, stack: SmallStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "STEPS", ())
    for moment in range(5):
        monkeypatch.setattr(command.time, "time", lambda moment=moment: 1_800_000_000.0 + moment)
        typed()
    assert len(list((stack.store.paths.root / "var/lib/hypercode/diagnose").iterdir())) == 3
