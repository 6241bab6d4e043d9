# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Says how a soak goes on while it is waited for. Documented in plugins/modules/soak_check.py."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.record.request import seconds_of
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.settings import SoakError

MODULE = "hypercode.deploy.soak_check"
# One call waits so long on the host, in seconds: a connection that breaks costs no more than that.
STEP = 20.0
# So often a line says how it goes on, and at once when there is something new to say, in seconds.
SAY_EVERY = 60.0
# A host that is started again does not answer for a while, in seconds.
AWAY = 900.0


class ActionModule(ActionBase):  # type: ignore[misc]
    """Waits in short steps, from wherever it is run."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module; with state=finished again and again, until the soak has ended or the time is over."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        self._host = str((task_vars or {}).get("inventory_hostname", ""))
        arguments = dict(self._task.args)
        if arguments.get("state") != "finished" or self._task.check_mode:
            return result | self._ask(arguments, task_vars)
        try:
            wait = seconds_of(arguments["wait"], "wait") if arguments.get("wait") else float("inf")
        except SoakError as error:
            return result | {"failed": True, "msg": str(error)}
        return result | self._wait(arguments, wait, task_vars)

    def _ask(self, arguments: Mapping[str, Any], task_vars: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._execute_module(
            module_name=MODULE, module_args=dict(arguments), task_vars=task_vars
        )
        return answer

    def _wait(self, arguments: Mapping[str, Any], wait: float, task_vars: Any) -> dict[str, Any]:
        began = heard = time.monotonic()
        said, said_at = "", -SAY_EVERY
        while True:
            left = wait - (time.monotonic() - began)
            answer = self._ask({**arguments, "wait": f"{max(0.0, min(STEP, left)):.3f}"}, task_vars)
            now = time.monotonic()
            if answer.get("unreachable") and now - heard < AWAY:
                # It may be on its way up again: the soak goes on by itself.
                time.sleep(min(5.0, STEP))
                continue
            heard = now
            if answer.get("failed") or answer.get("unreachable") or not answer.get("running") or left <= 0:
                return answer
            findings = "; ".join(str(line).strip() for line in answer.get("lines", [])[1:])
            if findings != said or now - said_at >= SAY_EVERY:
                said, said_at = findings, now
                for line in answer.get("lines", []):
                    self._display.display(f"  {self._host}: {line}")
