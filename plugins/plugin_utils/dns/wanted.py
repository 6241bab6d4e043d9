# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads the settings of the role dns: which records each zone is to have, and everything that is wrong with that."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import Finding

from .hosts import host_records, site_records
from .names import NameProblem, in_zone, to_ascii, zone_of
from .providers import Provider, read_provider, wrong
from .records import SINGLE, TYPES, RecordSet, ValueProblem, value_of
from .servers import ServerProblem, read_server

SHORTEST_TTL, LONGEST_TTL = 30, 604800
_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_FIELDS = ("name", "type", "value", "values", "ttl")


@dataclasses.dataclass(frozen=True)
class Zone:
    """A zone that we hold: who serves it, the records that it is to have, and its name servers where they are given."""

    name: str
    provider: Provider
    ttl: int
    records: tuple[RecordSet, ...]
    nameservers: tuple[tuple[str, int], ...] = ()


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What the settings ask for. ``adopt`` are the names whose records may be taken over from others."""

    zones: tuple[Zone, ...]
    owner: str
    adopt: frozenset[str]
    resolvers: tuple[tuple[str, int], ...]


def read_wanted(options: Mapping[str, Any], facts: Mapping[str, Mapping[str, Any]]) -> tuple[Wanted, list[Finding]]:
    """What the options of dns_records ask for. ``facts`` has of each host its name, addresses and ansible_host."""
    findings: list[Finding] = []
    zones = _zones(options["zones"], options["ttl"], findings)
    left_out = _names(options["leave_out"], "dns_leave_out", findings)
    adopt = _names(options["adopt"], "dns_adopt", findings)
    resolvers = _servers(options["resolvers"], "dns_resolvers", findings)
    if not _OWNER.fullmatch(str(options["owner"])):
        text = f"dns_owner is '{options['owner']}', which is no name of letters, digits, - and _."
        findings.append(wrong("dns_owner", text, "Write one word, such as hypercode-production."))
    _numbers(options, findings)
    names = {zone: settings for zone, settings, _place in zones}
    wanted: dict[str, list[RecordSet]] = {zone: [] for zone in names}
    places: dict[tuple[str, str], str] = {}
    ttls = {zone: settings["ttl"] for zone, settings in names.items()}
    host_zone = options["host_zone"] or next(iter(names), "")
    made = host_records(facts, host_zone, ttls, left_out, findings)
    made += site_records(options["sites"], facts, ttls, options["caa"], left_out, findings)
    for place, record in made:
        _add(wanted, places, place, record, findings, merge=True)
    for _zone, settings, place in zones:
        for number, entry in enumerate(settings["records"]):
            where = f"{place}.records[{number}]"
            for record in _own(entry, _zone, settings["ttl"], where, findings):
                _add(wanted, places, where, record, findings, merge=False)
    _neighbours(wanted, places, findings)
    made_zones = tuple(
        Zone(zone, settings["provider"], settings["ttl"], tuple(sorted(wanted[zone])), settings["nameservers"])
        for zone, settings in names.items()
        if settings["provider"] is not None
    )
    return Wanted(made_zones, str(options["owner"]), frozenset(adopt), resolvers), findings


def _zones(given: Any, ttl: Any, findings: list[Finding]) -> list[tuple[str, dict[str, Any], str]]:
    """Each zone with its settings and with where it stands."""
    if not isinstance(given, Mapping):
        text = "dns_zones is no mapping of zones to their settings."
        findings.append(wrong("dns_zones", text, "Write dns_zones: {example.com: {provider: rfc2136, ...}}."))
        return []
    found: dict[str, tuple[str, dict[str, Any], str]] = {}
    for key, settings in given.items():
        place = f"dns_zones['{key}']"
        try:
            name = to_ascii(str(key))
        except NameProblem as problem:
            findings.append(wrong(place, f"'{key}' is no name of a zone: {problem}.", "Write it as example.com."))
            continue
        if not isinstance(settings, Mapping):
            findings.append(wrong(place, f"{place} has no settings.", "Write its provider and what that needs."))
            continue
        if name in found:
            text = f"The zone {key} stands twice in dns_zones, also as {found[name][2]}."
            findings.append(wrong(place, text, "Take one of them out."))
            continue
        provider, problems = read_provider(str(key), settings)
        findings += problems
        records = settings.get("records") or []
        if not isinstance(records, Sequence) or isinstance(records, str):
            findings.append(wrong(f"{place}.records", f"{place}.records is no list.", "Write - {name, type, value}."))
            records = []
        servers = _servers(settings.get("nameservers") or [], f"{place}.nameservers", findings)
        own_ttl = _ttl(settings.get("ttl", ttl), f"{place}.ttl" if "ttl" in settings else "dns_ttl", findings)
        details = {"provider": provider, "ttl": own_ttl, "records": records, "nameservers": servers}
        found[name] = (name, details, place)
    return list(found.values())


def _own(entry: Any, zone: str, ttl: int, place: str, findings: list[Finding]) -> list[RecordSet]:
    """The record that an entry of ``records`` asks for."""
    form = 'Write it as {name: "@", type: MX, value: 10 mail.example.com}; several values as a list in values.'
    if not isinstance(entry, Mapping) or not set(entry) <= set(_FIELDS) or ("value" in entry) == ("values" in entry):
        findings.append(wrong(place, f"{place} does not have the form of a record.", form))
        return []
    try:
        name = in_zone(str(entry.get("name", "")), zone)
    except NameProblem as problem:
        text = f"{place}.name is '{entry.get('name')}', which cannot be: {problem}."
        findings.append(
            wrong(f"{place}.name", text, f"Write the part before .{zone}, @ for the zone itself, or all of it.")
        )
        return []
    kind = str(entry.get("type", "")).upper()
    if kind not in TYPES:
        text = f"{place}.type is '{entry.get('type', '')}', which is not known here."
        findings.append(wrong(f"{place}.type", text, f"Write one of {', '.join(TYPES)}."))
        return []
    if kind == "NS" and name == zone:
        text = f"{place} would change the name servers of {zone} itself, which only its provider may say."
        findings.append(wrong(place, text, "Take it out."))
        return []
    values = entry["value"] if "value" in entry else entry["values"]
    texts = [str(value) for value in values] if isinstance(values, list | tuple) else [str(values)]
    if kind in SINGLE and len(texts) > 1:
        findings.append(wrong(place, f"{place} has {len(texts)} values; a {kind} has one.", "Keep one of them."))
        return []
    good = []
    for text in texts:
        try:
            good.append(value_of(kind, text))
        except ValueProblem as problem:
            findings.append(wrong(f"{place}.value", f"'{text}' of {place} ({kind}) {problem}.", "Correct the value."))
    for value in sorted({value for value in good if good.count(value) > 1}):
        findings.append(wrong(place, f"{place} has the value {value} twice.", "Take one of them out."))
    if len(good) < len(texts) or not good:
        return []
    own_ttl = _ttl(entry.get("ttl", ttl), f"{place}.ttl", findings) if "ttl" in entry else ttl
    return [RecordSet(name, kind, own_ttl, tuple(sorted(set(good))))]


def _add(
    wanted: dict[str, list[RecordSet]],
    places: dict[tuple[str, str], str],
    place: str,
    record: RecordSet,
    findings: list[Finding],
    *,
    merge: bool,
) -> None:
    """Put a record into its zone; what is made from hosts and from sites may share a name."""
    zone = zone_of(record.name, wanted)
    records = wanted[zone]
    for number, other in enumerate(records):
        if other.key != record.key:
            continue
        if merge:
            values = tuple(dict.fromkeys((*other.values, *record.values)))
            records[number] = dataclasses.replace(other, values=values)
        else:
            text = f"{record.name} {record.type} is in {place} and in {places[record.key]}."
            findings.append(wrong(place, text, _both(places[record.key], record.name)))
        return
    places.setdefault(record.key, place)
    records.append(record)


def _both(other: str, name: str) -> str:
    if other.startswith("dns_zones"):
        return "Keep one of them, with all values in a list (values)."
    return f"Take it out of records; or add {name} to dns_leave_out, so that no record is made of {other}."


def _neighbours(
    wanted: Mapping[str, list[RecordSet]], places: Mapping[tuple[str, str], str], findings: list[Finding]
) -> None:
    """A CNAME is alone at its name, and never at that of the zone."""
    for zone, records in wanted.items():
        for record in records:
            if record.type != "CNAME":
                continue
            place = places[record.key]
            if record.name == zone:
                text = f"{place} is a CNAME for {zone} itself, where the zone's own records are."
                findings.append(wrong(place, text, "Use the type ALIAS where the provider has it, else A and AAAA."))
            others = sorted(other.key for other in records if other.name == record.name and other is not record)
            if others:
                listed = ", ".join(f"{kind} ({places[name, kind]})" for name, kind in others)
                text = f"{record.name} has a CNAME ({place}) and beside it {listed}. A CNAME is alone at its name."
                findings.append(wrong(place, text, _both(places[others[0]], record.name)))


def _names(given: Any, setting: str, findings: list[Finding]) -> frozenset[str]:
    found = set()
    for entry in given if isinstance(given, list | tuple) else [given]:
        try:
            found.add(to_ascii(str(entry)))
        except NameProblem as problem:
            findings.append(wrong(setting, f"{setting} has '{entry}', which is no name: {problem}.", "Correct it."))
    return frozenset(found)


def _servers(given: Any, setting: str, findings: list[Finding]) -> tuple[tuple[str, int], ...]:
    found = []
    for entry in given if isinstance(given, list | tuple) else [given]:
        try:
            found.append(read_server(str(entry)))
        except ServerProblem as problem:
            findings.append(
                wrong(setting, f"{setting} has '{entry}', which {problem}.", "Write 192.0.2.53, or 192.0.2.53:5353.")
            )
    return tuple(found)


def _ttl(value: Any, setting: str, findings: list[Finding]) -> int:
    if isinstance(value, bool) or not str(value).isdecimal() or not SHORTEST_TTL <= int(value) <= LONGEST_TTL:
        text = f"{setting} is {value}, which is no time to live."
        findings.append(wrong(setting, text, f"Write seconds from {SHORTEST_TTL} to {LONGEST_TTL}, such as 300."))
        return SHORTEST_TTL
    return int(value)


def _numbers(options: Mapping[str, Any], findings: list[Finding]) -> None:
    for option, low, high in (("change_limit", 0, 100), ("timeout", 1, 3600)):
        value = options[option]
        if not low <= value <= high:
            text = f"dns_{option} is {value}."
            findings.append(wrong(f"dns_{option}", text, f"Write a number from {low} to {high}."))
