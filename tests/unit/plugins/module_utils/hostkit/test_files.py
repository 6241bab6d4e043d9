# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import errno
import os
import resource
import signal
import stat
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import files
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.files import FileError, HostRoot
from hypothesis import given
from hypothesis import strategies as st


class TestCleanPath:
    @pytest.mark.parametrize(
        ("path", "clean"), [("/etc/x", "/etc/x"), ("//etc//x/", "/etc/x"), ("/a/./b", "/a/b"), ("/a b/ü", "/a b/ü")]
    )
    def test_normalizes(self, path: str, clean: str) -> None:
        assert files.clean_path(path) == clean

    @pytest.mark.parametrize(
        ("path", "words"),
        [
            ("etc/x", "must be absolute"),
            ("", "must be absolute"),
            ("/etc/../x", r"must not hold '\.\.'"),
            ("/", "root folder"),
            ("/./", "root folder"),
            ("/etc/a\nb", "control"),
            ("/etc/a\0", "control"),
            ("/etc/\udcff", "undecodable"),
        ],
    )
    def test_refuses(self, path: str, words: str) -> None:
        with pytest.raises(FileError, match=words):
            files.clean_path(path)

    @given(st.text(alphabet="/.ab \n\0", max_size=12))
    def test_never_leaves_the_root(self, path: str) -> None:
        try:
            clean = files.clean_path(path)
        except FileError:
            return
        assert clean == files.clean_path(clean)
        assert os.path.normpath(clean) == clean
        assert os.path.commonpath(["/root", f"/root{clean}"]) == "/root"


class TestParseMode:
    @given(st.integers(min_value=0, max_value=0o7777))
    def test_reads_octal_text(self, mode: int) -> None:
        assert files.parse_mode(f"{mode:04o}") == mode
        assert files.parse_mode(f"0o{mode:04o}") == mode

    @pytest.mark.parametrize("mode", [0o644, 0o755, 0o600, 0o640, 0o750, 0o440, 0o700, 0o664, 0o775, 0o400, 0o444])
    def test_accepts_what_yaml_reads_as_octal(self, mode: int) -> None:
        assert files.parse_mode(mode) == mode

    @pytest.mark.parametrize("mode", [644, 755, 600, 640, 750, 440, 700, 664, 775, 400, 444, 1777, -1])
    def test_refuses_decimal_numbers(self, mode: int) -> None:
        with pytest.raises(FileError, match="in quotes"):
            files.parse_mode(mode)

    @pytest.mark.parametrize("mode", ["", "abc", "0888", "99999", "77777", "u=rw", True, None, 4.2, ["0644"], "0644\n"])
    def test_refuses_nonsense(self, mode: object) -> None:
        with pytest.raises(FileError, match="octal"):
            files.parse_mode(mode)


def test_owner_by_name_by_number_and_unknown() -> None:
    assert files.user_id("root") == 0
    assert files.group_id("root") == 0
    assert files.user_id("4711") == 4711
    assert files.group_id("4711") == 4711
    assert files.user_id("no-such-user") is None
    assert files.group_id("no-such-group") is None


