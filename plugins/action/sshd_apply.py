# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judges the settings, has the host try them, and proves over a new connection that one can still log in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import Finding
from ansible_collections.hypercode.deploy.plugins.modules.sshd_apply import ARGUMENTS, judge_options, report
from ansible_collections.hypercode.deploy.plugins.plugin_utils.proved_action import ProvedAction


class ActionModule(ProvedAction):
    """See the documentation of the module."""

    module = "hypercode.deploy.sshd_apply"
    prefix = "base_sshd_"
    settings: ClassVar[Mapping[str, str]] = {"users": "base_users"}
    arguments = ARGUMENTS
    loaded = "changing how one logs in"
    old = "the old settings of sshd"
    fix = (
        "log in by hand (ssh -v) and see what sshd says (journalctl -u ssh), such as of a client that knows none of the"
        " algorithms or offers too many keys (IdentitiesOnly=yes)"
    )

    def judge(self, options: dict[str, Any]) -> list[Finding]:
        return judge_options(options)

    def report(self, findings: list[Finding], host: str) -> dict[str, Any]:
        return report(findings, host)
