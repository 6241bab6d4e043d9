"""Looks at a host: one probe, one run of Lynis, all points judged."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from . import lynis, reasons, target
from .checks import POINTS
from .checks.kernel import configured
from .facts import Facts, UnreadableError, split
from .points import Judged, Point, State, Verdict

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Result:
    """All points of a host, the reasons, and what is wrong with either."""

    judged: Sequence[Judged]
    book: reasons.Book
    problems: Sequence[str]
    unused: Sequence[str]
    index: int
    containers: int


def promised(root: Path = ROOT) -> dict[str, str]:
    """Return the kernel settings that the role base makes by default."""
    defaults: Mapping[str, Any] = yaml.safe_load((root / "roles/base/defaults/main.yml").read_text(encoding="utf-8"))
    return {key: str(value) for key, value in defaults["base_sysctl"].items()}


def probe(host: target.Target) -> Facts:
    """Read a host."""
    mark = f"@@{secrets.token_hex(8)}"
    script = (Path(__file__).parent / "probe.sh").read_text(encoding="utf-8")
    return Facts(split(host.script(f"MARK={mark}\n{script}"), mark), promised())


def judge(point: Point, facts: Facts) -> Judged:
    """Judge a point. Where the host's answer is missing or has another form, the point is unknown, never met."""
    try:
        verdict = point.judge(facts)
    except UnreadableError as error:
        verdict = Verdict(State.UNKNOWN, note=str(error))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        verdict = Verdict(State.UNKNOWN, note=f"the host's answer has another form ({type(error).__name__}: {error})")
    return Judged(point.id, point.group, point.title, verdict)


def examine(host: target.Target) -> Result:
    """Look at a host, which is not changed by it."""
    book = reasons.load()
    with ThreadPoolExecutor(max_workers=1) as beside:
        report = beside.submit(lynis.run, host)
        facts = probe(host)
        judged = [judge(point, facts) for point in POINTS]
    found = report.result()
    judged += lynis.judge(found, book.titles, atboot=configured(facts) if facts.is_container else None)
    return Result(
        judged,
        book,
        reasons.problems(judged, book),
        reasons.unused(judged, book),
        found.index,
        int(facts.info["Containers"]),
    )


def problems(inventory: Path, host: str = "web1") -> list[str]:
    """Return each point that a host, with a stack or without, does not meet for no reason.

    In the tests of a scenario: assert hardening.examine.problems(inventory) == []
    """
    return list(examine(target.find(ROOT, inventory, host)).problems)
