# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judges the settings on the controller, hands them to the module, and keeps the root certificate that comes back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.names import hostname
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.files import write_file
from ansible_collections.hypercode.deploy.plugins.modules.edge_apply import ARGUMENTS, judge_options, report
from ansible_collections.hypercode.deploy.plugins.plugin_utils.dns.names import to_ascii
from ansible_collections.hypercode.deploy.plugins.plugin_utils.lenient_action import LenientAction


def _as_in_dns(sites: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Sites that were judged, with names as DNS has them: the host knows no other ones."""
    return [
        {
            **site,
            "name": hostname(site["name"], to_ascii),
            "aliases": [hostname(alias, to_ascii) for alias in site.get("aliases") or ()],
        }
        for site in sites
    ]


class ActionModule(LenientAction):
    """See the documentation of the module."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Judge; unless that is all, have the module apply."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        options, findings = self.judged_options(ARGUMENTS, "edge_", lambda given: judge_options(given, to_ascii))
        if options.get("state") == "validated":
            return {**result, "changed": False, "findings": [finding.as_dict() for finding in findings]}
        if findings and options.get("state") != "absent":
            return {**result, **report(findings, str(task_vars.get("inventory_hostname", "the host"))), "failed": True}
        if not findings:
            options["sites"] = _as_in_dns(options["sites"])
        answer: dict[str, Any] = self._execute_module(
            module_name="hypercode.deploy.edge_apply", module_args=options, task_vars=task_vars
        )
        # It repeats the options, and the hashes with them.
        answer.pop("invocation", None)
        if options.get("internal_root_file") and not answer.get("failed"):
            answer = self._keep_root(answer, Path(str(self._loader.path_dwim(options["internal_root_file"]))))
        return {**result, **answer}

    def _keep_root(self, answer: dict[str, Any], path: Path) -> dict[str, Any]:
        """Write the root certificate on the controller, where it differs."""
        text = str(answer.get("root_certificate") or "").encode()
        if not text or (path.is_file() and path.read_bytes() == text):
            return answer
        if not self._task.check_mode:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_file(path, text)
        return {**answer, "changed": True, "actions": [*answer.get("actions", []), f"write {path} on the controller"]}
