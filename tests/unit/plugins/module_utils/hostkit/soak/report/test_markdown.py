"""The report as Markdown."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.report.markdown import escape, render
from fakes import soak_reports
from markdown_it import MarkdownIt
from markdown_it.token import Token


def test_the_verdict_the_reason_and_the_next_step_come_first() -> None:
    lines = [line for line in render(soak_reports.failed()).splitlines() if line]
    assert lines[0] == "# ✗ FAIL: soak of web1"
    assert lines[1].startswith("**Memory of agent")
    assert lines[2].startswith("**Next:** Look at what agent")


def test_each_check_is_in_the_table_the_bad_ones_first() -> None:
    text = render(soak_reports.failed())
    rows = re.findall(r"^\| \\?(\S [A-Z ]+) \| ([^|]+) \|", text.partition("## All checks")[2], re.M)
    assert len(rows) == 24
    assert [verdict for verdict, title in rows][:5] == [*["✗ FAIL"] * 3, "? INCONCLUSIVE", "- NOT TESTED"]


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("a|b", "a\\|b"),
        ("<b>", "&lt;b&gt;"),
        ("&amp;", "&amp;amp;"),
        ("@all", "&#64;all"),
        ("http://x", "http&#58;//x"),
        ("www.x", "www&#46;x"),
        ("[a](b)", "\\[a\\](b)"),
        ("- one", "\\- one"),
        ("a-b (c)", "a-b (c)"),
        ("`c`", "\\`c\\`"),
        ("1. one", "1\\. one"),
        ("v2.4.1", "v2.4.1"),
        ("#9", "\\#9"),
    ],
)
def test_foreign_text_stays_text(text: str, safe: str) -> None:
    assert escape(text) == safe


def test_hostile_names_are_text_for_a_real_reader_of_markdown() -> None:
    reader = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    tokens = list(walk(reader.parse(render(soak_reports.hostile()))))
    kinds = {token.type for token in tokens}
    assert not kinds & {"html_inline", "html_block", "link_open", "image", "code_inline", "s_open", "fence", "em_open"}
    assert "table_open" in kinds
    text = "".join(token.content for token in tokens if token.type in ("text", "text_special"))
    for name in (
        "</script><svg onload=alert(1)>",
        "[link](javascript:alert(1)) @everyone `code` ~~x~~ http://evil.example",
    ):
        assert name in text
    rows = [token for token in tokens if token.type == "tr_open"]
    cells = [token for token in tokens if token.type in ("td_open", "th_open")]
    assert len(cells) > 3 * len(rows) > 0
    headings = [after.content for before, after in itertools.pairwise(tokens) if before.type == "heading_open"]
    assert not [heading for heading in headings if heading.startswith("heading")]


def test_hostile_names_tell_nobody_and_are_no_address() -> None:
    text = render(soak_reports.hostile())
    assert "@everyone" not in text
    assert "://" not in text


def walk(tokens: Iterable[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from walk(token.children or ())


def test_one_that_runs_says_so() -> None:
    text = render(soak_reports.running())
    assert text.startswith("# … RUNNING: soak of web1\n")
    assert "17 h of 24 h (running, 7 h left)" in text
