# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files with secrets: who may read them, and what an env file says, however it is written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_rules.files import Read, read_file
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_rules.policy import read_policy

from .conftest import Judge

GOOD = "vT4kQz9LmXc2Rw7NpJ5bYd8G"
SOPS = "ENC[AES256_GCM,data:Zk3vQ8w=,iv:a,tag:b,type:str]"


def read(path: Path, content: bytes | str, mode: int = 0o600, policy: Any = None) -> Read:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(mode)
    return read_file(str(path), read_policy(policy or {})[0])


def values(result: Read) -> dict[str, str]:
    return {value.name: value.value for value in result.values}


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (f"API_KEY={GOOD}", GOOD),
        (f"export API_KEY={GOOD}", GOOD),
        (f"API_KEY='{GOOD}'", GOOD),
        (f'API_KEY="{GOOD}"', GOOD),
        (f"API_KEY = {GOOD}", GOOD),
        (f"API_KEY={GOOD} # a comment", GOOD),
        (f"API_KEY={GOOD}#more", GOOD + "#more"),
        (f"API_KEY='{GOOD} #more'", GOOD + " #more"),
        (f"API_KEY='{GOOD}$x'", GOOD + "$x"),
        (f'API_KEY="{GOOD}\\"x"', GOOD + '"x'),
        ("API_KEY=${OTHER_KEY}", "${OTHER_KEY}"),
        ("API_KEY=", ""),
    ],
)
@pytest.mark.parametrize("ending", ["\n", "\r\n", ""])
def test_an_env_file_is_read_as_compose_reads_it(tmp_path: Path, line: str, value: str, ending: str) -> None:
    result = read(tmp_path / ".env", f"# comment{ending or chr(10)}{line}{ending}")
    assert values(result) == {"API_KEY": value}


def test_a_byte_order_mark_and_line_ends_of_windows_are_warnings(tmp_path: Path) -> None:
    result = read(tmp_path / ".env", f"\ufeffAPI_KEY={GOOD}\r\n")
    assert values(result) == {"API_KEY": GOOD}
    assert [(finding.rule, finding.severity) for finding in result.findings] == [
        ("file-byte-order-mark", "warning"),
        ("file-line-ends", "warning"),
    ]


def test_a_name_that_is_set_twice_is_an_error(tmp_path: Path) -> None:
    result = read(tmp_path / ".env", f"API_KEY={GOOD}\nX=1\nAPI_KEY=other\n")
    (finding,) = result.findings
    assert (finding.secret, finding.rule, finding.severity) == ("API_KEY", "file-duplicate-name", "error")
    assert "line 3" in finding.message
    assert "line 1" in finding.message


@pytest.mark.parametrize(
    "content",
    [b"API_KEY='never closed", b"just text\n", b"=x\n", b"\xff\xfeA\x00=\x00", b"A=\xe9\n", b"x" * (2 * 1024**2 + 1)],
)
def test_an_env_file_that_cannot_be_read_is_an_error_without_a_value(tmp_path: Path, content: bytes) -> None:
    result = read(tmp_path / ".env", content)
    (finding,) = result.findings
    assert (finding.rule, finding.severity) == ("file-unreadable", "error")
    assert "never closed" not in finding.message.replace("is never closed", "")


def test_what_is_no_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (tmp_path / "gone", tmp_path, pipe):
        result = read_file(str(path), read_policy({})[0])
        assert [finding.rule for finding in result.findings] == ["file-unreadable"]
        assert result.facts == []


def test_which_variables_are_secrets(tmp_path: Path) -> None:
    lines = {
        "LOG_LEVEL": "info",
        "API_KEY": "a",
        "db_password": "b",
        "API_KEY_FILE": "/run/x",
        "TOKEN_TTL": "5",
        "DATABASE_URL": "postgresql://u:p@db/x",
        "CORE_URL": "http://core:8000",
        "PEPPER": "c",
    }
    content = "".join(f"{name}={value}\n" for name, value in lines.items())
    result = read(tmp_path / ".env", content, policy={"PEPPER": {}})
    assert list(values(result)) == ["API_KEY", "db_password", "DATABASE_URL", "PEPPER"]


def test_values_of_env_files_are_judged(judged: Judge, tmp_path: Path) -> None:
    result = read(tmp_path / ".env", f"API_KEY=changeme\nREDIS_PASSWORD=\nJWT_SECRET={GOOD}\n", 0o644)
    findings = judged({}, file_values=result.values, files=result.facts)
    assert [(finding.secret, finding.rule) for finding in findings] == [
        ("API_KEY", "secret-placeholder"),
        ("REDIS_PASSWORD", "secret-empty"),
        ("", "file-readable-by-others"),
    ]
    assert f"({tmp_path / '.env'}, line 1)" in findings[0].message


@pytest.mark.parametrize(
    ("name", "content", "encrypted"),
    [
        ("vault.yml", "$ANSIBLE_VAULT;1.1;AES256\n6162\n", True),
        ("vault", "$ANSIBLE_VAULT;1.2;AES256;prod\n6162\n", True),
        ("vault.yml", "a: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  6162\n", False),
        ("vault.sops.yml", f"a: {SOPS}\nb:\n- c: {SOPS}\n- ''\nsops: {{mac: x, version: 3.9.0}}\n", True),
        ("vault.sops.yml", f"a: {SOPS}\nb: plain\nsops: {{mac: x}}\n", False),
        ("vault.sops.yml", f"a: {SOPS}\n", False),
        ("x.env", f"A_KEY={SOPS}\nsops_mac={SOPS}\nsops_version=3\n", True),
        ("x.env", f"A_KEY=plain\nsops_mac={SOPS}\n", False),
        ("vars.yml", "a: b\n", False),
        ("vars.yml", "", False),
    ],
)
def test_files_that_are_wholly_encrypted_may_be_read_by_all(
    tmp_path: Path, name: str, content: str, encrypted: bool
) -> None:
    result = read(tmp_path / name, content, 0o644)
    (facts,) = result.facts
    assert (facts.mode, facts.encrypted) == (0o644, encrypted)
    assert result.findings == []


def test_duplicate_names_in_yaml_are_errors_at_any_depth(tmp_path: Path) -> None:
    content = "a: {x: 1, y: 2, x: 3}\nb: &b {k: 1}\nc: {<<: *b, <<: *b}\na: 4\n"
    result = read(tmp_path / "vars.yml", content)
    assert [(finding.secret, finding.rule) for finding in result.findings] == [
        ("a", "file-duplicate-name"),
        ("x", "file-duplicate-name"),
    ]
    assert "vars.yml, line 4," in result.findings[0].message


@pytest.mark.parametrize("content", ["a: [", "a: b: c", "\tx", "a: *nope", "a: \x00", "[" * 5000])
def test_yaml_that_cannot_be_read(tmp_path: Path, content: str) -> None:
    result = read(tmp_path / "vars.yml", content)
    assert [finding.rule for finding in result.findings] == ["file-unreadable"]


def test_yaml_that_holds_itself_or_grows_without_end(tmp_path: Path) -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
    assert read(tmp_path / "bomb.yml", bomb).findings == []
    assert read(tmp_path / "loop.yml", "a: &a\n  b: *a\n  c: [*a]\n").findings == []


def test_yaml_of_endless_depth_is_a_finding_and_no_crash(tmp_path: Path) -> None:
    """PyYAML's composer calls itself in C for each level: unbounded, it would end the process."""
    (finding,) = read(tmp_path / "vault.yml", "a: " + "[" * 200_000).findings
    assert (finding.rule, finding.severity) == ("file-unreadable", "error")
    assert finding.hint
