"""scripts/secrets rotate: what is written, what is refused, and the way back from every end of a deploy."""

from __future__ import annotations

import io
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_command import deploy
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_command.rotate import Deployed

OLD = "Old-p@ss:word/4Kq8Zt2Wx6"
QUOTED = "Old-p%40ss%3Aword%2F4Kq8Zt2Wx6"
URL = f"postgresql://app:{QUOTED}@db:5432/app?sslmode=disable#x"
VAULT = f"""\
stack_secrets:
  DB_PASSWORD: "{OLD}"
  API_TOKEN: u7Gq0Zt5Vw2Xk9Lm4Pn8Rs3Tb6Yc1De0Fh7Jk2
  DATABASE_URL: {URL}
  SEALING_KEY: bWdxS0VYZ3pvT0pQa1R2d1hZeVo0cTJuTDVzOGRoNmY=
  PROVIDER_KEY: Hd3Kf5Gs9Wm4Tn6Rb8u7Gq0Zt5Vw2Xk9Lm4Pn8
"""
NAMES = ["before-rotate", "not-deployed"]


@pytest.fixture
def folder(desk: Any, capsys: pytest.CaptureFixture[str]) -> Any:
    made = desk.make(vault=VAULT)
    assert desk.here("init", made) == 0
    capsys.readouterr()
    return made


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[Deployed]:
    """How the deploys of this test end, one after the other. Real ones need hosts (molecule)."""
    results: list[Deployed] = []
    monkeypatch.setattr(deploy, "deployer", lambda _session: lambda: results.pop(0))
    return results


def secrets(desk: Any, folder: Any) -> dict[str, str]:
    found: dict[str, str] = yaml.safe_load(desk.view(desk.vault(folder)))["stack_secrets"]
    return found


def beside(desk: Any, folder: Any) -> list[str]:
    vault = desk.vault(folder)
    return [name for name in NAMES if vault.with_name(f"vault.yml.{name}").exists()]


def dates(desk: Any, folder: Any) -> dict[str, str]:
    path = desk.vault(folder).parent / "secrets_dates.yml"
    return yaml.safe_load(path.read_text())["stack_secrets_set_on"] if path.exists() else {}


def test_a_rotation_that_succeeds(
    desk: Any, folder: Any, ends: list[Deployed], capsys: pytest.CaptureFixture[str]
) -> None:
    before = secrets(desk, folder)
    ends.append(Deployed.DONE)
    assert desk.here("rotate", folder, "DB_PASSWORD") == 0
    after = secrets(desk, folder)
    assert after["DB_PASSWORD"] != OLD
    url = urlsplit(after["DATABASE_URL"])
    assert unquote(url.password or "") == after["DB_PASSWORD"]
    assert URL.replace(QUOTED, url.password or "") == after["DATABASE_URL"]
    changed = {"DB_PASSWORD", "DATABASE_URL"}
    assert {name for name in after if after[name] != before[name]} == changed
    assert set(dates(desk, folder)) == changed
    assert beside(desk, folder) == []
    output = capsys.readouterr()
    assert not any(value in output.out + output.err for value in [*before.values(), *after.values()])


def test_a_deploy_that_fails_brings_the_old_values_back(desk: Any, folder: Any, ends: list[Deployed]) -> None:
    before = desk.vault(folder).read_bytes()
    ends += [Deployed.FAILED, Deployed.DONE]
    assert desk.here("rotate", folder, "API_TOKEN") == 1
    assert desk.vault(folder).read_bytes() == before
    assert beside(desk, folder) == ["not-deployed"]
    assert dates(desk, folder) == {}
    # Next attempt: the values that were made are used, not new ones.
    assert desk.here("rotate", folder, "--resume") == 0
    assert desk.vault(folder).read_bytes() != before
    assert beside(desk, folder) == []
    assert list(dates(desk, folder)) == ["API_TOKEN"]


def test_a_deploy_that_was_stopped_can_go_both_ways(desk: Any, folder: Any, ends: list[Deployed]) -> None:
    before = desk.vault(folder).read_bytes()
    ends += [Deployed.OPEN, Deployed.DONE]
    assert desk.here("rotate", folder, "API_TOKEN") == 1
    new = desk.vault(folder).read_bytes()
    assert new != before
    assert beside(desk, folder) == ["before-rotate"]
    assert desk.here("rotate", folder, "DB_PASSWORD") == 1  # One at a time.
    assert desk.here("check", folder) == 1
    assert desk.vault(folder).read_bytes() == new
    assert desk.here("rotate", folder, "--undo") == 0
    assert desk.vault(folder).read_bytes() == before
    assert beside(desk, folder) == []


def test_a_failure_can_be_given_up(desk: Any, folder: Any, ends: list[Deployed]) -> None:
    before = desk.vault(folder).read_bytes()
    ends += [Deployed.FAILED, Deployed.DONE]
    assert desk.here("rotate", folder, "API_TOKEN") == 1
    assert desk.here("rotate", folder, "--undo") == 0
    assert desk.vault(folder).read_bytes() == before
    assert beside(desk, folder) == []
    assert desk.here("rotate", folder, "--resume") == 1  # Nothing is left to go on with.


