"""The state of each certificate: as a list, as a metric, as the command shows it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import cli
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates import command
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.metrics import exposition
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.revoked import told_revoked
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.state import (
    STATES,
    State,
    read_states,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.storage import ca_folder, safe
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.text import render_certificates
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.wanted import Paths, read_wanted
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.x509 import CertificateError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import NOT_FOUND, CommandResult
from fakes.certificates import DAY, NOW, OTHER_KEY, issue, keep, pem_of, want

APP = "app.example.com"


def states(root: Path, now: float = NOW) -> dict[str, State]:
    """Every state by its name."""
    wanted = read_wanted(Paths(root).wanted)
    assert wanted is not None
    return {state.name: state for state in read_states(Paths(root), wanted, lambda: now)}


@pytest.mark.parametrize(
    ("days", "word"),
    [
        (0, "ok"),
        (59.9, "ok"),
        (60.1, "renewal due"),
        (62.9, "renewal due"),
        (63.1, "late"),
        (89.9, "late"),
        (90.1, "expired"),
    ],
)
@pytest.mark.parametrize("lifetime", [90, 45, 6, 0.5])
def test_states_follow_the_part_that_is_left(tmp_path: Path, days: float, word: str, lifetime: float) -> None:
    want(tmp_path, {"name": APP})
    keep(tmp_path, APP, issue(begin=NOW, end=NOW + lifetime * DAY))
    state = states(tmp_path, NOW + days * lifetime / 90 * DAY)[APP]
    assert (state.state, state.is_good) == (word, word in ("ok", "renewal due"))
    assert bool(state.fix) is (word != "ok")


def test_each_name_of_a_site_has_its_own_and_a_wildcard_serves_all_below_it(tmp_path: Path) -> None:
    want(
        tmp_path,
        {"name": APP, "names": [APP, "www.example.com"]},
        {"name": "*.wild.example.com", "mode": "acme_dns"},
        {"name": "a.wild.example.com", "mode": "acme_dns"},
    )
    keep(tmp_path, APP, issue())
    keep(tmp_path, "*.wild.example.com", issue(("*.wild.example.com",)))
    found = states(tmp_path)
    assert {name: state.state for name, state in found.items()} == {
        APP: "ok",
        "www.example.com": "missing",
        "*.wild.example.com": "ok",
        "a.wild.example.com": "ok",
    }
    assert "hypercode certificates rehearse" in found["www.example.com"].fix


def test_certificates_of_the_own_ca_are_others_than_those_of_a_public_one(tmp_path: Path) -> None:
    want(tmp_path, {"name": APP, "mode": "internal"}, {"name": "b.example.com"})
    keep(tmp_path, APP, issue(), ca="acme-v02.api.letsencrypt.org-directory")
    keep(tmp_path, "b.example.com", issue(("b.example.com",)), ca="local")
    assert {state.state for state in states(tmp_path).values()} == {"missing"}
    keep(tmp_path, APP, issue(), ca="local")
    assert states(tmp_path)[APP].state == "ok"


def test_the_newest_one_counts_unless_the_ca_is_told(tmp_path: Path) -> None:
    keep(tmp_path, APP, issue(end=NOW + DAY, begin=NOW - 60 * DAY), ca="ca.example-dir")
    keep(tmp_path, APP, issue(begin=NOW - DAY), ca="localhost-14000-dir")
    want(tmp_path, {"name": APP})
    assert states(tmp_path)[APP].state == "ok"
    want(tmp_path, {"name": APP, "ca": "https://ca.example/dir"})
    assert states(tmp_path)[APP].state == "late"
    want(tmp_path, {"name": APP, "ca": "https://another.example/dir"})
    assert states(tmp_path)[APP].state == "ok"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("https://acme-v02.api.letsencrypt.org/directory", "acme-v02.api.letsencrypt.org-directory"),
        ("https://localhost:14000/dir", "localhost-14000-dir"),
        ("https://ca.example/acme/x/directory/", "ca.example-acme-x-directory"),
    ],
)
def test_the_folder_of_a_ca(text: str, path: str) -> None:
    assert ca_folder(text) == path


def test_no_name_leads_out_of_the_storage(tmp_path: Path) -> None:
    assert "/" not in safe("../../etc/passwd")
    want(tmp_path, {"name": "../.."}, {"name": "*.*"})
    (tmp_path / "var/lib/caddy/caddy/certificates/x").mkdir(parents=True)
    assert {state.state for state in states(tmp_path).values()} == {"missing"}


def test_what_is_wrong_with_one(tmp_path: Path) -> None:
    names = ["names", "key", "nokey", "badkey", "locked", "young", "torn"]
    want(tmp_path, *({"name": f"{name}.example.com"} for name in names))
    files = {name: keep(tmp_path, f"{name}.example.com", issue((f"{name}.example.com",))) for name in names}
    files["names"].write_text(issue(("other.example.com",)).pem)
    files["key"].with_suffix(".key").write_text(pem_of(OTHER_KEY))
    files["nokey"].with_suffix(".key").unlink()
    files["badkey"].with_suffix(".key").write_text("no key")
    files["locked"].with_suffix(".key").write_text(pem_of(OTHER_KEY, b"secret"))
    files["young"].write_text(issue(("young.example.com",), begin=NOW + DAY).pem)
    files["torn"].write_text(files["torn"].read_text()[:300])
    found = states(tmp_path)
    said = {name.partition(".")[0]: (state.state, state.message) for name, state in found.items()}
    assert said["names"] == ("does not cover the name", "It is for other.example.com, not for names.example.com.")
    assert said["key"][0] == said["nokey"][0] == said["badkey"][0] == said["locked"][0] == "key mismatch"
    assert "belongs to another certificate" in said["key"][1]
    assert "does not exist" in said["nokey"][1]
    assert "cannot be used" in said["badkey"][1]
    assert "passphrase" in said["locked"][1] or "cannot be used" in said["locked"][1]
    assert said["young"][0] == "not yet valid"
    assert "timedatectl" in found["young.example.com"].fix
    assert said["torn"][0] == "unreadable"
    assert all(state.fix and state.message and not state.is_good for state in found.values())


def test_given_certificates(tmp_path: Path) -> None:
    given = {"mode": "files", "certificate_file": "/etc/hypercode/edge/app.pem", "names": [APP, "www.example.com"]}
    want(tmp_path, {"name": APP, **given})
    assert states(tmp_path)[APP].state == "missing"
    (tmp_path / "etc/hypercode/edge/app.pem").write_text(issue((APP, "*.example.com")).pem)
    assert [state.state for state in states(tmp_path).values()] == ["ok"]
    late = states(tmp_path, NOW + 60 * DAY)[APP]
    assert (late.state, "Put a new one into the inventory" in late.fix) == ("renewal due", True)


def said(moment: float, *names: str, forced: bool = False) -> str:
    """What Caddy writes into its log when it has heard that a certificate is revoked, or tries to replace it again."""
    text = "OCSP status for managed certificate is REVOKED; attempting to replace with new certificate"
    about: dict[str, object] = {"identifiers": names, "msg": text}
    if forced:
        about = {"identifier": names[0], "msg": "certificate does not need to be renewed, but renewal is being forced"}
    return json.dumps({"level": "warn", "ts": moment, **about}) + "\n"


def log_of(*lines: str, asked: list[list[str]] | None = None) -> Callable[[float], dict[str, float]]:
    def run(words: list[str], **_more: object) -> CommandResult:
        if asked is not None:
            asked.append(words)
        return CommandResult(0, "".join(lines))

    return lambda now: told_revoked(now, run)


@pytest.mark.parametrize("forced", [True, False])
def test_what_caddy_has_heard_about_it(tmp_path: Path, forced: bool) -> None:
    want(tmp_path, {"name": APP}, {"name": "own.example.com", "mode": "internal"})
    path = keep(tmp_path, APP, issue())
    os.utime(path, (NOW - 60, NOW - 60))
    told = log_of("no json\n", "[]\n", said(NOW - 30, "other.example.com"), said(NOW - 20, APP, forced=forced))
    wanted = read_wanted(Paths(tmp_path).wanted)
    assert wanted
    state = read_states(Paths(tmp_path), wanted, lambda: NOW, told)[0]
    assert (state.state, state.is_good) == ("revoked", False)
    assert state.fix == f"Replace it now: hypercode certificates replace {APP}."
    # The next one is not the one that was revoked.
    os.utime(path, (NOW - 10, NOW - 10))
    assert read_states(Paths(tmp_path), wanted, lambda: NOW, told)[0].state == "ok"


def test_the_log_is_asked_for_the_time_within_which_caddy_tries_again() -> None:
    asked: list[list[str]] = []
    assert log_of(said(NOW - 9, APP), said(NOW - 5, APP, "b.test"), said(NOW - 7, APP), asked=asked)(NOW) == {
        APP: NOW - 5,
        "b.test": NOW - 5,
    }
    (words,) = asked
    assert words[:3] == ["journalctl", "--unit", "caddy.service"]
    assert float(words[words.index("--since") + 1].removeprefix("@")) < NOW - 6 * 3600
    # Caddy's own words, as the pattern has to find them.
    assert all(re.search(words[words.index("--grep") + 1], said(NOW, APP, forced=one)) for one in (True, False))


def test_without_a_log_nothing_is_said_and_without_a_ca_it_is_not_asked(tmp_path: Path) -> None:
    assert told_revoked(NOW, lambda *_words, **_more: CommandResult(NOT_FOUND)) == {}
    want(tmp_path, {"name": APP, "mode": "internal"})
    wanted = read_wanted(Paths(tmp_path).wanted)
    assert wanted
    asked: list[list[str]] = []
    assert read_states(Paths(tmp_path), wanted, lambda: NOW, log_of(asked=asked))[0].state == "missing"
    assert asked == []


def test_certificates_that_come_through_dns_lie_in_files(tmp_path: Path) -> None:
    files = {"certificate_file": "/var/lib/caddy/w.crt", "key_file": "/var/lib/caddy/w.key"}
    want(tmp_path, {"name": "*.example.com", "mode": "acme_dns", **files})
    assert "hypercode certificates rehearse" in states(tmp_path)["*.example.com"].fix
    folder = tmp_path / "var/lib/caddy"
    folder.mkdir(parents=True)
    (folder / "w.crt").write_text(issue(("*.example.com",)).pem)
    assert states(tmp_path)["*.example.com"].state == "key mismatch"
    (folder / "w.key").write_text(issue().key_pem)
    assert states(tmp_path)["*.example.com"].state == "ok"
    assert states(tmp_path, NOW + 60 * DAY)["*.example.com"].fix == "It is renewed by itself."


def test_a_ca_that_asks_for_an_early_renewal(tmp_path: Path) -> None:
    want(tmp_path, {"name": APP})
    about = keep(tmp_path, APP, issue()).with_suffix(".json")
    window = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00.123456789Z"}
    about.write_text(json.dumps({"issuer_data": {"renewal_info": {"suggestedWindow": window}}}))
    assert states(tmp_path)[APP].state == "renewal due"
    window["end"] = "2099-01-01T00:00:00Z"
    about.write_text(json.dumps({"issuer_data": {"renewal_info": {"suggestedWindow": window}}}))
    assert states(tmp_path)[APP].state == "ok"
    about.write_text("{")
    assert states(tmp_path)[APP].state == "ok"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{}", "no list"),
        ("[{}]", "entry 1 has no name"),
        ('[{"name": "a", "mode": "magic"}]', "none of acme, acme_dns, internal, files"),
        ('[{"name": "a", "mode": "files"}]', "a has no certificate_file"),
        ('[{"name": "a", "mode": "acme", "names": "a"}]', "no list of names"),
        ("[", "Expecting value"),
        ("\xff", "Expecting value|no text"),
    ],
)
def test_a_wanted_list_that_makes_no_sense(tmp_path: Path, text: str, why: str) -> None:
    path = Paths(tmp_path).wanted
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="latin-1")
    with pytest.raises(CertificateError, match=f"({why}).*Fix: run site.yml again"):
        read_wanted(path)


# ---- the command -------------------------------------------------------------------------------------------------

Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def typed(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Type a command; return exit code, output and what was said on standard error."""
    monkeypatch.setattr(os, "fsync", lambda _handle: None)
    monkeypatch.setattr("time.time", lambda: float(NOW))
    monkeypatch.setattr(read_states, "__defaults__", (lambda: float(NOW), lambda _now: {}))

    def run(words: str) -> tuple[int, str, str]:
        code = cli.main(words.split(), cli.Host(certificates=Paths(tmp_path)))
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_a_host_without_sites(typed: Typed) -> None:
    assert typed("certificates") == (0, f"{command.NONE_WANTED}\n", "")
    assert typed("certificates --json") == (0, "[]\n", "")


