# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The board of services as text."""

from __future__ import annotations

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.board_text import (
    clean_text,
    human_size,
    is_healthy,
    render_board,
    shorten,
    text_width,
    wrap_text,
)
from hypothesis import given
from hypothesis import strategies as st

MIB = 1024**2
GOOD = {
    "service": "redis",
    "class": "infrastructure",
    "state": "running",
    "health": "healthy",
    "restarts": 0,
    "image": "registry.example:5000/library/redis:7.2@sha256:" + "a" * 64,
    "memory_bytes": 50 * MIB,
    "memory_limit_bytes": 512 * MIB,
}
BAD = {"service": "core", "state": "running", "health": "unhealthy", "restarts": 12, "note": "answers 503 for 5 min"}


def test_a_healthy_host_in_full():
    assert render_board([GOOD], title="web1").split("\n") == [
        "web1: 1 of 1 services healthy",
        "   service  class           state    health   restarts  memory            image",
        "✓  redis    infrastructure  running  healthy         0  50 MiB / 512 MiB  redis:7.2",
    ]


def test_what_is_not_healthy_is_marked_and_named_in_the_headline():
    lines = render_board([GOOD, BAD], title="web1", unicode=False).split("\n")
    assert lines[0] == "web1: 1 of 2 services healthy; not healthy: core"
    assert lines[2].startswith("ok  redis")
    assert lines[3].startswith("!!  core")
    assert "answers 503 for 5 min" in "\n".join(lines)


@pytest.mark.parametrize(
    ("state", "health", "healthy"),
    [
        ("running", "healthy", True),
        ("running", "none", True),
        ("running", "", True),
        ("running", None, True),
        ("running", "starting", False),
        ("running", "unhealthy", False),
        ("exited", "", False),
        ("exited", "healthy", False),
        ("", "healthy", False),
        (None, None, False),
    ],
)
def test_healthy_means_running_and_passing_or_without_a_check(state, health, healthy):
    assert is_healthy({"state": state, "health": health}) is healthy


def test_a_service_without_a_healthcheck_says_so_and_a_stopped_one_does_not():
    text = render_board([{"service": "a", "state": "running"}, {"service": "b", "state": "exited"}], title="h")
    assert "running  no check" in text.split("\n")[2]
    assert "no check" not in text.split("\n")[3]


def test_no_rows_and_empty_rows():
    assert render_board([], title="web1") == "web1: no services"
    assert render_board([{}], title="").split("\n")[0] == "0 of 1 services healthy; not healthy: ?"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, ""),
        (None, ""),
        (True, ""),
        ("x", ""),
        (float("nan"), ""),
        (-5, ""),
        (1, "0.1 MiB"),
        (3.5 * MIB, "3.5 MiB"),
        (5 * MIB, "5 MiB"),
        (str(48 * MIB), "48 MiB"),
        (1024 * MIB - 1, "1 GiB"),
        (1536 * MIB, "1.5 GiB"),
    ],
)
def test_sizes_for_people(value, text):
    assert human_size(value) == text


def test_a_long_note_goes_below_its_row_in_full():
    note = "the container was killed because it used more memory than its limit allows"
    lines = render_board([{**BAD, "note": note}], title="web1", width=50).split("\n")
    assert [line[:4] for line in lines[3:]] == ["    "] * len(lines[3:])
    assert " ".join(" ".join(lines[3:]).split()) == note


@pytest.mark.parametrize("note", ["000000000\u0e5c\u0e5c\u0e5c\u3030", "再起動" * 12, "\u0301" * 30 + "wide 字 " * 9])
def test_wide_characters_in_a_note_are_counted_as_the_terminal_does(note):
    lines = render_board([{**BAD, "note": note}], title="web1", width=20, unicode=False).split("\n")[1:]
    assert max(text_width(line) for line in lines) <= 20
    assert "".join("".join(lines[2:]).split()) == "".join(note.split())


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("", 5, []),
        (" \n ", 5, []),
        ("one two three", 7, ["one two", "three"]),
        ("one-two", 5, ["one-t", "wo"]),
        ("a 再起動 b", 5, ["a", "再起", "動 b"]),
        ("再", 1, ["再"]),
    ],
)
def test_wrapping(text, width, lines):
    assert wrap_text(text, width) == lines


@given(st.text(), st.integers(2, 30))
def test_wrapped_text_fits_and_loses_nothing(text, width):
    lines = wrap_text(text, width)
    assert all(0 <= text_width(line) <= width and line == line.strip() and line for line in lines)
    assert "".join(lines).replace(" ", "") == "".join(text.split())


def test_a_host_cannot_steer_the_terminal():
    row = {**GOOD, "service": "re\x1b[31mdis\x07", "note": "one\n\x1b]0;title\x07two\r\x9b2J"}
    text = render_board([row], title="web\x1b[2J1")
    assert not any(ord(char) < 32 and char != "\n" for char in text)
    assert "\x9b" not in text
    assert "redis" in text
    assert "one two" in text


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from([*GOOD, "note"]),
            st.one_of(st.none(), st.text(max_size=60), st.integers(), st.floats(), st.just("running")),
        ),
        max_size=5,
    ),
    st.integers(-5, 200),
    st.booleans(),
)
def test_any_rows_give_a_table_that_fits(rows, width, unicode):
    head, *table = render_board(rows, title="h", width=width, unicode=unicode).split("\n")
    healthy = sum(is_healthy(row) for row in rows)
    assert head.startswith(f"h: {healthy} of {len(rows)} services healthy" if rows else "h: no services")
    assert all(text_width(line) <= max(20, width) for line in table)


@given(st.text(), st.integers(-3, 30), st.booleans())
def test_shortened_text_fits_and_keeps_its_beginning(text, width, unicode):
    short = shorten(text, width, unicode=unicode)
    assert text_width(short) <= max(0, width)
    if text_width(text) <= width:
        assert short == text
    else:
        assert text.startswith(short.removesuffix("…" if unicode else "..."))


@given(st.text(alphabet=st.characters(max_codepoint=0x2070)))
def test_cleaned_text_holds_no_control_character(text):
    assert not any(
        (ord(char) < 32 and char not in "\n\t") or 0x7F <= ord(char) <= 0x9F for char in clean_text("\x1b[1m" + text)
    )
