"""The page: well formed, with nothing from elsewhere, and readable for those who do not see it."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from html.parser import HTMLParser
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.report.html import render
from fakes import soak_reports

VOID = {"meta", "br", "hr", "img", "input", "link"}
REPORTS = {
    "good": soak_reports.good(),
    "failed": soak_reports.failed(),
    "fifty": soak_reports.failed(50),
    "inconclusive": soak_reports.inconclusive(),
    "running": soak_reports.running(),
    "hostile": soak_reports.hostile(),
    "empty": {},
}
# What the page is made of. All else came in through a name.
TAGS = set(
    "html head meta title style body header main footer section div p h1 h2 h3 b a bdi span ul li dl dt dd "
    "table caption thead tbody tr th td details summary figure figcaption time "
    "svg g use path line rect circle text defs symbol pattern desc".split()
)


class Tree(HTMLParser):
    """Checks that all that is opened is closed, and collects the elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], tuple[str, ...]]] = []
        self.words: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, value in attrs]
        assert len(names) == len(set(names)), (tag, names)
        self.elements.append((tag, dict(attrs), tuple(self._open)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), tuple(self._open)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open, tag
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.words.append((self._open[-1] if self._open else "", data.strip()))

    def all(self, tag: str) -> list[tuple[str, dict[str, str | None], tuple[str, ...]]]:
        return [element for element in self.elements if element[0] == tag]


@pytest.fixture(scope="module", params=REPORTS)
def page(request: pytest.FixtureRequest) -> str:
    return render(REPORTS[request.param])


def test_it_is_well_formed_and_of_known_elements(page: str) -> None:
    assert {tag for tag, attributes, above in Tree(page).elements} <= TAGS


def test_nothing_is_loaded_and_nothing_runs(page: str) -> None:
    tree = Tree(page)
    for tag, attributes, _above in tree.elements:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name not in ("src", "srcset", "action", "formaction", "ping", "style", "xlink:href", "background"), (
                tag
            )
            if name == "href":
                assert str(value).startswith("#"), value
            for address in re.findall(r"url\(([^)]*)\)", str(value)):
                assert address.startswith("#")
    policies = [a["content"] for tag, a, above in tree.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"]


def test_each_place_that_is_pointed_at_is_there_once(page: str) -> None:
    tree = Tree(page)
    ids = Counter(str(attributes["id"]) for tag, attributes, above in tree.elements if "id" in attributes)
    assert {name: count for name, count in ids.items() if count > 1} == {}
    for _tag, attributes, _above in tree.elements:
        wanted = [str(attributes.get("href") or "#")[1:], *str(attributes.get("aria-labelledby") or "").split()]
        for fill in re.findall(r"url\(#([^)]*)\)", str(attributes.get("fill"))):
            wanted.append(fill)
        assert [name for name in wanted if name and name not in ids] == []


def test_it_can_be_heard(page: str) -> None:
    tree = Tree(page)
    assert tree.all("html")[0][1] == {"lang": "en"}
    assert len(tree.all("h1")) == len(tree.all("main")) == 1
    assert next(word for tag, word in tree.words if tag == "title")
    assert any("width=device-width" in str(attributes.get("content")) for tag, attributes, above in tree.all("meta"))
    captions = [above for tag, attributes, above in tree.all("caption")]
    assert len(captions) == len(tree.all("table"))
    assert all(attributes.get("scope") in ("col", "row") for tag, attributes, above in tree.all("th"))
    outer = [attributes for tag, attributes, above in tree.all("svg") if "svg" not in above]
    pictures = [attributes for attributes in outer if attributes.get("aria-hidden") != "true"]
    assert all(attributes["role"] == "img" for attributes in pictures)
    described = [attributes for tag, attributes, above in tree.all("desc")]
    assert len(described) == len(pictures)
    levels = [int(tag[1]) for tag, attributes, above in tree.elements if tag in ("h1", "h2", "h3")]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("good", "PASS"),
        ("failed", "FAIL"),
        ("inconclusive", "INCONCLUSIVE"),
        ("running", "RUNNING"),
        ("empty", "INCONCLUSIVE"),
    ],
)
def test_the_verdict_is_the_heading_and_the_title(name: str, verdict: str) -> None:
    tree = Tree(render(REPORTS[name]))
    assert [word for tag, word in tree.words if tag == "h1"] == [verdict]
    assert next(word for tag, word in tree.words if tag == "title").startswith(f"{verdict}: soak of ")


def test_what_comes_first_is_what_a_person_needs() -> None:
    page = render(soak_reports.failed())
    places = [
        page.index(part)
        for part in (
            "<h1>",
            "Memory of agent-x grows by 6.1 MiB an hour",
            "<b>Next:</b>",
            ">What did not pass<",
            ">Growth of memory<",
            ">Over time<",
            ">All checks<",
            ">What was not tested<",
        )
    ]
    assert places == sorted(places)


def test_each_check_is_a_row_and_has_its_details() -> None:
    tree = Tree(render(soak_reports.failed()))
    links = [attributes["href"] for tag, attributes, above in tree.all("a")]
    assert links == ["#untested", *(f"#check-{place}" for place in range(1, 25))]
    opened = [
        attributes for tag, attributes, above in tree.all("details") if str(attributes.get("class")).startswith("card")
    ]
    assert len(opened) == 4
    assert all("open" in attributes for attributes in opened)


