# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Folders of templates become one payload, or one clear error."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible.template import Templar, trust_as_template
from ansible_collections.hypercode.deploy.plugins.action.template_tree import ActionModule
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.file_tree import Tree, unpack


class Role:
    """A role folder on disk, and the action run on it with everything real but the connection."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.variables: dict[str, Any] = {"answer": 42, "words": ["a", "b"]}
        self.loader = DataLoader()
        self.loader.set_basedir(str(folder))
        self.sent: dict[str, Any] = {}

    def put(self, path: str, content: str | bytes) -> Path:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        return target

    def tree(self, **arguments: Any) -> Tree:
        """What the module would get."""
        task = mock.Mock(args={"name": "base", **arguments}, async_val=0, check_mode=False)
        task.get_search_path.return_value = [str(self.folder)]
        templar = Templar(loader=self.loader, variables=self.variables)
        action = ActionModule(task, mock.Mock(), mock.Mock(), self.loader, templar, mock.Mock())
        with mock.patch.object(action, "_execute_module", return_value={"changed": True}) as execute:
            result = action.run(task_vars=self.variables)
        assert result["changed"] is True
        assert execute.call_count == 1, "one round trip"
        self.sent = execute.call_args.kwargs["module_args"]
        return unpack("base", self.sent["_payload"])

    def files(self, **arguments: Any) -> dict[str, bytes]:
        return {file.path: file.content for file in self.tree(**arguments).files}

    def error(self, **arguments: Any) -> str:
        with pytest.raises(AnsibleActionFail) as caught:
            self.tree(**arguments)
        return str(caught.value)


@pytest.fixture
def role(tmp_path: Path) -> Role:
    return Role(tmp_path)


class TestRendering:
    def test_as_the_template_module_does(self, role: Role) -> None:
        role.put(
            "templates/tree/etc/app/x.conf.j2", "a={{ answer }}\n{% for w in words %}\n  {{ w }}\n{% endfor %}\nend\n\n"
        )
        role.put("templates/tree/etc/plain", b"{{ answer }}\0\xff")
        role.put("templates/tree/etc/back.j2", "\\n {{ '\\\\n' }}")
        assert role.files() == {
            "/etc/app/x.conf": b"a=42\n  a\n  b\nend\n\n",
            "/etc/plain": b"{{ answer }}\0\xff",
            "/etc/back": b"\\n \\n",
        }

    def test_includes_are_found_beside_the_file_and_in_templates(self, role: Role) -> None:
        role.put("templates/tree/etc/x.j2", "{% include 'near.inc' %}{% include 'far.inc' %}\n")
        role.put("templates/tree/etc/near.inc", "near {{ answer }}\n")
        role.put("templates/far.inc", "far {{ answer }}")
        assert role.files(trees=[{"src": "tree", "exclude": ["*.inc"]}]) == {"/etc/x": b"near 42far 42\n"}

    def test_a_template_of_one_expression_stays_text(self, role: Role) -> None:
        role.put("templates/tree/number.j2", "{{ answer }}")
        role.put("templates/tree/empty.j2", "{{ None }}")
        role.put("templates/tree/void.j2", "")
        assert role.files() == {"/number": b"42", "/empty": b"", "/void": b""}

    def test_knows_where_it_goes(self, role: Role) -> None:
        role.put("templates/tree/etc/x.j2", "{{ template_destpath }}\n")
        assert role.files() == {"/etc/x": b"/etc/x\n"}

    def test_vault_encrypted_files_are_decrypted(self, role: Role) -> None:
        secret = VaultSecret(b"password")
        secret.load() if hasattr(secret, "load") else None
        encrypted = VaultLib([("default", secret)]).encrypt(b"a={{ answer }}\n", secret)
        role.loader.set_vault_secrets([("default", secret)])
        role.put("templates/tree/rendered.j2", encrypted)
        role.put("templates/tree/plain", encrypted)
        assert role.files() == {"/rendered": b"a=42\n", "/plain": b"a={{ answer }}\n"}

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("a\nb\n{{ missing }}\n", ["x.j2, line 3", "'missing' is undefined"]),
            ("a\n{{ words.nope }}\n", ["x.j2, line 2", "nope"]),
            ("a\n\n{% if %}\n", ["x.j2, line 3", "Syntax error"]),
            ("a\n{{ 1 / 0 }}\n", ["x.j2, line 2", "division by zero"]),
            ("a\n{% include 'inner' %}\n", ["/inner, line 1", "division by zero"]),
            ("{% include 'nowhere' %}\n", ["x.j2", "nowhere"]),
        ],
    )
    def test_errors_name_file_and_line(self, role: Role, text: str, words: list[str]) -> None:
        role.put("templates/tree/etc/x.j2", text)
        role.put("templates/inner", "{{ 1 / 0 }}")
        error = role.error()
        assert all(word in error for word in [*words, "Nothing was changed."])

    def test_an_error_in_a_variable_is_shown_with_the_template_that_uses_it(self, role: Role) -> None:
        role.variables["outer"] = trust_as_template("{{ missing }}")
        role.put("templates/tree/x.j2", "{{ outer }}")
        assert "x.j2" in role.error()

    def test_all_errors_at_once(self, role: Role) -> None:
        role.put("templates/tree/a.j2", "{{ one }}")
        role.put("templates/tree/b.j2", "{{ two }}")
        assert role.error().startswith("2 problems:\n- ")


class TestSources:
    def test_several_folders(self, role: Role) -> None:
        role.put("templates/tree/etc/a", "a")
        role.put("files/plain/sub/b.j2", "{{ not rendered }}")
        tree = role.tree(
            mode="0600",
            owner="root",
            trees=[
                {"src": "tree"},
                {
                    "src": "plain",
                    "dest": "/opt/p/",
                    "template": False,
                    "mode": "0755",
                    "owner": "1000",
                    "dir_mode": "0700",
                },
            ],
        )
        a, b = tree.files
        assert (a.path, a.mode, a.owner) == ("/etc/a", 0o600, "root")
        assert (b.path, b.mode, b.owner, b.content) == ("/opt/p/sub/b.j2", 0o755, "1000", b"{{ not rendered }}")
        folders = {folder.path: (folder.mode, folder.owner, folder.implied) for folder in tree.folders}
        assert folders == {
            "/etc": (0o755, "root", True),
            "/opt": (0o700, "1000", True),
            "/opt/p": (0o700, "1000", True),
            "/opt/p/sub": (0o700, "1000", True),
        }

    def test_excludes(self, role: Role) -> None:
        for name in ("a", "b~", ".gitkeep", "__pycache__/x.pyc", "docs/deep/x", "keep/x.md", ".hidden"):
            role.put(f"templates/tree/{name}", "")
        assert set(role.files()) == {"/a", "/docs/deep/x", "/keep/x.md", "/.hidden"}
        assert set(role.files(trees=[{"src": "tree", "exclude": ["docs", "*.md"]}])) == {"/a", "/.hidden"}

    def test_no_folder_at_all(self, role: Role) -> None:
        tree = role.tree(
            trees=[], files={"/etc/x/y": {"content": "hello\n"}}, links=[{"path": "/opt/l", "target": "t"}]
        )
        assert [(file.path, file.content) for file in tree.files] == [("/etc/x/y", b"hello\n")]
        assert [folder.path for folder in tree.folders] == ["/etc", "/etc/x", "/opt"]

    def test_absent_reads_nothing(self, role: Role) -> None:
        assert role.tree(state="absent", files={"/x": {"content": "y"}}) == Tree(name="base")

    def test_settings_of_single_files(self, role: Role) -> None:
        role.put("templates/tree/a", "a")
        role.put("templates/tree/b", "b")
        role.put("templates/tree/c.j2", "{{ undefined }}")
        settings = {
            "/a": {"mode": "0440", "owner": 33, "group": "adm", "validate": "visudo -cf %s", "follow": True},
            "/c": {"when": False},
            "/not/there": {"when": "no"},
        }
        a, b = role.tree(files=settings, sensitive=["/b*"]).files
        assert (a.mode, a.owner, a.group, a.validate, a.follow) == (0o440, "33", "adm", "visudo -cf %s", True)
        assert (b.mode, b.owner, b.validate, b.follow) == (0o644, "root", "", False)
        assert (a.sensitive, b.sensitive) == (False, True)

    def test_folders_and_absent(self, role: Role) -> None:
        tree = role.tree(
            trees=[], directories=[{"path": "/var/d/", "mode": "0700", "owner": "x"}], absent=["/etc//old/"]
        )
        assert [(folder.path, folder.mode, folder.implied) for folder in tree.folders] == [
            ("/var/d", 0o700, False),
            ("/var", 0o755, True),
        ]
        assert tree.absent == ("/etc/old",)

    def test_content_goes_only_into_the_payload(self, role: Role) -> None:
        role.tree(trees=[], files={"/x": {"content": "CANARY"}})
        assert set(role.sent) == {"name", "state", "root", "mode", "dir_mode", "owner", "group", "follow", "_payload"}
        assert "CANARY" not in str(role.sent)


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ({}, ["src 'tree' does not exist", "templates/tree", "trees: []"]),
            ({"src": "nope"}, ["src 'nope' does not exist"]),
            ({"src": "file"}, ["src 'file' is a file"]),
            ({"src": "a", "trees": []}, ["mutually exclusive"]),
            ({"nonsense": 1}, ["Unsupported parameters", "nonsense"]),
            ({"trees": [], "_payload": "x"}, ["Unsupported parameters"]),
            ({"trees": [], "name": "Not good"}, ["lower-case"]),
            ({"trees": [], "mode": "rw-r--r--"}, ["mode 'rw-r--r--' is not octal"]),
            ({"trees": [], "mode": 644}, ["in quotes"]),
            ({"trees": [], "directories": [{"path": "/d", "mode": "x"}]}, ["/d: mode 'x' is not octal"]),
            ({"trees": [], "directories": [{"path": "d"}]}, ["d: the path must be absolute"]),
            ({"trees": [], "absent": ["/"]}, ["root folder"]),
            ({"trees": [], "absent": ["/a/../b"]}, ["'..'"]),
            ({"trees": [], "links": [{"path": "l", "target": "x"}]}, ["l: the path must be absolute"]),
            ({"trees": [], "links": [{"path": "/l"}]}, ["missing required", "target"]),
            ({"trees": [], "files": {"x": {"content": ""}}}, ["files: x: the path must be absolute"]),
            ({"trees": [], "files": {"/x": {"mode": "9"}}}, ["files: /x: mode '9' is not octal"]),
            ({"trees": [], "files": {"/x": {"modus": "9"}}}, ["files: /x: ", "modus"]),
            ({"trees": [], "files": {"/x": "0644"}}, ["files: /x: has to be a dictionary"]),
            ({"trees": [], "files": {"/x": {"content": {"a": 1}}}}, ["files: /x: content is a dict", "to_json"]),
            ({"trees": [], "files": {"/x": {"content": "", "when": "maybe"}}}, ["files: /x: ", "when"]),
            ({"trees": [], "files": {"/x": {"content": "", "validate": "true"}}}, ["has no %s"]),
            ({"trees": [], "files": {"/x": {"content": "", "validate": "%s"}}}, ["has no %s"]),
            ({"trees": [], "files": {"/x": {"content": "", "validate": "a '%s"}}}, ["cannot be read", "quotes"]),
            ({"trees": [], "files": {"/x": {}}}, ["files lists /x, but no folder holds it", "templates/tree/x.j2"]),
            ({"trees": [], "files": {"/x": {"content": ""}, "//x": {"content": ""}}}, ["/x is listed twice"]),
            ({"trees": [{"src": "tree"}, {"src": "other"}]}, ["does not exist"]),
        ],
    )
    def test_clear_errors(self, role: Role, arguments: dict[str, Any], words: list[str]) -> None:
        role.put("templates/file", "")
        error = role.error(**arguments)
        assert all(word in error for word in words), error

    def test_two_sources_for_one_file(self, role: Role) -> None:
        role.put("templates/tree/x", "")
        role.put("templates/tree/x.j2", "")
        assert "/x has 2 sources: " in role.error()
        (role.folder / "templates/tree/x.j2").unlink()
        assert "files[/x].content" in role.error(files={"/x": {"content": ""}})

    def test_odd_things_in_the_folder(self, role: Role) -> None:
        role.put("templates/tree/.j2", "")
        role.put("templates/tree/a\nb", "")
        os.mkfifo(role.folder / "templates/tree/pipe")
        (role.folder / "templates/tree/dangling").symlink_to("nowhere")
        error = role.error()
        assert error.startswith("4 problems:")
        for words in ("has no name besides .j2", "control", "pipe is not a regular file", "dangling is not a regular"):
            assert words in error

    def test_secrets_are_not_in_errors(self, role: Role) -> None:
        assert "CANARY" not in role.error(trees=[], files={"/x": {"content": {"a": "CANARY"}}})
