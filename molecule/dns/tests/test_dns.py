"""Records in a real zone, as an operator keeps them. The tests are one story, told in order.

Knot on web1 is the first name server and takes updates with TSIG, Knot on web2 is the second one and is fed by it. A
resolver on web2 finds the zone through both.
"""

from __future__ import annotations

import base64
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import dns.rdatatype
import dns.tsigkeyring
import dns.update
import dns.zone
import pytest
import yaml
from checks import playbook
from checks.playbook import Outcome
from testbed.hosts import Bed

BED = Bed("molecule-dns", playbook.ROOT / ".cache" / "testbed" / "molecule-dns", "molecule", "bare")
ZONE = "molecule.test"
FIRST, SECOND = BED.address(0), BED.address(1)
RESOLVER_PORT = 5353
KEY = base64.b64encode(b"canary-of-the-scenario-dns-0123").decode()
WRONG_KEY = base64.b64encode(b"another-canary-of-the-scenario-1").decode()
# What was in the zone before anything of ours was.
FOREIGN = {
    f"ns1.{ZONE} A": [FIRST],
    f"ns2.{ZONE} A": [SECOND],
    f"shop.{ZONE} A": ["203.0.113.7"],
    f"blog.{ZONE} CNAME": [f"shop.{ZONE}."],
}
OURS = {
    f"web1.{ZONE} A": [FIRST],
    f"web2.{ZONE} A": [SECOND],
    f"mail.{ZONE} A": [SECOND],
    f"www.{ZONE} CNAME": [f"web1.{ZONE}."],
    f"{ZONE} MX": [f"10 mail.{ZONE}."],
    f"{ZONE} TXT": ['"v=spf1 -all"'],
    f"_sip._tcp.{ZONE} SRV": [f"10 5 5060 web1.{ZONE}."],
    f"xn--bcher-kva.{ZONE} AAAA": ["2001:db8:52::1"],
}


def keyring() -> Any:
    return dns.tsigkeyring.from_text({"deploy": KEY})


def zone(*, marks: bool = False) -> dict[str, list[str]]:
    """All that the first server has but SOA and NS of the zone."""
    transfer = dns.query.xfr(FIRST, ZONE, keyring=keyring(), keyalgorithm="hmac-sha256", relativize=False)
    found: dict[str, list[str]] = {}
    for name, _ttl, rdata in dns.zone.from_xfr(transfer, relativize=False).iterate_rdatas():
        key = f"{name.to_text(omit_final_dot=True)} {dns.rdatatype.to_text(rdata.rdtype)}"
        found.setdefault(key, []).append(rdata.to_text())
    found = {key: sorted(values) for key, values in found.items() if key not in (f"{ZONE} SOA", f"{ZONE} NS")}
    return {key: values for key, values in found.items() if marks or not key.startswith("_owner.")}


def ask(server: str, question: str, port: int = 53) -> list[str]:
    """What a server answers to 'name type'."""
    name, kind = question.split()
    answer = dns.query.udp(dns.message.make_query(f"{name}.", kind), server, port=port, timeout=5)
    wanted = dns.rdatatype.from_text(kind)
    return sorted(rdata.to_text() for rrset in answer.answer if rrset.rdtype == wanted for rdata in rrset)


def by_hand(name: str, address: str) -> None:
    """Change a record as somebody else with the key would."""
    update = dns.update.Update(ZONE, keyring=keyring(), keyalgorithm="hmac-sha256")
    update.replace(f"{name}.{ZONE}.", 60, "A", address)
    assert dns.query.tcp(update, FIRST, timeout=5).rcode() == 0


def on(host: str, *words: str) -> None:
    subprocess.run(["docker", "exec", BED.container(host), *words], check=True, capture_output=True)


class Operator:
    """An inventory of one's own: that of the scenario, with what a test changes in it."""

    def __init__(self, folder: Path, inventory: Path) -> None:
        # Records belong to an inventory by its name.
        self.inventory = folder / "inventory"
        shutil.copytree(inventory, self.inventory)
        self.file = self.inventory / "group_vars" / "hypercode" / "x_dns.yml"

    def change(self, settings: Mapping[str, Any] = {}, **variables: Any) -> Operator:
        """Set variables, and settings of the zone."""
        found = yaml.safe_load(self.file.read_text(encoding="utf-8"))
        found.update(variables)
        found["dns_zones"][ZONE].update(settings)
        self.file.write_text(yaml.safe_dump(found, allow_unicode=True), encoding="utf-8")
        return self

    def without(self, host: str) -> Operator:
        """Take a host out of the inventory, as offboard does."""
        for path in (self.inventory / "hosts.yml", self.inventory / "testbed.yml"):
            found = yaml.safe_load(path.read_text(encoding="utf-8"))
            found["hypercode"]["hosts"].pop(host, None)
            path.write_text(yaml.safe_dump(found), encoding="utf-8")
        return self

    def records(self, *names: str) -> list[dict[str, Any]]:
        """The records of the scenario's own list, without those with these names."""
        found = yaml.safe_load(self.file.read_text(encoding="utf-8"))["dns_zones"][ZONE]["records"]
        return [record for record in found if record["name"] not in names]

    def site(self, *words: str, playbook_file: str = "site.yml") -> Outcome:
        outcome = playbook.play(*words, inventory=self.inventory, playbook=playbook_file, timeout=200)
        for secret in (KEY, WRONG_KEY):
            assert secret not in outcome.output
        assert "Traceback" not in outcome.output
        return outcome


@pytest.fixture
def operator(tmp_path: Path, inventory: Path) -> Operator:
    return Operator(tmp_path, inventory)


