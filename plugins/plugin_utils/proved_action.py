# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""An action that has the host try a change that may cut the operator off, and proves it over a new connection."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from ansible.errors import AnsibleError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import Finding
from ansible_collections.hypercode.deploy.plugins.plugin_utils.lenient_action import LenientAction

_OURS = ("phase", "token", "fresh_connection")
_PAUSE = 1.0  # seconds between two attempts to connect
_GRACE = 60.0  # seconds after the timer of the host, in which it has to answer again
# Tests put a clock of their own here.
now = time.monotonic
sleep = time.sleep


class ProvedAction(LenientAction):
    """Judges on the controller, has the module try, confirms over a new connection."""

    module: ClassVar[str]
    """The full name of the module."""
    prefix: ClassVar[str]
    """The prefix of the variables that the messages name."""
    loaded: ClassVar[str]
    """What the host did when the proof fails: loading the new firewall rules."""
    old: ClassVar[str]
    """What the host then puts back: the old rules."""
    fix: ClassVar[str]
    """What the operator is to check, when the host could not be reached any more."""
    arguments: ClassVar[Mapping[str, Mapping[str, Any]]]
    """The options of the module."""

    @abstractmethod
    def judge(self, options: dict[str, Any]) -> list[Finding]:
        """Everything that is wrong with the options."""

    @abstractmethod
    def report(self, findings: list[Finding], host: str) -> dict[str, Any]:
        """The result of a run that was refused."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Judge, apply, confirm."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        self._task_vars = task_vars or {}
        options, findings = self.judged_options(self.arguments, self.prefix, self.judge)
        if options.get("state") == "validated":
            return {**result, "changed": False, "findings": [finding.as_dict() for finding in findings]}
        if findings:
            host = str(self._task_vars.get("inventory_hostname", "the host"))
            return {**result, **self.report(findings, host), "failed": True}
        self._args = {name: value for name, value in options.items() if name not in _OURS}
        answer = self._module(phase="apply")
        trial = answer.pop("trial", None)
        if trial and not answer.get("failed"):
            answer = self._prove(answer, str(trial["token"]), float(trial["seconds"]))
        return {**result, **answer}

    def _module(self, **step: Any) -> dict[str, Any]:
        return self.on_host(self.module, {**self._args, **step}, self._task_vars)

    # --- the proof ----------------------------------------------------------------------------------------------

    def _prove(self, answer: dict[str, Any], token: str, seconds: float) -> dict[str, Any]:
        """Confirm over a new connection; wait for the host to undo the change when that does not work."""
        over_ssh = "ssh" in str(self._connection.transport) or "paramiko" in str(self._connection.transport)
        until = now() + seconds
        reason = ""
        while now() < until:
            proof, reason = self._attempt(phase="confirm", token=token, fresh_connection=over_ssh)
            if proof.get("failed"):
                return {**answer, **proof, "confirmed": False, "failed": True}
            if proof.get("confirmed"):
                return {**answer, "confirmed": True}
            if proof.get("undone"):
                return self._given_up(answer, seconds, True, reason)
            reason = str(proof.get("reason") or reason)
            sleep(_PAUSE)
        return self._given_up(answer, seconds, self._wait_until_undone(token), reason)

    def _attempt(self, **step: Any) -> tuple[dict[str, Any], str]:
        """One step over a new connection: its answer, or nothing and why not."""
        try:
            # What is open stays open for others, but is not used again: an old connection proves nothing.
            self._connection.reset()
            return self._module(**step), ""
        except AnsibleError as error:
            return {}, " ".join(str(error).split())

    def _wait_until_undone(self, token: str) -> bool:
        until = now() + _GRACE
        while now() < until:
            seen, _reason = self._attempt(phase="look", token=token)
            if seen.get("undone"):
                return True
            sleep(_PAUSE)
        return False

    def _given_up(self, answer: dict[str, Any], seconds: float, undone: bool, reason: str) -> dict[str, Any]:
        host = str(self._task_vars.get("inventory_hostname", "The host"))
        why = f" The last attempt said: {reason.rstrip('.')}." if reason else ""
        state = (
            f"It has put {self.old} back by itself, and is as reachable as before."
            if undone
            else f"It puts {self.old} back by itself, but has not answered since: look at it through its console."
        )
        return {
            **answer,
            "changed": not undone,
            "confirmed": False,
            "undone": undone,
            "failed": True,
            "msg": f"{host} could not be reached over a new connection within {seconds:.0f} s of {self.loaded}."
            f" {state}{why} Fix: {self.fix}, then run again.",
        }