def test_the_lines(typed: Typed, tmp_path: Path) -> None:
    want(tmp_path, {"name": APP}, {"name": "b.example.com"})
    keep(tmp_path, APP, issue())
    code, output, _ = typed("certificates")
    assert code == 1
    assert output.splitlines()[0] == "certificates: 1 of 2 in order"
    assert f"{APP}  ok" in output
    assert "98 % left" in output
    assert "Fix: Find out why: hypercode certificates rehearse." in output
    keep(tmp_path, "b.example.com", issue(("b.example.com",)))
    code, output, _ = typed("certificates --json")
    assert (code, [row["state"] for row in json.loads(output)]) == (0, ["ok", "ok"])


def test_a_broken_list_is_one_line_with_the_fix(typed: Typed, tmp_path: Path) -> None:
    want(tmp_path, {"name": APP, "mode": "magic"})
    code, _, said = typed("certificates")
    assert (code, len(said.splitlines()), "Fix: run site.yml again" in said) == (1, 1, True)


def test_no_name_can_steer_the_terminal() -> None:
    text = render_certificates([{"name": "a\x1b[2Jb", "state": "ok", "good": True}], width=40)
    assert "\x1b" not in text


# ---- the metric --------------------------------------------------------------------------------------------------


def test_the_metric_is_written_whole_and_can_be_read_by_others(typed: Typed, tmp_path: Path) -> None:
    want(tmp_path, {"name": APP}, {"name": "b.example.com"})
    keep(tmp_path, APP, issue(begin=NOW - 45 * DAY, end=NOW + 45 * DAY))
    assert typed("certificates --metrics") == (0, "", "")
    path = Paths(tmp_path).metrics
    assert (path.stat().st_mode & 0o777, [one.name for one in path.parent.iterdir()]) == (0o644, [path.name])
    lines = path.read_text().splitlines()
    assert f'hypercode_certificate_lifetime_left_ratio{{name="{APP}",mode="acme"}} 0.500000' in lines
    assert f'hypercode_certificate_not_after_timestamp_seconds{{name="{APP}",mode="acme"}} {NOW + 45 * DAY}' in lines
    assert f'hypercode_certificate_state{{name="{APP}",mode="acme",state="ok"}} 1' in lines
    assert 'hypercode_certificate_state{name="b.example.com",mode="acme",state="missing"} 1' in lines
    assert f"hypercode_certificates_checked_timestamp_seconds {NOW}" in lines
    assert sum(line.startswith("hypercode_certificate_state{") for line in lines) == 2 * len(STATES)


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool (package prometheus) is not installed")
def test_prometheus_reads_the_metric(tmp_path: Path) -> None:
    want(tmp_path, {"name": APP}, {"name": 'quo"te\\back\nline'})
    keep(tmp_path, APP, issue())
    text = exposition(list(states(tmp_path).values()), NOW)
    done = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
