"""The look of a CA at a host: real ports on the loopback, a real name server, and the module as it runs on the host."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.hypercode.deploy.plugins.action import acme_preflight as action_file
from ansible_collections.hypercode.deploy.plugins.action.acme_preflight import ActionModule
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates import token
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.caddy import CaddyError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.wanted import Paths
from ansible_collections.hypercode.deploy.plugins.modules import acme_preflight as module
from ansible_collections.hypercode.deploy.plugins.plugin_utils.acme_network import (
    fetch_within,
    lookup_at_owners,
    lookup_with,
)
from ansible_collections.hypercode.deploy.plugins.plugin_utils.acme_reach import NO_WAY, REFUSED, LookupFailedError
from ansible_collections.hypercode.deploy.plugins.plugin_utils.role_specs import trusted
from fakes.acme_lab import acme_lab, caddy_program, free_ports
from fakes.certificates import DAY, issue, keep, want

APP = "app.example.com"


class NameServer:
    """Answers questions over UDP with `records`; fails for names in `broken`."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], list[str]] = {}
        self.broken: set[str] = set()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._is_over = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._is_over:
            data, peer = self._socket.recvfrom(4096)
            if not data:
                continue
            question = dns.message.from_wire(data)
            answer = dns.message.make_response(question)
            answer.flags |= dns.flags.RA
            asked = question.question[0]
            name, kind = str(asked.name).rstrip("."), dns.rdatatype.to_text(asked.rdtype)
            if name in self.broken:
                answer.set_rcode(dns.rcode.SERVFAIL)
            elif values := self.records.get((name, kind)):
                answer.answer.append(dns.rrset.from_text(asked.name, 60, "IN", kind, *values))
            elif values := self.records.get((name, "CNAME")):
                # As one that knows nothing of where it leads.
                answer.answer.append(dns.rrset.from_text(asked.name, 60, "IN", "CNAME", *values))
            elif not any(known == name for known, _kind in self.records):
                answer.set_rcode(dns.rcode.NXDOMAIN)
            self._socket.sendto(answer.to_wire(), peer)

    def close(self) -> None:
        self._is_over = True
        # Without a word it would wait for one for ever.
        self._socket.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    made = NameServer()
    monkeypatch.setattr(action_file, "make_lookup", lambda servers: lookup_with(servers or ["127.0.0.1"], made.port))
    monkeypatch.setattr(
        action_file, "make_again", lambda usual, _servers: lookup_at_owners(usual, ["127.0.0.1"], made.port, made.port)
    )
    yield made
    made.close()


