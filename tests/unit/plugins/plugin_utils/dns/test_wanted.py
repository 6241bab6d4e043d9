"""What the settings ask for, and what is wrong with them: everything at once, each with its fix."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.plugin_utils.dns.providers import KNOWN, is_installed
from ansible_collections.hypercode.deploy.plugins.plugin_utils.dns.records import TYPES

from .conftest import read

RFC2136 = {"provider": "rfc2136", "server": "192.0.2.53", "key_name": "deploy", "key": "c2VjcmV0LWNhbmFyeQ=="}
WEB1 = {"web1": {"ansible_host": "192.0.2.10"}}


def zone(**more: Any) -> dict[str, Any]:
    return {"example.com": {**RFC2136, **more}}


def lines(wanted: Any, name: str = "example.com") -> list[str]:
    (found,) = [item for item in wanted.zones if item.name == name]
    return "".join(record.lines() for record in found.records).splitlines()


def texts(findings: list[Any]) -> list[str]:
    assert all(finding.fix for finding in findings)
    assert "c2VjcmV0LWNhbmFyeQ==" not in str(findings)
    return [f"{finding.name}: {finding.message} {finding.fix}" for finding in findings]


def test_without_zones_nothing_is_wanted() -> None:
    wanted, findings = read(WEB1)
    assert (wanted.zones, findings) == ((), [])


def test_records_of_hosts_and_of_the_names_that_they_serve() -> None:
    facts: dict[str, dict[str, Any]] = {
        "web1": {"ansible_host": "192.0.2.10"},
        "web2": {"addresses": ["192.0.2.11", "2001:DB8::11"], "name": "second"},
        "db.example.com": {"ansible_host": "10.0.0.4", "addresses": ["10.0.0.4"]},
        "spare.example.net": {"ansible_host": "192.0.2.13"},
        "quiet": {"ansible_host": "10.0.0.9", "name": ""},
    }
    sites = {
        "web1": [{"name": "app.example.com", "acme": True}, {"name": "files.example.com", "acme": False}],
        "web2": [{"name": "app.example.com", "acme": True}, {"name": "elsewhere.example.net", "acme": True}],
    }
    wanted, findings = read(facts, zones=zone(), sites=sites, caa=["letsencrypt.org"])
    assert findings == []
    assert lines(wanted) == [
        "app.example.com. 300 A 192.0.2.10",
        "app.example.com. 300 A 192.0.2.11",
        "app.example.com. 300 AAAA 2001:db8::11",
        'app.example.com. 300 CAA 0 issue "letsencrypt.org"',
        "db.example.com. 300 A 10.0.0.4",
        "files.example.com. 300 A 192.0.2.10",
        "second.example.com. 300 A 192.0.2.11",
        "second.example.com. 300 AAAA 2001:db8::11",
        "web1.example.com. 300 A 192.0.2.10",
    ]


def test_a_wildcard_is_certified_at_the_name_above_it() -> None:
    wanted, findings = read(
        WEB1, zones=zone(), sites={"web1": [{"name": "*.app.example.com"}]}, caa=["letsencrypt.org", "pki.goog"]
    )
    assert findings == []
    assert [line for line in lines(wanted) if "CAA" in line] == [
        'app.example.com. 300 CAA 0 issue "letsencrypt.org"',
        'app.example.com. 300 CAA 0 issue "pki.goog"',
        'app.example.com. 300 CAA 0 issuewild "letsencrypt.org"',
        'app.example.com. 300 CAA 0 issuewild "pki.goog"',
    ]


def test_what_is_left_out_has_no_record_of_any_kind() -> None:
    records = [{"name": "app", "type": "CNAME", "value": "cdn.example.net"}]
    wanted, findings = read(
        WEB1,
        zones=zone(records=records),
        sites={"web1": [{"name": "app.example.com"}]},
        caa=["letsencrypt.org"],
        leave_out=["app.example.com", "web1.example.com"],
    )
    assert (findings, lines(wanted)) == ([], ["app.example.com. 300 CNAME cdn.example.net."])


def test_a_name_goes_to_the_nearest_zone() -> None:
    zones = {**zone(), "lab.example.com": RFC2136}
    wanted, findings = read({"a.lab.example.com": {"ansible_host": "192.0.2.10"}, **WEB1}, zones=zones)
    assert findings == []
    assert lines(wanted, "lab.example.com") == ["a.lab.example.com. 300 A 192.0.2.10"]
    assert lines(wanted) == ["web1.example.com. 300 A 192.0.2.10"]


RECORD = {"name": "x", "type": "A", "value": "192.0.2.1"}


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({**RECORD, "value": "192.0.2.300"}, "is no IPv4 address"),
        ({**RECORD, "value": "2001:db8::1"}, "its type is AAAA"),
        ({**RECORD, "type": "AAAA"}, "its type is A"),
        ({**RECORD, "type": "SPF"}, "type is 'SPF', which is not known here"),
        ({**RECORD, "name": "x.example.net."}, "it is not in the zone example.com"),
        ({**RECORD, "name": "a b"}, "other characters"),
        ({**RECORD, "ttl": 5}, "which is no time to live"),
        ({**RECORD, "ttl": True}, "which is no time to live"),
        ({"name": "x", "type": "A"}, "does not have the form of a record"),
        ({**RECORD, "values": ["192.0.2.2"]}, "does not have the form of a record"),
        ({**RECORD, "priority": 10}, "does not have the form of a record"),
        ("x A 192.0.2.1", "does not have the form of a record"),
        ({"name": "x", "type": "A", "values": ["192.0.2.1", "192.0.2.1"]}, "has the value 192.0.2.1 twice"),
        ({"name": "@", "type": "MX", "value": "mail.example.com"}, "another form than"),
        ({"name": "@", "type": "MX", "value": "ten mail.example.com"}, "preference that is no number"),
        ({"name": "@", "type": "MX", "value": "10 mail"}, "no whole name"),
        ({"name": "_s._tcp", "type": "SRV", "value": "1 2 99999 a.example.com"}, "port that is no number"),
        ({"name": "@", "type": "CAA", "value": "letsencrypt.org"}, "another form than"),
        ({"name": "@", "type": "NS", "value": "ns1.example.net"}, "would change the name servers of example.com"),
        ({"name": "@", "type": "CNAME", "value": "a.example.net"}, "CNAME for example.com itself"),
        ({"name": "x", "type": "CNAME", "values": ["a.example.net", "b.example.net"]}, "a CNAME has one"),
        ({"name": "x", "type": "TXT", "value": '"quoted"'}, "quotation marks around it"),
        ({"name": "x", "type": "TXT", "value": "ü"}, "ASCII"),
        ({"name": "x", "type": "TXT", "value": "a\\b"}, "octoDNS cannot write"),
        ({"name": "x", "type": "TLSA", "value": "3 1 1 zz"}, "hexadecimal"),
    ],
)
def test_a_record_that_cannot_be(record: Any, words: str) -> None:
    _wanted, findings = read(zones=zone(records=[record]))
    (text,) = texts(findings)
    assert words in text
    assert "dns_zones['example.com'].records[0]" in text


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ([RECORD, RECORD], "x.example.com A is in dns_zones['example.com'].records[1] and in dns_zones"),
        ([{**RECORD, "name": "web1"}], "add web1.example.com to dns_leave_out"),
        (
            [RECORD, {"name": "X.example.com", "type": "CNAME", "value": "a.example.net"}],
            "x.example.com has a CNAME (dns_zones['example.com'].records[1]) and beside it A",
        ),
        (
            [{"name": "app", "type": "CNAME", "value": "a.example.net"}],
            "and beside it A (the site app.example.com), CAA (the site app.example.com)",
        ),
    ],
)
def test_records_that_are_in_each_others_way(records: list[Any], words: str) -> None:
    sites = {"web1": [{"name": "app.example.com"}]}
    _wanted, findings = read(WEB1, zones=zone(records=records), sites=sites, caa=["letsencrypt.org"])
    (text,) = texts(findings)
    assert words in text


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "The zone example.com has no provider."),
        ({"provider": "goddady"}, "which is not known. Write one of cloudflare, desec"),
        ({"provider": "rfc2136"}, "has no server, which rfc2136 needs"),
        ({**RFC2136, "key": "not base64!"}, "is not in base64"),
        ({**RFC2136, "key_algorithm": "sha256"}, "key_algorithm is 'sha256'"),
        ({**RFC2136, "port": 70000}, "port is 70000"),
        ({**RFC2136, "tsig": "x"}, "has a setting 'tsig', which rfc2136 does not have"),
        ({**RFC2136, "nameservers": ["ns1.example.com"]}, "has 'ns1.example.com', which is no address"),
        ({**RFC2136, "ttl": "soon"}, "is soon, which is no time to live"),
        ({**RFC2136, "records": "none"}, "records is no list"),
        ({"provider": "octodns_nowhere.NoProvider"}, "pip install octodns-nowhere"),
    ],
)
def test_a_zone_that_cannot_be_worked_with(settings: dict[str, Any], words: str) -> None:
    _wanted, findings = read(zones={"example.com": settings})
    assert words in " ".join(texts(findings))


def test_a_provider_whose_package_is_missing_says_which() -> None:
    missing = sorted(name for name, known in KNOWN.items() if not is_installed(known.class_name))
    assert "cloudflare" in missing, "the extras are not part of the lock"
    _wanted, findings = read(zones={"example.com": {"provider": "cloudflare", "token": "x"}})
    assert texts(findings) == [
        "dns_zones['example.com'].provider: The provider cloudflare of example.com needs the Python package"
        " octodns-cloudflare, which is missing. Install it beside Ansible: pip install octodns-cloudflare"
    ]


def test_the_settings_of_a_provider_become_those_of_octodns_and_stay_unseen() -> None:
    wanted, findings = read(zones=zone(port=5353, nameservers=["192.0.2.53:5353", "[2001:db8::53]:53"]))
    assert findings == []
    (found,) = wanted.zones
    assert dict(found.provider.arguments) == {
        "host": "192.0.2.53",
        "port": 5353,
        "key_name": "deploy",
        "key_secret": RFC2136["key"],
        "key_algorithm": "hmac-sha256",
        "timeout": 15,
    }
    assert found.nameservers == (("192.0.2.53", 5353), ("2001:db8::53", 53))
    assert RFC2136["key"] not in repr(wanted)


def test_all_that_is_wrong_is_said_at_once() -> None:
    _wanted, findings = read(
        {
            "web1": {"ansible_host": "10.0.0.1"},
            "web2": {"ansible_host": "web2.example.org"},
            "web3": {"addresses": ["nowhere"]},
            "a": {"name": "same", "ansible_host": "192.0.2.1"},
            "b": {"name": "same", "ansible_host": "192.0.2.2"},
            "my_host!": {"ansible_host": "192.0.2.3"},
        },
        zones={**zone(), "EXAMPLE.com.": RFC2136, "no zone": RFC2136},
        owner="two words",
        ttl=1,
        caa=["Let's Encrypt"],
        resolvers=["dns.example.com"],
        leave_out=["a..b"],
        sites={"web1": [{"name": "a b.example.com"}]},
        change_limit=200,
        timeout=0,
    )
    found = "\n".join(texts(findings))
    for words in (
        "The host web1 is logged in to as 10.0.0.1, which nobody outside can reach",
        "The host web2 has no address: it is logged in to as 'web2.example.org'",
        "dns_addresses of web3 has 'nowhere'",
        "The hosts a and b both have the name same.example.com",
        "The host my_host! cannot have the name",
        "The zone EXAMPLE.com. stands twice",
        "'no zone' is no name of a zone",
        "dns_owner is 'two words'",
        "dns_ttl is 1",
        "dns_caa has 'Let's Encrypt'",
        "dns_resolvers has 'dns.example.com'",
        "dns_leave_out has 'a..b'",
        "'a b.example.com' cannot be the name of a site",
        "dns_change_limit is 200",
        "dns_timeout is 0",
    ):
        assert words in found


def test_hosts_need_a_zone_that_is_there() -> None:
    _wanted, findings = read(WEB1, zones=zone(), host_zone="example.net")
    assert "dns_host_zone is example.net, which is not in dns_zones" in texts(findings)[0]


@pytest.mark.parametrize("given", ["example.com", ["example.com"], 7])
def test_zones_that_are_no_mapping(given: Any) -> None:
    _wanted, findings = read(zones=given)
    assert "dns_zones is no mapping" in texts(findings)[0]


def test_every_type_that_is_offered_can_be_read() -> None:
    good = {"A": "192.0.2.1", "AAAA": "2001:db8::1", "MX": "1 a.b", "SRV": "1 2 3 a.b", "CAA": '0 issue ";"'}
    good |= {"SSHFP": "4 2 ab", "TLSA": "3 1 1 ab"}
    records = [{"name": f"n{kind}", "type": kind, "value": good.get(kind, "a.b")} for kind in TYPES]
    wanted, findings = read(zones=zone(records=records))
    assert findings == []
    assert {record.type for record in wanted.zones[0].records} == set(TYPES)
