"""The edge of a real host, seen from outside. The tests are one story, told in order.

It begins with the host's own CA, goes over to a real one (Pebble) under load, and on to files and to DNS.
"""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from checks import playbook, stack
from checks.web import Load, Site, WebSocket, text_of, until
from testbed import authority, hosts
from testbed.hosts import Bed

BED = Bed("molecule-tls", playbook.ROOT / ".cache" / "testbed" / "molecule-tls", "molecule", "docker")
FILES = Path(__file__).resolve().parents[1] / "files"
ADDRESS = BED.address(0)
OWN_ROOT = BED.state / "edge-root.crt"
NAMES = ("app.test", "www.app.test", "board.test", "alpn.test", "wild.test", "*.wild.test")
# A name that leads to another machine, which refuses at once.
LOST, ELSEWHERE = "lost.test", authority.ADDRESS
DRAIN = 4
LOGIN = {"Authorization": "Basic " + base64.b64encode(b"ops:open sesame").decode()}
ACME = {
    "edge_certificate": "acme",
    "edge_acme_email": "ops@example.com",
    "edge_acme_ca": authority.DIRECTORY,
    "edge_acme_ca_root": str(BED.state / "tls" / "ca.crt"),
    "edge_acme_resolvers": [authority.ADDRESS],
}
APP = {"name": "app.test", "service": "app", "port": 8000}


def site(name: str, *, roots: str = "") -> Site:
    return Site(ADDRESS, name, roots)


def own(name: str) -> Site:
    """A site whose certificate has to be the host's own."""
    return site(name, roots=text_of(OWN_ROOT))


def edge(inventory: Path, *words: str, **variables: Any) -> playbook.Outcome:
    extra = ["--extra-vars", json.dumps(variables)] if variables else []
    return playbook.play("--tags", "edge", *words, *extra, inventory=inventory)


def put(host: Any, path: str, text: str) -> None:
    done = subprocess.run(
        ["docker", "exec", "-i", BED.container("web1"), "sh", "-c", f"cat > {path}"], input=text, text=True, check=False
    )
    assert done.returncode == 0


@pytest.fixture(autouse=True)
def story(host: Any) -> None:
    """Every test has to do with the host: testinfra then leaves them in their order."""


@pytest.fixture(scope="module")
def ca(host: Any) -> str:
    """The CA runs; the certificate that its certificates are signed by."""
    authority.up(BED, {**dict.fromkeys(NAMES, ADDRESS), LOST: ELSEWHERE})
    return authority.issuer_root(BED)


# --- the host's own CA ------------------------------------------------------------------------------------------------


def test_a_site_answers_with_a_certificate_of_the_hosts_own_ca():
    for name in ("app.test", "www.app.test"):
        answer = own(name).get("/")
        assert (answer.status, answer.body) == (200, "app 0\n")
    assert own("app.test").get("/board/x").body == "board 0\n"


def test_http_leads_to_https():
    answer = site("app.test").plain("/a?b=c")
    assert (answer.status, answer.headers["location"]) == (308, "https://app.test/a?b=c")


def test_an_answer_says_what_browsers_have_to_know_and_nothing_else():
    for answer in (own("app.test").get("/"), own("board.test").get("/")):
        assert answer.headers["strict-transport-security"] == "max-age=63072000", answer.status
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == "frame-ancestors 'self'"
        assert {"server", "via", "x-powered-by"} & set(answer.headers) == set()


def test_a_dashboard_asks_for_a_login():
    assert own("board.test").get("/").status == 401
    wrong = {"Authorization": "Basic " + base64.b64encode(b"ops:wrong").decode()}
    assert own("board.test").get("/", headers=wrong).status == 401
    assert own("board.test").get("/", headers=LOGIN).body == "board 0\n"
    # The password is for the edge: the service never sees it.
    assert "authorization" not in json.loads(own("board.test").get("/headers", headers=LOGIN).body)


def test_what_a_client_says_about_itself_is_not_believed():
    seen = json.loads(own("app.test").get("/headers", headers={"X-Forwarded-For": "192.0.2.1"}).body)
    assert seen["x-forwarded-for"] != "192.0.2.1"
    assert "192.0.2.1" not in seen["x-forwarded-for"]
    assert seen["x-forwarded-proto"] == "https"


def test_a_request_that_is_too_large_is_refused_and_text_is_compressed():
    assert own("app.test").get("/", body=b"x" * 2_000_000).status == 200
    assert own("app.test").get("/", body=b"x" * 11_000_000).status in (413, 502)
    assert own("app.test").get("/large", headers={"Accept-Encoding": "gzip"}).headers["content-encoding"] == "gzip"