class TestHostRoot:
    def test_missing_parents_are_no_problem(self, tmp_path: Path) -> None:
        assert HostRoot(tmp_path).locate("/a/b/c") == tmp_path / "a/b/c"

    def test_follows_links_that_root_made(self, tmp_path: Path) -> None:
        (tmp_path / "usr/bin").mkdir(parents=True)
        (tmp_path / "bin").symlink_to("usr/bin")
        (tmp_path / "usr/up").symlink_to("../usr")
        assert HostRoot(tmp_path).locate("/bin/x") == tmp_path / "usr/bin/x"
        assert HostRoot(tmp_path).locate("/usr/up/bin/x") == tmp_path / "usr/bin/x"

    def test_absolute_link_inside_the_root(self, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "real")
        assert HostRoot(tmp_path).locate("/link/x") == tmp_path / "real/x"

    @pytest.mark.parametrize("target", ["/var", "../..", "../../.."])
    def test_refuses_a_link_that_leaves_the_root(self, tmp_path: Path, target: str) -> None:
        (tmp_path / "root").mkdir()
        (tmp_path / "root/etc").symlink_to(target)
        with pytest.raises(FileError, match="out of"):
            HostRoot(tmp_path / "root").locate("/etc/x")

    def test_refuses_a_link_in_a_folder_that_others_can_write(self, tmp_path: Path) -> None:
        (tmp_path / "open").mkdir(mode=0o777)
        (tmp_path / "open").chmod(0o777)
        (tmp_path / "open/conf").symlink_to("../etc")
        with pytest.raises(FileError, match="others than root can change"):
            HostRoot(tmp_path).locate("/open/conf/passwd")
        (tmp_path / "open").chmod(0o1777)  # Sticky, like /tmp: others cannot replace root's link.
        assert HostRoot(tmp_path).locate("/open/conf/passwd") == tmp_path / "etc/passwd"

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
    def test_refuses_a_link_that_another_user_owns(self, tmp_path: Path) -> None:
        (tmp_path / "app").mkdir()
        (tmp_path / "app/conf").symlink_to("../etc")
        os.chown(tmp_path / "app/conf", 4711, 4711, follow_symlinks=False)
        with pytest.raises(FileError, match="others than root can change"):
            HostRoot(tmp_path).locate("/app/conf/passwd")

    def test_refuses_a_file_as_parent(self, tmp_path: Path) -> None:
        (tmp_path / "etc").write_text("x")
        with pytest.raises(FileError, match="is a file, but has to be a folder"):
            HostRoot(tmp_path).locate("/etc/x")

    def test_refuses_a_circle(self, tmp_path: Path) -> None:
        (tmp_path / "a").symlink_to("b")
        (tmp_path / "b").symlink_to("a")
        with pytest.raises(FileError, match="circle"):
            HostRoot(tmp_path).locate("/a/x")

    def test_follow_goes_through_the_last_link_only_when_asked(self, tmp_path: Path) -> None:
        (tmp_path / "real").write_text("x")
        (tmp_path / "link").symlink_to("real")
        assert HostRoot(tmp_path).locate("/link") == tmp_path / "link"
        assert HostRoot(tmp_path).follow("/link") == tmp_path / "real"


