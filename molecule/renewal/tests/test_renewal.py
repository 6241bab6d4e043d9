"""Certificates that live for 45 seconds, on a real host with a real CA (Pebble). The tests are one story, in order.

First what an operator asks for, then what Caddy does by itself: renew under load, go on while the CA is out of reach.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from checks import alerts, grade, playbook, stack
from checks.web import Load, Site, until
from testbed import authority, images, registry, revocation
from testbed.hosts import Bed

BED = Bed("molecule-renewal", playbook.ROOT / ".cache" / "testbed" / "molecule-renewal", "molecule", "docker")
ADDRESS = BED.address(0)
# As in prepare.yml. Caddy renews when a third is left.
LIFETIME = 45
APP, DNS, GRADE = "app.test", "dns.test", "grade.test"
METRICS = "/var/lib/hypercode/metrics/certificates.prom"
# How often Caddy looks, which is every 10 minutes and every hour by default: too seldom for 45 seconds.
OFTEN = "renew_interval 3s\\n\\tocsp_interval 3s"
FOLDER = "/var/lib/caddy/caddy/certificates/198.51.100.134-14000-dir"


@pytest.fixture(autouse=True)
def story(host: Any) -> None:
    """Every test has to do with the host: testinfra then leaves them in their order."""


@pytest.fixture(scope="module")
def ca() -> str:
    """The certificate that those of the CA are signed by."""
    images.examiner_image()  # Here, where no certificate runs out while it is built.
    return authority.issuer_root(BED)


def site(name: str = APP, roots: str = "") -> Site:
    return Site(ADDRESS, name, roots)


def state(host: Any, name: str = APP) -> dict[str, Any]:
    """What the host says of a certificate."""
    rows = json.loads(stack.root(host, "hypercode certificates --json", ok=False))
    return next(row for row in rows if row["name"] == name)


def replace(host: Any, *names: str) -> None:
    told = stack.root(host, f"hypercode certificates replace {' '.join(names)}")
    assert told.splitlines()[0] == f"certificates: {len(names)} of {len(names)} replaced", told


def revoke(host: Any, name: str = APP) -> bytes:
    """Have the CA revoke what the site serves; the certificate."""
    served = site(name).certificate()
    key = stack.root(host, f"cat {FOLDER}/{name}/{name}.key")
    trusted = registry.ca_file(BED).read_text(encoding="utf-8")
    revocation.revoke(authority.DIRECTORY, trusted, served, key)
    return served


def figures(host: Any) -> str:
    """The metric, written as the timer has it written."""
    stack.root(host, "systemctl start hypercode-certificates.service")
    return stack.root(host, f"cat {METRICS}")


@contextlib.contextmanager
def ca_out_of_reach(host: Any) -> Iterator[None]:
    """For a while the host gets no connection to the CA."""
    chain = "add table inet cut; add chain inet cut out { type filter hook output priority -5; }"
    rule = f"add rule inet cut out ip daddr {authority.ADDRESS} tcp dport 14000 reject with tcp reset"
    stack.root(host, f"nft '{chain}; {rule}'")
    try:
        yield
    finally:
        stack.root(host, "nft delete table inet cut")


# --- what an operator asks for ----------------------------------------------------------------------------------------


def test_a_rehearsal_goes_all_the_way_and_touches_nothing(host):
    before = site().certificate(), site(DNS).certificate()
    told = stack.root(host, "hypercode certificates rehearse")
    assert told.splitlines() == ["renewal rehearsed: 2 of 2 passed", f"passed  {APP}", f"passed  {DNS}"]
    assert (site().certificate(), site(DNS).certificate()) == before
    # The record of the challenge is gone again, as is what the second Caddy had.
    assert stack.root(host, "ls -d /tmp/hypercode-rehearsal-* 2>&1", ok=False).count("No such file") == 1


def test_it_can_be_rehearsed_from_the_operators_machine(inventory):
    done = playbook.play("--tags", "rehearse", inventory=inventory, playbook="playbooks/certificates.yml")
    assert done.code == 0, done.output
    assert "renewal rehearsed: 2 of 2 passed" in done.output, done.output
    assert done.changed("web1") == 0


def test_what_is_wrong_is_named_by_a_rehearsal(host):
    with ca_out_of_reach(host):
        told = stack.root(host, "hypercode certificates rehearse", ok=False)
    assert told.startswith("renewal rehearsed: 0 of 2 passed"), told
    assert told.count("step: reach the CA") == 2, told
    assert f"curl -sS {authority.DIRECTORY}" in told


# --- revoked ----------------------------------------------------------------------------------------------------------


def test_a_revocation_that_nobody_tells_is_not_known_and_one_command_mends_it(host, ca, figure):
    replace(host, APP, DNS)
    gone = revoke(host)
    # There is no OCSP responder yet, as with Let's Encrypt. Nothing on the host can know of it.
    assert state(host)["state"] == "ok"
    assert site().certificate() == gone
    load = Load(site(roots=ca), rate=50)
    with load.running():
        replace(host, APP)
        assert site().certificate() != gone
    assert "Pebble" in site(roots=ca).issuer()
    figure("replaced now, with a restart of Caddy", f"{load.sent} requests, {len(load.failures)} got no connection")
    assert len(load.failures) <= 50, load.kinds
    assert not any("verify" in kind.lower() for kind in load.kinds), load.kinds


def test_caddy_looks_often_from_now_on(host):
    stack.root(host, f"sed -i 's/^\\tskip_install_trust$/&\\n\\t{OFTEN}/' /etc/hypercode/edge/Caddyfile")
    assert stack.root(host, "grep -c _interval /etc/hypercode/edge/Caddyfile").strip() == "2"
    # It takes an interval when it starts, not with a reload.
    stack.root(host, "systemctl restart caddy")


def test_what_caddy_is_told_is_shown_and_raises_an_alert_while_the_ca_is_down(host, ca):
    replace(host, APP)
    with ca_out_of_reach(host):
        gone = revoke(host)
        authority.tell_revoked(BED, revocation.index([gone]))
        until("Caddy has heard of it", 20, lambda: state(host)["state"] == "revoked")
        assert state(host)["fix"] == f"Replace it now: hypercode certificates replace {APP}."
        assert alerts.raised(BED, "certificates.yml", figures(host), "CertificateUnusable", name=APP, state="revoked")
    replace(host, APP)
    until("a good one is served", 20, lambda: site(roots=ca).get("/").status == 200)
    assert state(host)["state"] in ("ok", "renewal due")


def test_caddy_replaces_by_itself_what_it_is_told_is_revoked(host, ca, figure):
    replace(host, APP)
    gone = revoke(host)
    authority.tell_revoked(BED, revocation.index([gone]))
    took = until("another one is served", 20, lambda: site(roots=ca).certificate() != gone)
    figure("revoked, told by OCSP: another one is served after", f"{took:.1f} s (Caddy asks every 3 s here)")
    assert stack.root(host, "journalctl -u caddy --grep 'is REVOKED' -o cat -q").count(APP) >= 2


# --- renewed by itself ------------------------------------------------------------------------------------------------


def test_ten_thousand_requests_through_twenty_reloads_and_a_renewal(host, ca, figure):
    load = Load(site(roots=ca), rate=200, most=10_000)
    seen = [site().certificate()]
    with load.running():
        for _number in range(20):
            stack.root(host, "systemctl reload caddy")
            time.sleep(1.5)
            if (served := site().certificate()) != seen[-1]:
                seen.append(served)
        load.wait(60)
    if (served := site().certificate()) != seen[-1]:
        seen.append(served)
    figure(
        "requests through 20 reloads and a renewal",
        f"{load.sent}, {len(load.failures)} failed, {load.again} asked again, {len(seen) - 1} renewals",
    )
    assert load.kinds == {}
    assert load.sent == 10_000
    assert len(seen) > 1


# --- the CA is out of reach -------------------------------------------------------------------------------------------


def test_the_ca_is_down_when_a_renewal_is_due(host, ca, figure):
    """Late, then expired, each shown and raised; then the CA is back, and nobody has to do anything."""
    replace(host, APP)
    served = site().certificate()
    ends = state(host)["not_after"]
    with ca_out_of_reach(host):
        graded = grade.begin(BED, ADDRESS, GRADE, BED.state / "edge-root.crt")
        until("it is late", LIFETIME, lambda: state(host)["state"] == "late")
        written = figures(host)
        late = state(host)
        assert "should have been renewed" in late["message"]
        assert late["fix"] == "Find out what hinders a renewal: hypercode certificates rehearse."
        # The old one is served, and good, until its end.
        assert site(roots=ca).get("/").status == 200
        assert site().certificate() == served
        board = stack.root(host, "hypercode status", ok=False).splitlines()
        assert any(APP in line and " late " in line for line in board), board
        assert alerts.raised(BED, "certificates.yml", written, "CertificateRenewalLate", name=APP)
        assert not alerts.raised(BED, "certificates.yml", written, "CertificateNearlyExpired", name=APP)

        until("it has ended", LIFETIME, lambda: time.time() > ends + 1)
        expired = state(host)
        assert (expired["state"], expired["fix"]) == ("expired", late["fix"])
        assert alerts.raised(BED, "certificates.yml", figures(host), "CertificateNearlyExpired", name=APP)
        # Caddy goes on to serve it: who looks closely refuses it.
        assert site().certificate() == served
        with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
            site(roots=ca).get("/")
    took = until("the site is good again", 75, lambda: site(roots=ca).get("/").status == 200)
    figure("the CA is back: renewed without a hand after", f"{took:.0f} s")
    assert state(host)["state"] == "ok"
    check_grade(graded, figure)


def check_grade(graded: subprocess.Popen[str], figure: Any) -> None:
    """A+, and nothing that Mozilla's Intermediate does not have."""
    found = grade.finish(graded)
    words = found.found
    figure("testssl.sh", f"grade {words['overall_grade']}, score {words['final_score']}")
    assert words["overall_grade"] == "A+", found.text
    assert found.offered("SSLv2", "SSLv3", "TLS1", "TLS1_1", "TLS1_2", "TLS1_3") == ["TLS1_2", "TLS1_3"]
    assert set(words["FS_ciphers"].split()) <= grade.CIPHERS, words["FS_ciphers"]
    assert words["cipherlist_STRONG_NOFS"] == "not offered"
    assert set(words["FS_ECDHE_curves"].split()) <= grade.CURVES, words["FS_ECDHE_curves"]
    assert int(words["HSTS_time"].partition("(=")[2].split()[0]) >= grade.HSTS_SECONDS, words["HSTS_time"]
    dangers = {key: text for key, text in words.items() if found.severity[key] == "CRITICAL"}
    assert dangers == {}


# --- through DNS ------------------------------------------------------------------------------------------------------


def test_what_came_through_dns_is_renewed_by_its_unit(host, ca):
    """Twice a day, by a timer; here it has long ended."""
    assert state(host, DNS)["state"] == "expired"
    stack.root(host, "systemctl start hypercode-edge-renew.service")
    assert site(DNS, roots=ca).get("/").body == "app 0\n"
    assert state(host, DNS)["state"] == "ok"
