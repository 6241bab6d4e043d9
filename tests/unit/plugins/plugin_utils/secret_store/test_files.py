"""Files are replaced as a whole, by one process at a time."""

from __future__ import annotations

import resource
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store import files
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import StoreError

HOLD = """
import sys, time
sys.path.insert(0, "collections")
from pathlib import Path
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store import files
with files.locked(Path(sys.argv[1]), "production"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_new_file_is_private(tmp_path: Path) -> None:
    files.write(tmp_path / "a", b"x")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_disk_that_is_full_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
        with pytest.raises(StoreError, match="cannot be written"):
            files.write(path, b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_a_link_that_waits_for_the_new_content_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    monkeypatch.setattr("os.getpid", lambda: 4711)
    (tmp_path / ".a.4711.new").symlink_to(victim)
    with pytest.raises(StoreError):
        files.write(tmp_path / "a", b"secret")
    assert victim.read_bytes() == b"mine"


def test_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        with pytest.raises(StoreError, match="Another scripts/secrets"), files.locked(tmp_path, "production"):
            pytest.fail("two at once")
    finally:
        child.kill()
        child.wait()
    with files.locked(tmp_path, "production"):
        pass


def test_a_file_that_is_far_too_big(tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as stream:
        stream.truncate(files.MAX_FILE + 1)
    with pytest.raises(StoreError, match="bigger than 16 MB"):
        files.read(tmp_path / "a")


def test_a_folder_for_a_short_time(tmp_path: Path) -> None:
    with files.private_folder() as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "a").write_bytes(b"x")
    assert not folder.exists()
