"""A renewal through DNS, rehearsed: what lego is asked, and what its errors mean. For real: molecule/tls."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.rehearsal_dns import rehearse_dns
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.rehearsal_log import Rehearsed
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.rehearse import rehearse_names
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.wanted import Paths, read_wanted
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.x509 import CertificateError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import (
    NOT_FOUND,
    TIMED_OUT,
    CommandResult,
)
from fakes.certificates import want

WILD, APEX = "*.example.com", "example.com"
CA = "https://acme-v02.api.letsencrypt.org/directory"
KEY = "TSIG-secret-canary"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host whose sites come through DNS."""
    folder = tmp_path / "etc/hypercode/edge"
    folder.mkdir(parents=True)
    about = {"acme_ca": CA, "acme_email": "", "dns_provider": "rfc2136", "dns_resolvers": ["192.0.2.53"]}
    (folder / "edge.json").write_text(json.dumps(about))
    (folder / "dns.env").write_text(f"# comment\nRFC2136_NAMESERVER=192.0.2.53\nRFC2136_TSIG_SECRET={KEY}\n")
    return tmp_path


def rehearsed(root: Path, result: CommandResult, **options: Any) -> tuple[list[Rehearsed], list[str], dict[str, str]]:
    """The results, the words of the command and its environment, when it ends so."""
    seen: list[Any] = []

    def run(argv: Sequence[str], *, timeout: float, environment: dict[str, str]) -> CommandResult:
        folder = Path(environment["HOME"])
        assert folder.is_dir()
        seen.append((list(argv), environment, folder, timeout))
        return result

    found = rehearse_dns(Paths(root), [[WILD, APEX]], run=run, user="", **options)
    ((words, environment, folder, _timeout),) = seen
    assert not folder.exists()
    assert KEY not in " ".join(words)
    return found, words, environment


def test_it_passes(root: Path) -> None:
    results, words, environment = rehearsed(root, CommandResult(0, "", ""))
    assert [(one.name, one.passed) for one in results] == [(WILD, True), (APEX, True)]
    text = " ".join(words)
    assert "--server https://acme-staging-v02.api.letsencrypt.org/directory" in text
    assert "--dns rfc2136 --domains *.example.com --domains example.com --dns.resolvers 192.0.2.53 run" in text
    assert "--email hostmaster@example.com" in text
    assert (environment["RFC2136_TSIG_SECRET"], "LEGO_CA_CERTIFICATES" in environment) == (KEY, False)


def test_another_directory_and_a_root_of_the_own_ca(root: Path) -> None:
    (root / "etc/hypercode/edge/acme-root.pem").write_text("x")
    _results, words, environment = rehearsed(root, CommandResult(0, "", ""), ca="https://ca.example/dir")
    assert "https://ca.example/dir" in words
    assert environment["LEGO_CA_CERTIFICATES"].endswith("/acme-root.pem")


@pytest.mark.parametrize(
    ("said", "step", "fix"),
    [
        (
            f"2026/11/24 18:00:00 [{WILD}] [{WILD}] acme: error presenting token: rfc2136: NOTAUTH {KEY}",
            "challenge",
            "zone",
        ),
        (f"[{WILD}] acme: error: 403 :: urn:ietf:params:acme:error:caa :: CAA record", "challenge", "A CAA record"),
        (
            "2026/11/24 18:00:00 Could not create client: get directory at 'x': connection refused",
            "reach the CA",
            "curl",
        ),
        ("acme: error: 429 :: urn:ietf:params:acme:error:rateLimited :: too many", "order", "limit is used up"),
    ],
)
def test_why_it_failed(root: Path, said: str, step: str, fix: str) -> None:
    result = rehearsed(root, CommandResult(1, f"2026/11/24 18:00:00 [INFO] begin\n{said}\n", ""))[0][0]
    assert (result.passed, result.step) == (False, step)
    assert fix in result.fix
    assert KEY not in result.message
    assert "2026/11/24" not in result.message


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (CommandResult(NOT_FOUND, "", "lego: command not found"), "lego is not installed"),
        (CommandResult(TIMED_OUT, "", "lego did not end"), "not through after 120 s"),
        (CommandResult(1, "", ""), "lego said nothing"),
    ],
)
def test_when_lego_says_nothing(root: Path, ended: CommandResult, words: str) -> None:
    assert words in rehearsed(root, ended)[0][0].message


@pytest.mark.parametrize("text", [None, "{", "[]"])
def test_without_the_settings_of_the_host(root: Path, text: str | None) -> None:
    path = root / "etc/hypercode/edge/edge.json"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(CertificateError, match=r"edge.json.*Fix: run site.yml again"):
        rehearse_dns(Paths(root), [[WILD]], user="")


def test_each_name_goes_to_the_program_that_renews_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = "ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.rehearse"
    want(
        root,
        {"name": "a.example.com"},
        {"name": WILD, "names": [WILD, APEX], "mode": "acme_dns"},
        {"name": "own.example.com", "mode": "internal"},
    )
    asked: list[Any] = []

    def answer(names: Sequence[str], kind: str) -> list[Rehearsed]:
        asked.append((kind, list(names)))
        return [Rehearsed(name, True, "done") for name in names]

    monkeypatch.setattr(f"{module}.find_caddy", lambda _paths: None)
    monkeypatch.setattr(f"{module}.rehearse", lambda _caddy, names, **_o: answer(names, "http"))
    monkeypatch.setattr(f"{module}.rehearse_dns", lambda _paths, sites, **_o: answer(list(chain(*sites)), "dns"))
    wanted = read_wanted(Paths(root).wanted) or []
    assert [one.name for one in rehearse_names(Paths(root), wanted)] == ["a.example.com", WILD, APEX]
    assert asked == [("http", ["a.example.com"]), ("dns", [WILD, APEX])]
    assert [one.name for one in rehearse_names(Paths(root), wanted, [APEX])] == [APEX]
    with pytest.raises(CertificateError, match=r"Fix: use one of these: a[.]example"):
        rehearse_names(Paths(root), wanted, ["own.example.com"])
