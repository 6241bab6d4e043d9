# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: findings_report
type: notification
short_description: Writes what preflight found as JUnit XML and as SARIF
version_added: 0.1.0
author: The hypercode.deploy authors (@hypercode)
description:
  - Gathers the findings of M(hypercode.deploy.host_check), which has those of all checks, and everything that failed.
  - Writes them at the end of the run, for a CI system. A clean run writes a clean report.
  - Without a file name it does nothing.
requirements:
  - Enabled in C(callbacks_enabled), as in the C(ansible.cfg) of this project.
options:
  junit:
    description: File for JUnit XML. Its folder is made.
    type: path
    env:
      - name: HYPERCODE_JUNIT
    ini:
      - section: callback_findings_report
        key: junit
  sarif:
    description: File for SARIF 2.1.0. Its folder is made.
    type: path
    env:
      - name: HYPERCODE_SARIF
    ini:
      - section: callback_findings_report
        key: sarif
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible import context
from ansible.plugins.callback import CallbackBase
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import __version__
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import ERROR, Finding, read_findings
from ansible_collections.hypercode.deploy.plugins.plugin_utils import findings_report
from ansible_collections.hypercode.deploy.plugins.plugin_utils.progress_ansible import task_name

CHECKS = ("hypercode.deploy.host_check", "host_check")


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Gathers findings by host."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "hypercode.deploy.findings_report"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._found: dict[str, list[Finding]] = {}

    def v2_runner_on_ok(self, result: Any) -> None:
        """A host that passed may have warnings."""
        if result.task.action in CHECKS:
            self._add(result.host.get_name(), _findings(result.result))

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Findings, or a failure that has none: then the failure is one."""
        if not ignore_errors:
            found = _findings(result.result) or [_failure(result, "task-failed")]
            self._add(result.host.get_name(), found)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """A host of which nothing is known."""
        if result.task.ignore_unreachable is not True:
            self._add(result.host.get_name(), [_failure(result, "unreachable")])

    def _add(self, host: str, findings: list[Finding]) -> None:
        mine = self._found.setdefault(host, [])
        mine += [finding for finding in findings if finding not in mine]

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Write the reports."""
        report = dict(sorted(self._found.items()))
        inventory = next(iter(context.CLIARGS.get("inventory") or ()), "") or "inventories"
        texts = {
            "junit": findings_report.junit(report),
            "sarif": findings_report.sarif(report, version=__version__, inventory=str(inventory), base=str(Path.cwd())),
        }
        for name, text in texts.items():
            self._save(name, text)

    def _save(self, name: str, text: str) -> None:
        path = self.get_option(name)
        if not path:
            return
        try:
            findings_report.save(path, text)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            self._display.warning(
                f"The report {path} was not written: {reason}. Fix: give HYPERCODE_{name.upper()} a path that you may "
                "write."
            )


def _findings(result: Mapping[str, Any]) -> list[Finding]:
    items = result.get("findings")
    if not isinstance(items, list):
        return []
    try:
        return read_findings(items)
    except (ValueError, AttributeError):
        # Findings of another kind: the message of the result stands for them.
        return []


def _failure(result: Any, rule: str) -> Finding:
    answer = result.result
    # What no_log hides has no message of its own.
    text = str(answer.get("msg") or answer.get("censored") or "The task failed and gave no message.")
    fix = "run the same command without a report file; it shows what failed"
    return Finding(rule, ERROR, task_name(result.task), text, fix)