def test_what_was_edited_after_a_failure_stays(
    desk: Any, folder: Any, ends: list[Deployed], monkeypatch: pytest.MonkeyPatch
) -> None:
    ends += [Deployed.FAILED, Deployed.DONE]
    assert desk.here("rotate", folder, "DB_PASSWORD") == 1
    key = "Zt5Vw2Xk9Lm4Pn8Hd3Kf5Gs9Wm4Tn6Rb8u7Gq0"
    editor = desk.editor(f"sed -i -e 's/@db:/@newdb:/' -e 's/PROVIDER_KEY: .*/PROVIDER_KEY: {key}/' \"$1\"")
    monkeypatch.setenv("EDITOR", editor)
    desk.here("edit", folder)
    assert desk.here("rotate", folder, "--resume") == 0
    now = secrets(desk, folder)
    assert now["PROVIDER_KEY"] == key
    assert now["DB_PASSWORD"] != OLD
    url = urlsplit(now["DATABASE_URL"])
    assert (unquote(url.password or ""), url.hostname) == (now["DB_PASSWORD"], "newdb")


def test_no_edit_while_a_rotation_is_open(
    desk: Any, folder: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDITOR", desk.editor('echo "vault_new: x" >> "$1"'))
    assert desk.here("rotate", folder, "API_TOKEN", "--no-deploy") == 0
    before = desk.vault(folder).read_bytes()
    capsys.readouterr()
    for verb in ("edit", "init"):
        assert desk.here(verb, folder) == 1
        assert f"scripts/secrets rotate {folder} --resume" in capsys.readouterr().err
    assert desk.vault(folder).read_bytes() == before


def test_power_that_went_off_before_anything_was_changed(desk: Any, folder: Any) -> None:
    vault = desk.vault(folder)
    before = vault.read_bytes()
    vault.with_name("vault.yml.before-rotate").write_bytes(before)
    assert desk.here("rotate", folder, "--resume") == 1
    assert beside(desk, folder) == []
    assert vault.read_bytes() == before


def test_a_deploy_by_hand(desk: Any, folder: Any, ends: list[Deployed]) -> None:
    assert desk.here("rotate", folder, "API_TOKEN", "--no-deploy") == 0
    assert beside(desk, folder) == ["before-rotate"]
    assert desk.here("rotate", folder, "--resume", "--no-deploy") == 0
    assert beside(desk, folder) == []
    assert list(dates(desk, folder)) == ["API_TOKEN"]
    assert ends == []


POLICY_REFUSES = "  SEALING_KEY: {kind: aes_key_base64, rotate: {kind: refuse, reason: Old data is lost.}}\n"


def test_a_key_that_must_not_be_rotated(desk: Any, capsys: pytest.CaptureFixture[str]) -> None:
    folder = desk.make("sealed", vault=VAULT)
    main = folder / "group_vars" / "hypercode" / "main.yml"
    main.write_text(main.read_text().replace("  SEALING_KEY: {kind: aes_key_base64}\n", POLICY_REFUSES))
    assert desk.here("init", folder) == 0
    before = desk.vault(folder).read_bytes()
    capsys.readouterr()
    assert desk.here("rotate", folder, "SEALING_KEY", "API_TOKEN", "--no-deploy") == 1
    assert "Old data is lost." in capsys.readouterr().err
    assert desk.vault(folder).read_bytes() == before
    assert desk.here("rotate", folder, "SEALING_KEY", "--force", "--no-deploy") == 0


@pytest.mark.parametrize(
    ("extra", "names", "said"),
    [
        ("", ["API_TOKE"], "did you mean API_TOKEN?"),
        (f"  COPY: '{OLD}'\n", ["DB_PASSWORD"], "rotate {folder} DB_PASSWORD COPY"),
        (f"  DSN: 'host=db password={OLD}'\n", ["DB_PASSWORD"], "DSN: {kind: url, embeds: {password: DB_PASSWORD}}"),
    ],
)
def test_what_a_rotation_would_leave_behind(
    desk: Any, capsys: pytest.CaptureFixture[str], extra: str, names: list[str], said: str
) -> None:
    folder = desk.make("half", vault=VAULT + extra)
    assert desk.here("init", folder) == 0
    before = desk.vault(folder).read_bytes()
    capsys.readouterr()
    assert desk.here("rotate", folder, *names, "--no-deploy") == 1
    output = capsys.readouterr()
    assert said.replace("{folder}", str(folder)) in output.err
    assert OLD not in output.out + output.err
    assert desk.vault(folder).read_bytes() == before


def test_a_url_that_is_not_encoded_is_not_cut_in_the_wrong_place(desk: Any) -> None:
    folder = desk.make("raw", vault=VAULT.replace(QUOTED, OLD))
    assert desk.here("init", folder) == 0
    before = desk.vault(folder).read_bytes()
    assert desk.here("rotate", folder, "DB_PASSWORD", "--no-deploy") == 1
    assert desk.vault(folder).read_bytes() == before


@pytest.mark.parametrize(
    ("given", "status"),
    [("Gs9Wm4Tn6Rb8u7Gq0Zt5Vw2Xk9Lm4Pn8Hd3Kf5\n", 0), ("changeme\n", 1), ("\n", 1), ("", 1)],
)
def test_a_value_from_someone_else(
    desk: Any, folder: Any, monkeypatch: pytest.MonkeyPatch, given: str, status: int
) -> None:
    before = secrets(desk, folder)["PROVIDER_KEY"]
    monkeypatch.setattr("sys.stdin", io.StringIO(given))
    assert desk.here("rotate", folder, "PROVIDER_KEY", "--no-deploy", "--stdin") == status
    wanted = given.strip() if status == 0 else before
    assert secrets(desk, folder)["PROVIDER_KEY"] == wanted