def test_only_modern_tls_is_spoken(host):
    words = "openssl s_client -connect 127.0.0.1:443 -servername app.test"
    for old in ("-tls1 -cipher DEFAULT@SECLEVEL=0", "-tls1_1 -cipher DEFAULT@SECLEVEL=0", "-tls1_2 -cipher AES128-SHA"):
        assert stack.root(host, f"{words} {old} </dev/null 2>&1 | grep -c 'Cipher is (NONE)'").strip() == "1", old
    assert "TLSv1.3" in stack.root(host, f"{words} </dev/null 2>&1")


def test_no_secret_gets_into_the_access_log(host):
    own("app.test").get("/canary?token=query-canary", headers={"Cookie": "a=cookie-canary", "X-Api-Key": "key-canary"})
    own("board.test").get("/", headers=LOGIN)
    log = stack.root(host, "cat /var/log/caddy/access.log")
    assert '"uri":"/canary"' in log
    for canary in ("query-canary", "cookie-canary", "key-canary", LOGIN["Authorization"].split()[1], "a=b"):
        assert canary not in log, canary


def test_the_admin_endpoint_is_a_socket_for_root_and_caddy_alone(host):
    listening = stack.root(host, "ss -tlnp | grep caddy")
    assert {line.split()[3].rpartition(":")[2] for line in listening.splitlines()} == {"80", "443"}
    assert stack.root(host, "stat --format '%U %a' /run/caddy").split() == ["caddy", "700"]
    assert stack.root(host, "ps -o user= -C caddy").split() == ["caddy"]


# --- containers come and go -------------------------------------------------------------------------------------------


def address_of(host: Any, service: str) -> str:
    networks = stack.containers(host, "small")[service]["NetworkSettings"]["Networks"]
    return str(next(iter(networks.values()))["IPAddress"])


def test_an_address_that_changes_is_followed(host, figure):
    """Two containers that swap their addresses: no request may get to the wrong one."""
    before = {name: address_of(host, name) for name in ("app", "board")}
    stack.root(host, "docker stop --time 1 small-app-1 small-board-1")
    until("it is refused while nothing runs", 20, lambda: own("app.test").get("/").status == 502)
    # Docker gives out the lowest address that is free.
    later, first = sorted(before, key=lambda name: int(before[name].rpartition(".")[2]))
    stack.root(host, f"docker start small-{first}-1 && docker start small-{later}-1")
    took = until("app answers", 20, lambda: own("app.test").get("/").body == "app 0\n")
    assert own("app.test").get("/board").body == "board 0\n"
    after = {name: address_of(host, name) for name in ("app", "board")}
    assert after != before, "the test proves nothing: the addresses are as they were"
    figure("a container has another address: answers after", f"{took:.1f} s")


def reloads(host: Any) -> int:
    return int(stack.root(host, "journalctl -u caddy --no-pager | grep -c 'servers shutting down' || true"))


def test_a_service_that_is_restarted_under_load_answers_everybody(host, figure):
    """Requests wait for the container that comes back, at another address. Caddy is not reloaded for it."""
    before, places = reloads(host), {address_of(host, "app")}
    load = Load(own("app.test"), rate=50)
    with load.running():
        for _number in range(3):
            time.sleep(1)
            # Somebody takes the address that gets free.
            stack.root(host, "docker stop --time 1 small-app-1 && docker restart --time 1 small-board-1")
            stack.root(host, "docker start small-app-1")
            places.add(address_of(host, "app"))
        time.sleep(1)
    figure(
        "requests while their service restarts 3 times",
        f"{load.sent}, {len(load.failures)} failed, {load.again} asked again, the longest took {load.longest:.1f} s",
    )
    assert (load.kinds, load.again) == ({}, 0)
    assert load.sent > 100
    assert reloads(host) == before
    assert stack.root(host, "hypercode edge sync").strip() == "Caddy needs no reload"


# --- reloads ----------------------------------------------------------------------------------------------------------


def test_a_web_socket_stays_open_for_the_drain_time(host, figure):
    opened = WebSocket(own("app.test")).open()
    until("something is heard", 5, lambda: opened.heard)
    began = time.monotonic()
    stack.root(host, "systemctl reload caddy")
    until("it is closed", DRAIN + 5, lambda: opened.closed)
    stayed = opened.closed - began
    figure("a WebSocket stays open after a reload", f"{stayed:.1f} s of {DRAIN} s drain time")
    assert stayed >= DRAIN - 0.5
    assert opened.closed - opened.heard < 1


