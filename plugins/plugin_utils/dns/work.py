# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The work of dns_records in a process of its own: octoDNS, the name servers, and a report as plain data.

A process of its own, since providers keep state in their modules, write to the log, and may wait for longer than
anybody wants. It reads its job from standard input, secrets included: they are on no command line, in no environment.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import Finding
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.redact import Redactor

from . import queries
from .answers import Expected, evidence, wait
from .explain import explain, not_held
from .judge import Change, is_mark, too_much
from .octodns_zone import Foreign, NotHeld, ZoneWork
from .records import RecordSet
from .servers import shown

APPLY, PLAN, VERIFY = "apply", "plan", "verify"
_AT_ONCE = 1.0  # seconds in which a verification that does not wait asks again, for a packet that was lost


def run(job: Mapping[str, Any]) -> dict[str, Any]:
    """Plan all zones; apply them when every plan is in order; then look whether the servers answer with it.

    The job: ``mode``, ``zones``, ``owner``, ``adopt``, ``resolvers``, ``limit``, ``force``, ``timeout`` in seconds.
    """
    zones = [_ZoneRun(zone, job) for zone in job["zones"]]
    report: dict[str, Any] = {"findings": [], "warnings": [], "changed": False}
    for zone in zones:
        zone.plan()
    findings = [finding for zone in zones for finding in zone.findings]
    if not findings and job["mode"] == APPLY:
        for zone in zones:
            if zone.changes:
                report["changed"] |= zone.apply()
            if zone.findings:
                break
        findings = [finding for zone in zones for finding in zone.findings]
    if not findings and job["mode"] != PLAN:
        for zone in zones:
            zone.look(job)
            report["warnings"] += zone.warnings
        findings = [finding for zone in zones for finding in zone.findings]
    report["findings"] = [finding.as_dict() for finding in findings]
    report["zones"] = [zone.report() for zone in zones]
    return report


class _ZoneRun:
    def __init__(self, data: Mapping[str, Any], job: Mapping[str, Any]) -> None:
        self.data, self.job = data, job
        self.name, self.where = str(data["name"]), str(data["where"])
        self.redact = Redactor(data["secrets"])
        self.work = self._work()
        self.changes: list[Change] = []
        self.findings: list[Finding] = []
        self.warnings: list[str] = []
        self.asked: list[str] = []

    def _work(self) -> ZoneWork:
        data = self.data
        return ZoneWork(self.name, data["class_name"], dict(data["arguments"]), int(data["ttl"]))

    def _planned_by(self, work: ZoneWork) -> list[Change]:
        records = [RecordSet.of(record) for record in self.data["records"]]
        return work.make_plan(records, self.job["owner"], set(self.job["adopt"]))

    def plan(self) -> None:
        """Read the zone, compare it, and judge what would be done."""
        try:
            self.changes = self._planned_by(self.work)
        except Foreign as foreign:
            self.findings += foreign.findings
        except NotHeld:
            self._refuse(*not_held(self.name, self.where))
        except Exception as error:  # Each provider raises its own; all of them are told in words.
            self._explain(error)
        guard = self.work.guard
        if self.findings or guard is None or self.job["force"]:
            return
        finding = too_much(self.changes, guard.held, self.name, int(self.job["limit"]))
        self.findings += [finding] if finding else []

    def apply(self) -> bool:
        """Do it, and return whether anything has changed: some of it may be done even where it fails."""
        try:
            self.work.apply()
        except Exception as error:  # As above.
            self._explain(error)
            try:
                return self._planned_by(self._work()) != self.changes
            except Exception:  # Nobody can tell any more: what was to be written may be there.
                return True
        return True

    def look(self, job: Mapping[str, Any]) -> None:
        """Ask the name servers, then the resolvers, for what has changed; in a verification for everything."""
        waits = job["mode"] == APPLY
        expected = self._expected(everything=not waits)
        if not expected:
            return
        resolvers = [(str(address), int(port)) for address, port in job["resolvers"]]
        server = self.data["server"]
        first = [(str(server[0]), int(server[1]))] if server else resolvers
        try:
            servers = queries.servers_of(self.name, [(a, int(p)) for a, p in self.data["nameservers"]], first)
        except queries.NoServers as problem:
            text = f"The records of {self.name} cannot be looked at: {problem}."
            setting = f"dns_zones['{self.name}'].nameservers"
            fix = f"Delegate {self.name} at its registrar; or say which servers have it: {setting}."
            self.findings.append(Finding("dns-answers", "error", self.name, text, fix))
            return
        limit = float(job["timeout"]) if waits else _AT_ONCE
        self.asked = list(servers)
        seen = wait(servers, expected, queries.Asker(servers).all, limit, time.monotonic, time.sleep)
        if not all(item.right for item in seen):
            text = f"Not every name server of {self.name} has the records{_after(limit, waits)}: {evidence(seen)}."
            fix = "See that the servers get the zone from the first one (NOTIFY, transfers), then run again; "
            fix += "where they are slow, set dns_timeout higher."
            self.findings.append(Finding("dns-answers", "error", self.name, text, fix))
            return
        known = {shown(resolver): resolver for resolver in resolvers}
        # Who has a part of the zone, the servers of that part say themselves.
        expected = [item for item in expected if item.type != "NS"]
        seen = wait(known, expected, queries.Asker(known, recursive=True).all, limit, time.monotonic, time.sleep)
        if all(item.right for item in seen):
            return
        text = f"Resolvers do not give the records of {self.name} yet{_after(limit, waits)}: {evidence(seen)}."
        fix = "Every name server has them. What resolvers keep ends with its time to live; a zone that is not delegated"
        fix += " to these servers, or a resolver that cannot be reached from here (dns_resolvers), never gets right."
        if waits:
            # The deploy goes on: nothing can be done about what others keep, and verify asks again at its end.
            self.warnings.append(f"{text} {fix}")
        else:
            self.findings.append(Finding("dns-resolvers", "error", self.name, text, fix))

    def _expected(self, *, everything: bool) -> list[Expected]:
        settled = self.work.guard.settled if self.work.guard else []
        if everything:
            return [queries.expected_of(record) for record in settled if record.type not in queries.NOT_ASKED]
        touched = [change for change in self.changes if not is_mark(change.record)]
        return [
            queries.expected_of(change.record, absent=change.after is None)
            for change in touched
            if change.record.type not in queries.NOT_ASKED
        ]

    def report(self) -> dict[str, Any]:
        guard = self.work.guard
        return {
            "zone": self.name,
            "where": self.where,
            "changes": [
                {
                    "before": change.before.as_dict() if change.before else None,
                    "after": change.after.as_dict() if change.after else None,
                }
                for change in self.changes
            ],
            "left": sorted(f"{name} {kind}" for name, kind in guard.left) if guard else [],
            "servers": self.asked,
        }

    def _refuse(self, message: str, fix: str) -> None:
        self.findings.append(Finding("dns-provider", "error", f"dns_zones['{self.name}']", message, fix))

    def _explain(self, error: BaseException) -> None:
        self.findings.append(explain(error, self.name, self.where, str(self.data["package"]), self.redact))


def _after(limit: float, waits: bool) -> str:
    return f" after {limit:.0f} s" if waits else ""


def main(argv: Sequence[str] = ()) -> int:
    """Read the job, do it, write the report. Nothing else is written: what libraries print goes nowhere."""
    del argv
    logging.disable(logging.CRITICAL)
    job = json.load(sys.stdin)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        report = run(job)
    json.dump(report, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
