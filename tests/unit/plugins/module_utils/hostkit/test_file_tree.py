# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files, folders and links appear, change and go as wanted; what is not ours stays."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import file_tree
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.file_tree import WantedLink
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.file_tree_apply import TreeError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.files import FileError
from fakes.file_tree_host import Host, tree, wanted_file, wanted_folder
from hypothesis import given, settings
from hypothesis import strategies as st


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
