# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One zone through octoDNS: its plan, with the ownership processor and a guard for what belongs to others."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Collection, Iterable
from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import Finding

from .judge import HERITAGE, MARK, Change, Holdings, Key, is_mark, keep_out
from .records import RecordSet

try:
    from octodns.processor.base import BaseProcessor
    from octodns.processor.ownership import OwnershipProcessor
    from octodns.record import Record, Rrset
    from octodns.zone import Zone
except ImportError:
    BaseProcessor = object


class Foreign(Exception):
    """The plan would touch what belongs to others."""

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__("; ".join(finding.message for finding in findings))
        self.findings = findings


class NotHeld(Exception):
    """The provider does not have the zone."""


class Guard(BaseProcessor):  # type: ignore[misc]
    """Between reading a zone and planning: refuses what is not ours, and leaves out what is there already."""

    def __init__(self, zone: str, owner: str, adopt: Collection[str]) -> None:
        super().__init__("guard")
        self.zone, self.owner, self.adopt = zone, owner, adopt
        self.held = Holdings({}, frozenset(), {})
        self.left: set[Key] = set()
        self.settled: list[RecordSet] = []

    def process_source_and_target_zones(
        self, desired: Any, existing: Any, _target: Any = None, lenient: bool = False, **_more: Any
    ) -> tuple[Any, Any]:
        """See octoDNS. Both zones are as the provider can have them by now."""
        self.held = Holdings.of(map(as_set, existing.records), self.zone, self.owner)
        self.left, findings = keep_out(map(as_set, desired.records), self.held, self.zone, self.adopt)
        if findings:
            raise Foreign(findings)
        records = sorted(desired.records)
        self.settled = [record for record in map(as_set, records) if not is_mark(record)]
        marks = {mark_of(name, kind, self.zone) for name, kind in self.left}
        for record in records:
            known = as_set(record)
            if known.key in self.left or (is_mark(known) and known.name in marks):
                desired.remove_record(record)
        return desired, existing


def mark_of(name: str, kind: str, _zone: str) -> str:
    """The name of the mark of a record, as the ownership processor makes it."""
    return f"{MARK}.{kind}.{name.replace('*', '_wildcard')}".lower()


def as_set(record: Any) -> RecordSet:
    """A record of octoDNS as plain data."""
    rrset = record.to_rrset()
    return RecordSet(rrset.name.removesuffix("."), rrset._type, int(rrset.ttl), tuple(map(_plain, rrset.rdatas)))


def _plain(rdata: str) -> str:
    # octoDNS writes semicolons in texts with a mark before them, for zone files that take them for a comment.
    return str(rdata).replace("\\;", ";")


class ZoneWork:
    """Plans and applies one zone."""

    def __init__(self, name: str, class_name: str, arguments: dict[str, Any], ttl: int) -> None:
        self.name, self.class_name, self.arguments, self.ttl = name, class_name, arguments, ttl
        self.plan: Any = None
        self.provider: Any = None
        self.guard: Guard | None = None

    def make_plan(self, records: Iterable[RecordSet], owner: str, adopt: Collection[str]) -> list[Change]:
        """Read the zone and compare. Raises Foreign, NotHeld, or what the provider raises."""
        module, _dot, name = self.class_name.rpartition(".")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.provider = getattr(importlib.import_module(module), name)(f"dns-{self.name}", **self.arguments)
            zone = Zone(f"{self.name}.", [])
            rrsets = [Rrset(f"{item.name}.", item.type, item.ttl, list(item.values)) for item in records]
            for record in Record.from_rrsets(zone, rrsets):
                zone.add_record(record)
            # Another owner's mark is judged by the guard, which knows what may be adopted.
            ownership = OwnershipProcessor(
                "ownership", txt_name=MARK, txt_value=f"{HERITAGE}{owner}", txt_ttl=self.ttl, allow_takeover=True
            )
            self.guard = Guard(self.name, owner, adopt)
            zone = ownership.process_source_zone(zone, sources=[])
            plan = self.provider.plan(zone, processors=[ownership, self.guard])
            self.plan = ownership.process_plan(plan, sources=[], target=self.provider)
        if self.plan is None:
            return []
        if self.plan.exists is False:
            raise NotHeld(self.name)
        return [
            Change(as_set(change.existing) if change.existing else None, as_set(change.new) if change.new else None)
            for change in self.plan.changes
        ]

    def apply(self) -> None:
        """Make what was planned true. Raises what the provider raises."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.provider.apply(self.plan)
