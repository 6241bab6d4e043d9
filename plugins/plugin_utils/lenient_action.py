# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""An action for which an option that cannot be evaluated is one more finding, not the end of the task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import Finding

# In place of the value of an option that could not be evaluated: why.
UNEVALUATED = "__hypercode_unevaluated"


class LenientAction(ActionBase):  # type: ignore[misc]
    """Base of actions that judge on the controller and report everything at once."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = True

    settings: ClassVar[Mapping[str, str]] = {}
    """Options that are no setting with the prefix: which setting they are."""

    @classmethod
    def finalize_task_arg(cls, name: str, value: Any, templar: Any, context: Any) -> Any:
        """Evaluate an option; where that fails, keep the reason in its place."""
        try:
            return super().finalize_task_arg(name, value, templar, context)
        except AnsibleError as error:
            return {UNEVALUATED: " ".join(str(error).split()).rstrip(".")}

    def judged_options(
        self,
        arguments: Mapping[str, Mapping[str, Any]],
        prefix: str,
        judge: Callable[[dict[str, Any]], list[Finding]],
    ) -> tuple[dict[str, Any], list[Finding]]:
        """The options of the task, and everything that is wrong with them. Messages name them with ``prefix``."""
        args = self._task.args
        broken = unevaluated(args)
        findings = [
            wrong_option(setting, f"{setting} cannot be evaluated: {why}.")
            for setting, why in ((self.settings.get(name, f"{prefix}{name}"), why) for name, why in broken.items())
        ]
        self._task.args = {name: value for name, value in args.items() if name not in broken}
        try:
            options = plain(self.validate_argument_spec(argument_spec=arguments)[1])
        except AnsibleActionFail as error:
            return {"state": args.get("state")}, [*findings, wrong_option("options", str(error))]
        return options, [*findings, *judge(options)]

    def on_host(self, module: str, arguments: Mapping[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Run a module on the host; its answer. AnsibleConnectionFailure when the host does not answer."""
        answer: dict[str, Any] = self._execute_module(
            module_name=module, module_args=dict(arguments), task_vars=task_vars
        )
        if answer.get("unreachable"):
            raise AnsibleConnectionFailure(str(answer.get("msg", "the host does not answer")))
        # For whoever calls the module itself; it says nothing to a reader of the result.
        answer.pop("invocation", None)
        return answer


def wrong_option(name: str, message: str) -> Finding:
    """A finding about an option that cannot be used."""
    return Finding("option", "error", name, message, "Correct this option, or a variable that it uses.")


def unevaluated(args: Mapping[str, Any]) -> dict[str, str]:
    """Why, for each option that could not be evaluated."""
    return {
        name: str(value[UNEVALUATED])
        for name, value in args.items()
        if isinstance(value, Mapping) and UNEVALUATED in value
    }


def plain(value: Any) -> Any:
    """Ansible's tagged values as exact built-in types."""
    if isinstance(value, dict):
        return {str.__str__(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    for kind in (bool, int, float):
        if isinstance(value, kind):
            return kind(value)
    return value if value is None else str.__str__(str(value))
