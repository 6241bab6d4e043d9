"""A certificate replaced now, with a real CA and a real Caddy: what is served, what is kept, what a failure leaves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import cli
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates import replace
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.caddy import CaddyError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.bridge import first_certificate, served
from fakes.acme_lab import AcmeLab, acme_lab, missing
from fakes.certificates import want

pytestmark = [
    pytest.mark.playbook,
    pytest.mark.skipif(bool(missing()), reason=f"not installed: {missing()}"),
]
APP, WWW = "app.example.com", "www.example.com"


class Restarts(list[str]):
    """Restarts the Caddy of the lab in place of systemd, and counts."""

    def __init__(self, lab: AcmeLab) -> None:
        self.lab = lab

    def __call__(self) -> None:
        self.append("restart")
        self.lab.stop("caddy")
        self.lab.start_caddy()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AcmeLab]:
    with acme_lab(tmp_path_factory.mktemp("lab"), APP, WWW) as made:
        want(made.folder, {"name": APP, "names": [APP, WWW]}, {"name": "own.example.com", "mode": "internal"})
        yield made


@pytest.fixture
def restarts(lab: AcmeLab, monkeypatch: pytest.MonkeyPatch) -> Restarts:
    made = Restarts(lab)
    monkeypatch.setattr(replace, "find_caddy", lambda _paths: lab.caddy())
    monkeypatch.setattr(replace, "restart_caddy", made)
    return made


def stored(lab: AcmeLab, name: str) -> tuple[Path, Path]:
    """Certificate and key of a name, where Caddy keeps them."""
    (folder,) = lab.paths.storage.glob(f"certificates/*/{name}")
    return folder / f"{name}.crt", folder / f"{name}.key"


def accounts(lab: AcmeLab) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in lab.paths.storage.glob("acme/*/users/*/*")}


def test_certificate_and_key_are_new_and_served_and_the_account_is_the_same(
    lab: AcmeLab, restarts: Restarts, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {name: [path.read_bytes() for path in stored(lab, name)] for name in (APP, WWW)}
    known = accounts(lab)
    assert known
    assert cli.main(["certificates", "replace", APP], cli.Host(certificates=lab.paths)) == 0
    assert capsys.readouterr().out == f"certificates: 1 of 1 replaced\nreplaced  {APP}\n"
    certificate, key = stored(lab, APP)
    assert certificate.read_bytes() != before[APP][0]
    assert key.read_bytes() != before[APP][1]
    assert key.stat().st_mode & 0o077 == 0
    assert certificate.with_suffix(".json").exists()
    assert [path.read_bytes() for path in stored(lab, WWW)] == before[WWW]
    assert accounts(lab) == known
    assert restarts == ["restart"]
    # Whoever is told "replaced" gets it: nothing is waited for here.
    assert served(APP, port=lab.ports["https"]) == first_certificate(certificate)
    # Nothing is left beside it.
    assert sorted(path.name for path in certificate.parents[1].iterdir()) == [APP, WWW]


def test_when_the_ca_is_down_everything_stays(
    lab: AcmeLab, restarts: Restarts, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for name in (APP, WWW) for path in stored(lab, name)}
    lab.stop("acme")
    try:
        assert cli.main(["certificates", "replace", APP, WWW], cli.Host(certificates=lab.paths)) == 1
    finally:
        lab.start_ca()
    told = capsys.readouterr().out
    assert told.startswith("certificates: 0 of 2 replaced\n")
    assert f"FAILED  {WWW}\n    step: reach the CA\n" in told
    assert {path: path.read_bytes() for path in before} == before
    assert restarts == []


def test_a_name_that_comes_from_no_ca_is_refused(
    lab: AcmeLab, restarts: Restarts, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["certificates", "replace", "own.example.com"], cli.Host(certificates=lab.paths)) == 1
    assert f"Fix: use one of these: {APP}, {WWW}" in capsys.readouterr().err
    assert restarts == []


def test_a_place_that_cannot_be_written_is_named_and_the_old_one_stays(lab: AcmeLab, tmp_path: Path) -> None:
    before = stored(lab, APP)[0].read_bytes()
    relative = stored(lab, APP)[0].parent.relative_to(lab.paths.storage)
    with pytest.raises(CaddyError, match=r"cannot be put into .*No such file.* Fix: "):
        replace.put_in_place(lab.caddy(), relative, tmp_path)
    assert stored(lab, APP)[0].read_bytes() == before


def test_a_certificate_that_is_not_served_in_time_is_told(lab: AcmeLab) -> None:
    port = lab.ports["https"]
    before = served(APP, port=port)
    assert before
    with pytest.raises(CaddyError, match=rf"certificate of {APP} is there, and caddy.* does not serve it .* Fix: "):
        replace.wait_until_served({APP: before}, port, within=0.3)


def test_a_caddy_that_does_not_start_again_is_told() -> None:
    asked: list[list[str]] = []

    def run(words: list[str], **_more: object) -> CommandResult:
        asked.append(words)
        return CommandResult(1, "", "Job for caddy.service failed.\n")

    with pytest.raises(CaddyError, match=r"does not start: Job for caddy\.service failed\. Fix: journalctl -u caddy"):
        replace.restart_caddy(run)
    assert asked == [["systemctl", "restart", "caddy.service"]]
