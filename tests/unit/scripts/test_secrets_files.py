"""scripts/secrets on files that are no good: a clear finding, never a traceback, never a pass, never a value."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

CANARY = "Kanarienvogel-7Yq2"
# Nine levels of nine: 387 million values in 600 bytes.
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 9)
)
GOOD = f"stack_secrets:\n  API_TOKEN: {CANARY}\n"


def check(desk: Any, capsys: pytest.CaptureFixture[str], folder: Any) -> dict[str, Any]:
    """Check an environment as a program does; nothing shows the canary, nothing is a fault of our own."""
    began = time.monotonic()
    status = desk.here("check", folder, "--json")
    took = time.monotonic() - began
    output = capsys.readouterr()
    assert CANARY not in output.out + output.err
    assert "Traceback" not in output.err
    assert "fault in scripts/secrets" not in output.err
    assert took < 5
    verdict: dict[str, Any] = json.loads(output.out)
    assert status == (0 if verdict["valid"] else 1)
    return verdict


def rules(verdict: dict[str, Any]) -> set[str]:
    return {finding["rule"] for finding in verdict["findings"]}


@pytest.mark.parametrize(
    ("vault", "rule", "said"),
    [
        (f"stack_secrets:\n  A: {CANARY}\n  A: other\n", "yaml-duplicate-key", "line 3"),
        (f"stack_secrets:\n  A: {CANARY}\n\tB: x\n", "yaml-syntax", "line 3"),
        (f"stack_secrets:\n  A: '{CANARY}\n", "yaml-syntax", "no valid YAML"),
        (f"- {CANARY}\n", "yaml-syntax", "must hold variables"),
        (f"stack_secrets: [{CANARY}]\n", "yaml-syntax", "mapping of names"),
        (f"{BOMB}stack_secrets: {{A: {CANARY}}}\n", "yaml-alias", "aliases"),
        (f"stack_secrets: &a\n  A: {CANARY}\n  B: *a\n", "yaml-alias", "holds itself"),
        (f"a: {'[' * 200}{CANARY}{']' * 200}\n", "yaml-too-big", "levels"),
        (f"a: {CANARY}\nb: [{'x, ' * 200_000}]\n", "yaml-too-big", "values"),
        (f"a: {CANARY}{'x' * (3 << 20)}\n", "file-too-big", "2 MB"),
        (GOOD.encode() + b"  B: \xff\xfe\x00\n", "yaml-encoding", "line 3"),
        (f"a: 2024-99-99\nb: {CANARY}\n", "yaml-value", "quotes"),
        (f"a: !!int {CANARY}\n", "yaml-value", "quotes"),
        (f"a: {CANARY}\0\n", "yaml-syntax", "no valid YAML"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 20 else "",
)
def test_a_broken_file(desk: Any, capsys: pytest.CaptureFixture[str], vault: str | bytes, rule: str, said: str) -> None:
    folder = desk.make(vault=vault)
    verdict = check(desk, capsys, folder)
    assert not verdict["valid"]
    assert rules(verdict) == {rule}
    assert any(said in finding["message"] + finding["hint"] for finding in verdict["findings"])
    # init and rotate refuse too, and leave the file alone.
    for words in (["init", folder], ["rotate", folder, "A", "--no-deploy"]):
        assert desk.here(*words) == 1
        output = capsys.readouterr()
        assert CANARY not in output.out + output.err
    assert desk.vault(folder).read_bytes() == (vault if isinstance(vault, bytes) else vault.encode())


@pytest.mark.parametrize(
    ("value", "rule_start"),
    [
        ("12345678901234567890123456789012345678", "secret"),
        ("2024-01-01", "secret"),
        ("[a, b]", "secret"),
        ("{a: b}", "secret"),
        ("true", "secret"),
        ("!!binary aGVsbG8gd29ybGQgaGVsbG8gd29ybGQ=", "secret"),
        ("'{{ nothing_that_is_known }}'", "secret-template"),
        ("'" + "Kanarienvogel-7Yq2" * 58_000 + "'", "secret"),
    ],
    ids=["number", "date", "list", "mapping", "boolean", "binary", "template", "1 MB"],
)
def test_a_value_that_is_no_secret(desk: Any, capsys: pytest.CaptureFixture[str], value: str, rule_start: str) -> None:
    folder = desk.make(vault=f"stack_secrets:\n  API_TOKEN: {value}\n")
    verdict = check(desk, capsys, folder)
    found = [finding for finding in verdict["findings"] if finding["secret"] == "API_TOKEN"]
    assert found
    assert all(finding["rule"].startswith(rule_start) for finding in found), found


def encrypted(desk: Any) -> Any:
    folder = desk.make(vault=GOOD)
    assert desk.here("init", folder) == 0
    return folder


def wrong_password(desk: Any, _folder: Any) -> None:
    desk.password.write_text("another one")


def cut(desk: Any, folder: Any) -> None:
    vault = desk.vault(folder)
    vault.write_bytes(vault.read_bytes()[:-100])


def flip(desk: Any, folder: Any) -> None:
    vault = desk.vault(folder)
    data = bytearray(vault.read_bytes())
    data[200] = ord("0") if data[200] != ord("0") else ord("1")
    vault.write_bytes(data)


def empty_password(desk: Any, _folder: Any) -> None:
    desk.password.write_text("")


def no_password(desk: Any, _folder: Any) -> None:
    desk.password.unlink()


@pytest.mark.parametrize(
    ("harm", "rule"),
    [
        (wrong_password, "vault-locked"),
        (cut, "vault-locked"),
        (flip, "vault-locked"),
        (empty_password, "vault-password"),
        (no_password, "vault-password"),
    ],
)
def test_a_vault_that_cannot_be_opened(
    desk: Any, capsys: pytest.CaptureFixture[str], harm: Callable[[Any, Any], None], rule: str
) -> None:
    folder = encrypted(desk)
    harm(desk, folder)
    data = desk.vault(folder).read_bytes()
    capsys.readouterr()
    assert rules(check(desk, capsys, folder)) == {rule}
    assert desk.here("init", folder) == 1
    assert desk.here("edit", folder) == 1
    assert desk.here("rotate", folder, "API_TOKEN", "--no-deploy") == 1
    assert desk.vault(folder).read_bytes() == data


def test_a_plain_file_is_no_pass(desk: Any, capsys: pytest.CaptureFixture[str]) -> None:
    folder = desk.make(vault=GOOD)
    assert "vault-plain" in rules(check(desk, capsys, folder))
    assert desk.here("rotate", folder, "API_TOKEN", "--no-deploy") == 1
    assert desk.here("edit", folder) == 1


def test_a_byte_order_mark_and_windows_lines_do_no_harm(desk: Any, capsys: pytest.CaptureFixture[str]) -> None:
    folder = desk.make(vault=b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert desk.here("init", folder) == 0
    assert f"API_TOKEN: {CANARY}" in desk.view(desk.vault(folder))
    assert "DB_PASSWORD" in desk.view(desk.vault(folder))


def test_the_same_secret_in_another_environment_is_found(desk: Any, capsys: pytest.CaptureFixture[str]) -> None:
    same = "stack_secrets:\n  API_TOKEN: u7Gq0Zt5Vw2Xk9Lm4Pn8Rs3Tb6Yc1De0Fh7Jk2\n"
    folder, other = desk.make(vault=same), desk.make("staging", vault=same)
    assert desk.here("init", other) == 0
    assert desk.here("init", folder) == 0
    capsys.readouterr()
    verdict = check(desk, capsys, folder)
    found = [finding for finding in verdict["findings"] if finding["secret"] == "API_TOKEN"]
    assert found
    assert "staging" in str(found)


def test_what_cannot_be_compared_is_said(desk: Any, capsys: pytest.CaptureFixture[str]) -> None:
    folder, other = desk.make(), desk.make("staging", vault=GOOD)
    assert desk.here("init", other) == 0
    desk.password.write_text("the password of production")
    assert desk.here("init", folder) == 0
    capsys.readouterr()
    assert check(desk, capsys, folder)["not_compared"] == ["staging"]
