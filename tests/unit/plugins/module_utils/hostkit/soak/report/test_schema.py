"""Reports against docs/soak_report.schema.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from fakes import soak_reports

SCHEMA = json.loads((Path(__file__).parents[7] / "docs/soak_report.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    "report",
    [
        soak_reports.good(2),
        soak_reports.failed(3),
        soak_reports.inconclusive(),
        soak_reports.running(),
        soak_reports.running(found=True),
    ],
    ids=["good", "failed", "inconclusive", "running", "running, failed"],
)
def test_a_report_is_as_the_schema_says(report: dict[str, Any]) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(report)] == []


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"verdict": "MAYBE"},
        {"running": True},
        {"verdict": None},
        {"checks": []},
        {"checks": [soak_reports.failed()["checks"][0]]},
        {"coverage": 1.1},
        {"events": [{"time": 1, "kind": "die", "subject": "", "text": "", "planned": None}]},
        {"series": [{"name": "memory", "unit": "bytes", "subject": "x", "limit": 1, "points": [[1, 2, 3]]}]},
    ],
    ids=lambda change: json.dumps(change)[:40],
)
def test_what_must_not_be_is_no_report(change: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(soak_reports.good(2) | change)


def test_every_key_of_the_contract_is_in_the_schema() -> None:
    # Of the table of docs/soak_journal.md: first its keys, then those of a check.
    text = (Path(__file__).parents[7] / "docs/soak_journal.md").read_text().partition("## The report")[2]
    for key in SCHEMA["properties"]:
        assert f"`{key}`" in text
    for key in SCHEMA["$defs"]["check"]["properties"]:
        assert f"`{key}`" in text
