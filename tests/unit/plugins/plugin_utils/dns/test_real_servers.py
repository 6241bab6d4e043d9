"""The whole way, without Ansible: settings, octoDNS in its own process, and real name servers with TSIG or an API."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.plugin_utils.dns import child
from fakes.name_servers import ZONE, Knot, PowerDns, free_port, make_key

from .conftest import read

pytestmark = pytest.mark.playbook

# What is in the zone from the start, and nobody's.
FOREIGN = {
    f"ns1.{ZONE} A": ["127.0.0.1"],
    f"shop.{ZONE} A": ["203.0.113.7"],
    f"blog.{ZONE} CNAME": [f"shop.{ZONE}."],
    f"branch.{ZONE} NS": ["ns.elsewhere.test."],
}


def hosts(*numbers: int) -> dict[str, dict[str, Any]]:
    return {f"web{number}": {"ansible_host": f"198.51.100.{number}"} for number in numbers}


def run(
    settings: dict[str, Any],
    facts: dict[str, dict[str, Any]] | None = None,
    mode: str = "apply",
    limit: int = 30,
    force: bool = False,
    timeout: int = 5,
    **changed: Any,
) -> dict[str, Any]:
    """Do it for one zone, and see that no report ever has a secret in it."""
    zones = changed.pop("zones", {ZONE: settings})
    wanted, findings = read(facts, zones=zones, **{"owner": "tests", **changed})
    assert findings == []
    report = child.do(child.job_of(wanted, mode, limit=limit, force=force, timeout=timeout))
    for zone in wanted.zones:
        assert not [secret for secret in zone.provider.secrets if secret in json.dumps(report)]
    return report


def only(report: dict[str, Any]) -> tuple[str, str]:
    """The one thing that is wrong, and its rule."""
    assert len(report["findings"]) == 1, report
    found = report["findings"][0]
    assert found["fix"]
    return found["rule"], f"{found['message']} Fix: {found['fix']}"


def ours(records: dict[str, list[str]]) -> dict[str, list[str]]:
    """Records without what was there before and without the marks."""
    return {key: value for key, value in records.items() if key not in FOREIGN and not key.startswith("_owner.")}


def test_a_plan_writes_nothing_and_the_deploy_does_what_it_said(knot: Knot) -> None:
    before = knot.records()
    planned = run(knot.settings(), hosts(1, 2), mode="plan")
    assert knot.records() == before == FOREIGN
    done = run(knot.settings(), hosts(1, 2))
    assert done["zones"][0]["changes"] == planned["zones"][0]["changes"]
    assert (planned["changed"], done["changed"], done["findings"]) == (False, True, [])
    assert ours(knot.records()) == {f"web1.{ZONE} A": ["198.51.100.1"], f"web2.{ZONE} A": ["198.51.100.2"]}
    mark = '"heritage=hypercode.deploy,owner=tests"'
    assert knot.records()[f"_owner.a.web1.{ZONE} TXT"] == [mark]
    again = run(knot.settings(), hosts(1, 2))
    assert (again["changed"], again["zones"][0]["changes"]) == (False, [])
    assert run(knot.settings(), hosts(1, 2), mode="verify")["findings"] == []


def test_every_type_is_written_once_and_found_again(knot: Knot) -> None:
    records = [
        {"name": "@", "type": "MX", "values": ["10 mail.example.test", "20 backup.example.net."]},
        {"name": "@", "type": "TXT", "value": 'v=spf1 include:"x" -all;'},
        {"name": "k1._domainkey", "type": "TXT", "value": f"v=DKIM1; k=rsa; p={'A' * 400}"},
        {"name": "www", "type": "CNAME", "value": "app.example.test"},
        {"name": "_sip._tcp", "type": "SRV", "value": "10 5 5060 sip.example.test"},
        {"name": "lab", "type": "NS", "values": ["ns1.example.net", "ns2.example.net"]},
        {"name": "bücher", "type": "AAAA", "value": "2001:DB8:51:0::1"},
        {"name": "@", "type": "CAA", "value": '0 iodef "mailto:ca@example.test"'},
        {"name": "_25._tcp.mail", "type": "TLSA", "value": f"3 1 1 {'AB' * 32}"},
        {"name": "mail", "type": "SSHFP", "value": f"4 2 {'cd' * 32}"},
    ]
    sites = {"web1": [{"name": "app.example.test", "acme": True}, {"name": "*.app.example.test", "acme": True}]}
    settings = knot.settings(records=records)
    facts = {"web1": {"addresses": ["198.51.100.1", "2001:db8:51::1"]}}
    assert run(settings, facts, sites=sites, caa=["letsencrypt.org"])["findings"] == []
    found = ours(knot.records())
    assert found[f"*.app.{ZONE} AAAA"] == ["2001:db8:51::1"]
    assert found[f"app.{ZONE} CAA"] == ['0 issue "letsencrypt.org"', '0 issuewild "letsencrypt.org"']
    assert found[f"xn--bcher-kva.{ZONE} AAAA"] == ["2001:db8:51::1"]
    assert found[f"{ZONE} TXT"] == ['"v=spf1 include:\\"x\\" -all;"']
    assert len(found) == 17
    again = run(settings, facts, sites=sites, caa=["letsencrypt.org"])
    assert (again["changed"], again["findings"], again["zones"][0]["changes"]) == (False, [], [])
    assert run(settings, facts, mode="verify", sites=sites, caa=["letsencrypt.org"])["findings"] == []


def test_a_host_that_left_takes_only_its_records_along(knot: Knot) -> None:
    everybody = hosts(1, 2, 3, 4, 5)
    run(knot.settings(), everybody)
    left = run(knot.settings(), hosts(1, 2, 3, 4))
    assert [change["after"] for change in left["zones"][0]["changes"]] == [None, None]
    assert knot.records() == {**FOREIGN, **{key: v for key, v in knot.records().items() if "web" in key}}
    assert ours(knot.records()).keys() == {f"web{number}.{ZONE} A" for number in (1, 2, 3, 4)}
    assert not [key for key in knot.records() if "web5" in key]


def test_much_at_once_needs_a_yes(knot: Knot) -> None:
    run(knot.settings(), hosts(1, 2, 3, 4, 5))
    before = knot.records()
    rule, text = only(run(knot.settings(), hosts(1, 2, 3)))
    assert rule == "dns-limit"
    assert f"2 of the 5 records of {ZONE}" in text
    assert f"remove web4.{ZONE} A 198.51.100.4; remove web5.{ZONE} A 198.51.100.5" in text
    assert "dns_force=true" in text
    assert only(run(knot.settings(), hosts(1, 2, 3), mode="plan"))[0] == "dns-limit"
    assert knot.records() == before
    assert run(knot.settings(), hosts(1, 2, 3), force=True)["findings"] == []
    assert ours(knot.records()).keys() == {f"web{number}.{ZONE} A" for number in (1, 2, 3)}


def test_what_was_changed_by_hand_is_put_right(knot: Knot) -> None:
    run(knot.settings(), hosts(1, 2, 3, 4))
    run(knot.settings(), {**hosts(1, 2, 3), "web4": {"ansible_host": "198.51.100.99"}})
    rule, _text = only(run(knot.settings(), hosts(1, 2, 3, 4), mode="verify"))
    assert rule == "dns-answers"
    assert run(knot.settings(), hosts(1, 2, 3, 4))["changed"] is True
    assert ours(knot.records())[f"web4.{ZONE} A"] == ["198.51.100.4"]


def test_a_record_of_somebody_else_stays_as_it_is(knot: Knot) -> None:
    wanted = {"shop": {"ansible_host": "198.51.100.5"}}
    rule, text = only(run(knot.settings(), wanted))
    assert rule == "dns-foreign"
    assert f"shop.{ZONE} A exists already, was not made by this role, and is 203.0.113.7" in text
    assert "dns_adopt" in text
    assert knot.records() == FOREIGN
    assert run(knot.settings(), wanted, adopt=[f"shop.{ZONE}"])["findings"] == []
    assert knot.records()[f"shop.{ZONE} A"] == ["198.51.100.5"]


def test_a_record_that_is_right_already_stays_somebody_elses(knot: Knot) -> None:
    wanted = {"shop": {"ansible_host": "203.0.113.7"}}
    report = run(knot.settings(), {**wanted, **hosts(1)})
    assert (report["findings"], report["zones"][0]["left"]) == ([], [f"shop.{ZONE} A"])
    assert f"_owner.a.shop.{ZONE} TXT" not in knot.records()
    run(knot.settings(), {}, force=True)
    assert knot.records() == FOREIGN


def test_two_inventories_share_a_zone(knot: Knot) -> None:
    run(knot.settings(), hosts(1), owner="production")
    run(knot.settings(), hosts(2), owner="staging")
    assert ours(knot.records()).keys() == {f"web1.{ZONE} A", f"web2.{ZONE} A"}
    rule, text = only(run(knot.settings(), hosts(1, 2), owner="staging"))
    assert rule == "dns-owner"
    assert f"web1.{ZONE} A belongs to 'production'" in text
    run(knot.settings(), {}, owner="staging", force=True)
    assert ours(knot.records()).keys() == {f"web1.{ZONE} A"}


@pytest.mark.parametrize(
    ("name", "rule", "words"),
    [
        ("blog", "dns-cname", f"blog.{ZONE} has a record CNAME (shop.{ZONE}.) that was not made by this role"),
        ("www.branch", "dns-delegated", f"www.branch.{ZONE} is in branch.{ZONE}, which has name servers of its own"),
    ],
)
def test_a_name_that_cannot_have_the_record(knot: Knot, name: str, rule: str, words: str) -> None:
    found, text = only(run(knot.settings(), {name: {"name": f"{name}.{ZONE}", "ansible_host": "198.51.100.5"}}))
    assert (found, words in text) == (rule, True), text
    assert knot.records() == FOREIGN


def test_our_own_cname_makes_room_for_an_address(knot: Knot) -> None:
    run(knot.settings(records=[{"name": "app", "type": "CNAME", "value": "elsewhere.example.net"}]))
    run(knot.settings(records=[{"name": "app", "type": "A", "value": "198.51.100.1"}]), force=True)
    assert ours(knot.records()) == {f"app.{ZONE} A": ["198.51.100.1"]}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"key": make_key()}, "the value of the key is not the one it has (BADSIG)"),
        ({"key_name": "nobody"}, "does not accept the TSIG key"),
        ({"key_algorithm": "hmac-sha512"}, "does not accept the TSIG key"),
        ({"key_name": "reader"}, "the key may not do this"),
        ({"port": free_port()}, "cannot be reached"),
        ({"server": "ns.invalid"}, "cannot be resolved"),
    ],
)
def test_a_name_server_that_refuses(knot: Knot, changed: dict[str, Any], words: str) -> None:
    report = run(knot.settings(**changed), hosts(1))
    rule, text = only(report)
    assert (rule, words in text) == ("dns-provider", True), text
    assert "Traceback" not in text
    # Nothing was written, so nothing has changed, however far it got.
    assert report["changed"] is False
    assert knot.records() == FOREIGN


def test_a_zone_that_is_not_held_keeps_all_zones_as_they_are(knot: Knot) -> None:
    zones = {ZONE: knot.settings(), "other.test": knot.settings()}
    rule, text = only(run({}, hosts(1), zones=zones, host_zone=ZONE))
    assert rule == "dns-provider"
    assert "does not have the zone other.test" in text
    assert knot.records() == FOREIGN


def test_every_name_server_has_to_answer_with_it(tmp_path: Path) -> None:
    first = Knot(tmp_path / "first")
    second = Knot(tmp_path / "second", key=first.key)
    both = [f"127.0.0.1:{first.port}", f"127.0.0.1:{second.port}"]
    with first.running(second=second.port), second.running(first=first.port):
        report = run(first.settings(nameservers=both), hosts(1), timeout=20)
        assert (report["findings"], report["zones"][0]["servers"]) == ([], both)
        assert second.ask("web1", "A") == ["198.51.100.1"]
    # The second server still has the zone, but does not hear of anything new.
    with first.running(), second.running(first=free_port()):
        began = time.monotonic()
        report = run(first.settings(nameservers=both), hosts(1, 2), timeout=2)
        assert time.monotonic() - began < 20
        rule, text = only(report)
        assert (rule, report["changed"]) == ("dns-answers", True)
        assert f"127.0.0.1:{second.port} answers" in text
        assert f"web2.{ZONE} A (wanted: 198.51.100.2)" in text
        assert f"Right already: 127.0.0.1:{first.port}" in text


def test_resolvers_that_are_late_are_a_warning_and_fail_only_the_verification(knot: Knot) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    report = run(knot.settings(), hosts(1), resolvers=[nobody], timeout=1)
    assert report["findings"] == []
    assert f"Resolvers do not give the records of {ZONE} yet after 1 s: {nobody} " in report["warnings"][0]
    assert only(run(knot.settings(), hosts(1), mode="verify", resolvers=[nobody]))[0] == "dns-resolvers"
    # Asked as a resolver is asked, it answers as one does.
    assert run(knot.settings(), hosts(1), mode="verify", resolvers=[f"127.0.0.1:{knot.port}"])["findings"] == []


def test_a_provider_with_an_api(power_dns: PowerDns) -> None:
    records = [
        {"name": "text", "type": "TXT", "value": "a; b"},
        {"name": "@", "type": "MX", "value": "10 mx.example.test"},
    ]
    settings = power_dns.settings(records=records)
    assert run(settings, hosts(1), mode="plan")["findings"] == []
    assert run(settings, hosts(1))["findings"] == []
    again = run(settings, hosts(1))
    assert (again["changed"], again["zones"][0]["changes"]) == (False, [])
    assert run(settings, hosts(1), mode="verify")["findings"] == []
    run(power_dns.settings(), {}, force=True)
    assert "web1" not in power_dns.zone_of_api()
    assert "203.0.113.7" in power_dns.zone_of_api()


def test_a_token_without_rights_and_a_zone_that_the_provider_does_not_have(power_dns: PowerDns) -> None:
    rule, text = only(run(power_dns.settings(key="token-without-rights"), hosts(1)))
    assert rule == "dns-provider"
    assert f"does not accept the credentials for {ZONE}" in text
    rule, text = only(run({}, hosts(1), zones={"other.test": power_dns.settings()}))
    assert rule == "dns-provider"
    assert "No zone is ever made by this role" in text
    assert "other.test" not in power_dns.zone_of_api()