def test_what_the_edge_adds(host, figure):
    put(host, "/tmp/latency.py", text_of(FILES / "latency.py"))
    direct, through = map(float, stack.root(host, f"python3 /tmp/latency.py {address_of(host, 'app')}").split())
    figure("the edge adds at the median", f"{through - direct:.2f} ms ({direct:.2f} direct, {through:.2f} through it)")
    assert through - direct <= 2


# --- what is wrong ----------------------------------------------------------------------------------------------------


def test_wrong_settings_are_all_reported_and_nothing_is_touched(inventory):
    sites = [
        {**APP, "name": "twice.test"},
        {**APP, "name": "TWICE.test"},
        {"name": "lost.test", "service": "bord", "port": 3000},
        {**APP, "name": "-bad.test"},
    ]
    done = edge(inventory, edge_sites=sites)
    assert done.code != 0
    for words in (
        "has the name twice.test",
        "Did you mean board?",
        "'-bad' is no part of a name",
        "Nothing was changed",
    ):
        assert words in done.output, done.output
    assert own("app.test").get("/").status == 200


def test_what_caddy_does_not_take_leaves_the_running_site(host, inventory):
    before = stack.root(host, "find /etc/hypercode/edge -type f -exec sha256sum {} +")
    site_of_files = {**APP, "certificate": "files", "certificate_file": "/etc/no.crt", "key_file": "/etc/no.key"}
    done = edge(inventory, edge_sites=[site_of_files])
    assert done.code != 0
    assert "/etc/no.crt" in done.output
    assert stack.root(host, "find /etc/hypercode/edge -type f -exec sha256sum {} +") == before
    assert own("app.test").get("/").status == 200


def test_what_was_changed_by_hand_is_predicted_then_put_right(host, inventory):
    stack.root(host, "sed -i 's/max-age=63072000/max-age=1/' /etc/hypercode/edge/Caddyfile && systemctl reload caddy")
    assert own("app.test").get("/").headers["strict-transport-security"] == "max-age=1"
    predicted = edge(inventory, "--check", "--diff")
    assert '+\t\tStrict-Transport-Security "max-age=63072000"' in predicted.output.replace("    +", "+")
    assert "$2b$" not in predicted.output
    done = edge(inventory)
    assert done.code == 0, done.output
    assert done.changes == predicted.changes == [("web1", "edge : Apply the edge")]
    assert own("app.test").get("/").headers["strict-transport-security"] == "max-age=63072000"


# --- certificates from elsewhere --------------------------------------------------------------------------------------


def test_a_real_ca_takes_over_without_a_gap(ca, inventory, figure):
    load = Load(site("app.test"), rate=50)
    before = site("app.test").certificate()
    with load.running():
        done = edge(inventory, **ACME)
    assert done.code == 0, done.output
    figure("requests while a CA takes over", f"{load.sent}, {len(load.failures)} failed, {load.again} asked again")
    assert load.kinds == {}
    assert load.sent > 100
    assert site("app.test").certificate() != before
    for name in ("app.test", "www.app.test", "board.test"):
        assert "Pebble" in site(name, roots=ca).issuer()
    assert edge(inventory, **ACME).changed("web1") == 0


def test_a_name_that_leads_elsewhere_is_refused_before_the_ca_is_asked(ca, inventory):
    before = authority.orders(BED)
    done = edge(inventory, **ACME, edge_sites=[APP, {**APP, "name": LOST}])
    assert done.code != 0
    assert f"The A record of {LOST} is {ELSEWHERE}, which is no address of web1." in done.output, done.output
    assert done.changes == []
    assert site("app.test", roots=ca).get("/").body == "app 0\n"
    assert authority.orders(BED) == before > 0


def test_with_port_80_closed_the_ca_comes_by_tls(ca, host, inventory):
    ports = [{"port": 443}]
    closed = playbook.play(
        "--tags", "firewall", "--extra-vars", json.dumps({"firewall_open_ports": ports}), inventory=inventory
    )
    assert closed.code == 0, closed.output
    sites = [APP, {**APP, "name": "alpn.test"}]
    assert edge(inventory, **ACME, edge_sites=sites, firewall_open_ports=ports).code == 0
    until("the CA gave a certificate", 60, lambda: "Pebble" in site("alpn.test", roots=ca).issuer())
    log = stack.root(host, "journalctl -u caddy --no-pager | grep 'trying to solve' | grep alpn.test | tail -1")
    assert "tls-alpn-01" in log
    opened = playbook.play("--tags", "firewall", inventory=inventory)
    assert opened.code == 0, opened.output


