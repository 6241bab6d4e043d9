"""The files of a report."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.files import FileError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.report import write
from fakes import soak_reports


def test_all_forms_are_there_and_for_root_and_its_group_only(tmp_path: Path) -> None:
    report = soak_reports.failed()
    paths = write(tmp_path, report)
    assert [path.name for path in paths] == ["report.json", "report.md", "junit.xml", "report.html"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in paths)
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o640}
    assert json.loads(paths[0].read_text()) == report


def test_a_report_may_be_written_again_and_again(tmp_path: Path) -> None:
    write(tmp_path, soak_reports.running())
    write(tmp_path, soak_reports.good())
    assert json.loads((tmp_path / "report.json").read_text())["verdict"] == "PASS"
    assert len(list(tmp_path.iterdir())) == 4


def test_the_json_is_strict_whatever_stands_in_the_report(tmp_path: Path) -> None:
    odd = {
        "a": float("nan"),
        "b": [float("inf"), 10**400, 3],
        "c": {1: "\ud800"},
        "d": object(),
        "\udfff": (True, None),
    }
    write(tmp_path, odd)

    def refuse(text: str) -> None:
        raise AssertionError(text)

    found = json.loads((tmp_path / "report.json").read_text(), parse_constant=refuse)
    assert found == {"a": None, "b": [None, None, 3], "c": {"1": "?"}, "d": None, "?": [True, None]}


def test_an_empty_report_is_one_too(tmp_path: Path) -> None:
    assert json.loads(write(tmp_path, {})[0].read_text()) == {}


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="nowhere"):
        write(tmp_path / "nowhere", soak_reports.good())
