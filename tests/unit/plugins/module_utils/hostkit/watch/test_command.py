"""`hypercode watch`: typed by an operator, and run by systemd as a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.cli import Host, main
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.watch.config import (
    Config,
    WatchError,
    read_config,
)
from fakes.watch_bench import WatchBench

ROOT = Path(__file__).resolve().parents[6]
LIBRARY = ROOT / "plugins/module_utils"


def typed(bench: WatchBench, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main(["watch", *words], Host(store=bench.store))
    captured = capsys.readouterr()
    return code, captured.out + captured.err


@pytest.fixture
def now(bench: WatchBench) -> None:
    """The daemon's clock is that of the command."""
    bench.wall = time.time()


@pytest.mark.usefixtures("now")
class TestStatus:
    def test_all_is_well(self, bench: WatchBench, capsys: pytest.CaptureFixture[str]) -> None:
        bench.host.add("web", restarts=3)
        bench.release(web={}, migrate={"job": True})
        bench.host.add("migrate", state="exited", health="none")
        bench.tick()
        code, text = typed(bench, capsys, "status")
        assert code == 0
        assert re.match(r"looked \d s ago; 2 containers\n", text)
        assert re.search(r"demo-web-1 +healthy +3 +0 +50 MiB / 256 MiB +0\n", text)
        assert re.search(r"demo-migrate-1 +done ", text)

    def test_what_is_not_well_is_told_with_what_to_do(
        self, bench: WatchBench, capsys: pytest.CaptureFixture[str]
    ) -> None:
        bench.release(web={}, gone={})
        bench.host.add("web", health="unhealthy")
        bench.host.add("ended", state="exited", exit_code=3)
        bench.tick()
        bench.daemon.tracks.of(bench.host.containers["demo-web-1"].id).given_up = True
        bench.tick()
        code, text = typed(bench, capsys, "status")
        assert code == 1
        assert "3 containers, 3 of them not well" in text
        assert re.search(r"demo-ended-1 +down, exit code 3 ", text)
        assert re.search(r"demo-web-1 +unhealthy .* 0, given up\n", text)
        assert re.search(r"\(gone\) +missing ", text)
        assert "demo-web-1 was restarted 0 times and is not well. Next: docker logs demo-web-1" in text
        assert "gone has no container, or too few. Next: hypercode status" in text

    @pytest.mark.parametrize("seconds", [300, -300])
    def test_nobody_looks(self, bench: WatchBench, capsys: pytest.CaptureFixture[str], seconds: float) -> None:
        bench.host.add("web")
        bench.wall -= seconds
        bench.tick()
        code, text = typed(bench, capsys, "status")
        assert code == 1
        assert "Fix: systemctl restart hypercode-watch, then journalctl -u hypercode-watch" in text

    def test_the_engine_is_away(self, bench: WatchBench, capsys: pytest.CaptureFixture[str]) -> None:
        bench.host.stop_engine()
        bench.tick()
        code, text = typed(bench, capsys, "status")
        assert (code, "Docker does not answer; 0 containers" in text) == (1, True)

    def test_as_data(self, bench: WatchBench, capsys: pytest.CaptureFixture[str]) -> None:
        bench.host.add("web", 'a"\n\\b')
        bench.tick()
        code, text = typed(bench, capsys, "status", "--json")
        found = json.loads(text)
        assert (code, found["good"], found["fresh"], found["engine_up"]) == (0, True, True, True)
        (row,) = found["containers"]
        assert (row["container"], row["health"], row["memory_bytes"]) == ('a"\n\\b', "healthy", 50 * 2**20)

    def test_no_name_can_steer_the_terminal(self, bench: WatchBench, capsys: pytest.CaptureFixture[str]) -> None:
        bench.host.add("web", "a\x1b[2Jb\n")
        bench.tick()
        assert "\x1b" not in typed(bench, capsys, "status")[1]