def test_given_files_take_over_without_a_gap_and_are_read_again_when_replaced(host, inventory):
    make = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 9 -subj /CN=given "
        "-addext subjectAltName=DNS:app.test -keyout /etc/ssl/given.key -out /etc/ssl/given.crt 2>/dev/null "
        "&& chgrp caddy /etc/ssl/given.key && chmod 640 /etc/ssl/given.key"
    )
    stack.root(host, make)
    given = {**APP, "certificate": "files", "certificate_file": "/etc/ssl/given.crt", "key_file": "/etc/ssl/given.key"}
    load = Load(site("app.test"), rate=50)
    with load.running():
        done = edge(inventory, **ACME, edge_sites=[given])
    assert done.code == 0, done.output
    assert load.kinds == {}
    first = stack.root(host, "cat /etc/ssl/given.crt")
    assert own_certificate(first) == site("app.test").certificate()
    stack.root(host, make)
    assert edge(inventory, **ACME, edge_sites=[given]).changed("web1") == 1
    assert own_certificate(stack.root(host, "cat /etc/ssl/given.crt")) == site("app.test").certificate()
    assert edge(inventory, **ACME, edge_sites=[given]).changed("web1") == 0


def own_certificate(pem: str) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem)


def test_a_wildcard_comes_through_dns(ca, host, inventory):
    # lego asks the zone's own name server, by its name. On the internet, the host's resolver knows that name.
    stack.root(host, f"echo '{authority.ADDRESS} ns1.test' >> /etc/hosts")
    wild = {**APP, "name": "*.wild.test", "aliases": ["wild.test"], "certificate": "acme_dns"}
    challenge = {
        "provider": "rfc2136",
        "server": authority.ADDRESS,
        "key_name": authority.KEY_NAME,
        "key": "d3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmc=",
        "resolvers": [authority.ADDRESS],
    }
    common = {**ACME, "edge_sites": [APP, wild]}
    tags = ["--tags", "base,edge"]
    refused = playbook.play(
        *tags, "--extra-vars", json.dumps({**common, "edge_dns_challenge": challenge}), inventory=inventory
    )
    assert refused.code != 0
    assert "No certificate for *.wild.test, wild.test through DNS" in refused.output, refused.output
    assert site("app.test").get("/").status == 200
    assert "dns.env" not in stack.root(host, "ls /etc/hypercode/edge")
    challenge["key"] = authority.key(BED)
    words = ["--extra-vars", json.dumps({**common, "edge_dns_challenge": challenge})]
    done = playbook.play(*tags, *words, inventory=inventory)
    assert done.code == 0, done.output
    assert authority.key(BED) not in done.output
    for name in ("any.wild.test", "wild.test"):
        assert "Pebble" in site(name, roots=ca).issuer()
        assert site(name, roots=ca).get("/").body == "app 0\n"
    assert playbook.play(*tags, *words, inventory=inventory).changed("web1") == 0


def test_back_to_the_hosts_own_ca(inventory, figure):
    load = Load(site("app.test"), rate=50)
    with load.running():
        done = edge(inventory)
    assert done.code == 0, done.output
    failed = len(load.failures)
    figure("requests while the own CA takes over", f"{load.sent}, {failed} failed, {load.again} asked again")
    # Caddy 2.11 lets go of a certificate a moment before it has the next: a handshake that comes just then is refused
    # (seen: 1 in some hundred, in one run of three). How many, is told; more than that is a fault.
    assert all("TLSV1_ALERT_INTERNAL_ERROR" in kind for kind in load.kinds), load.kinds
    assert failed <= 2, load.kinds
    assert "Caddy Local Authority" in own("app.test").issuer()


# --- the end --------------------------------------------------------------------------------------------------------


def test_after_a_reboot_each_name_leads_to_its_own_service(host, figure):
    began = time.monotonic()
    hosts.reboot(BED, "web1")
    until("app answers", 90, lambda: own("app.test").get("/").body == "app 0\n")
    until("board answers", 30, lambda: own("app.test").get("/board").body == "board 0\n")
    figure("after a reboot the sites answer within", f"{time.monotonic() - began:.0f} s")


def test_it_can_be_taken_away(host, inventory):
    remove = "molecule/tls/remove.yml"
    predicted = playbook.play("--check", inventory=inventory, playbook=remove)
    done = playbook.play(inventory=inventory, playbook=remove)
    assert done.code == 0, done.output
    assert done.changes == predicted.changes
    left = stack.root(host, "ls -d /etc/hypercode/edge /etc/systemd/system/caddy* /usr/local/bin/caddy 2>&1", ok=False)
    assert "No such file" in left
    assert [line for line in left.splitlines() if line.startswith("/")] == []
    assert stack.root(host, "ss -tln | grep -c ':443 '", ok=False).strip() == "0"
    assert playbook.play(inventory=inventory, playbook=remove).changed("web1") == 0
