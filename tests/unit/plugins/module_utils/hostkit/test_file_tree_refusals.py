# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a tree refuses before it changes anything: wrong places, files that are not valid, diffs of secrets."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.file_tree import RecordStore, Tree, WantedLink
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.file_tree_apply import TreeError, apply_tree
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.files import FileError, HostRoot
from fakes.file_tree_host import GROUP, USER, Host, tree, wanted_file, wanted_folder


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


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
