# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Action behind ``inventory_check``: judges the inventory on the controller and connects to nothing."""

from __future__ import annotations

import collections
import contextlib
import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible import context
from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager, split_host_pattern
from ansible.plugins.action import ActionBase
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import (
    Finding,
    errors,
    summary,
    warnings,
)
from ansible_collections.hypercode.deploy.plugins.plugin_utils import inventory_selection as selection
from ansible_collections.hypercode.deploy.plugins.plugin_utils import role_specs, variable_names, variable_values
from ansible_collections.hypercode.deploy.plugins.plugin_utils.variable_files import judge_variable_files

try:  # Not public: without them, messages name no file, and only vaulted strings count as encrypted.
    from ansible._internal._datatag import _tags
except ImportError:  # pragma: no cover - depends on the release of ansible-core
    _tags = None

COLLECTION = Path(__file__).resolve().parents[2]
_LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


def typed_command(argv: list[str], cwd: Path) -> list[str]:
    """The running command line, the program named the way one types it."""
    program = Path(argv[0]) if argv else Path()
    if not program.name.startswith("ansible-playbook"):
        return ["ansible-playbook", *(context.CLIARGS.get("args") or ("site.yml",))]
    if not program.is_absolute():
        return list(argv)
    # A program that the shell found by its name comes with its full path.
    return [program.name if shutil.which(program.name) else selection.as_typed(program, cwd), *argv[1:]]


def place_of(names: Mapping[str, Any], name: str, cwd: Path) -> str:
    """Where a variable was set, as ``file:line``; "" when Ansible does not know."""
    if _tags is None:
        return ""
    keys = (key for key in names if key == name)
    for tagged in (names[name], next(keys, name)):
        origin = _tags.Origin.get_tag(tagged)
        if origin is not None and origin.path:
            line = f":{origin.line_num}" if origin.line_num else ""
            return f"{selection.as_typed(Path(str(origin.path)), cwd)}{line}"
        if origin is not None and origin.description:
            return str(origin.description).strip("<>")
    return ""


def is_encrypted(value: Any) -> bool:
    """Whether a raw value, or anything in it, comes from a vault."""
    if isinstance(value, Mapping):
        return any(is_encrypted(item) for item in value.values())
    if isinstance(value, (list, tuple)):
        return any(is_encrypted(item) for item in value)
    if type(value).__name__ == "EncryptedString":
        return True
    tags = () if _tags is None else (_tags.VaultedValue, getattr(_tags, "SourceWasEncrypted", _tags.VaultedValue))
    return any(tag.is_tagged_on(value) for tag in tags)


def limited_hosts(
    loader: Any, groups: Mapping[str, list[str]], limit: str
) -> tuple[frozenset[str] | None, tuple[str, ...]]:
    """The hosts that a limit leaves (None without one), and the parts of it that name nothing."""
    if not limit:
        return None, ()
    manager = InventoryManager(loader, parse=False)
    for group, hosts in groups.items():
        manager.add_group(group)
        for host in hosts:
            manager.add_host(host, group=group)
    names = {*groups, *_LOCAL_NAMES, *(host for hosts in groups.values() for host in hosts)}
    parts = [part.lstrip("!&") for part in split_host_pattern(limit)]
    unmatched = tuple(part for part in parts if part and part[0] != "@" and not selection.names_something(part, names))
    with contextlib.suppress(AnsibleError):  # A file of hosts (@file) that is gone: Ansible has refused it already.
        manager.subset(limit)
        return frozenset(host.name for host in manager.get_hosts("all")), unmatched
    return None, unmatched


