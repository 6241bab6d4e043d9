"""A renewal rehearsed with a real CA and a real Caddy: what passes, what fails, and that what runs is left alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import cli
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates import rehearsal, token
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates import rehearse as rehearse_file
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.caddy import (
    CaddyError,
    RunningCaddy,
)
from ansible_collections.hypercode.deploy.plugins.plugin_utils.acme_network import fetch_within
from fakes.acme_lab import AcmeLab, acme_lab, missing
from fakes.certificates import want

pytestmark = [
    pytest.mark.playbook,
    pytest.mark.skipif(bool(missing()), reason=f"not installed: {missing()}"),
]
APP, WWW, BAD, WILD = "app.example.com", "www.example.com", "bad.example.com", "*.wild.example.com"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AcmeLab]:
    with acme_lab(tmp_path_factory.mktemp("lab"), APP, WWW) as made:
        made.resolves_to_nothing(BAD)
        yield made


def kept(lab: AcmeLab) -> dict[Path, tuple[int, bytes]]:
    """Everything in the storage of the running Caddy but its locks, with the time of each file."""
    files = [path for path in lab.paths.storage.rglob("*") if path.is_file() and "locks" not in path.parts]
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def test_it_passes_and_leaves_what_runs_alone(lab: AcmeLab) -> None:
    before = kept(lab)
    results = rehearsal.rehearse(lab.caddy(), [WWW, APP], timeout=30)
    assert [(result.name, result.passed, result.message) for result in results] == [(WWW, True, ""), (APP, True, "")]
    assert kept(lab) == before
    # It was the running Caddy that answered, not the second one.
    assert '"distributed":true' in (lab.folder / "caddy.log").read_text()


class WithoutEmail(RunningCaddy):
    """The running Caddy, as if no address were set to which the CA writes."""

    def config(self) -> dict[str, Any]:
        config = super().config()
        for policy in config["apps"]["tls"]["automation"]["policies"]:
            for issuer in policy["issuers"]:
                issuer.pop("email")
        return config


@pytest.mark.parametrize("_time", range(3))
def test_names_do_not_fight_over_an_account_without_an_address(lab: AcmeLab, _time: int) -> None:
    caddy = WithoutEmail(**vars(lab.caddy()))
    results = rehearsal.rehearse(caddy, [APP, WWW], timeout=30)
    assert [(result.passed, result.message) for result in results] == [(True, "")] * 2


def test_what_fails_says_where_and_what_to_do(lab: AcmeLab) -> None:
    app, bad, wild = rehearsal.rehearse(lab.caddy(), [APP, BAD, WILD], timeout=30)
    assert app.passed
    assert (bad.passed, bad.step) == (False, "challenge")
    assert "Check the A and AAAA records of bad.example.com" in bad.fix
    assert (wild.passed, wild.step) == (False, "challenge")
    assert "certificate: acme_dns" in wild.fix


def test_it_does_not_disturb_a_challenge_that_is_under_way(lab: AcmeLab) -> None:
    (folder,) = lab.paths.storage.glob("acme/*/challenge_tokens")
    token = folder / f"{APP}.json"
    token.write_text("{}")
    try:
        (result,) = rehearsal.rehearse(lab.caddy(), [APP], timeout=30)
        assert (result.passed, "about to get this very certificate" in result.message) == (False, True)
        assert token.read_text() == "{}"
    finally:
        token.unlink()


def test_as_the_operator_types_it(
    lab: AcmeLab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rehearse_file, "find_caddy", lambda _paths: lab.caddy())
    want(lab.folder, {"name": APP}, {"name": "own.example.com", "mode": "internal"})
    host = cli.Host(certificates=lab.paths)
    assert cli.main(["certificates"], host) == 1
    assert "certificates: 1 of 2 in order" in capsys.readouterr().out
    assert cli.main(["certificates", "rehearse"], host) == 0
    assert capsys.readouterr().out == f"renewal rehearsed: 1 of 1 passed\npassed  {APP}\n"
    assert cli.main(["certificates", "rehearse", "--json", APP], host) == 0
    assert json.loads(capsys.readouterr().out)[0]["passed"] is True
    assert cli.main(["certificates", "rehearse", "own.example.com"], host) == 1
    assert f"Fix: use one of these: {APP}" in capsys.readouterr().err


def test_when_the_ca_is_down(lab: AcmeLab) -> None:
    lab.stop("acme")
    try:
        (result,) = rehearsal.rehearse(lab.caddy(), [APP], timeout=30)
        assert (result.passed, result.step) == (False, "reach the CA")
        assert "connection refused" in result.message
        assert lab.directory in result.fix
    finally:
        lab.start_ca()


def test_when_it_takes_too_long_nothing_is_left(lab: AcmeLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (result,) = rehearsal.rehearse(lab.caddy(), [APP], timeout=0.05)
    assert (result.passed, "not through after 0 s" in result.message) == (False, True)
    assert list(tmp_path.iterdir()) == []


def test_caddy_gives_out_a_token_as_it_does_for_a_ca(lab: AcmeLab) -> None:
    # On a busy machine Caddy may leave the file of its own challenge; then that name is asked as another host.
    for left in lab.paths.storage.glob("acme/*/challenge_tokens/*.json"):
        left.unlink()
    before = kept(lab)
    text = token.new_token()
    # new.example.com is not in its configuration yet: that is when one wants to know.
    placed = token.place(lab.caddy(), text, [APP, "new.example.com"])
    assert placed.asked_as == {APP: APP, "new.example.com": "new.example.com"}
    fetch = fetch_within(5)
    for name in (APP, "new.example.com"):
        answer = fetch("127.0.0.1", lab.ports["http"], name, f"{token.PATH}{text}")
        assert answer.body == token.proof_of(text), answer
    assert fetch("127.0.0.1", lab.ports["http"], "other.example.com", f"{token.PATH}{text}").body == ""
    token.take_away([*placed.files, "/etc/hostname"], text, lab.caddy())
    assert kept(lab) == before
    assert Path("/etc/hostname").exists()


def test_without_a_running_caddy(lab: AcmeLab) -> None:
    caddy = lab.caddy()
    lab.stop("caddy")
    with pytest.raises(CaddyError, match=r"does not answer.*Fix: "):
        rehearsal.rehearse(caddy, [APP])
    lab.start_caddy()
