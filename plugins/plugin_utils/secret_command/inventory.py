# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What Ansible makes of an environment's variables: the policy, the kind of store, and each host's secrets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible.vars.manager import VariableManager
from ansible_collections.hypercode.deploy.plugins.plugin_utils.role_specs import SpecError, load_role, trusted
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.document import SECRETS
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.layout import Environment, shown
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import Problem, refuse

_GROUP = "hypercode"
_NOBODY = "nobody"
_SOPS_PLUGIN = "community.sops.sops"


class Inventory:
    """An environment's variables as a deploy would see them."""

    def __init__(self, environment: Environment, loader: DataLoader, root: Path) -> None:
        """Raises StoreError when Ansible cannot read the inventory."""
        self.environment = environment
        self._loader = loader
        try:
            self._manager = InventoryManager(loader=loader, sources=[str(environment.folder)])
            self._variables = VariableManager(loader=loader, inventory=self._manager)
            if _GROUP not in self._manager.groups:
                self._manager.add_group(_GROUP)
            hosts = sorted(host.name for host in self._manager.get_hosts(_GROUP))
            if not hosts:
                # Nobody is in the group yet: what counts for the group counts.
                hosts = [_NOBODY]
                self._manager.add_host(_NOBODY, group=_GROUP)
            role = load_role(root / "roles" / "stack")
        except (AnsibleError, SpecError, OSError, ValueError):
            raise self._unreadable() from None
        self.hosts = hosts
        self._defaults = dict(role.defaults) if role else {}
        self._internals = dict(role.internals) if role else {}
        self._cache: dict[str, dict[str, Any]] = {}
        self._overlay: dict[str, Any] = {}

    def every_host(self) -> list[str]:
        """Every host of the inventory, in whatever group."""
        return sorted(host.name for host in self._manager.get_hosts("all") if host.name != _NOBODY)

    def _unreadable(self) -> Exception:
        # Ansible's message shows lines of the file; who wants to see them asks for them.
        folder = shown(self.environment.folder)
        message = f"Ansible cannot read the inventory {folder}."
        return refuse(
            "inventory", message, f"see why, and correct it: ansible-inventory -i {folder} --list > /dev/null"
        )

    def overlay(self, variables: Mapping[str, Any]) -> None:
        """Take variables from a file that Ansible's own plugins need not be able to read (SOPS)."""
        self._overlay = dict(trusted(dict(variables)))

    def _of(self, host: str) -> dict[str, Any]:
        if host not in self._cache:
            try:
                found = self._variables.get_vars(host=self._manager.get_host(host))
            except (AnsibleError, OSError, ValueError):
                raise self._unreadable() from None
            self._cache[host] = {**self._defaults, **found, **self._internals}
        return {**self._cache[host], **self._overlay}

    def policy(self) -> Any:
        """The policy that counts: the bundled stack's with the inventory's merged over it. Raises StoreError."""
        return self.value("__stack_secrets_policy", default=self.value("stack_secrets_policy", default={}))

    def value(self, name: str, host: str = "", default: Any = None) -> Any:
        """The evaluated value of a variable. Raises StoreError."""
        variables = self._of(host or self.hosts[0])
        if name not in variables:
            return default
        try:
            return Templar(loader=self._loader, variables=variables).template(variables[name])
        except (AnsibleError, ValueError, TypeError, RecursionError):
            message = f"The variable {name} cannot be evaluated: a template in it is wrong or names something unknown."
            raise refuse("template", message, f"correct {name} in {shown(self.environment.folder)}.") from None

    def secrets(self, host: str) -> tuple[dict[str, Any], list[Problem]]:
        """A host's secrets, each evaluated by itself, and what is wrong with those that cannot be."""
        variables = self._of(host)
        raw = variables.get(SECRETS)
        if not isinstance(raw, Mapping):
            raw = self.value(SECRETS, host, {})
        if not isinstance(raw, Mapping):
            fix = "write stack_secrets: and, below it, indented, one NAME: value a line."
            raise refuse("yaml-syntax", f"{SECRETS} must be a mapping of names to values.", fix)
        templar = Templar(loader=self._loader, variables=variables)
        found: dict[str, Any] = {}
        problems: list[Problem] = []
        for name, value in raw.items():
            try:
                found[str(name)] = templar.template(value)
            except (AnsibleError, ValueError, TypeError, RecursionError):
                message = f"{name} cannot be evaluated: a template in it is wrong, or it needs another vault password."
                fix = "correct it; a value that holds {{ or {% as it is gets the tag !unsafe before it."
                problems.append(Problem("secret-template", message, fix, str(name)))
        return found, problems

    def reads_sops(self) -> bool:
        """Whether a deploy would read files that SOPS encrypted."""
        return _SOPS_PLUGIN in constants.VARIABLE_PLUGINS_ENABLED
