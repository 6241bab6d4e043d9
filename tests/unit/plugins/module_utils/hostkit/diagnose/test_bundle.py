"""The file of a bundle: closed to others, whole or not there, never too large."""

from __future__ import annotations

import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.diagnose import bundle as bundles
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.diagnose.bundle import (
    Bundle,
    DiagnoseError,
    have_folder,
    prune,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.diagnose.mask import Mask
from fakes.diagnosed_host import unpack

MASK = Mask([("", "canary-value")])


def make(path: Path, **options: int) -> Bundle:
    return Bundle(path, MASK, folder="it", now=1_800_000_000, **options)


def test_it_is_closed_and_masked_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "it.tar.gz"
    with make(path) as bundle:
        assert bundle.add("a/b.txt", "it is canary-value here") == "a/b.txt"
        assert bundle.finish(("README.md", "of canary-value")) == path.stat().st_size
    assert path.stat().st_mode & 0o777 == 0o600
    assert unpack(path) == {"a/b.txt": "it is *** here", "README.md": "of ***"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["it.tar.gz"]
    with tarfile.open(path) as opened:
        assert {(entry.uid, entry.mode, entry.uname) for entry in opened} == {(0, 0o600, "root")}


def test_names_are_safe_and_none_hides_another(tmp_path: Path) -> None:
    with make(tmp_path / "it.tar.gz") as bundle:
        names = [
            bundle.add(name, "x") for name in ("../../etc/x", "a b\n", "a b\t", "canary-value.log", "ä/" + "n" * 500)
        ]
        bundle.finish()
    assert names[:4] == ["_/_/etc/x", "a_b_", "a_b_.2", "___.log"]
    assert len(names[4] or "") < 130


def test_no_escape_and_no_binary_line(tmp_path: Path) -> None:
    with make(tmp_path / "it.tar.gz") as bundle:
        # What steers a terminal may stand in the middle of a secret.
        bundle.add("x", "one\n\x1b[31mred\x1b[0m can\x1b[1mary-value\nb\0in\n\ufffd\ufffd\ufffd\nlast")
        bundle.finish()
    left_out = "[a line that is no text is left out]"
    assert unpack(tmp_path / "it.tar.gz")["x"] == f"one\nred ***\n{left_out}\n{left_out}\nlast"


def test_what_has_no_room_is_left_out_and_the_rest_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "_RESERVE", 100_000)
    with make(tmp_path / "it.tar.gz", largest=300_000) as bundle:
        assert bundle.add("noise", os.urandom(80_000).hex())
        assert bundle.add("more", os.urandom(800_000).hex()) is None
        # Ten megabytes that can be made small.
        assert bundle.add("small", "y" * 10_000_000)
        assert bundle.finish(("README.md", "x")) < 300_000
    assert set(unpack(tmp_path / "it.tar.gz")) == {"noise", "small", "README.md"}


def test_cut_off_it_leaves_the_one_before_and_no_part(tmp_path: Path) -> None:
    path = tmp_path / "it.tar.gz"
    path.write_text("the one before")

    def cut_off() -> None:
        with make(path) as bundle:
            bundle.add("a", "b")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut_off()
    assert path.read_text() == "the one before"
    assert len(list(tmp_path.iterdir())) == 1


def test_what_a_killed_run_left_behind_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "it.tar.gz"
    child = os.fork()
    if child == 0:
        make(path).__enter__()
        os._exit(0)
    os.waitpid(child, 0)
    assert len(list(tmp_path.iterdir())) == 1
    with make(path) as bundle:
        bundle.finish()
    assert [entry.name for entry in tmp_path.iterdir()] == ["it.tar.gz"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of half a MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=512k", "none", place]
    if os.geteuid() != 0 or subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk, and not in every container")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_is_told_with_another_place(small_disk: Path) -> None:
    def fill() -> None:
        with make(small_disk / "x") as bundle:
            bundle.add("noise", os.urandom(2_000_000).hex())
            bundle.finish()

    with pytest.raises(DiagnoseError, match=r"No space left on device.*--output /run/"):
        fill()
    assert list(small_disk.iterdir()) == []


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(DiagnoseError, match=r"is a folder. Fix: name a file"), make(tmp_path):
        pass


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    path = tmp_path / "it.tar.gz"
    path.symlink_to("mine")
    with make(path) as bundle:
        bundle.finish()
    assert (tmp_path / "mine").read_text() == "mine"
    assert not path.is_symlink()


def test_the_newest_stay_and_all_else(tmp_path: Path) -> None:
    names = [f"web1-2027011{day}T080000Z.tar.gz" for day in range(6)]
    for name in [*names, "web1-mine.tar.gz", "web2-20270101T080000Z.tar.gz"]:
        (tmp_path / name).touch()
    prune(tmp_path, "web1", keep=3)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *names[3:],
        "web1-mine.tar.gz",
        "web2-20270101T080000Z.tar.gz",
    ]


def test_the_folder_is_closed(tmp_path: Path) -> None:
    have_folder(tmp_path / "a/b")
    have_folder(tmp_path / "a/b")
    assert (tmp_path / "a/b").stat().st_mode & 0o777 == 0o700
    (tmp_path / "file").touch()
    with pytest.raises(DiagnoseError):
        have_folder(tmp_path / "file/below")