class Run:
    """The action against this machine, with the module run in this process."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ports = free_ports(2)
        self.proof: dict[str, Any] = {}
        self.clock_ahead = 0.0

    def __call__(self, *names: str, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        sites = [{"name": name, "names": [name], "mode": "acme"} for name in names]
        options = {"sites": sites, "http_port": self.ports[0], "https_port": self.ports[1], **options}
        loader = DataLoader()
        templar = Templar(loader=loader, variables={})
        args = {
            name: ActionModule.finalize_task_arg(name, trusted(value), templar, None) for name, value in options.items()
        }
        task = MagicMock(args=args, async_val=0, check_mode=check_mode)
        action = ActionModule(task, MagicMock(), MagicMock(), loader, templar, MagicMock())
        action._execute_module = self._module
        result: dict[str, Any] = action.run(
            task_vars={"inventory_hostname": "web1", "ansible_host": "127.0.0.1", "check": check_mode}
        )
        assert result["changed"] is False
        return result

    def _module(self, *, module_name: str, module_args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        assert module_name == "hypercode.deploy.acme_preflight"
        if module_args["phase"] == "close":
            module.close_down(Paths(self.root), module_args["token"])
            return {"changed": False}
        opened = module.open_up(Paths(self.root), module_args, check_mode=task_vars["check"])
        self.proof = opened["token"]
        return {**opened, "clock": opened["clock"] + self.clock_ahead, "invocation": {}}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made = Run(tmp_path)
    yield made
    if made.proof:
        module.close_down(Paths(tmp_path), made.proof)


def rules(result: dict[str, Any]) -> list[str]:
    return [finding["rule"].removeprefix("acme-") for finding in result["findings"]]


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_all_is_well_and_the_listener_is_gone(run: Run, server: NameServer) -> None:
    server.records = {(APP, "A"): ["127.0.0.1"], ("www.example.com", "A"): ["127.0.0.1"]}
    result = run(APP, "www.example.com")
    assert (rules(result), result["names"]) == ([], [APP, "www.example.com"])
    assert run.proof["ports"] == run.ports
    assert is_gone(run.proof["pid"])


def test_everything_at_once_and_no_ca_is_asked(run: Run, server: NameServer) -> None:
    server.records = {
        (APP, "A"): ["127.0.0.1", "192.0.2.9"],
        (APP, "AAAA"): ["2001:db8::dead"],
        ("example.com", "CAA"): ['0 issue "other.example"'],
    }
    server.broken = {"broken.example.org"}
    run.clock_ahead = 86_400
    result = run(APP, "none.example.org", "broken.example.org", caa_identities=["ca.example"])
    assert result["failed"] is True
    assert rules(result) == ["clock", "address", "address", "caa", "address", "lookup"]
    outcome = "No CA was asked for a certificate of web1, and its sites go on as they were: 6 problems.\n- "
    assert result["msg"].startswith(outcome)
    assert f"The A record of {APP} is 192.0.2.9" in result["msg"]
    assert is_gone(run.proof["pid"])
    told = run(APP, fail_on_findings=False)
    assert "failed" not in told
    assert len(told["warnings"]) == len(told["findings"]) == 4


def test_a_listener_of_another_program(run: Run, server: NameServer) -> None:
    server.records = {(APP, "A"): ["127.0.0.1"]}
    with socket.create_server(("127.0.0.1", run.ports[0])):
        result = run(APP)
    assert rules(result) == ["port-taken"]
    assert is_gone(run.proof["pid"])


def test_it_asks_nobody_where_there_is_a_certificate(run: Run, server: NameServer, tmp_path: Path) -> None:
    now = time.time()
    keep(tmp_path, APP, issue(begin=now - 80 * DAY, end=now + DAY))
    result = run(APP, ca="https://ca.example/dir")
    assert (result["names"], result["findings"], run.proof) == ([], [], {})
    # Another CA is going to be asked for one of its own.
    assert run(APP, ca="https://other.example/dir", check_mode=True, fail_on_findings=False)["names"] == [APP]
    keep(tmp_path, APP, issue(begin=now - 80 * DAY, end=now - DAY))
    assert run(APP, check_mode=True, fail_on_findings=False)["names"] == [APP]


@pytest.mark.skipif(caddy_program() is None, reason="not installed: caddy")
def test_caddy_serves_the_name_with_its_own_ca_until_now(
    run: Run, server: NameServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers no challenge for such a name: that must not look like another server."""
    server.records = {(name, "A"): ["127.0.0.1"] for name in (APP, "new.example.com")}
    with acme_lab(tmp_path, APP, internal=True) as lab:
        want(tmp_path, {"name": APP, "mode": "internal"})
        monkeypatch.setattr(module, "find_caddy", lambda _paths: lab.caddy())
        run.ports = [lab.ports["http"], lab.ports["https"]]
        result = run(APP, "new.example.com")
        assert (rules(result), result["names"]) == ([], [APP, "new.example.com"])
        assert run.proof["asked_as"][APP] != APP
        assert run.proof["asked_as"]["new.example.com"] == "new.example.com"
        assert run.proof["shown"]["name"] == APP
        # Nothing of it is left.
        assert list(tmp_path.rglob("challenge_tokens/*")) == []
        # Another server, behind the same address.
        monkeypatch.setattr(module, "open_up", elsewhere(module.open_up))
        assert rules(run(APP)) == ["other-server", "other-server"]