def refused(outcome: Outcome, *words: str) -> None:
    assert outcome.code != 0, outcome.output
    for word in words:
        assert word in outcome.output, f"{word!r} is missing in:\n{outcome.output}"


def test_the_deploy_has_written_what_is_wanted() -> None:
    assert zone() == {**FOREIGN, **OURS}


@pytest.mark.parametrize("question", sorted(OURS))
def test_every_server_and_the_resolver_answer_with_it(question: str) -> None:
    assert ask(FIRST, question) == OURS[question]
    assert ask(SECOND, question) == OURS[question]
    assert ask(SECOND, question, RESOLVER_PORT) == OURS[question]


def test_verify_says_that_all_is_well(operator: Operator) -> None:
    outcome = operator.site(playbook_file="playbooks/verify.yml")
    assert outcome.code == 0, outcome.output


def test_the_key_is_seen_nowhere_however_much_is_printed(operator: Operator) -> None:
    outcome = operator.change(dns_ttl=61, dns_force=True).site("-vvvv", "--diff", "--check")
    assert outcome.code == 0, outcome.output
    assert f"+web1.{ZONE}. 61 A {FIRST}" in outcome.output


def test_a_wrong_key_is_told_before_anything_is_touched(operator: Operator) -> None:
    outcome = operator.change({"key": WRONG_KEY}, base_enabled=True, base_swap_size="lots").site("-vvvv")
    refused(outcome, "the value of the key is not the one it has (BADSIG)", "Correct dns_zones['molecule.test'].key")
    # With everything else that is wrong, and by the part that changes nothing.
    refused(outcome, "base_swap_size is 'lots'")
    assert "Apply the records" not in [task for _host, task in outcome.changes]


def test_a_host_that_was_only_left_out_of_a_run_keeps_its_records(operator: Operator) -> None:
    outcome = operator.site("--limit", "web1")
    assert outcome.code == 0, outcome.output
    assert zone() == {**FOREIGN, **OURS}


def test_a_record_of_somebody_else_is_not_touched(operator: Operator) -> None:
    wanted = [*operator.records(), {"name": "shop", "type": "A", "value": FIRST}]
    refused(
        operator.change({"records": wanted}).site(),
        f"shop.{ZONE} A exists already, was not made by this role, and is 203.0.113.7",
        f"add shop.{ZONE} to dns_adopt",
    )
    wanted = [*operator.records("shop"), {"name": "blog", "type": "A", "value": FIRST}]
    refused(operator.change({"records": wanted}).site(), f"blog.{ZONE} has a record CNAME")
    assert zone() == {**FOREIGN, **OURS}


def test_a_zone_that_is_not_held(operator: Operator) -> None:
    found = yaml.safe_load(operator.file.read_text(encoding="utf-8"))["dns_zones"]
    outcome = operator.change(dns_zones={**found, "elsewhere.test": {**found[ZONE], "records": []}}).site()
    refused(outcome, f"rfc2136 ({FIRST}:53) does not have the zone elsewhere.test")
    assert zone() == {**FOREIGN, **OURS}


def test_what_was_changed_by_hand_is_seen_and_put_right(operator: Operator) -> None:
    by_hand("mail", "203.0.113.66")
    refused(operator.site(playbook_file="playbooks/verify.yml"), f"mail.{ZONE} A")
    assert operator.site().code == 0
    assert zone() == {**FOREIGN, **OURS}


def test_a_second_server_that_hears_of_nothing_is_named(operator: Operator) -> None:
    wanted = [*operator.records(), {"name": "new", "type": "A", "value": FIRST}]
    on("web2", "systemctl", "stop", "knot")
    try:
        outcome = operator.change({"records": wanted}, dns_timeout=4).site()
        refused(
            outcome,
            f"Not every name server of {ZONE} has the records after 4 s",
            "ns2.molecule.test does not answer",
            "Right already: ns1.molecule.test",
        )
    finally:
        on("web2", "systemctl", "start", "knot")
        # By itself it would ask the first one again in an hour.
        on("web2", "knotc", "--blocking", "zone-refresh", ZONE)
    outcome = operator.change(dns_timeout=20).site()
    assert outcome.code == 0, outcome.output
    assert ask(SECOND, f"new.{ZONE} A") == [FIRST]


def test_much_at_once_needs_a_yes(operator: Operator) -> None:
    wanted = operator.records("mail", "www", "_sip._tcp")
    outcome = operator.change({"records": wanted}, dns_timeout=4).site()
    refused(outcome, f"4 of the 9 records of {ZONE} that are yours would be changed or removed", "dns_force=true")
    assert f"mail.{ZONE} A" in zone()
    outcome = operator.site("-e", "dns_force=true")
    assert outcome.code == 0, outcome.output
    # What a resolver keeps ends with its time to live: that is told, and nothing waits for it any longer.
    assert f"Resolvers do not give the records of {ZONE} yet after 4 s" in outcome.output
    left = {key: values for key, values in OURS.items() if key.split(".")[0] not in ("mail", "www", "_sip")}
    assert zone() == {**FOREIGN, **left}


def test_a_host_that_leaves_takes_only_its_records_along(operator: Operator) -> None:
    before = zone()
    wanted = operator.records("mail", "www", "_sip._tcp")
    outcome = operator.change({"records": wanted}, dns_resolvers=[]).without("web2").site()
    assert outcome.code == 0, outcome.output
    assert zone() == {key: values for key, values in before.items() if key != f"web2.{ZONE} A"}
    assert not [key for key in zone(marks=True) if "web2" in key]


def test_taken_away_there_is_what_was_there_before(operator: Operator) -> None:
    outcome = operator.change(dns_resolvers=[]).site(playbook_file="molecule/dns/remove.yml")
    assert outcome.code == 0, outcome.output
    assert zone(marks=True) == FOREIGN
