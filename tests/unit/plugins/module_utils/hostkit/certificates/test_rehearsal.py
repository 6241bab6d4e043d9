"""The configuration of a rehearsal, and what its log means. The whole of it, for real: test_rehearsal_lab.py."""

from __future__ import annotations

import json
import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates import directories
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.caddy import CaddyError, find_caddy
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.directories import LETS_ENCRYPT
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.rehearsal import (
    Issuer,
    rehearsal_config,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.rehearsal_log import (
    LogReader,
    Rehearsed,
    render_rehearsal,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.wanted import Paths
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.caddy import Caddy
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.layout import Paths as EdgePaths
from hypothesis import given
from hypothesis import strategies as st

APP = "app.example.com"
SOLVING = f"solving challenge: {APP}: [{APP}] authorization failed:"
STAGING = "https://acme-staging-v02.api.letsencrypt.org/directory"
DNS = {"provider": {"name": "rfc2136", "server": "192.0.2.53", "key": "canary"}}


def made(policies: list[dict[str, Any]] | None, ca: str = "") -> tuple[list[dict[str, Any]], list[Issuer]]:
    """The policies of the second Caddy, and its CAs."""
    running: dict[str, Any] = {"apps": {"tls": {"automation": {"policies": policies}}}} if policies is not None else {}
    before = json.dumps(running)
    config, issuers = rehearsal_config(
        running, [APP], Path("/tmp/x"), (8001, 8002), lambda directory: ca or directories.test_directory(directory)
    )
    assert json.dumps(running) == before
    assert config["apps"]["tls"]["certificates"]["automate"] == [APP]
    assert config["storage"]["root"] == "/tmp/x"
    assert config["admin"]["disabled"] is True
    found: list[dict[str, Any]] = config["apps"]["tls"]["automation"]["policies"]
    return found, issuers


def test_without_settings_it_is_the_test_directory_of_lets_encrypt() -> None:
    policies, issuers = made(None)
    assert issuers == [Issuer(LETS_ENCRYPT, STAGING)]
    challenges = policies[0]["issuers"][0]["challenges"]
    assert challenges == {
        "bind_host": "127.0.0.1",
        "http": {"alternate_port": 8001},
        "tls-alpn": {"alternate_port": 8002},
    }


def test_the_settings_of_each_site_are_kept() -> None:
    dns = {"module": "acme", "ca": LETS_ENCRYPT, "email": "a@example.com", "challenges": {"dns": DNS}}
    own = {"module": "acme", "ca": "https://ca.example/dir", "trusted_roots_pem_files": ["/etc/root.pem"]}
    policies, issuers = made(
        [
            {
                "subjects": ["*.example.com"],
                "issuers": [dns],
                "key_type": "p384",
                "storage": {"root": "/var/lib/caddy"},
            },
            {"subjects": ["own.example.com"], "issuers": [{"module": "internal"}]},
            {"issuers": [own], "on_demand": True},
        ]
    )
    assert [policy.get("subjects") for policy in policies] == [["*.example.com"], None]
    assert policies[0]["key_type"] == "p384"
    assert not {"storage", "on_demand"} & {key for policy in policies for key in policy}
    first, second = (policy["issuers"][0] for policy in policies)
    assert (first["ca"], first["email"], first["challenges"]["dns"]) == (STAGING, "a@example.com", DNS)
    # A CA of which no test directory is known is asked itself.
    assert (second["ca"], second["trusted_roots_pem_files"]) == ("https://ca.example/dir", ["/etc/root.pem"])
    assert issuers == [Issuer(LETS_ENCRYPT, STAGING), Issuer("https://ca.example/dir", "https://ca.example/dir")]


def test_another_directory_can_be_asked() -> None:
    policies, issuers = made([{"issuers": [{"module": "acme"}]}], "https://test.example/dir")
    assert policies[0]["issuers"][0]["ca"] == "https://test.example/dir"
    assert issuers == [Issuer(LETS_ENCRYPT, "https://test.example/dir")]


def test_a_host_with_its_own_ca_only_has_nobody_to_ask() -> None:
    assert made([{"issuers": [{"module": "internal"}]}]) == ([], [])


def read(*lines: dict[str, str] | str) -> Rehearsed:
    """What becomes of one name when Caddy says these lines."""
    reader = LogReader([APP], [STAGING], 9)
    for line in lines:
        reader.feed(line if isinstance(line, str) else json.dumps(line))
    (result,) = reader.results()
    return result


def failed(error: str) -> Rehearsed:
    return read({"level": "error", "msg": "will retry", "error": f"[{APP}] Obtain: [{APP}] {error} (ca={STAGING})"})


@pytest.mark.parametrize(
    ("error", "step", "fix"),
    [
        (
            f"{SOLVING} HTTP 403 urn:ietf:params:acme:error:unauthorized - x",
            "challenge",
            "another server answers",
        ),
        (
            f"{SOLVING} HTTP 400 urn:ietf:params:acme:error:connection - x",
            "challenge",
            "port 80 is open to all",
        ),
        (
            f"{SOLVING} HTTP 403 urn:ietf:params:acme:error:caa - x",
            "challenge",
            "A CAA record",
        ),
        (
            "creating new order: attempt 1: HTTP 429 urn:ietf:params:acme:error:rateLimited - x",
            "order",
            "limit is used up",
        ),
        (
            "registering account [] with server: HTTP 429 urn:ietf:params:acme:error:rateLimited - x",
            "order",
            "limit is used up",
        ),
        ("creating new order: HTTP 400 urn:ietf:params:acme:error:rejectedIdentifier - x", "order", "another name"),
        (
            "registering account [] with server: provisioning client: connection refused",
            "reach the CA",
            f"curl -sS {STAGING}",
        ),
        (
            "registering account: provisioning client: x509: certificate signed by unknown authority",
            "reach the CA",
            "ca_root",
        ),
        (
            "provisioning client: tls: x509: certificate has expired or is not yet valid: current time 2020",
            "reach the CA",
            "timedatectl",
        ),
        (
            "solving challenges: presenting for challenge: adding temporary record: NOTAUTH",
            "challenge",
            "dns_challenge",
        ),
        ("finalizing order x: HTTP 500 urn:ietf:params:acme:error:serverInternal - x", "issue", "fault of its own"),
        ("something that nobody has seen before", "order", "Read what the CA says"),
    ],
)
def test_why_it_failed(error: str, step: str, fix: str) -> None:
    result = failed(error)
    assert (result.passed, result.step) == (False, step)
    assert fix in result.fix
    assert "{" not in result.fix
    assert error.rsplit(": ", maxsplit=1)[-1] in result.message


def test_it_passes_even_when_an_attempt_before_it_failed() -> None:
    challenge = {"level": "error", "msg": "challenge failed", "identifier": APP}
    assert read(challenge, {"msg": "certificate obtained successfully", "identifier": APP}) == Rehearsed(
        APP, True, "done"
    )


def test_what_another_name_does_counts_for_that_one() -> None:
    other = {"level": "error", "msg": "will retry", "error": f"[www.{APP}] Obtain: no"}
    solving = {"msg": "trying to solve challenge", "identifier": APP}
    assert read(other, solving).step == "challenge"
    assert read(other).step == "reach the CA"


def test_a_caddy_that_ends_at_once_says_why() -> None:
    reader = LogReader([APP], [STAGING], 9)
    for line in ('{"level":"info","msg":"using config from stdin"}', "Error: loading config: unknown module: dns.x\n"):
        reader.feed(line)
    reader.ended()
    assert "unknown module: dns.x" in reader.results()[0].message


@given(line=st.text() | st.recursive(st.none() | st.text(), lambda x: st.dictionaries(st.text(), x)).map(json.dumps))
def test_no_line_breaks_it(line: str) -> None:
    reader = LogReader([APP], [STAGING], 9)
    reader.feed(line)
    assert not reader.is_done


def test_what_a_person_reads() -> None:
    results = [Rehearsed(APP, True, "done"), Rehearsed("b.example.com", False, "challenge", "why", "Do this.")]
    assert render_rehearsal(results).splitlines() == [
        "renewal rehearsed: 1 of 2 passed",
        f"passed  {APP}",
        "FAILED  b.example.com",
        "    step: challenge",
        "    why",
        "    Fix: Do this.",
    ]


def test_a_process_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(CaddyError, match=r"has just ended.*Fix: journalctl -u caddy"):
        find_caddy(Paths(tmp_path), 1, proc=tmp_path)


def test_caddy_is_asked_without_the_name_of_a_host(tmp_path: Path) -> None:
    """Caddy 2.6 answers others with 403."""
    paths = Paths(tmp_path)
    (tmp_path / "run/caddy").mkdir(parents=True)
    heads: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "run/caddy/admin.socket"))
        listening.listen()

        def answer() -> None:
            for _time in range(2):
                with listening.accept()[0] as one:
                    heads.append(one.recv(4096))
                    one.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

        thread = threading.Thread(target=answer)
        thread.start()
        assert find_caddy(paths, os.getpid()).config() == {}
        assert Caddy("caddy", EdgePaths(tmp_path)).running() == {}
        thread.join(5)
    assert [b"\r\nHost: \r\n" in head for head in heads] == [True, True]
