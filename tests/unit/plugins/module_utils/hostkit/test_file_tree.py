# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import fcntl
import grp
import json
import multiprocessing
import os
import pwd
import signal
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import file_tree, file_tree_apply
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.file_tree import (
    RecordStore,
    Tree,
    WantedFile,
    WantedFolder,
    WantedLink,
    implied_folders,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.file_tree_apply import TreeError, apply_tree
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.file_tree_plan import Plan
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.files import FileError, HostRoot
from hypothesis import given, settings
from hypothesis import strategies as st

USER = pwd.getpwuid(os.geteuid()).pw_name
GROUP = grp.getgrgid(os.getegid()).gr_name


def wanted_file(path: str, content: str | bytes = "x\n", **options: Any) -> WantedFile:
    data = content.encode() if isinstance(content, str) else content
    return WantedFile(**{"path": path, "content": data, "mode": 0o644, "owner": USER, "group": GROUP, **options})


def wanted_folder(path: str, mode: int = 0o755, **options: Any) -> WantedFolder:
    return WantedFolder(**{"path": path, "mode": mode, "owner": USER, "group": GROUP, **options})


def tree(*items: WantedFile | WantedFolder | WantedLink, name: str = "base", absent: Sequence[str] = ()) -> Tree:
    paths = [item.path for item in items]
    return Tree(
        name=name,
        files=tuple(item for item in items if isinstance(item, WantedFile)),
        folders=(
            *(item for item in items if isinstance(item, WantedFolder)),
            *implied_folders(paths, 0o755, USER, GROUP),
        ),
        links=tuple(item for item in items if isinstance(item, WantedLink)),
        absent=tuple(absent),
    )


class Host:
    """A root folder, and a runner of validate commands that notes what it was asked to run."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self.commands: list[list[str]] = []
        self.seen: list[str] = []
        self.answer = CommandResult(0)

    def run(self, argv: Sequence[str]) -> CommandResult:
        self.commands.append(list(argv))
        self.seen.append(Path(argv[-1]).read_text() if Path(argv[-1]).is_file() else "")
        return self.answer

    def apply(self, wanted: Tree, check: bool = False) -> Plan:
        return apply_tree(wanted, HostRoot(self.root), check_mode=check, run=self.run)

    def put(self, path: str, text: str = "foreign\n") -> Path:
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target

    def read(self, path: str) -> str:
        return (self.root / path.lstrip("/")).read_text()

    def snapshot(self, inodes: bool = True) -> dict[str, tuple[Any, ...]]:
        """Everything below the root: kind, mode, owner, inode and content."""
        found = {}
        for path in self.root.rglob("*"):
            info = path.lstat()
            content: Any = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
            found[str(path.relative_to(self.root))] = (
                info.st_mode,
                info.st_uid,
                info.st_gid,
                info.st_ino * inodes,
                content,
            )
        return found

    def files(self) -> set[str]:
        records = self.root / "var/lib/hypercode"
        return {
            f"/{path.relative_to(self.root)}"
            for path in self.root.rglob("*")
            if not path.is_dir() and not path.is_relative_to(records)
        }


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


class TestApply:
    def test_bare_host(self, host: Host) -> None:
        wanted = tree(
            wanted_file("/etc/app/x.conf", "x=1\n", mode=0o640),
            wanted_folder("/var/spool/app", 0o700),
            WantedLink(path="/etc/x", target="app/x.conf"),
        )
        predicted = host.apply(wanted, check=True)
        assert host.snapshot() == {}, "check mode must not write"
        done = host.apply(wanted)
        assert done.created == predicted.created
        assert done.changed_paths == [
            "/etc",
            "/etc/app",
            "/etc/app/x.conf",
            "/etc/x",
            "/var",
            "/var/spool",
            "/var/spool/app",
        ]
        assert host.read("/etc/x") == "x=1\n"
        assert stat.S_IMODE((host.root / "etc/app/x.conf").stat().st_mode) == 0o640
        assert stat.S_IMODE((host.root / "var/spool/app").stat().st_mode) == 0o700
        assert stat.S_IMODE((host.root / "etc").stat().st_mode) == 0o755

    def test_second_run_touches_nothing(self, host: Host) -> None:
        wanted = tree(wanted_file("/etc/a"), wanted_folder("/etc/d"), WantedLink(path="/etc/l", target="a"))
        host.apply(wanted)
        before = host.snapshot()
        again = host.apply(wanted)
        assert again.changed_paths == []
        assert again.diffs == []
        assert host.snapshot() == before

    def test_changes_content_mode_and_target(self, host: Host) -> None:
        host.apply(
            tree(wanted_file("/a", "1"), wanted_file("/b"), wanted_folder("/d"), WantedLink(path="/l", target="a"))
        )
        inode = (host.root / "b").stat().st_ino
        changed = tree(
            wanted_file("/a", "2"),
            wanted_file("/b", mode=0o600),
            wanted_folder("/d", 0o700),
            WantedLink(path="/l", target="b"),
        )
        assert host.apply(changed, check=True).changed_paths == ["/a", "/b", "/d", "/l"]
        done = host.apply(changed)
        assert sorted(done.updated) == ["/a", "/b", "/d", "/l"]
        assert done.created == done.removed == []
        assert host.read("/l") == "x\n"
        assert (host.root / "b").stat().st_ino == inode, "a new mode alone does not rewrite the file"
        assert stat.S_IMODE((host.root / "b").stat().st_mode) == 0o600
        assert stat.S_IMODE((host.root / "d").stat().st_mode) == 0o700

    def test_existing_parent_is_left_as_it_is(self, host: Host) -> None:
        (host.root / "etc").mkdir(mode=0o700)
        host.apply(tree(wanted_file("/etc/a")))
        assert stat.S_IMODE((host.root / "etc").stat().st_mode) == 0o700

    def test_explicit_folder_beats_an_implied_one(self, host: Host) -> None:
        host.apply(tree(wanted_file("/d/a"), wanted_folder("/d", 0o750)))
        assert stat.S_IMODE((host.root / "d").stat().st_mode) == 0o750

    def test_adopts_an_equal_file_without_a_change(self, host: Host) -> None:
        host.put("/etc/a", "x\n").chmod(0o644)
        assert host.apply(tree(wanted_file("/etc/a"))).changed_paths == []

    def test_writes_through_a_safe_link_above(self, host: Host) -> None:
        (host.root / "usr/lib").mkdir(parents=True)
        (host.root / "lib").symlink_to("usr/lib")
        host.apply(tree(wanted_file("/lib/a"), wanted_folder("/lib")))
        assert host.read("/usr/lib/a") == "x\n"
        assert host.apply(tree(wanted_file("/lib/a"), wanted_folder("/lib"))).changed_paths == []

    def test_follow_writes_the_target_of_a_link(self, host: Host) -> None:
        host.put("/real", "old")
        (host.root / "link").symlink_to("real")
        host.apply(tree(wanted_file("/link", "new", follow=True)))
        assert host.read("/real") == "new"
        assert (host.root / "link").is_symlink()


class TestPruning:
    def test_removes_what_is_no_longer_wanted_and_the_folders_it_made(self, host: Host) -> None:
        (host.root / "etc").mkdir()
        host.apply(tree(wanted_file("/etc/a"), wanted_file("/etc/d/e/b"), WantedLink(path="/etc/d/l", target="x")))
        predicted = host.apply(tree(wanted_file("/etc/a")), check=True)
        assert host.files() == {"/etc/a", "/etc/d/e/b", "/etc/d/l"}
        done = host.apply(tree(wanted_file("/etc/a")))
        assert sorted(done.removed) == sorted(predicted.removed) == ["/etc/d", "/etc/d/e", "/etc/d/e/b", "/etc/d/l"]
        assert host.files() == {"/etc/a"}
        assert not (host.root / "etc/d").exists()

    def test_everything_goes_and_nothing_stays_behind(self, host: Host) -> None:
        host.apply(tree(wanted_file("/opt/a/b"), wanted_folder("/opt/c")))
        host.apply(tree())
        assert set(host.snapshot()) == {"var", "var/lib"}
        assert host.apply(tree()).changed_paths == []

    def test_keeps_what_was_changed_by_hand_and_says_so_once(self, host: Host) -> None:
        host.apply(tree(wanted_file("/etc/a"), WantedLink(path="/etc/l", target="a")))
        host.put("/etc/a", "by hand\n")
        (host.root / "etc/l").unlink()
        (host.root / "etc/l").symlink_to("elsewhere")
        done = host.apply(tree())
        assert done.removed == []
        assert done.kept == ["/etc/a", "/etc/l"]
        assert "was changed since" in done.warnings[0]
        assert "rm /etc/a" in done.warnings[0]
        assert host.read("/etc/a") == "by hand\n"
        assert host.apply(tree()).warnings == []

    def test_keeps_a_file_that_was_there_before(self, host: Host) -> None:
        host.put("/etc/ours", "from a package")
        host.put("/etc/same", "x\n")
        wanted = tree(wanted_file("/etc/ours"), wanted_file("/etc/same"))
        host.apply(wanted)
        host.apply(wanted)
        done = host.apply(tree())
        assert done.removed == []
        assert done.kept == ["/etc/ours", "/etc/same"]
        assert "was there before" in done.warnings[0]

    def test_keeps_a_folder_that_holds_something_of_others(self, host: Host) -> None:
        host.apply(tree(wanted_file("/opt/app/a"), wanted_folder("/opt/app/data")))
        host.put("/opt/app/data/db")
        assert host.apply(tree()).removed == ["/opt/app/a"]
        (host.root / "opt/app/data/db").unlink()
        assert host.apply(tree()).removed == ["/opt/app/data", "/opt/app", "/opt"], "empty by now: ours to remove"

    def test_keeps_a_folder_that_was_there_before(self, host: Host) -> None:
        (host.root / "opt").mkdir()
        host.apply(tree(wanted_folder("/opt")))
        host.apply(tree())
        assert (host.root / "opt").is_dir()

    def test_a_file_can_move_from_one_tree_to_another(self, host: Host) -> None:
        host.apply(tree(wanted_file("/etc/d/a"), name="base"))
        host.apply(tree(wanted_file("/etc/d/a"), name="stack"))
        assert host.apply(tree(name="base")).removed == []
        assert host.apply(tree(name="stack")).removed == ["/etc/d/a", "/etc/d", "/etc"], "created by a tree, so ours"

    def test_a_folder_that_another_tree_wants_too_stays(self, host: Host) -> None:
        host.apply(tree(wanted_folder("/srv/shared"), name="base"))
        host.apply(tree(wanted_folder("/srv/shared"), name="stack"))
        assert host.apply(tree(name="base")).removed == []
        assert (host.root / "srv/shared").is_dir()
        assert host.apply(tree(name="stack")).removed == ["/srv/shared", "/srv"]

    def test_a_link_becomes_a_file_and_a_file_a_link(self, host: Host) -> None:
        host.apply(tree(wanted_file("/a"), WantedLink(path="/b", target="a")))
        done = host.apply(tree(WantedLink(path="/a", target="b"), wanted_file("/b")))
        assert sorted(done.updated) == ["/a", "/b"]
        assert (host.root / "a").is_symlink()
        assert not (host.root / "b").is_symlink()
        assert sorted(host.apply(tree()).removed) == ["/a", "/b"]

    def test_absent_removes_whoever_made_it(self, host: Host) -> None:
        host.put("/etc/old.d/a")
        host.put("/etc/x")
        (host.root / "etc/l").symlink_to("x")
        wanted = tree(absent=["/etc/old.d", "/etc/old.d/a", "/etc/l", "/etc/none"])
        done = host.apply(wanted)
        assert done.removed == ["/etc/old.d/a", "/etc/l", "/etc/old.d"]
        assert host.files() == {"/etc/x"}
        assert host.apply(wanted).changed_paths == []

    def test_record_is_for_root_only(self, host: Host) -> None:
        host.apply(tree(wanted_file("/a")))
        folder = host.root / "var/lib/hypercode/trees"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / "base.json").stat().st_mode) == 0o600
        assert json.loads((folder / "base.json").read_text())["tree"] == "base"

    def test_state_of_others_beside_the_record_can_be_reached(self, host: Host) -> None:
        old = os.umask(0o077)
        try:
            host.apply(tree(wanted_file("/a")))
        finally:
            os.umask(old)
        assert stat.S_IMODE((host.root / "var/lib/hypercode").stat().st_mode) == 0o755

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"version": 2}', '{"version": 1, "files": {"../x": {}}}'])
    def test_damaged_record_stops_before_anything_is_changed(self, host: Host, text: str) -> None:
        host.put("/var/lib/hypercode/trees/base.json", text)
        before = host.snapshot()
        for name in ("base", "stack"):
            with pytest.raises(TreeError, match=r"(?s)base\.json cannot be read .*Fix: mv .*Nothing was changed"):
                host.apply(tree(wanted_file("/a"), name=name))
        assert host.snapshot() == before


class TestRefusals:
    @pytest.mark.parametrize(
        ("wanted", "words"),
        [
            (tree(wanted_file("/folder")), "/folder has to be a file, but a folder is there"),
            (tree(wanted_file("/link")), "/link is a link to file, and a link is not written through.*follow: true"),
            (tree(wanted_file("/pipe")), "/pipe has to be a file, but a other|a device, socket or pipe"),
            (tree(wanted_folder("/file")), "/file has to be a folder, but a file is there"),
            (tree(wanted_file("/file/a"), wanted_file("/file/b")), "^/file has to be a folder, but a file is there"),
            (tree(WantedLink(path="/file", target="x")), "real file is there and is not replaced"),
            (tree(WantedLink(path="/folder", target="x")), "real folder is there and is not replaced"),
            (tree(wanted_file("/a"), WantedLink(path="/a", target="x")), "/a is wanted twice"),
            (tree(wanted_file("/a"), absent=["/a"]), "/a is wanted twice"),
            (tree(wanted_file("/a"), wanted_file("/a/b")), "/a is wanted as a file or link, but other paths"),
            (tree(wanted_file("/a/b"), absent=["/a"]), "/a is to be absent, but wanted paths are inside"),
            (tree(absent=["/folder"]), "still holds inside; only empty folders"),
            (tree(absent=["/pipe"]), "device, socket or pipe"),
            (tree(wanted_file("/folder/x"), wanted_file("/alias/x")), "are the same place on this host"),
            (tree(wanted_file("/a", owner="no-such-user")), "user 'no-such-user' does not exist on this host.*Fix"),
            (tree(wanted_folder("/a", group="no-such-group")), "group 'no-such-group' does not exist"),
        ],
    )
    def test_nothing_is_changed(self, host: Host, wanted: Tree, words: str) -> None:
        host.put("/folder/inside")
        host.put("/file")
        (host.root / "link").symlink_to("file")
        (host.root / "alias").symlink_to("folder")
        os.mkfifo(host.root / "pipe")
        before = host.snapshot()
        with pytest.raises(TreeError, match=f"(?s){words}") as caught:
            host.apply(wanted)
        assert len(caught.value.problems) == 1
        assert str(caught.value).endswith("Nothing was changed.")
        assert host.snapshot() == before

    def test_all_problems_at_once(self, host: Host) -> None:
        (host.root / "d").mkdir()
        wanted = tree(wanted_file("/d"), *(wanted_file(f"/{name}", owner="nobody-here") for name in "abc"))
        with pytest.raises(TreeError, match=r"2 problems:\n- /d has to be .*\n- user 'nobody-here'.*/a and 2 more"):
            host.apply(wanted)

    def test_check_mode_does_not_mind_users_that_come_later(self, host: Host) -> None:
        wanted = tree(wanted_file("/a", owner="no-such-user", group="no-such-group"))
        assert host.apply(wanted, check=True).created == ["/a"]
        host.put("/a", "x\n")
        assert host.apply(wanted, check=True).updated == ["/a"]

    def test_another_run_is_waited_for_a_minute(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        slept: list[float] = []
        store = RecordStore(HostRoot(host.root), sleep=slept.append)
        handle = os.open(host.root, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            with pytest.raises(FileError, match="another run is changing files"), store.locked():
                pass
        finally:
            os.close(handle)
        assert sum(slept) == 60
        with store.locked():
            pass


class TestValidation:
    def test_runs_on_a_copy_of_the_whole_tree_before_writing(self, host: Host) -> None:
        main = wanted_file("/etc/app/main.conf", "include part.conf", validate="check --strict %s", mode=0o444)
        host.apply(tree(main, wanted_file("/etc/app/part.conf")))
        ((*command, copy),) = host.commands
        assert command == ["check", "--strict"]
        assert copy.endswith("/etc/app/main.conf")
        assert not copy.startswith(str(host.root))
        assert host.seen == ["include part.conf"]
        assert not Path(copy).exists()

    def test_is_not_run_when_the_content_stays(self, host: Host) -> None:
        host.apply(tree(wanted_file("/a", validate="check %s")))
        host.apply(tree(wanted_file("/a", validate="check %s", mode=0o600)))
        assert len(host.commands) == 1

    def test_failure_changes_nothing_and_names_file_command_and_output(self, host: Host) -> None:
        host.apply(tree(wanted_file("/etc/a", "1"), wanted_file("/etc/gone")))
        before = host.snapshot()
        host.answer = CommandResult(4, "", "line 1: no good\n")
        wanted = tree(wanted_file("/etc/a", "2", validate="check %s"), wanted_file("/etc/new/b"))
        with pytest.raises(
            TreeError, match=r"/etc/a is not valid. `check /etc/a` ended with 4:\nline 1: no good\nNothing"
        ):
            host.apply(wanted)
        assert host.snapshot() == before
        with pytest.raises(TreeError, match="not valid"):
            host.apply(wanted, check=True)

    def test_output_names_the_real_file_and_is_cut(self, host: Host) -> None:
        def run(argv: Sequence[str]) -> CommandResult:
            return CommandResult(1, "\n".join(f"{argv[-1]}:{number}" for number in range(100)))

        with pytest.raises(TreeError) as caught:
            apply_tree(tree(wanted_file("/a", validate="check %s")), HostRoot(host.root), check_mode=False, run=run)
        assert str(caught.value).splitlines()[1:] == [
            *(f"/a:{number}" for number in range(80, 100)),
            "Nothing was changed.",
        ]

    def test_output_about_a_secret_file_is_hidden(self, host: Host) -> None:
        host.answer = CommandResult(1, "CANARY")
        with pytest.raises(TreeError, match="output hidden") as caught:
            host.apply(tree(wanted_file("/a", "CANARY", validate="check %s", sensitive=True)))
        assert "CANARY" not in str(caught.value)

    def test_missing_command(self, host: Host) -> None:
        host.answer = CommandResult(127, "", "check: command not found")
        wanted = tree(wanted_file("/a", validate="check %s"))
        assert host.apply(wanted, check=True).warnings == []
        with pytest.raises(TreeError, match=r"check: command not found\nFix: install it"):
            host.apply(wanted)

    def test_failure_on_a_bare_host_is_a_warning_in_check_mode(self, host: Host) -> None:
        host.answer = CommandResult(1, "the program it starts is not installed")
        plan = host.apply(tree(wanted_file("/a", validate="check %s")), check=True)
        assert "may still bring" in plan.warnings[0]


class TestDiff:
    def test_text_has_both_sides_and_attributes(self, host: Host) -> None:
        host.apply(tree(wanted_file("/a", "1\n")))
        (diff,) = host.apply(tree(wanted_file("/a", "2\n", mode=0o600)), check=True).diffs
        assert (diff["before"], diff["after"]) == ("1\n", "2\n")
        assert diff["before_header"] == f"/a ({USER}:{GROUP} 0644)"
        assert diff["after_header"] == f"/a ({USER}:{GROUP} 0600)"

    @pytest.mark.parametrize(
        ("content", "words"), [(b"\0", "the file is binary"), (b"y" * 100_001, "larger than 100 kB")]
    )
    def test_what_cannot_be_shown_says_why(self, host: Host, content: bytes, words: str) -> None:
        (diff,) = host.apply(tree(wanted_file("/a", content))).diffs
        assert words in diff["prepared"]

    def test_secrets_are_never_shown(self, host: Host) -> None:
        secret = wanted_file("/a", "CANARY-1", sensitive=True)
        shown = [
            *host.apply(tree(secret)).diffs,
            *host.apply(tree(wanted_file("/a", "CANARY-2", sensitive=True))).diffs,
            *host.apply(tree(wanted_file("/a", "public"))).diffs,  # The old content is still a secret.
            *host.apply(tree(secret)).diffs,
            *host.apply(tree()).diffs,
        ]
        assert len(shown) == 5
        assert "diff hidden: holds secrets" in shown[0]["prepared"]
        assert "CANARY" not in str(shown)


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


class TestPayload:
    def test_round_trip(self) -> None:
        wanted = tree(
            wanted_file("/a", bytes(range(256)), sensitive=True), wanted_folder("/d"), WantedLink(path="/l", target="ü")
        )
        described = {
            "files": [vars(item) for item in wanted.files],
            "folders": [vars(item) for item in wanted.folders],
            "links": [vars(item) for item in wanted.links],
            "absent": ["/x"],
        }
        assert file_tree.unpack("base", file_tree.pack(described)) == tree(
            *wanted.files, *wanted.folders, *wanted.links, absent=["/x"]
        )

    @pytest.mark.parametrize("payload", ["", "!", "aGFsbG8=", "eJyrrgUAAXUA+Q=="])
    def test_damaged(self, payload: str) -> None:
        with pytest.raises(FileError, match="did not arrive whole"):
            file_tree.unpack("base", payload)

    @given(st.text(max_size=40))
    def test_any_text_ends_in_a_clear_error(self, payload: str) -> None:
        with pytest.raises(FileError):
            file_tree.unpack("base", payload)

    @pytest.mark.parametrize("name", ["", "Base", "a/b", "../x", "a.b", "-a", "a" * 64, "a\n"])
    def test_names(self, name: str) -> None:
        with pytest.raises(FileError, match="lower-case"):
            file_tree.check_name(name)


PATHS = ("/a", "/d/b", "/d/c", "/d/e/f", "/g/h")
contents = st.dictionaries(st.sampled_from(PATHS), st.sampled_from(["one", "two"]), max_size=len(PATHS))


@settings(max_examples=40, deadline=None)
@given(before=contents, steps=st.lists(st.tuples(contents, contents), min_size=1, max_size=3))
def test_nothing_of_others_is_ever_deleted(
    tmp_path_factory: pytest.TempPathFactory,
    before: dict[str, str],
    steps: list[tuple[dict[str, str], dict[str, str]]],
) -> None:
    """Any history of runs and of edits by hand: prediction is truth, a second run is quiet, foreign files survive."""
    host = Host(tmp_path_factory.mktemp("root"))
    for path, text in before.items():
        host.put(path, text)
    foreign = set(before)
    for wanted_now, edits in steps:
        wanted = tree(*(wanted_file(path, text) for path, text in wanted_now.items()))
        predicted = host.apply(wanted, check=True)
        done = host.apply(wanted)
        assert (done.changed_paths, done.kept) == (predicted.changed_paths, predicted.kept)
        assert {path: host.read(path) for path in wanted_now} == wanted_now
        assert host.apply(wanted).changed_paths == []
        assert foreign <= host.files()
        foreign |= set(done.kept)
        for path, text in edits.items():
            if path in host.files() and host.read(path) != text:
                host.put(path, text)
            elif path not in host.files():
                host.put(path, text)
                foreign.add(path)
    kept = set(host.apply(tree()).kept)
    assert host.files() == foreign | kept
