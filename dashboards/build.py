"""Writes the dashboards as JSON, and says which files are not as they would be written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from . import agent, backup, edge, fleet, host, missions, postgres, redis, releases, soak
from .alerts import ROOT
from .board import Board, assemble, marks

FOLDER = "roles/monitoring/files/grafana/dashboards"
# What may find nothing on a quiet healthy stack. The scenario of the monitoring asks all the rest.
EVENTS = "molecule/shared/checks/dashboards_events.json"
BOARDS: Sequence[Board] = tuple(
    module.BOARD for module in (fleet, agent, missions, postgres, redis, host, edge, backup, releases, soak)
)


def files() -> dict[str, str]:
    """Path in the repository -> content, of all that is written."""
    made = {f"{FOLDER}/{board.uid.removeprefix('hypercode-')}.json": _text(dashboard(board)) for board in BOARDS}
    return {**made, EVENTS: _text({board.uid: events(board) for board in BOARDS})}


def dashboard(board: Board) -> dict[str, Any]:
    """A dashboard as plain data."""
    plain: dict[str, Any] = json.loads(json.dumps(assemble(board), cls=JSONEncoder))
    # The library wants links and marks in a menu; at the top they are seen.
    for each in (*plain["links"], *plain["annotations"]["list"]):
        each.pop("placement", None)
    for panel in plain["panels"]:
        for each in panel.get("links", ()):
            each.pop("placement", None)
    return plain


def events(board: Board) -> dict[str, str]:
    """Panel and letter of a question, such as `LLM calls A` -> what has to happen before it finds something."""
    found = {}
    for piece in board.pieces():
        for letter, query in zip("ABCDEFGHIJ", piece.queries, strict=False):
            if query.event:
                found[f"{piece.title} {letter}"] = query.event
    for name, _colour, query in marks():
        if query.event:
            found[f"{name} Anno"] = query.event
    return found


def _text(plain: object) -> str:
    return json.dumps(plain, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def write(root: Path = ROOT) -> list[str]:
    """Write what is not as it should be, take away what belongs to no dashboard. Return the paths that have changed."""
    changed = stale(root)
    wanted = files()
    for name in changed:
        path = root / name
        if name in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[name], encoding="utf-8")
        else:
            path.unlink()
    return changed


def stale(root: Path = ROOT) -> list[str]:
    """The paths of files that are missing, differ, or belong to no dashboard."""
    wanted = files()
    found = [name for name, text in wanted.items() if not _same(root / name, text)]
    there = sorted((root / FOLDER).glob("*.json"))
    return found + [name for path in there if (name := f"{FOLDER}/{path.name}") not in wanted]


def _same(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == text
    except (FileNotFoundError, UnicodeDecodeError):
        return False
