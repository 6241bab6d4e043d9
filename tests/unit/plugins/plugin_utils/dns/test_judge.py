"""A plan against what is in the zone and whose it is."""

from __future__ import annotations

from ansible_collections.hypercode.deploy.plugins.plugin_utils.dns.judge import (
    HERITAGE,
    Change,
    Holdings,
    is_mark,
    keep_out,
    marked,
    told,
    too_much,
)
from ansible_collections.hypercode.deploy.plugins.plugin_utils.dns.records import RecordSet
from hypothesis import given
from hypothesis import strategies as st

ZONE = "example.com"


def a(name: str, value: str = "192.0.2.1", kind: str = "A") -> RecordSet:
    return RecordSet(f"{name}.{ZONE}", kind, 300, (value,))


def mark(record: RecordSet, owner: str = "me") -> RecordSet:
    name = f"_owner.{record.type}.{record.name.replace('*', '_wildcard')}".lower()
    return RecordSet(name, "TXT", 300, (f'"{HERITAGE}{owner}"',))


def owned(*records: RecordSet) -> Holdings:
    return Holdings.of([*records, *map(mark, records)], ZONE, "me")


def test_a_mark_names_its_record() -> None:
    for record in (a("www"), a("*.app"), a("x", kind="CAA"), RecordSet(ZONE, "MX", 300, ("1 a.b.",))):
        assert is_mark(mark(record))
        assert marked(mark(record).name, ZONE) == record.key
    assert marked("_owner.a.www.example.net", ZONE) is None


def test_what_is_there_belongs_to_whom_its_mark_says() -> None:
    mine, theirs, nobodys = a("mine"), a("theirs"), a("nobodys")
    held = Holdings.of([mine, theirs, nobodys, mark(mine), mark(theirs, "you")], ZONE, "me")
    assert held.ours == {mine.key}
    assert held.others == {theirs.key: f"{HERITAGE}you"}


def test_marks_of_another_tool_count_as_somebody_elses() -> None:
    record = a("www")
    foreign = RecordSet(f"_owner.a.www.{ZONE}", "TXT", 60, ('"*octodns*"',))
    held = Holdings.of([record, foreign], ZONE, "me")
    _left, (finding,) = keep_out([a("www", "192.0.2.2")], held, ZONE, set())
    assert (finding.rule, "belongs to '*octodns*'" in finding.message) == ("dns-owner", True)


def test_a_name_may_be_taken_over_by_name() -> None:
    record = a("www")
    held = Holdings.of([record, mark(record, "you")], ZONE, "me")
    assert keep_out([a("www", "192.0.2.2")], held, ZONE, {record.name}) == (set(), [])


def test_a_cname_of_ours_is_in_nobodys_way() -> None:
    held = owned(a("www", "app.example.com.", "CNAME"))
    assert keep_out([a("www")], held, ZONE, set()) == (set(), [])
    foreign = Holdings.of([a("www", "app.example.com.", "CNAME")], ZONE, "me")
    assert [finding.rule for finding in keep_out([a("www")], foreign, ZONE, set())[1]] == ["dns-cname"]


def test_a_delegation_of_ours_may_change() -> None:
    record = a("lab", "ns1.example.net.", "NS")
    assert keep_out([a("lab", "ns2.example.net.", "NS")], owned(record), ZONE, set()) == (set(), [])


def test_marks_that_go_with_a_record_are_not_told() -> None:
    plain, wild = a("www"), a("*.app")
    changes = [Change(None, record) for record in (plain, mark(plain), wild, mark(wild))]
    assert [change.record for change in told(changes)] == [plain, wild]
    alone = [Change(None, mark(plain))]
    assert told(alone) == alone


@given(st.integers(1, 40), st.integers(0, 40), st.integers(0, 100))
def test_the_limit_is_a_share_of_what_is_ours(count: int, touched: int, limit: int) -> None:
    records = [a(f"n{number}") for number in range(count)]
    gone = records[: min(touched, count)]
    changes = [Change(record, None) for record in gone] + [Change(mark(record), None) for record in gone]
    changes += [Change(None, a(f"new{number}")) for number in range(50)]
    refused = too_much(changes, owned(*records), ZONE, limit)
    assert (refused is not None) == (len(gone) / count > limit / 100)
    if refused:
        assert f"{len(gone)} of the {count} records" in refused.message
        assert "dns_force=true" in refused.fix


def test_others_do_not_make_room_for_more_changes() -> None:
    foreign = [a(f"foreign{number}") for number in range(100)]
    mine = [a("one"), a("two")]
    held = Holdings.of([*foreign, *mine, *map(mark, mine)], ZONE, "me")
    assert too_much([Change(mine[0], None)], held, ZONE, 30) is not None
