from __future__ import annotations

import contextlib
import re
import shutil
import subprocess

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.envfile import (
    Entry,
    EnvFileError,
    load_env,
    parse_env,
    parse_raw,
    resolve_env,
    write_env,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.interpolate import Interpolator
from hypothesis import example, given, settings
from hypothesis import strategies as st

VALUES = st.text(max_size=20) | st.text(alphabet="a'\"\\$ #\n\r\t={}n", max_size=12)
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)


@settings(max_examples=150)
@given(st.dictionaries(NAMES, VALUES.filter(lambda value: "\0" not in value), max_size=4))
@example(
    {"A": "'\\", "B": "\\'", "C": "$A", "D": "${A}", "E": "a\\\\", "F": "'\\$\n\r\\n\"", "G": "\r\n", "export": "x"}
)
def test_every_value_comes_back(values: dict[str, str]) -> None:
    assert load_env(write_env(values)) == values


def compose_go(text: str) -> dict[str, str]:
    """A second reading of what write_env writes, by the rules of Compose's own reader, for quoted values only."""
    values = {}
    while text:
        name, _, text = text.partition("=")
        quote, rest, chars = text[0], text[1:], []
        while rest[0] != quote:
            if rest[0] == "\\":
                chars.append(rest[1] if rest[1] == quote else rest[:2])
                rest = rest[2:]
            else:
                chars.append(rest[0])
                rest = rest[1:]
        value, text = "".join(chars), rest[1:].removeprefix("\n")
        if quote == '"':
            value = re.sub(
                r'\\([nrt$"\\])', lambda m: {"n": "\n", "r": "\r", "t": "\t", "$": "$$"}.get(m[1], m[1]), value
            )
            assert not re.search(r"(?<!\$)\$(?!\$)", value.replace("$$", "")), "Compose would replace a variable"
            value = value.replace("$$", "$")
        values[name] = value
    return values


@given(st.dictionaries(NAMES, VALUES.filter(lambda value: "\0" not in value), max_size=4))
def test_an_independent_reader_agrees(values: dict[str, str]) -> None:
    assert compose_go(write_env(values)) == values


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("plain", "K='plain'"),
        ('a#b $c "d" \\e', "K='a#b $c \"d\" \\e'"),
        ("it's $5\n", 'K="it\'s \\$5\\n"'),
        ("ends\\", 'K="ends\\\\"'),
        ("", "K=''"),
    ],
)
def test_quoting(value: str, line: str) -> None:
    assert write_env({"K": value}) == line + "\n"


def test_write_refuses_without_showing_the_value() -> None:
    with pytest.raises(ValueError, match="1A"):
        write_env({"1A": "canary"})
    with pytest.raises(ValueError, match="NUL") as caught:
        write_env({"A": "canary\0"})
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("A = b ", "b"),
        ("export A=b", "b"),
        ("export\tA=b", "b"),
        ("A: b", "b"),
        ("A=", ""),
        ("A=b # comment", "b"),
        ("A=b#no comment", "b#no comment"),
        ("A=#fff", "#fff"),
        ("A= # comment", ""),
        ("A='b # c' # comment", "b # c"),
        ('A="b # c" # comment', "b # c"),
        ("A='$B \\n'", "$B \\n"),
        (r"A='it\'s'", "it's"),
        (r'A="a\tb\\c\"d\$e"', 'a\tb\\c"d$e'),
        ("A=two words", "two words"),
        ("A='two\nlines'", "two\nlines"),
        ("A=a=b:c", "a=b:c"),
        ("A=$$5", "$5"),
        ("exportA=b", None),
    ],
)
def test_reading(line: str, value: str | None) -> None:
    assert load_env(f"\ufeff# head\r\n\r\n{line}\r\nZ=z\r\n".replace("two\nlines", "two\r\nlines")).get("A") == value


def test_later_lines_see_earlier_ones_and_variables_from_outside() -> None:
    text = "A=1\nB=\"${A}2\"\nC=${OUT}${NOPE:-x}\nD='${A}'\nINHERITED\nMISSING\n"
    expected = {"A": "1", "B": "12", "C": "ox", "D": "${A}", "INHERITED": "i"}
    assert load_env(text, {"OUT": "o", "INHERITED": "i"}) == expected


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("A=1\n=x\n", 2, "no name"),
        ("A=1\n\nB C\n", 3, "no ="),
        ("A='x\nB=1\n", 1, "never closed"),
        ("A='x'y\n", 1, "behind the closing quote"),
        ("{}", 1, "no name"),
    ],
)
def test_a_bad_line_is_named_without_its_value(text: str, line: int, word: str) -> None:
    with pytest.raises(EnvFileError, match=word) as caught:
        parse_env(text)
    assert caught.value.line == line


def test_raw_format_takes_values_as_they_stand() -> None:
    assert parse_raw("# c\nA='x' # y\nB=$C\nD\n") == [
        Entry("A", "'x' # y", 2),
        Entry("B", "$$C", 3),
        Entry("D", None, 4),
    ]
    with pytest.raises(EnvFileError):
        parse_raw("a b=c")


def test_secrets_stay_references_whatever_the_file_says() -> None:
    interpolator = Interpolator({}, ["PW"])
    entries = parse_env("PW=canary\nURL=pg://u:${PW}@h\n")
    assert resolve_env(entries, interpolator, "p") == {"PW": "${PW}", "URL": "pg://u:${PW}@h"}


@given(st.text(alphabet="A=b'\"\\ #\n$x:{}", max_size=30))
def test_reading_raises_nothing_else(text: str) -> None:
    with contextlib.suppress(EnvFileError):
        parse_env(text)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_a_shell_reads_single_quoted_values_alike() -> None:
    values = {"A": 'a "b" $c `d` \\e\nf', "B": "#x"}
    script = write_env(values) + 'printf "%s|%s" "$A" "$B"'
    out = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout
    assert out == f"{values['A']}|{values['B']}"
