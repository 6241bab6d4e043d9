"""The page in a real browser: on a phone and on a desktop, light and dark, and on paper."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.report import write
from fakes import soak_reports
from fakes.browser import Browser, Page, why_not
from fakes.contrast import contrast

pytestmark = [pytest.mark.playbook, pytest.mark.skipif(bool(why_not()), reason=why_not())]

REPORTS = {
    "good": soak_reports.good(),
    "failed": soak_reports.failed(50),
    "inconclusive": soak_reports.inconclusive(),
    "running": soak_reports.running(),
    "hostile": soak_reports.hostile(),
    "empty": {},
}
# A usual phone, a small one, and a desktop.
SIZES = {"phone": (375, 667), "small": (320, 568), "desktop": (1280, 800)}


@dataclass(frozen=True)
class Opened:
    name: str
    size: tuple[int, int]
    page: Page


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("reports")
    for name, report in REPORTS.items():
        (made / name).mkdir()
        write(made / name, report)
    return made


@pytest.fixture(
    scope="module",
    params=[
        *itertools.product(REPORTS, ("phone", "desktop"), ("light", "dark")),
        *itertools.product(("failed", "inconclusive"), ("small",), ("light",)),
    ],
    ids="-".join,
)
def opened(request: pytest.FixtureRequest, browser: Browser, folder: Path) -> Iterator[Opened]:
    name, size, scheme = request.param
    width, height = SIZES[size]
    page = browser.open(folder / name / "report.html", width=width, height=height, dark=scheme == "dark")
    yield Opened(name, (width, height), page)
    page.close()


def values(page: Page, script: str) -> Any:
    return json.loads(page.value(f"JSON.stringify({script})"))


def test_it_fits_and_the_verdict_is_seen_at_once_and_nothing_else_is_asked_for(opened: Opened) -> None:
    width, height = opened.size
    page = opened.page
    assert page.complaints() == []
    assert [address.rpartition("/")[2] for address in page.requests()] == ["report.html"]
    assert page.value("innerWidth") == width
    assert page.value("document.scrollingElement.scrollWidth") <= width
    # With all of it unfolded, too.
    page.value("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.value("document.scrollingElement.scrollWidth") <= width
    sticking_out = values(
        page,
        "[...document.querySelectorAll('main *:not(svg *), header *:not(svg *)')]"
        f".filter(one => one.getBoundingClientRect().right > {width} + 0.5).map(one => one.outerHTML.slice(0, 200))",
    )
    assert sticking_out == []
    heading = values(page, "document.querySelector('h1').getBoundingClientRect()")
    assert 0 <= heading["top"] < heading["bottom"] < height / 2
    assert heading["height"] >= 36
    reasons = values(page, "[...document.querySelectorAll('.reason, .next')].map(one => one.getBoundingClientRect())")
    if opened.name not in ("hostile", "empty"):
        assert reasons
    if opened.name != "hostile":
        assert all(reason["bottom"] < height for reason in reasons)


def test_every_plot_is_drawn(opened: Opened) -> None:
    page = opened.page
    page.value("document.querySelectorAll('details').forEach(one => one.open = true)")
    plots = values(
        page,
        "[...document.querySelectorAll('svg[role=img]')].map(one => {const box = one.getBoundingClientRect(); "
        "const curves = [...one.querySelectorAll('.curve')].map(c => c.getBoundingClientRect()); "
        "return {w: box.width, h: box.height, l: box.left, r: box.right, t: box.top, b: box.bottom, "
        "c: curves.map(c => [c.left, c.right, c.top, c.bottom])}})",
    )
    assert bool(plots) == (opened.name != "empty")
    for plot in plots:
        assert plot["w"] > 200
        assert plot["h"] > 60
        for left, right, top, bottom in plot["c"]:
            assert plot["l"] - 1 <= left <= right <= plot["r"] + 1
            assert plot["t"] - 1 <= top <= bottom <= plot["b"] + 1
    if opened.name == "failed":
        assert len(plots) > 200
        # A leak goes up: its curve takes some height and all of the width.
        leak = next(plot for plot in plots[:4] if plot["c"])
        left, right, top, bottom = leak["c"][0]
        assert right - left > 0.95 * leak["w"]
        assert bottom - top > 20


def test_what_is_written_can_be_read_on_its_ground(opened: Opened) -> None:
    """The contrast as the browser computes it, of every element that has words."""
    script = """[...document.querySelectorAll(':is(main, header, footer) :not(title, desc)')]
        .filter(one => [...one.childNodes].some(node => node.nodeType === 3 && node.data.trim()))
        .map(one => {let ground = one, seen;
            do {seen = getComputedStyle(ground).backgroundColor; ground = ground.parentElement}
            while (ground && seen === 'rgba(0, 0, 0, 0)');
            const style = getComputedStyle(one);
            return [one instanceof SVGElement ? style.fill : style.color, seen, parseFloat(style.fontSize)]})"""
    found = values(opened.page, script)
    assert len(found) > 5
    for colour, ground, size in {tuple(one) for one in found}:
        assert contrast(rgb(colour), rgb(ground)) >= 4.5, (colour, ground)
        assert size >= 12


def rgb(colour: str) -> list[int]:
    assert colour.startswith("rgb("), colour
    return [int(part) for part in re.findall(r"\d+", colour)]


def test_dark_is_dark(browser: Browser, folder: Path) -> None:
    grounds = []
    pictures = []
    for dark in (False, True):
        page = browser.open(folder / "failed/report.html", width=375, height=667, dark=dark)
        grounds.append(page.value("getComputedStyle(document.body).backgroundColor"))
        pictures.append(page.picture())
    assert grounds == ["rgb(255, 255, 255)", "rgb(20, 23, 27)"]
    assert pictures[0] != pictures[1]
    assert all(len(picture) > 5_000 for picture in pictures)


@pytest.mark.parametrize(("name", "most"), [("good", 10), ("failed", 16), ("hostile", 50)])
def test_it_prints_on_a_few_pages(browser: Browser, folder: Path, name: str, most: int) -> None:
    page = browser.open(folder / name / "report.html", width=1280, height=800, dark=True)
    paper = page.pdf()
    assert paper.startswith(b"%PDF-")
    # Curves by themselves are left out: hundreds of them would take dozens of pages.
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", paper)) <= most
    # A4, in points.
    assert re.search(rb"/MediaBox\s*\[0 0 59[45][\d.]* 84[12]", paper)


def test_a_link_to_a_check_opens_its_details(browser: Browser, folder: Path) -> None:
    page = browser.open(folder / "good/report.html", width=1280, height=800)
    assert page.value("document.querySelector('#check-1').checkVisibility({contentVisibilityAuto: true})") is False
    page.value("document.querySelector('a[href=\"#check-1\"]').click()")
    assert page.value("document.querySelector('#check-1').closest('details').open") is True


def test_a_hostile_name_runs_nothing(browser: Browser, folder: Path) -> None:
    page = browser.open(folder / "hostile/report.html", width=1280, height=800)
    assert (
        page.value("document.querySelectorAll('script, img, iframe, [onload], [onerror], [onmouseover]').length") == 0
    )
    assert page.value("document.body.innerText.includes('</script><svg onload=alert(1)>')") is True