def elsewhere(open_up: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """As if the token and the certificate were those of a host that nobody gets to."""

    def opened(*args: Any, **options: Any) -> dict[str, Any]:
        answer = open_up(*args, **options)
        return {**answer, "token": {**answer["token"], "proof": "x", "shown": {"name": APP, "digest": "x"}}}

    return opened


def test_check_mode_puts_nothing_on_the_host(run: Run, server: NameServer) -> None:
    server.records = {(APP, "A"): ["127.0.0.1"]}
    result = run(APP, check_mode=True)
    assert (rules(result), run.proof, result["names"]) == ([], {}, [APP])


def test_sites_that_ask_no_ca(run: Run) -> None:
    result = run(sites=[{"name": APP, "mode": "internal"}, {"name": "b.example.com", "mode": "files"}])
    assert (result["names"], result["findings"]) == ([], [])


def test_options_that_cannot_be_used(run: Run) -> None:
    result = run(sites="{{ edge_nothing }}")
    assert (result["failed"], set(rules(result))) == (True, {"option"})
    result = run(APP, addresses=["198.51.100.7", "app.example.com"], resolvers=["192.0.2.53:5353"])
    assert [finding["name"] for finding in result["findings"]] == ["edge_public_addresses", "edge_acme_resolvers"]


def test_the_caddy_of_a_package_before_its_first_settings(
    run: Run, server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds port 80, and its admin endpoint is not ours: no reason to warn anybody."""

    def not_ours(_paths: Paths) -> None:
        raise CaddyError("Caddy's admin endpoint does not answer. Fix: run site.yml again")

    server.records = {(APP, "A"): ["127.0.0.1"]}
    monkeypatch.setattr(module, "find_caddy", not_ours)
    monkeypatch.setattr(module, "holders", lambda _ports: {str(run.ports[0]): {"name": "caddy", "unit": ""}})
    with socket.create_server(("127.0.0.1", run.ports[0])):
        result = run(APP)
    assert (rules(result), result["warnings"], run.proof["ports"]) == ([], [], [run.ports[1]])


def test_the_listener_ends_by_itself_and_answers_nothing_else() -> None:
    port = free_ports(1)[0]
    text = token.new_token()
    pid = token.listen([port], text, 0.7)
    fetch = fetch_within(2)
    assert fetch("127.0.0.1", port, APP, f"{token.PATH}{text}").body == token.proof_of(text)
    for path in (token.PATH, f"{token.PATH}{text}x", "/etc/passwd", f"{token.PATH}../../etc/passwd"):
        answer = fetch("127.0.0.1", port, APP, path)
        assert (answer.body, answer.server) == ("", "status 404")
    token.end(pid, token.new_token())  # That of somebody else is left alone.
    assert not is_gone(pid)
    until = time.monotonic() + 5
    while fetch("127.0.0.1", port, APP, "").outcome != REFUSED:
        assert time.monotonic() < until
        time.sleep(0.05)
    token.end(pid, text)


def test_a_port_that_nobody_serves_and_an_address_without_a_way() -> None:
    fetch = fetch_within(1)
    assert fetch("127.0.0.1", free_ports(1)[0], APP, "/").outcome == REFUSED
    # Nobody can connect to all: the kernel says at once that there is no way.
    assert fetch("255.255.255.255", 80, APP, "/").outcome == NO_WAY


def test_the_servers_of_a_zone_know_what_a_resolver_does_not_yet(server: NameServer) -> None:
    owner = NameServer()
    server.records = {
        ("example.com", "SOA"): ["ns.example.com. a.example.com. 1 60 60 60 60"],
        ("example.com", "NS"): ["ns.example.com."],
        ("ns.example.com", "A"): ["127.0.0.1"],
        ("old.example.com", "A"): ["192.0.2.1"],
    }
    owner.records = {
        (APP, "A"): ["127.0.0.1"],
        ("www.example.com", "CNAME"): [f"{APP}."],
        ("old.example.com", "A"): ["127.0.0.1"],
    }
    try:
        usual = lookup_with(["127.0.0.1"], server.port)
        fresh = lookup_at_owners(usual, ["127.0.0.1"], server.port, owner.port)
        assert list(usual(APP, "A")) == []
        for name in (APP, "www.example.com", "old.example.com"):
            assert list(fresh(name, "A")) == ["127.0.0.1"], name
        assert (list(fresh(APP, "AAAA")), list(fresh("none.example.com", "A"))) == ([], [])
    finally:
        owner.close()
    # Nobody answers there any more: what the resolver says is left.
    left = lookup_at_owners(usual, ["127.0.0.1"], server.port, owner.port)
    assert list(left("old.example.com", "A")) == ["192.0.2.1"]


def test_what_a_name_server_says(server: NameServer) -> None:
    server.records = {(APP, "A"): ["192.0.2.1", "192.0.2.2"], (APP, "CAA"): ['0 issue "ca.example; x=y"']}
    server.broken = {"broken.example.com"}
    lookup = lookup_with(["127.0.0.1"], server.port)
    assert sorted(lookup(APP, "A")) == ["192.0.2.1", "192.0.2.2"]
    assert list(lookup(APP, "CAA")) == ['0 issue "ca.example; x=y"']
    assert (list(lookup(APP, "AAAA")), list(lookup("none.example.com", "A"))) == ([], [])
    for _again in range(2):
        with pytest.raises(LookupFailedError, match="the name servers fail for it"):
            lookup("broken.example.com", "A")
