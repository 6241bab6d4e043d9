# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judges a plan before anything is applied: what belongs to others stays, and much at once needs a yes."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import Finding

from .records import RecordSet

Key = tuple[str, str]
MARK = "_owner"
HERITAGE = "heritage=hypercode.deploy,owner="
_LISTED = 12
# What a CNAME may stand beside: the signer writes these, nobody else.
_BESIDE = frozenset({"CNAME", "DNSKEY", "NSEC", "NSEC3", "RRSIG"})


@dataclasses.dataclass(frozen=True)
class Change:
    """One set of records that a plan makes, changes or takes away."""

    before: RecordSet | None
    after: RecordSet | None

    @property
    def record(self) -> RecordSet:
        record = self.after or self.before
        if record is None:
            raise ValueError("a change has records before it, after it, or both")
        return record

    def text(self) -> str:
        """In one line, for a list of changes."""
        verb = "add" if self.before is None else "remove" if self.after is None else "change"
        values = ", ".join(self.record.values)
        came_from = ""
        if self.before and self.after:
            same = set(self.before.values) == set(self.after.values)
            came_from = f" (now {f'for {self.before.ttl} s' if same else ', '.join(self.before.values)})"
        return f"{verb} {self.record.name} {self.record.type} {values}{came_from}"


def is_mark(record: RecordSet) -> bool:
    """Whether a record says to whom another one belongs."""
    return record.type == "TXT" and record.name.startswith(f"{MARK}.")


def told(changes: Sequence[Change]) -> list[Change]:
    """The changes without those of a mark that comes, changes or goes together with the record that it is about."""
    about = {f"{MARK}.{kind}.{name.replace('*', '_wildcard')}".lower() for name, kind in _keys(changes)}
    return [change for change in changes if not (is_mark(change.record) and change.record.name in about)]


def _keys(changes: Iterable[Change]) -> list[Key]:
    return [change.record.key for change in changes if not is_mark(change.record)]


def marked(mark: str, zone: str) -> Key | None:
    """The record that a mark with this name is about; None where the name has another form."""
    kind, _dot, name = mark.removeprefix(f"{MARK}.").partition(".")
    return (name.replace("_wildcard", "*", 1), kind.upper()) if name == zone or name.endswith(f".{zone}") else None


@dataclasses.dataclass(frozen=True)
class Holdings:
    """What is in a zone, and whose it is: ``ours`` by our marks, ``others`` with the text of the mark."""

    existing: Mapping[Key, RecordSet]
    ours: frozenset[Key]
    others: Mapping[Key, str]

    @classmethod
    def of(cls, existing: Iterable[RecordSet], zone: str, owner: str) -> Holdings:
        records = {record.key: record for record in existing}
        ours, others = set(), {}
        for record in records.values():
            key = marked(record.name, zone) if is_mark(record) else None
            if key is None:
                continue
            texts = [value.strip('"') for value in record.values]
            if texts == [f"{HERITAGE}{owner}"]:
                ours.add(key)
            else:
                others[key] = " ".join(texts)
        return cls(records, frozenset(ours), others)


def keep_out(
    wanted: Iterable[RecordSet], held: Holdings, zone: str, adopt: Collection[str]
) -> tuple[set[Key], list[Finding]]:
    """What is to be left as it is, and what cannot be done without touching what belongs to others.

    A record that is there already with the same values, and is nobody's, stays nobody's: it is then never removed.
    """
    left: set[Key] = set()
    findings: list[Finding] = []
    for record in wanted:
        if is_mark(record):
            continue
        there = held.existing.get(record.key)
        foreign = record.key not in held.ours and record.name not in adopt
        if foreign and record.key in held.others:
            findings.append(_theirs(record, held.others[record.key]))
        elif foreign and there is not None:
            if set(there.values) == set(record.values):
                left.add(record.key)
            else:
                findings.append(_not_ours(record, there))
        findings += _beside(record, held)
        findings += _delegated(record, held, zone)
    return left, findings


def _theirs(record: RecordSet, mark: str) -> Finding:
    name = f"{record.name} {record.type}"
    owner = mark.removeprefix(HERITAGE) if mark.startswith(HERITAGE) else mark
    return Finding(
        "dns-owner",
        "error",
        record.name,
        f"{name} belongs to '{owner}', as the record {MARK}.{record.type}.{record.name} says.",
        f"Use another name; or, when it is to be yours from now on, add {record.name} to dns_adopt."
        " When you renamed the inventory, set dns_owner to what it was before.",
    )


def _not_ours(record: RecordSet, there: RecordSet) -> Finding:
    return Finding(
        "dns-foreign",
        "error",
        record.name,
        f"{record.name} {record.type} exists already, was not made by this role, and is {', '.join(there.values)},"
        f" not {', '.join(record.values)}.",
        f"Remove it at the provider; or let this role have it: add {record.name} to dns_adopt.",
    )


def _beside(record: RecordSet, held: Holdings) -> list[Finding]:
    """A CNAME beside other records, of which one belongs to others. What is ours is removed when it is not wanted."""
    if record.type == "CNAME":
        clash = [
            kind
            for name, kind in held.existing
            if name == record.name and kind not in _BESIDE and (name, kind) not in held.ours
        ]
    else:
        clash = ["CNAME"] if (record.name, "CNAME") in held.existing and (record.name, "CNAME") not in held.ours else []
    if not clash:
        return []
    values = ", ".join(held.existing[record.name, clash[0]].values)
    text = (
        f"{record.name} has a record {clash[0]} ({values}) that was not made by this role, so it cannot have a"
        f" {record.type}: a CNAME is alone at its name."
    )
    fix = f"Remove the {clash[0]} at the provider, or add {record.name} to dns_leave_out and take it out of records."
    return [Finding("dns-cname", "error", record.name, text, fix)]


def _delegated(record: RecordSet, held: Holdings, zone: str) -> list[Finding]:
    """A name below one that other name servers have: nobody would ever see the record."""
    above = record.name
    while above != zone:
        delegation = held.existing.get((above, "NS"))
        if delegation is not None and not (above == record.name and record.type == "NS"):
            text = (
                f"{record.name} is in {above}, which has name servers of its own ({', '.join(delegation.values)}):"
                f" a record in {zone} would not be seen."
            )
            fix = f"Make {above} a zone in dns_zones, or add {record.name} to dns_leave_out."
            return [Finding("dns-delegated", "error", record.name, text, fix)]
        above = above.partition(".")[2]
    return []


def too_much(changes: Iterable[Change], held: Holdings, zone: str, limit: int) -> Finding | None:
    """Why a plan needs a yes: it changes or removes more of our records than ``limit`` percent."""
    # What was taken over by name (dns_adopt) has had its yes.
    touched = [change for change in changes if change.before is not None and change.record.key in held.ours]
    count = len([key for key in held.ours if key in held.existing])
    if not touched or len(touched) * 100 <= limit * count:
        return None
    listed = "; ".join(change.text() for change in touched[:_LISTED])
    more = f"; and {len(touched) - _LISTED} more" if len(touched) > _LISTED else ""
    share = f"{len(touched) * 100 // count} %"
    return Finding(
        "dns-limit",
        "error",
        zone,
        f"{len(touched)} of the {count} records of {zone} that are yours would be changed or removed ({share};"
        f" without a yes it is {limit} % at most): {listed}{more}.",
        "Where all of this is right, run once with -e dns_force=true (first with --check --diff, to see every record).",
    )
