# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a real host does to a run of a tree: a full disk, a kill, a failure half way."""

from __future__ import annotations

import multiprocessing
import os
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import file_tree_apply
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.file_tree import Tree
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.file_tree_apply import TreeError
from fakes.file_tree_host import Host, tree, wanted_file, wanted_folder


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


class TestFaults:
    """What a real host does to a run."""

    @contextmanager
    def _failing(self, monkeypatch: pytest.MonkeyPatch, function: str, after: int) -> Iterator[None]:
        real = getattr(file_tree_apply, function)
        calls: list[int] = []

        def sometimes(*args: Any, **kwargs: Any) -> Any:
            calls.append(1)
            if len(calls) > after:
                raise OSError(28, "No space left on device")
            return real(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(file_tree_apply, function, sometimes)
            yield

    def test_full_disk_while_staging_changes_nothing(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        host.apply(tree(wanted_file("/a", "1")))
        before = host.snapshot(inodes=False)
        wanted = tree(wanted_file("/a", "2"), wanted_file("/new/b"))
        with (
            self._failing(monkeypatch, "stage", after=1),
            pytest.raises(TreeError, match=r"(?s)/new/b cannot be written: No space.*Fix: free.*Nothing was changed"),
        ):
            host.apply(wanted)
        assert host.snapshot(inodes=False) == before

    def test_failure_between_renames_says_what_is_done_and_heals(
        self, host: Host, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wanted = tree(wanted_file("/a"), wanted_file("/b"))
        with (
            self._failing(monkeypatch, "commit", after=1),
            pytest.raises(TreeError, match="Already changed: /a") as caught,
        ):
            host.apply(wanted)
        assert caught.value.done == ["/a"]
        assert host.files() == {"/a"}, "no temporary file stays"
        assert host.apply(wanted).created == ["/b"]
        assert sorted(host.apply(tree()).removed) == ["/a", "/b"]

    def _kill_half_way(self, host: Host, wanted: Tree, step: str) -> None:
        """Run in a process that is killed with the second file."""

        def run() -> None:
            real, calls = getattr(file_tree_apply, step), []

            def killed(*args: Any, **kwargs: Any) -> Any:
                result = real(*args, **kwargs)
                calls.append(1)
                if len(calls) == 2:
                    os.kill(os.getpid(), signal.SIGKILL)
                return result

            setattr(file_tree_apply, step, killed)
            host.apply(wanted)

        process = multiprocessing.get_context("fork").Process(target=run)
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert list(host.root.glob("etc/new/.hypercode-*.tmp"))

    @pytest.mark.parametrize("step", ["stage", "commit"])
    def test_killed_run_is_finished_by_the_next(self, host: Host, step: str) -> None:
        host.apply(tree(wanted_file("/etc/new/a", "1"), wanted_file("/etc/old")))
        wanted = tree(*(wanted_file(f"/etc/new/{name}", "2") for name in "abc"))
        self._kill_half_way(host, wanted, step)
        assert "/etc/old" in host.files()
        host.apply(wanted)
        assert host.files() == {"/etc/new/a", "/etc/new/b", "/etc/new/c"}, "finished, pruned and swept"
        host.apply(tree())
        assert not (host.root / "etc").exists()

    @pytest.mark.parametrize("step", ["stage", "commit"])
    def test_killed_run_can_be_undone_by_the_next(self, host: Host, step: str) -> None:
        old = tree(wanted_file("/etc/a", "1"))
        host.apply(old)
        self._kill_half_way(host, tree(*(wanted_file(f"/etc/new/{name}", "2") for name in "abc")), step)
        host.apply(old)
        assert host.files() == {"/etc/a"}
        assert not (host.root / "etc/new").exists(), "the folder is known to be ours, too"

    @pytest.mark.parametrize("step", ["stage", "commit"])
    def test_killed_run_can_be_taken_back(self, host: Host, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
        host.apply(tree(wanted_file("/a", "1")))

        def interrupted(*args: Any, **kwargs: Any) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(file_tree_apply, step, interrupted)
            with pytest.raises(KeyboardInterrupt):
                host.apply(tree(wanted_file("/a", "2")))
        assert host.apply(tree()).removed == ["/a"], "the old content, not yet replaced, is ours too"
        assert host.files() == set()

    def test_record_that_cannot_be_written(self, host: Host) -> None:
        host.put("/var/lib/hypercode", "a file in the way")
        with pytest.raises(TreeError, match="has to be a folder"):
            host.apply(tree(wanted_file("/a")))
        assert not (host.root / "a").exists()

    def test_folder_of_the_records_can_be_wanted(self, host: Host) -> None:
        wanted = tree(wanted_folder("/var/lib/hypercode", 0o750))
        assert "/var/lib/hypercode" in host.apply(wanted, check=True).created
        assert "/var/lib/hypercode" in host.apply(wanted).created
        assert stat.S_IMODE((host.root / "var/lib/hypercode").stat().st_mode) == 0o750
        assert host.apply(wanted).changed_paths == []
        host.apply(tree())
        assert not (host.root / "var/lib/hypercode").exists()
