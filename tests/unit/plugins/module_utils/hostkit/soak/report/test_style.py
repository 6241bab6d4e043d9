"""The colours of the page: enough contrast in light and dark, by the formula of WCAG 2."""

from __future__ import annotations

import re

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.report.style import (
    DARK,
    LIGHT,
    TEXT_ON,
    style,
)
from fakes.contrast import contrast


def between(one: str, other: str) -> float:
    return contrast(bytes.fromhex(one[1:]), bytes.fromhex(other[1:]))


def test_the_formula_is_right() -> None:
    assert between("#000000", "#ffffff") == pytest.approx(21)
    assert between("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_every_text_can_be_read(colours: dict[str, str]) -> None:
    found = {(name, ground): between(colours[name], colours[ground]) for ground in TEXT_ON for name in TEXT_ON[ground]}
    assert {pair: ratio for pair, ratio in found.items() if ratio < 4.5} == {}


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_every_curve_stands_out_from_its_ground(colours: dict[str, str]) -> None:
    grounds = ("bg", "panel", "band")
    found = {
        (name, ground): between(colours[name], colours[ground])
        for name in ("one", "two", "three")
        for ground in grounds
    }
    assert {pair: ratio for pair, ratio in found.items() if ratio < 3} == {}


def test_no_rule_has_a_colour_of_its_own_or_one_that_is_not_there() -> None:
    rules = style()
    used = set(re.findall(r"var\(--([a-z-]+)\)", rules)) - {"tone", "tint"}
    assert used == set(LIGHT) == set(DARK)
    written = re.findall(r"#[0-9a-fA-F]{3,8}\b", rules)
    assert sorted(written) == sorted([*LIGHT.values(), *DARK.values()])


def test_curves_are_told_apart_without_colour() -> None:
    dashes = re.findall(r"\.s\d\{stroke:var\(--\w+\)(?:;stroke-dasharray:([\d ]+))?\}", style())
    assert len(dashes) == len(set(dashes)) == 3


def test_nothing_is_loaded() -> None:
    assert "url(" not in style()
    assert "@import" not in style()