def test_hostile_names_are_text() -> None:
    tree = Tree(render(soak_reports.hostile()))
    told = [word for tag, word in tree.words if tag == "bdi"]
    assert "</script><svg onload=alert(1)>" in told
    assert '" onmouseover="alert(1)' in told
    assert "&lt;b&gt;&amp;&#x41;]]>" in told
    page = render(soak_reports.hostile())
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", page)


def test_every_curve_is_drawn_and_planned_looks_another_way() -> None:
    report = soak_reports.failed()
    tree = Tree(render(report))
    marks = Counter(str(attributes.get("href")) for tag, attributes, above in tree.all("use"))
    assert (marks["#e-bad"], marks["#e-meant"]) == (5, 5)
    fills = Counter(str(a.get("fill")) for tag, a, above in tree.all("rect") if "symbol" in above)
    assert (fills["url(#gap)"], fills["url(#gap-meant)"]) == (1, 1)
    said = [word for tag, word in tree.words if tag == "title"]
    for series in report["series"]:
        assert any(word.endswith(f" of {series['subject']}") for word in said), series["subject"]


def test_fifty_services_stay_a_small_page() -> None:
    assert len(render(soak_reports.failed(50)).encode()) < 1_500_000


def test_a_hole_in_a_curve_stays_a_hole() -> None:
    report: dict[str, Any] = soak_reports.good(1)
    start = soak_reports.BEGAN
    points = [[start, 10], [start + 3600, 20], [start + 7200, None], [start + 10800, 30], [start + 86400, 30]]
    report["series"] = [{"name": "latency", "unit": "ms", "subject": "x", "limit": 40, "points": points}]
    curves = re.findall(r'class="curve s1" d="([^"]*)"', render(report))
    # The scale ends at 50: a fifth below the top is 800.
    assert curves == ["M0 800h0l42 -200M125 400h0l875 0"] * 2


def test_the_range_of_the_others_is_one_field_however_few_points_they_have() -> None:
    report: dict[str, Any] = soak_reports.good(9)
    latency = [one | {"points": one["points"][::12]} for one in report["series"] if one["name"] == "latency"]
    report["series"] = latency
    bands = re.findall(r'class="band" d="([^"]*)"', render(report))
    assert len(bands) == 1
    # Closed once, and from the first to the last point.
    assert bands[0].count("M") == bands[0].count("Z") == 1
    places = [int(pair.split()[0]) for pair in re.split("[MLZ]", bands[0]) if pair]
    assert (min(places), max(places)) == (0, 1000)


def test_restarts_stay_counted_until_the_end() -> None:
    report: dict[str, Any] = soak_reports.good(1)
    start = soak_reports.BEGAN
    points = [[start, 0], [start + 43200, 1]]
    names = ("a", "b", "c", "d", "e")
    report["series"] = [
        {"name": "restarts", "unit": "count", "subject": name, "limit": None, "points": points} for name in names
    ]
    page = render(report)
    assert set(re.findall(r'class="curve s1" d="([^"]*)"', page)) == {"M0 1000h0h500v-1000h500"}
    band = re.findall(r'class="band" d="([^"]*)"', page)
    assert len(band) == 1
    assert band[0].startswith("M0 1000L7 1000L")
    assert "L493 1000L500 0L507 0L" in band[0]
    assert "L1000 0L1000 0L" in band[0]


def test_a_curve_that_two_checks_found_is_shown_with_the_first() -> None:
    report: dict[str, Any] = soak_reports.failed()
    twice = next(check for check in report["checks"] if check["id"] == "memory_leak")
    report["checks"].append(twice | {"id": "oom", "title": "Killed for want of memory"})
    cards = render(report).partition("What did not pass")[2].partition("Over time")[0]
    assert cards.count("<title id=") == 3


def test_the_legend_has_only_what_there_is() -> None:
    def legend(report: dict[str, Any]) -> list[str]:
        return re.findall(
            r"</svg>([^<]+)</li>", render(report).partition('<ul class="legend">')[2].partition("</ul>")[0]
        )

    assert legend(soak_reports.good()) == ["event, planned", "limit", "warm-up"]
    assert len(legend(soak_reports.failed())) == 6


def test_a_pass_says_that_something_was_not_tested() -> None:
    assert '<a href="#untested">2 things were not tested</a>' in render(soak_reports.good())
    assert 'href="#untested"' not in render(soak_reports.good() | {"not_tested": []})


def test_a_clock_that_was_set_is_told_and_is_no_gap() -> None:
    start = soak_reports.BEGAN
    gaps = [{"from": start, "to": start + 9000, "reason": "clock", "jumped": 9000.0, "planned": True}]
    page = render(soak_reports.good() | {"gaps": gaps})
    assert "<bdi>the wall clock was set</bdi>; no time is missing" in page
    assert 'fill="url(#gap' not in page


def test_gaps_are_told_in_plain_words() -> None:
    page = render(soak_reports.failed())
    assert "nothing known for 4 min, planned (<bdi>the host was not there</bdi>)" in page
    assert "nothing known for 24 min, not planned (<bdi>Docker did not answer</bdi>)" in page
