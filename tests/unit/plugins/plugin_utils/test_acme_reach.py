"""Would a CA find this host? Name servers and ports are made up here; test_acme_preflight.py asks real ones."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import Finding
from ansible_collections.hypercode.deploy.plugins.plugin_utils.acme_reach import (
    NO_WAY,
    REFUSED,
    SILENT,
    Answer,
    Host,
    LookupFailedError,
    identities_of,
    judge,
)
from hypothesis import given
from hypothesis import strategies as st

APP = "app.example.com"
V4, V6, OTHER = "198.51.100.11", "2001:db8:51::11", "192.0.2.9"
TOKEN: dict[str, Any] = {"token": "t", "proof": "t.proof", "ports": [80, 443], "asked_as": {}}
HOST = Host("web1", {APP: "acme"}, [V4, V6], token=TOKEN, identities=("ca.example",))
GOOD = {(APP, "A"): [V4], (APP, "AAAA"): [V6]}
Records = Mapping[tuple[str, str], Sequence[str] | str]
Key = tuple[str, int]


def look(
    host: Host = HOST,
    records: Records = GOOD,
    answers: Mapping[Key, Answer] | None = None,
    shown: bytes | None = None,
    later: Records | None = None,
) -> tuple[list[Finding], list[tuple[str, int, str, str]]]:
    """The findings, and which ports were asked for what. A text in place of records says why a lookup fails.

    `later` are the records that are there when one looks again.
    """
    asked: list[tuple[str, int, str, str]] = []

    def lookup_in(known: Records, name: str, kind: str) -> Sequence[str]:
        found = known.get((name, kind), [])
        if isinstance(found, str):
            raise LookupFailedError(found)
        return found

    def fetch(address: str, port: int, name: str, path: str) -> Answer:
        asked.append((address, port, name, path))
        return (answers or {}).get((address, port), Answer(body="t.proof") if address in (V4, V6) else Answer(SILENT))

    again = None if later is None else partial(lookup_in, later)
    findings = judge(host, partial(lookup_in, records), fetch, again, lambda _name, _address, _port: shown)
    assert all(one.message.endswith(".") and one.fix.endswith(".") for one in findings)
    return findings, asked


def only(**what: Any) -> Finding:
    (finding,) = look(**what)[0]
    return finding


def test_all_is_well() -> None:
    findings, asked = look()
    assert findings == []
    path = "/.well-known/acme-challenge/t"
    assert asked == [(address, port, APP, path) for address in (V4, V6) for port in (80, 443)]


def test_a_name_without_records() -> None:
    finding = only(records={})
    assert (finding.rule, finding.name) == ("acme-address", APP)
    assert finding.fix == f"Add to its zone: {APP} A {V4} and AAAA {V6}."


def test_a_record_that_leads_elsewhere() -> None:
    finding = only(records={(APP, "A"): [OTHER]})
    assert finding.message == f"The A record of {APP} is {OTHER}, which is no address of web1."
    assert finding.fix.startswith(f"Change it to {V4}. If {OTHER} leads to web1 all the same")


def test_one_record_of_two_that_leads_elsewhere() -> None:
    findings, asked = look(records={(APP, "A"): [V4, OTHER]})
    assert [one.message for one in findings] == [f"The A record of {APP} is {OTHER}, which is no address of web1."]
    # The other one is asked once whether it leads here all the same.
    assert [(address, port) for address, port, *_rest in asked] == [(OTHER, 80), (OTHER, 443), (V4, 80), (V4, 443)]


def test_an_address_that_leads_here_all_the_same() -> None:
    """NAT or a load balancer: the host does not know this address, and the token is to be had there."""
    answers = {(OTHER, port): Answer(body="t.proof") for port in (80, 443)}
    assert look(records={(APP, "A"): [OTHER]}, answers=answers)[0] == []
    # The Caddy of the package holds port 80 before its first settings, and gives out nothing.
    fresh = replace(HOST, holders={"80": {"name": "caddy"}}, token={**TOKEN, "ports": [443]})
    assert (
        look(host=fresh, records={(APP, "A"): [OTHER]}, answers={**answers, (OTHER, 80): Answer(body="Hello")})[0] == []
    )
    # In check mode there is no token that could prove it.
    finding = only(host=replace(HOST, token={}), records={(APP, "A"): [OTHER]}, answers=answers)
    assert (finding.severity, finding.fix.endswith("add it to edge_public_addresses.")) == ("warning", True)


def test_what_everybody_can_reach_is_proposed_first() -> None:
    host = replace(HOST, addresses=["10.0.0.5", "9.9.9.9", "fd00::5"])
    assert only(host=host, records={}).fix == f"Add to its zone: {APP} A 9.9.9.9 and AAAA fd00::5."
    assert only(host=host, records={(APP, "A"): [OTHER]}).fix.startswith("Change it to 9.9.9.9.")


def test_an_old_ipv6_record() -> None:
    finding = only(records={**GOOD, (APP, "AAAA"): ["2001:db8::dead"]})
    assert "The AAAA record" in finding.message
    assert "ask IPv6 first" in finding.message
    assert finding.fix.startswith(f"Change it to {V6}.")
    without = only(host=replace(HOST, addresses=[V4]), records={**GOOD, (APP, "AAAA"): ["2001:db8::dead"]})
    assert without.fix.startswith("Delete it: web1 has no such address.")


def test_other_ways_to_write_an_address_are_the_same() -> None:
    assert look(records={(APP, "AAAA"): ["2001:DB8:51:0:0:0:0:11"]})[0] == []


def test_a_name_that_cannot_be_looked_up_is_one_finding() -> None:
    failing = dict.fromkeys([(APP, "A"), (APP, "AAAA"), (APP, "CAA")], "SERVFAIL")
    finding = only(records=failing)
    assert (finding.rule, "SERVFAIL" in finding.message) == ("acme-lookup", True)
    assert only(records={**GOOD, (APP, "AAAA"): "SERVFAIL"}).rule == "acme-lookup"


@pytest.mark.parametrize(("outcome", "words"), [(REFUSED, "refuses connections"), (SILENT, "does not answer")])
def test_closed_ports(outcome: str, words: str) -> None:
    names = {APP: "acme", "www.example.com": "acme"}
    records = {(APP, "A"): [V4], ("www.example.com", "A"): [V4]}
    closed = {(V4, port): Answer(outcome) for port in (80, 443)}
    findings, _asked = look(host=replace(HOST, names=names), records=records, answers=closed)
    assert [(one.severity, one.message) for one in findings] == [
        ("error", f"Port {port} of {V4} {words}, though web1 listens there.") for port in (80, 443)
    ]
    assert findings[0].fix.startswith("Open 80/tcp: firewall_open_ports")
    # By port 80 alone the CA would come; nobody else would.
    finding = only(records=records, answers={(V4, 443): Answer(outcome)})
    assert (finding.severity, finding.name) == ("error", "port 443")


def test_with_port_80_closed_the_ca_comes_by_443() -> None:
    finding = only(records={(APP, "A"): [V4]}, answers={(V4, 80): Answer(SILENT)})
    assert (finding.severity, finding.name) == ("warning", "port 80")
    assert "The CA comes by port 443" in finding.message


def test_what_a_resolver_still_has_from_before_is_looked_up_again() -> None:
    assert look(records={}, later=GOOD)[0] == []
    stale = {(APP, "A"): [OTHER], (APP, "AAAA"): [V6]}
    assert look(records=stale, later=GOOD)[0] == []
    assert only(records=GOOD, later={}, answers={(V6, 80): Answer(NO_WAY)}).rule == "acme-not-seen"
    assert only(records={}, later=stale).message.startswith(f"The A record of {APP} is {OTHER}")


def test_another_server_answers() -> None:
    finding = only(answers={(V4, 80): Answer(body="hello", server="nginx/1.26")}, records={(APP, "A"): [V4]})
    assert finding.message == f"Another server (nginx/1.26) answers at port 80 of {V4} for {APP}, not web1."


def test_no_way_from_here_is_a_warning() -> None:
    finding = only(answers={(V6, 80): Answer(NO_WAY)})
    assert (finding.rule, finding.severity) == ("acme-not-seen", "warning")


def test_a_port_that_another_program_holds() -> None:
    held = {"80": {"name": "nginx", "unit": "nginx.service"}}
    findings, asked = look(host=replace(HOST, holders=held))
    assert [one.message for one in findings] == ["Port 80 of web1 is taken by nginx, so the CA would not reach Caddy."]
    assert findings[0].fix == "Stop it: systemctl disable --now nginx.service."
    assert asked == []


def test_where_caddy_runs_it_gives_out_the_token_on_one_port_and_has_to_be_there_on_the_other() -> None:
    held = {"80": {"name": "caddy"}, "443": {"name": "caddy"}}
    token = {**TOKEN, "ports": [], "asked_as": {APP: "other.example"}}
    host = replace(HOST, holders=held, token=token, addresses=[V4])
    findings, asked = look(host=host, records={(APP, "A"): [V4]})
    path = "/.well-known/acme-challenge/t"
    assert (findings, asked) == ([], [(V4, 80, "other.example", path), (V4, 443, APP, "")])


def test_caddy_shows_the_same_certificate_to_the_host_and_to_the_world() -> None:
    held = {"80": {"name": "caddy"}, "443": {"name": "caddy"}}
    shown = {"name": "old.example.com", "digest": hashlib.sha256(b"a certificate").hexdigest()}
    host = replace(HOST, holders=held, token={**TOKEN, "ports": [], "asked_as": {}, "shown": shown})
    assert look(host=host, records={(APP, "A"): [V4]}, shown=b"a certificate")[0] == []
    for other in (b"another one", None):
        finding = only(host=host, records={(APP, "A"): [V4]}, shown=other)
        assert (finding.rule, finding.severity) == ("acme-other-server", "error")
        assert finding.message.startswith(f"Another server answers at port 443 of {V4}")


def test_in_check_mode_free_ports_are_not_asked() -> None:
    findings, asked = look(host=replace(HOST, token={}))
    assert (findings, asked) == ([], [])


def test_a_challenge_in_dns_needs_no_address_but_may_be_forbidden() -> None:
    host = replace(HOST, names={"*.example.com": "acme_dns"})
    assert look(host=host, records={}) == ([], [])
    records = {("example.com", "CAA"): ['0 issue "ca.example"', '0 issuewild ";"']}
    finding = only(host=host, records=records)
    assert finding.message == "The CAA records of example.com allow nobody to issue for *.example.com, not ca.example."
    assert finding.fix == 'Add to its zone: example.com CAA 0 issuewild "ca.example".'


@pytest.mark.parametrize(
    ("records", "allowed"),
    [
        ({}, True),
        ({"example.com": ['0 issue "ca.example"']}, True),
        ({"example.com": ['0 issue "CA.example; validationmethods=http-01"']}, True),
        ({"example.com": ['0 issue "other.example"', '0 issue "ca.example"']}, True),
        ({"example.com": ['0 iodef "mailto:a@example.com"']}, True),
        ({"example.com": ['0 issuewild "other.example"']}, True),
        ({"example.com": ['0 issue "other.example"']}, False),
        ({"example.com": ['0 issue ";"']}, False),
        ({APP: ['0 issue "other.example"'], "example.com": ['0 issue "ca.example"']}, False),
        ({APP: ['0 issue "ca.example"'], "example.com": ['0 issue "other.example"']}, True),
        ({"com": ['0 issue "other.example"']}, False),
    ],
)
def test_caa(records: dict[str, list[str]], allowed: bool) -> None:
    found = {**GOOD, **{(name, "CAA"): values for name, values in records.items()}}
    assert [one.rule for one in look(records=found)[0]] == ([] if allowed else ["acme-caa"])
    assert look(host=replace(HOST, identities=()), records=found)[0] == []


def test_a_ca_refuses_what_it_cannot_look_up() -> None:
    assert only(records={**GOOD, ("example.com", "CAA"): "SERVFAIL"}).rule == "acme-lookup"


@pytest.mark.parametrize(
    ("skew", "words"),
    [(86_400 * 1.5, "1.5 days ahead of"), (-7200, "2.0 hours behind"), (1200, "20 minutes ahead of"), (30, None)],
)
def test_the_clock(skew: float, words: str | None) -> None:
    messages = [one.message for one in look(host=replace(HOST, clock_skew=skew))[0]]
    assert messages == ([f"The clock of web1 is {words} that of this machine."] if words else [])


def test_what_caa_records_call_a_ca() -> None:
    assert identities_of("", []) == ("letsencrypt.org",)
    assert identities_of("https://own.example/dir", []) == ()
    assert identities_of("https://own.example/dir", ["Own.example"]) == ("own.example",)


@given(
    values=st.lists(st.sampled_from([V4, V6, OTHER, "2001:db8::1", "nonsense"]), max_size=4),
    caa=st.lists(st.text(max_size=20), max_size=3),
    outcome=st.sampled_from(["", REFUSED, SILENT, NO_WAY]),
)
def test_whatever_is_answered_it_is_judged(values: list[str], caa: list[str], outcome: str) -> None:
    records = {(APP, "A"): values, (APP, "CAA"): caa}
    findings, _asked = look(records=records, answers={(V4, 80): Answer(outcome, body="t.proof")})
    # A name is fine only if every one of its addresses is this host's.
    assert bool({OTHER, "2001:db8::1", "nonsense"} & set(values)) <= bool(findings)
    assert len(findings) == len(set(findings))