class ActionModule(ActionBase):  # type: ignore[misc]
    """Judge the choice of the inventory, or the variables of one host."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the check of the task and return its findings."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _checked, options = self.validate_argument_spec(
            argument_spec={
                "mode": {"type": "str", "choices": ["selection", "host"], "required": True},
                "groups": {"type": "list", "elements": "str", "default": ["hypercode"]},
                "project_dir": {"type": "path"},
                "roles_path": {"type": "path"},
                "removed_variables": {"type": "path"},
                "known_variables": {"type": "list", "elements": "str", "default": []},
                "fail_on_findings": {"type": "bool", "default": True},
            }
        )
        variables = task_vars or {}
        try:
            if options["mode"] == "selection":
                where, found = "Inventory", self._selection(options, variables)
            else:
                where, found = str(variables.get("inventory_hostname", "")), self._host(options, variables)
        except role_specs.SpecError as error:
            return {**result, "failed": True, "msg": f"The variables cannot be checked. {error}", "findings": []}
        result["changed"] = False
        result["findings"] = [finding.as_dict() for finding in found]
        result["msg"] = summary(found, where)
        if options["fail_on_findings"]:
            result["failed"] = bool(errors(found))
            # A failure shows them among its findings.
            for finding in [] if result["failed"] else warnings(found):
                self._display.warning(f"{finding.message} {finding.fix}")
        return result

    def _selection(self, options: dict[str, Any], variables: Mapping[str, Any]) -> list[Finding]:
        """Findings about the inventory and the limit."""
        cwd = Path.cwd()
        playbooks = Path(str(variables.get("playbook_dir") or cwd))
        around = [cwd, playbooks, *list(playbooks.parents)[:2], COLLECTION]
        candidates = [Path(options["project_dir"])] if options["project_dir"] else around
        groups = {str(name): [str(host) for host in hosts] for name, hosts in variables.get("groups", {}).items()}
        limit = str(variables.get("ansible_limit") or "")
        limited, unmatched = limited_hosts(self._loader, groups, limit)
        chosen = selection.Chosen(
            sources=tuple(self._sources(variables.get("ansible_inventory_sources") or (), cwd)),
            groups=groups,
            limit=limit,
            limited=limited,
            unmatched=unmatched,
        )
        command = typed_command(sys.argv, cwd)
        project = selection.find_project(candidates, cwd)
        found = selection.judge_selection(options["groups"], chosen, project, command)
        return found + self._variable_files([Path(source) for source in chosen.sources if "," not in source])

    def _variable_files(self, sources: list[Path]) -> list[Finding]:
        """Findings about files that Ansible would fail on later, without a name, or would read without an end."""
        vault = self._loader._vault

        def open_vault(data: bytes) -> bytes | None:
            try:
                return bytes(vault.decrypt(data))
            except AnsibleError:
                return None

        return judge_variable_files(sources, open_vault, has_password=bool(vault.secrets))

    @staticmethod
    def _sources(sources: Iterable[str], cwd: Path) -> Iterable[str]:
        """The inventory sources that are there, as one types them. Ansible's default one usually is not."""
        for source in sources:
            if "," in source or Path(source).exists():
                yield source if "," in source else selection.as_typed(Path(source), cwd)

    def _host(self, options: dict[str, Any], task_vars: Mapping[str, Any]) -> list[Finding]:
        """Findings about the variables of this host."""
        cwd = Path.cwd()
        roles = role_specs.load_roles(Path(options["roles_path"] or COLLECTION / "roles"))
        table = Path(options["removed_variables"] or COLLECTION / "meta" / "removed_variables.yml")
        removed = role_specs.load_removed(table)
        host = str(task_vars.get("inventory_hostname", ""))

        def where(name: str) -> str:
            return place_of(task_vars, name, cwd)

        found = variable_names.judge_names(
            task_vars, roles, removed, allowed=options["known_variables"], host=host, where=where
        )
        defaults: dict[str, Any] = {}
        for role in roles.values():
            defaults.update(role.defaults)
        variables = collections.ChainMap({}, dict(task_vars), defaults)
        values = variable_values.HostValues(
            host=host,
            own=task_vars,
            variables=variables,
            evaluate=self._evaluator(variables),
            where=where,
            encrypted=is_encrypted,
        )
        for role in roles.values():
            found += values.judge(role)
        return found

    def _evaluator(self, variables: collections.ChainMap[str, Any]) -> variable_values.Evaluate:
        """A function that evaluates a raw value the way a task of a role would see it."""
        templar = self._templar.copy_with_new_env(available_variables=variables)

        def evaluate(role: role_specs.RoleSpec, raw: Any) -> Any:
            if not variable_values.is_template(raw) and not is_encrypted(raw):
                return raw
            variables.maps[0] = {**role.internals, "role_name": role.name, "role_path": os.fspath(role.path)}
            try:
                return templar.template(raw)
            except AnsibleError as error:
                raise variable_values.TemplateProblem(str(error)) from None
            except Exception as error:  # A filter may raise anything: it must become a finding, not a traceback.
                raise variable_values.TemplateProblem(f"{type(error).__name__}: {error}") from None

        return evaluate
