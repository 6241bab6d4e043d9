# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judges the settings, has the host try the rules, and proves over a new connection that it still answers."""

from __future__ import annotations

from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import Finding
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.firewall.judge import report
from ansible_collections.hypercode.deploy.plugins.modules.firewall_apply import ARGUMENTS, judge_options
from ansible_collections.hypercode.deploy.plugins.plugin_utils.proved_action import ProvedAction


class ActionModule(ProvedAction):
    """See the documentation of the module."""

    module = "hypercode.deploy.firewall_apply"
    prefix = "firewall_"
    arguments = ARGUMENTS
    loaded = "loading the new firewall rules"
    old = "the old rules"
    fix = "check firewall_ssh_from and firewall_ssh_ports against the address that you connect from"

    def judge(self, options: dict[str, Any]) -> list[Finding]:
        return judge_options(options)

    def report(self, findings: list[Finding], host: str) -> dict[str, Any]:
        return report(findings, host)