class TestLook:
    def test_kinds(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        (tmp_path / "file").chmod(0o640)
        (tmp_path / "link").symlink_to("nowhere")
        os.mkfifo(tmp_path / "pipe")
        assert files.look(tmp_path / "file").kind == "file"
        assert files.look(tmp_path / "file").attributes.endswith(" 0640")
        assert files.look(tmp_path).kind == "folder"
        assert files.look(tmp_path / "link").target == "nowhere"
        assert files.look(tmp_path / "pipe").kind == "other"
        assert files.look(tmp_path / "none").kind == "missing"
        assert files.look(tmp_path / "file/below").kind == "missing"

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
    def test_attributes_of_unknown_owners_are_numbers(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        os.chown(tmp_path / "file", 54321, 54322)
        assert files.look(tmp_path / "file").attributes.startswith("54321:54322 ")


class TestWriting:
    def test_writes_whole_with_mode_and_leaves_nothing_else(self, tmp_path: Path) -> None:
        target = tmp_path / "x"
        files.write_file(target, b"one", mode=0o640)
        inode = target.stat().st_ino
        files.write_file(target, b"two", mode=0o600)
        assert target.read_bytes() == b"two"
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
        assert target.stat().st_ino != inode, "the old file must stay whole for those who have it open"
        assert [path.name for path in tmp_path.iterdir()] == ["x"]

    def test_mode_does_not_depend_on_the_umask(self, tmp_path: Path) -> None:
        old = os.umask(0o077)
        try:
            files.write_file(tmp_path / "x", b"", mode=0o664)
            files.make_folder(tmp_path / "d", 0o2775, None, None)
        finally:
            os.umask(old)
        assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o664
        assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o2775

    def test_setuid_survives_the_change_of_owner(self, tmp_path: Path) -> None:
        files.write_file(tmp_path / "x", b"", mode=0o4755, uid=os.geteuid(), gid=os.getegid())
        assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o4755

    def test_failed_write_keeps_the_old_file(self, tmp_path: Path) -> None:
        """A write that the kernel cuts short, as on a full disk."""
        target = tmp_path / "x"
        target.write_text("old")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
        try:
            with pytest.raises(FileError, match=r"x cannot be written: File too large"):
                files.write_file(target, b"n" * 1000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, handler)
        assert target.read_text() == "old"
        assert [path.name for path in tmp_path.iterdir()] == ["x"]

    def test_sweeps_what_a_killed_run_left(self, tmp_path: Path) -> None:
        staged = files.stage(tmp_path / "x", b"lost", mode=0o600)
        leftover = staged.rename(staged.with_name(staged.name.replace(f"-{os.getpid()}.", "-999999999.")))
        alive = staged.with_name(staged.name.replace(f"-{os.getpid()}.", f"-{os.getppid()}."))
        alive.write_text("another process is at it")
        files.write_file(tmp_path / "x", b"new")
        assert not leftover.exists()
        assert alive.exists()

    def test_missing_folder_is_explained(self, tmp_path: Path) -> None:
        with pytest.raises(FileError, match="cannot be written: No such file"):
            files.write_file(tmp_path / "none/x", b"")

    def test_link_replaces_a_link_in_one_step(self, tmp_path: Path) -> None:
        files.write_link(tmp_path / "current", "a")
        files.write_link(tmp_path / "current", "b")
        assert (tmp_path / "current").readlink() == Path("b")
        assert [path.name for path in tmp_path.iterdir()] == ["current"]

    def test_link_over_a_folder_fails_and_leaves_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "d").mkdir()
        with pytest.raises(OSError, match="directory"):
            files.write_link(tmp_path / "d", "a")
        assert [path.name for path in tmp_path.iterdir()] == ["d"]

    def test_attributes_are_not_changed_through_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "real").write_text("x")
        (tmp_path / "link").symlink_to("real")
        with pytest.raises(OSError, match="symbolic"):
            files.change_attributes(tmp_path / "link", 0o777, None, None)

    def test_sync_of_a_folder_that_is_gone(self, tmp_path: Path) -> None:
        files.sync_folders([tmp_path, tmp_path / "gone"])


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "free some space"), (errno.EROFS, "read-only"), (errno.EPERM, "immutable"), (errno.EIO, "/etc/x")],
)
def test_errors_name_file_and_fix(number: int, words: str) -> None:
    text = str(files.explain("/etc/x", "written", OSError(number, os.strerror(number))))
    assert text.startswith("/etc/x cannot be written: ")
    assert words in text


class TestDiff:
    def test_text(self) -> None:
        diff = files.unified_diff("/etc/x", b"a\nb\n", b"a\nc\n")
        assert diff == "--- before: /etc/x\n+++ after: /etc/x\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n"

    def test_missing_newline_at_the_end_is_shown(self) -> None:
        assert "\\ No newline at end of file" in files.unified_diff("/x", b"a", b"a\n")

    def test_equal_is_empty(self) -> None:
        assert files.unified_diff("/x", b"\0", b"\0") == ""

    def test_binary_and_large_say_so(self) -> None:
        assert files.unified_diff("/x", b"a", b"\0") == "/x: diff not shown: the file is binary\n"
        assert files.unified_diff("/x", b"a", b"\xff\xfe") == "/x: diff not shown: the file is binary\n"
        assert files.unified_diff("/x", b"a", b"b" * 100_001) == "/x: diff not shown: larger than 100 kB\n"
        assert files.unified_diff("/x", b"", b"b" * 100_000).endswith("No newline at end of file\n")
