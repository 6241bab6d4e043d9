# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Renders a tree on the controller and hands it to the module of the same name in one round trip."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.text.converters import to_bytes
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.file_tree import (
    check_name,
    implied_folders,
    pack,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.files import FileError, clean_path, parse_mode
from ansible_collections.hypercode.deploy.plugins.modules.template_tree import MUTUALLY_EXCLUSIVE, OPTIONS

_ALWAYS_EXCLUDED = (".gitkeep", ".DS_Store", "__pycache__", "*~", "*.swp")
_PASSED_ON = ("name", "state", "root", "mode", "dir_mode", "owner", "group", "follow")
_FILE_OPTIONS: dict[str, Any] = {
    "mode": {"type": "raw"},
    "owner": {"type": "str"},
    "group": {"type": "str"},
    "content": {"type": "raw"},
    "validate": {"type": "str"},
    "when": {"type": "bool", "default": True},
    "follow": {"type": "bool"},
}


@dataclass(frozen=True)
class Source:
    """Where the content of one file comes from, and the defaults of the folder it is in. No path: inline content."""

    label: str
    defaults: dict[str, Any]
    path: Path | None = None
    render: bool = False


class Problems(list[str]):
    """Collects what is wrong, so that the user sees all of it at once."""

    def raise_if_any(self, obj: object = None) -> None:
        if self:
            text = self[0] if len(self) == 1 else "\n".join([f"{len(self)} problems:", *(f"- {item}" for item in self)])
            raise AnsibleActionFail(f"{text}\nNothing was changed.", obj=obj)


class ActionModule(ActionBase):  # type: ignore[misc]
    """See the documentation of the module."""

    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _checked, args = self.validate_argument_spec(OPTIONS, mutually_exclusive=MUTUALLY_EXCLUSIVE)
        try:
            check_name(args["name"])
            self._check_modes(args)
            tree = self._describe(args, task_vars)
        except FileError as error:
            raise AnsibleActionFail(f"{error}\nNothing was changed.") from None
        module_args = {name: args[name] for name in _PASSED_ON}
        module_args["_payload"] = pack(tree)
        result.update(
            self._execute_module(
                module_name="hypercode.deploy.template_tree", module_args=module_args, task_vars=task_vars
            )
        )
        return result

    # --- what is wanted -----------------------------------------------------------------------------------------

    def _check_modes(self, args: dict[str, Any]) -> None:
        for item in (args, *(args["trees"] or ()), *args["directories"]):
            for option in ("mode", "dir_mode"):
                if item.get(option) is not None:
                    where = item.get("path") or item.get("src")
                    item[option] = _mode(item[option], f"{where}: " if where and item is not args else "")

    def _describe(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Everything the host has to know, as plain data."""
        if args["state"] == "absent":
            return {"files": [], "folders": [], "links": [], "absent": []}
        settings = _file_settings(args["files"])
        sources = self._sources(args, settings)
        files = self._files(args, settings, sources, task_vars)
        links = [{"path": clean_path(str(link["path"])), "target": str(link["target"])} for link in args["links"]]
        folders = [
            {
                "path": clean_path(str(folder["path"])),
                "mode": args["dir_mode"] if folder["mode"] is None else folder["mode"],
                "owner": str(folder["owner"] or args["owner"]),
                "group": str(folder["group"] or args["group"]),
            }
            for folder in args["directories"]
        ]
        needed: dict[str, dict[str, Any]] = {}
        for path, source in sources.items():
            self._need_folders(needed, [path], source.defaults)
        self._need_folders(needed, [item["path"] for item in (*links, *folders)], args)
        absent = [clean_path(str(path)) for path in args["absent"]]
        return {"files": files, "folders": [*folders, *needed.values()], "links": links, "absent": absent}

    @staticmethod
    def _need_folders(needed: dict[str, dict[str, Any]], paths: list[str], defaults: dict[str, Any]) -> None:
        for folder in implied_folders(paths, defaults["dir_mode"], str(defaults["owner"]), str(defaults["group"])):
            needed.setdefault(folder.path, vars(folder))

    def _sources(self, args: dict[str, Any], settings: dict[str, dict[str, Any]]) -> dict[str, Source]:
        """Every wanted file by its path on the host. FileError, AnsibleActionFail: all that is wrong with them."""
        problems = Problems()
        found: dict[str, list[Source]] = {}
        for tree in args["trees"] if args["trees"] is not None else [{"src": args["src"] or "tree"}]:
            defaults = {
                option: args[option] if tree.get(option) is None else tree[option]
                for option in ("mode", "dir_mode", "owner", "group")
            }
            folder = self._find_tree(tree["src"], tree.get("template", True), problems)
            if folder is not None:
                self._walk(folder, tree, defaults, found, problems)
        for path, setting in settings.items():
            if setting["content"] is not None:
                found.setdefault(path, []).append(Source(f"files[{path}].content", args))
            elif path not in found and setting["when"]:
                problems.append(
                    f"files lists {path}, but no folder holds it and it has no content. Fix: correct the path, or add"
                    f" templates/tree{path}.j2"
                )
        for path, sources in found.items():
            if len(sources) > 1:
                problems.append(
                    f"{path} has {len(sources)} sources: {', '.join(item.label for item in sources)}: keep one"
                )
        problems.raise_if_any()
        wanted = {path: sources[0] for path, sources in sorted(found.items())}
        return {path: source for path, source in wanted.items() if settings.get(path, {}).get("when", True)}

    def _find_tree(self, src: Any, template: Any, problems: Problems) -> Path | None:
        for place in ("templates",) if template else ("files", "templates"):
            try:
                folder = Path(self._find_needle(place, str(src)))
            except AnsibleError:
                continue
            if folder.is_dir():
                return folder
            problems.append(f"src {str(src)!r} is a file ({folder}), but has to be a folder laid out as on the host")
            return None
        first = Path(self._task.get_search_path()[0], place, str(src))
        problems.append(
            f"src {str(src)!r} does not exist (looked for {first} and in the usual places)."
            " Fix: create the folder, or set trees: [] when there is none"
        )
        return None

    @staticmethod
    def _walk(
        folder: Path,
        tree: dict[str, Any],
        defaults: dict[str, Any],
        found: dict[str, list[Source]],
        problems: Problems,
    ) -> None:
        """Add every file below `folder` to `found`."""
        template = tree.get("template", True)
        dest = str(tree.get("dest", "/")).rstrip("/")
        for path in sorted(folder.rglob("*")):
            below = path.relative_to(folder)
            if _is_excluded(below, (*_ALWAYS_EXCLUDED, *tree.get("exclude", ()))):
                continue
            if path.is_dir() and not path.is_symlink():
                continue
            if not path.is_file():
                problems.append(f"{path} is not a regular file: list folders under directories and links under links")
                continue
            render = template and path.name.endswith(".j2")
            name = below.name.removesuffix(".j2") if render else below.name
            if not name:
                problems.append(f"{path} has no name besides .j2: rename it")
                continue
            try:
                on_host = clean_path(f"{dest}/{below.with_name(name)}")
            except FileError as error:
                problems.append(f"{path}: {error}")
                continue
            found.setdefault(on_host, []).append(Source(str(path), defaults, path, render))

    # --- content ------------------------------------------------------------------------------------------------

    def _files(
        self,
        args: dict[str, Any],
        settings: dict[str, dict[str, Any]],
        sources: dict[str, Source],
        task_vars: dict[str, Any],
    ) -> list[dict[str, Any]]:
        problems = Problems()
        files = []
        obj: object = None
        for path, source in sources.items():
            setting = settings.get(path, {})
            try:
                content = self._content(path, source, setting, task_vars)
            except (AnsibleError, OSError) as error:
                problems.append(_render_problem(source, error))
                obj = obj or getattr(error, "obj", None)
                continue
            defaults = source.defaults
            files.append(
                {
                    "path": path,
                    "content": content,
                    "mode": defaults["mode"] if setting.get("mode") is None else setting["mode"],
                    "owner": str(setting.get("owner") or defaults["owner"]),
                    "group": str(setting.get("group") or defaults["group"]),
                    "validate": str(setting.get("validate") or ""),
                    "follow": args["follow"] if setting.get("follow") is None else setting["follow"],
                    "sensitive": any(fnmatchcase(path, str(glob)) for glob in args["sensitive"]),
                }
            )
        problems.raise_if_any(obj)
        return files

    def _content(self, path: str, source: Source, setting: dict[str, Any], task_vars: dict[str, Any]) -> bytes:
        if source.path is None:
            return bytes(to_bytes(setting["content"]))
        if not source.render:
            readable = self._loader.get_real_file(str(source.path))  # Decrypts what is encrypted with Ansible Vault.
            try:
                return Path(readable).read_bytes()
            finally:
                self._loader.cleanup_tmp_file(readable)
        return self._render(path, source.path, task_vars)

    def _render(self, path: str, source: Path, task_vars: dict[str, Any]) -> bytes:
        """Render one file as ansible.builtin.template does it, with the same search path for includes."""
        template = trust_as_template(self._loader.get_text_file_contents(str(source)))
        places = [*task_vars.get("ansible_search_path", self._task.get_search_path()), self._loader.get_basedir()]
        variables = {
            **task_vars,
            "template_path": str(source),
            "template_fullpath": str(source),
            "template_destpath": path,
        }
        templar = self._templar.copy_with_new_env(
            searchpath=[
                folder for place in (*places, str(source.parent)) for folder in (str(Path(place, "templates")), place)
            ],
            available_variables=variables,
        )
        rendered = templar.template(template, escape_backslashes=False, overrides={"trim_blocks": True})
        return bytes(to_bytes("" if rendered is None else rendered, nonstring="simplerepr"))


def _mode(value: object, where: str) -> int:
    try:
        return parse_mode(value)
    except FileError as error:
        raise FileError(f"{where}{error}") from None


def _file_settings(files: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The option `files`, checked and with every key set. AnsibleActionFail: all that is wrong with it."""
    problems = Problems()
    settings: dict[str, dict[str, Any]] = {}
    for raw_path, raw in files.items():
        try:
            path = clean_path(str(raw_path))
            if path in settings:
                raise FileError(f"{path} is listed twice")
            settings[path] = _one_file_setting(raw)
        except FileError as error:
            text = str(error)
            problems.append(f"files: {text}" if text.startswith(str(raw_path)) else f"files: {raw_path}: {text}")
    problems.raise_if_any()
    return settings


def _one_file_setting(raw: Any) -> dict[str, Any]:
    if not isinstance(raw, dict | None):
        raise FileError('has to be a dictionary, like {mode: "0600"}')
    checked = ArgumentSpecValidator(_FILE_OPTIONS).validate(dict(raw or {}))
    if checked.error_messages:
        raise FileError("; ".join(checked.error_messages))
    setting: dict[str, Any] = checked.validated_parameters
    if setting["mode"] is not None:
        setting["mode"] = parse_mode(setting["mode"])
    if setting["content"] is not None and not isinstance(setting["content"], str):
        kind = type(setting["content"]).__name__.removeprefix("_AnsibleTagged").lower()
        raise FileError(f"content is a {kind}, but has to be text. Fix: add a filter such as to_nice_yaml or to_json")
    if setting["validate"] is not None:
        _check_command(setting["validate"])
    return setting


def _check_command(command: str) -> None:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise FileError(f"validate {command!r} cannot be read ({error}): close its quotes") from None
    if not any("%s" in word for word in words[1:]):
        raise FileError(f"validate {command!r} has no %s: put it where the name of the file goes")


def _is_excluded(below: Path, globs: tuple[str, ...]) -> bool:
    """Whether a pattern matches the name or path of a file, or of a folder above it."""
    steps = [below, *below.parents][:-1]
    return any(fnmatchcase(step.name, glob) or fnmatchcase(str(step), glob) for step in steps for glob in globs)


# --- what went wrong while rendering --------------------------------------------------------------------------------


def _render_problem(source: Source, error: Exception) -> str:
    file, line = _error_place(source, error)
    return f"{file}{f', line {line}' if line else ''}: {error}"


def _error_place(source: Source, error: Exception) -> tuple[str, int]:
    """The template (it may be an included one) and the line that an error comes from; line 0 when it cannot be told."""
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:  # Ansible's chains of causes may hold a circle.
        seen.add(id(cause))
        line = getattr(cause, "lineno", None)
        if isinstance(line, int):
            return str(getattr(cause, "filename", None) or source.label), line
        places = []
        trace = cause.__traceback__
        while trace is not None:
            compiled = trace.tb_frame.f_globals.get("__jinja_template__")
            if compiled is not None:
                file = compiled.filename if str(compiled.filename).startswith("/") else source.label
                places.append((str(file), int(compiled.get_corresponding_lineno(trace.tb_lineno))))
            trace = trace.tb_next
        if places:
            return places[-1]
        cause = cause.__cause__ or cause.__context__
    # An undefined variable is noticed after rendering: look for where its name is used.
    name = re.search(r"'(\w+)' is undefined|has no attribute '(\w+)'", str(error))
    if name and source.path is not None:
        word = re.compile(rf"\b{re.escape(name[1] or name[2])}\b")
        for number, text in enumerate(source.path.read_text("utf-8", "replace").splitlines(), 1):
            if word.search(text):
                return source.label, number
    return source.label, 0
