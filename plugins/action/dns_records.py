# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judges the settings, plans and applies records on the controller. Documented in plugins/modules/dns_records.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import Finding
from ansible_collections.hypercode.deploy.plugins.plugin_utils.dns import child
from ansible_collections.hypercode.deploy.plugins.plugin_utils.dns.judge import Change, told
from ansible_collections.hypercode.deploy.plugins.plugin_utils.dns.records import RecordSet
from ansible_collections.hypercode.deploy.plugins.plugin_utils.dns.wanted import Wanted, read_wanted
from ansible_collections.hypercode.deploy.plugins.plugin_utils.dns.work import APPLY, PLAN, VERIFY
from ansible_collections.hypercode.deploy.plugins.plugin_utils.lenient_action import LenientAction, plain

ARGUMENTS: dict[str, dict[str, Any]] = {
    "state": {"type": "str", "choices": ["present", "absent", "verified", "validated"], "default": "present"},
    # Judged by read_wanted, which finds everything that is wrong at once.
    "zones": {"type": "raw", "default": {}},
    "hosts": {"type": "raw", "default": []},
    "host_zone": {"type": "raw", "default": ""},
    "sites": {"type": "raw", "default": {}},
    "caa": {"type": "raw", "default": []},
    "leave_out": {"type": "raw", "default": []},
    "adopt": {"type": "raw", "default": []},
    "owner": {"type": "raw", "default": "hypercode"},
    "ttl": {"type": "raw", "default": 300},
    "change_limit": {"type": "int", "default": 30},
    "force": {"type": "bool", "default": False},
    "resolvers": {"type": "raw", "default": []},
    "timeout": {"type": "int", "default": 120},
}

# What is read of each host, by the name that it has here.
HOST_VARIABLES = {"name": "dns_host_name", "addresses": "dns_addresses", "ansible_host": "ansible_host"}


class ActionModule(LenientAction):
    """See the documentation of the module."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Judge, plan, apply, look."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        wanted: list[Wanted] = []

        def judge(options: dict[str, Any]) -> list[Finding]:
            facts = host_facts(options["hosts"], variables.get("hostvars") or {})
            read, findings = read_wanted(options, facts)
            wanted.append(read)
            return findings

        options, findings = self.judged_options(ARGUMENTS, "dns_", judge)
        state = options.get("state") or "present"
        if findings or state == "validated":
            if state == "validated":
                return {**result, "changed": False, "findings": [finding.as_dict() for finding in findings]}
            return {**result, **refused(findings, "No record was changed"), "zones": []}
        mode = VERIFY if state == "verified" else PLAN if self._task.check_mode else APPLY
        target = without_records(wanted[0]) if state == "absent" else wanted[0]
        job = child.job_of(
            target,
            mode,
            limit=options["change_limit"],
            force=options["force"] or state == "absent",
            timeout=options["timeout"],
        )
        try:
            report = child.do(job)
        except child.WorkError as error:
            message, _mark, fix = f"{error}.".partition(" Fix: ")
            finding = Finding("dns-work", "error", "dns_zones", message, fix)
            return {**result, **refused([finding], "The records could not be worked with"), "zones": []}
        return {**result, **self._result(report, mode)}

    def _result(self, report: Mapping[str, Any], mode: str) -> dict[str, Any]:
        """The result of the task from the report of the work."""
        plans = {zone["zone"]: [change_of(change) for change in zone["changes"]] for zone in report["zones"]}
        actions = [change.text() for changes in plans.values() for change in told(changes)]
        findings = [Finding(**finding) for finding in report["findings"]]
        if mode == VERIFY and actions and not findings:
            text = f"The zones are not as they should be. There is still to do: {'; '.join(actions)}."
            findings.append(Finding("dns-drift", "error", "dns_zones", text, "Apply the role dns again."))
        for warning in report["warnings"]:
            self._display.warning(warning)
        if findings:
            outcome = "Records were changed, but something is wrong" if report["changed"] else "No record was changed"
            outcome = "The records are not as they should be" if mode == VERIFY else outcome
            answer = {**refused(findings, outcome), "changed": bool(report["changed"])}
        else:
            answer = {"changed": bool(actions), "findings": []}
        answer.update(actions=actions, unconfirmed=list(report["warnings"]), zones=about(report))
        if self._task.diff and mode != VERIFY:
            answer["diff"] = [diff_of(zone, plans[zone["zone"]]) for zone in report["zones"] if plans[zone["zone"]]]
        return answer


def host_facts(hosts: Any, hostvars: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Of each host what its names are made of, from the inventory alone: hosts outside of --limit count as well."""
    facts = {}
    for host in hosts if isinstance(hosts, list | tuple) else [hosts]:
        about = hostvars.get(host, {})
        facts[str(host)] = {name: plain(about[key]) for name, key in HOST_VARIABLES.items() if key in about}
    return facts


def refused(findings: list[Finding], outcome: str) -> dict[str, Any]:
    """The result of a run that failed. What is wrong stands in the findings, not twice."""
    count = "1 problem" if len(findings) == 1 else f"{len(findings)} problems"
    listed = [finding.as_dict() for finding in findings]
    return {"changed": False, "failed": True, "actions": [], "findings": listed, "msg": f"{outcome}: {count}."}


def without_records(wanted: Wanted) -> Wanted:
    """The same zones with nothing in them that is ours."""
    zones = tuple(type(zone)(zone.name, zone.provider, zone.ttl, (), zone.nameservers) for zone in wanted.zones)
    return Wanted(zones, wanted.owner, wanted.adopt, wanted.resolvers)


def change_of(data: Mapping[str, Any]) -> Change:
    before, after = (RecordSet.of(data[side]) if data[side] else None for side in ("before", "after"))
    return Change(before, after)


def about(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a reader may want to know of each zone."""
    return [{key: zone[key] for key in ("zone", "where", "left", "servers")} for zone in report["zones"]]


def diff_of(zone: Mapping[str, Any], changes: list[Change]) -> dict[str, str]:
    """The plan of a zone, record by record, as a zone file would have them."""
    title = f"{zone['zone']} at {zone['where']}"
    return {
        "before_header": title,
        "after_header": title,
        "before": "".join(change.before.lines() for change in told(changes) if change.before),
        "after": "".join(change.after.lines() for change in told(changes) if change.after),
    }