def test_nobody_has_looked_yet(bench: WatchBench, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = typed(bench, capsys, "status")
    assert code == 1
    assert "cannot be read (No such file or directory), so nobody has looked yet. Fix: systemctl restart" in text


# ---- the settings ------------------------------------------------------------------------------------------------


def test_settings(tmp_path: Path) -> None:
    path = tmp_path / "watch.json"
    path.write_text('{"projects": ["demo"]}')
    assert read_config(path) == Config(("demo",))
    path.write_text('{"projects": ["a", "b"], "interval": 5, "heal": false, "journal_days": 3, "heal_max": 2}')
    assert read_config(path) == Config(("a", "b"), interval=5, heal=False, journal_days=3, heal_max=2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no JSON"),
        ("[]", "does not hold a mapping"),
        ("{}", "projects has to be"),
        ('{"projects": []}', "projects has to be"),
        ('{"projects": [""]}', "projects has to be"),
        ('{"projects": "demo"}', "projects has to be"),
        ('{"projects": ["demo"], "heal": "yes"}', "heal has to be"),
        ('{"projects": ["demo"], "interval": 0}', "interval has to be a number of at least 1"),
        ('{"projects": ["demo"], "interval": true}', "interval has to be"),
        ('{"projects": ["demo"], "interval": NaN}', "interval has to be"),
        ('{"projects": ["demo"], "heal_after": -1}', "heal_after has to be"),
        ('{"projects": ["demo"], "journal_max_bytes": "1G"}', "journal_max_bytes has to be"),
    ],
)
def test_settings_that_make_no_sense(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "watch.json"
    path.write_text(text)
    with pytest.raises(WatchError, match=said) as error:
        read_config(path)
    assert "Fix: " in str(error.value)


# ---- the process -------------------------------------------------------------------------------------------------

PROGRAM = """
import sys
from pathlib import Path
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
from hostkit.watch.run import main
code = main(Path(sys.argv[2]), sys.argv[3])
print(sorted(name for name in sys.modules if name.startswith("hostkit.")))
sys.exit(code)
"""


def start(bench: WatchBench) -> subprocess.Popen[str]:
    words = [sys.executable, "-I", "-c", PROGRAM, str(LIBRARY), str(bench.root), str(bench.host.socket)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(path: Path) -> None:
    until = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.02)


def configure(bench: WatchBench, **settings: Any) -> None:
    bench.paths.config.parent.mkdir(parents=True)
    bench.paths.config.write_text(json.dumps({"projects": ["demo"], **settings}))


def test_it_runs_until_it_is_ended(bench: WatchBench) -> None:
    configure(bench)
    bench.host.add("web")
    process = start(bench)
    wait_for(bench.paths.metrics)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert err == "hypercode watch: watching demo every 15 s. How it stands: hypercode watch status\n"
    assert bench.metric("container_up", "demo-web-1") == 1
    # It is there all the time: what it does not need is not in its memory.
    assert "hostkit.cli" not in out
    assert "hostkit.rollout'" not in out


def test_one_that_was_killed_is_followed_by_one_that_says_so(bench: WatchBench) -> None:
    configure(bench)
    process = start(bench)
    wait_for(bench.paths.metrics)
    process.kill()
    process.communicate(timeout=30)
    bench.paths.metrics.unlink()
    process = start(bench)
    wait_for(bench.paths.metrics)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert [line["kind"] for line in bench.journal()] == ["sample", "gap", "sample"]
    assert bench.journal("gap")[0]["reason"] == "restart"


def test_settings_that_are_missing_end_it_with_the_fix(bench: WatchBench) -> None:
    process = start(bench)
    _out, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "watch.json cannot be read: No such file or directory. Fix: run site.yml for this host" in err


def test_new_files_of_ours_end_it_so_that_systemd_starts_it_anew(bench: WatchBench, tmp_path: Path) -> None:
    library = tmp_path / "library"
    subprocess.run(["cp", "-r", str(LIBRARY), library], check=True)
    configure(bench, interval=1)
    words = [sys.executable, "-I", "-c", PROGRAM, str(library), str(bench.root), str(bench.host.socket)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_for(bench.paths.metrics)
        staged = library / "hostkit/watch/.new"
        staged.write_text("")
        os.replace(staged, library / "hostkit/watch/new.py")  # noqa: PTH105
        assert process.wait(30) == 0


def test_the_command_on_the_host_takes_the_short_way_for_the_daemon() -> None:
    text = (ROOT / "roles/base/templates/tree/usr/local/bin/hypercode").read_text()
    text = text.replace("/usr/local/lib/hypercode", str(LIBRARY)).replace(
        "main())", 'sys.modules["hostkit.cli"] and 7)'
    )
    words = [sys.executable, "-I", "-c", text]
    assert subprocess.run([*words, "watch", "status"], check=False).returncode == 7
    ended = subprocess.run([*words, "watch", "run"], capture_output=True, text=True, check=False)
    assert "KeyError: 'hostkit.cli'" in ended.stderr
