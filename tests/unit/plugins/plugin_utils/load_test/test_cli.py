"""What is typed wrong is refused before a request is sent, with exit code 2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.plugin_utils.load_test import cli


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    def refuse(*_arguments: Any) -> Any:
        raise AssertionError("a request would have been sent")

    monkeypatch.setattr(cli, "put_load", refuse)

    def do(*words: str) -> tuple[int, str]:
        code = cli.main([*words, "--json", str(tmp_path / "report.json")], tmp_path)
        assert not (tmp_path / "report.json").exists()
        return code, capsys.readouterr().err

    return do


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("missions", "crew.example.com"), "write it like https://app.example.com"),
        (("http", "ftp://127.0.0.1/x"), "is no address"),
        (("http", "http://127.0.0.1:99999/"), "is no address"),
        (("missions", "http://a:b@127.0.0.1"), "A login in the address would be seen by others"),
        (("missions", "http://127.0.0.1", "--missions", "0"), "The number of missions is 0"),
        (("http", "http://127.0.0.1", "--seconds", "0"), "duration is 0"),
        (("http", "http://127.0.0.1", "--address", "no where"), "is no address of a host"),
        (("http", "http://127.0.0.1", "--ca-file", "/nowhere/ca.crt"), "/nowhere/ca.crt is not there"),
        (("http", "http://127.0.0.1", "--rate", "-1"), "give 0 or more"),
    ],
)
def test_typed_wrong(run: Any, words: tuple[str, ...], said: str) -> None:
    code, output = run(*words)
    assert code == 2
    assert said in output
    assert "Fix: " in output


def test_a_word_that_is_unknown(run: Any) -> None:
    with pytest.raises(SystemExit) as stop:
        run("missions", "http://127.0.0.1", "--mission", "many")
    assert stop.value.code == 2


def test_a_user_without_a_password(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cli.PASSWORD, raising=False)
    code, said = run("missions", "http://127.0.0.1", "--user", "ops")
    assert code == 2
    assert f"Fix: set the variable {cli.PASSWORD}" in said


def test_help_says_where_a_password_goes(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--help"], ["missions", "--help"], ["http", "--help"]):
        with pytest.raises(SystemExit) as stop:
            cli.main(words, Path())
        assert stop.value.code == 0
        assert cli.PASSWORD in capsys.readouterr().out
