"""The stand-in for Grafana finds what is wrong with provisioning files, and nothing wrong with those of the role."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
ROLE = ROOT / "roles/monitoring"
SOURCE = ROOT / "molecule/shared/images/app/provisioning.py"
_spec = importlib.util.spec_from_file_location("provisioning", SOURCE)
assert _spec
assert _spec.loader
provisioning = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(provisioning)


@pytest.fixture
def grafana(tmp_path: Path) -> Path:
    """What the role writes, as the container of Grafana has it."""
    tree = ROLE / "templates/tree/etc/hypercode/monitoring/grafana/provisioning"
    shutil.copytree(tree, tmp_path / "etc/grafana/provisioning")
    shutil.copytree(ROLE / "files/grafana/dashboards", tmp_path / "etc/grafana/dashboards")
    return tmp_path


def problems(grafana: Path) -> list[str]:
    return list(provisioning.problems(grafana / "etc/grafana/provisioning", grafana))


def change(path: Path, **keys: Any) -> None:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    first = (
        next(value for value in document.values() if isinstance(value, list))[0] if path.suffix == ".yml" else document
    )
    first |= keys
    path.write_text(json.dumps(document), encoding="utf-8")


def test_nothing_is_wrong_with_what_the_role_writes(grafana: Path) -> None:
    assert len(list((grafana / "etc/grafana/dashboards").glob("*.json"))) >= 10
    assert problems(grafana) == []


def test_without_any_file_nothing_is_wrong(tmp_path: Path) -> None:
    assert problems(tmp_path) == []


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"uid": "other"}, "asks a data source that there is not: prometheus"),
        ({"uid": "jaeger"}, "2 data sources have the uid jaeger"),
        ({"name": "Jaeger"}, "2 data sources have the name Jaeger"),
        ({"url": ""}, "has no url"),
        ({"isDefault": False}, "not exactly one data source is the default"),
        ({"access": "browser"}, "neither proxy nor direct"),
        ({"isdefault": True}, "has 'isdefault', which Grafana does not know"),
    ],
)
def test_a_wrong_data_source_is_found(grafana: Path, keys: dict[str, Any], said: str) -> None:
    change(grafana / "etc/grafana/provisioning/datasources/hypercode.yml", **keys)
    assert any(said in problem for problem in problems(grafana))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"folder": ""}, "has no folder with a uid"),
        ({"options": {"path": "/nowhere"}}, "is not there: /nowhere"),
        ({"fodler": "x"}, "has 'fodler', which Grafana does not know"),
    ],
)
def test_a_wrong_provider_is_found(grafana: Path, keys: dict[str, Any], said: str) -> None:
    change(grafana / "etc/grafana/provisioning/dashboards/hypercode.yml", **keys)
    assert any(said in problem for problem in problems(grafana))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"uid": "hypercode-agent"}, "2 dashboards have the uid hypercode-agent"),
        ({"uid": "x" * 41}, "no uid of at most 40 characters"),
        ({"title": ""}, "has no title"),
        ({"id": 7}, "has an id"),
        ({"schemaVersion": "1"}, "has no schemaVersion"),
        ({"panels": []}, "has no panels"),
        ({"panels": [{"id": 1}, {"id": 1}]}, "2 panels of fleet.json have the id 1"),
        ({"panels": [{"id": 1, "targets": [{"datasource": "Prometheus"}]}]}, "there is not: Prometheus"),
    ],
)
def test_a_wrong_dashboard_is_found(grafana: Path, keys: dict[str, Any], said: str) -> None:
    change(grafana / "etc/grafana/dashboards/fleet.json", **keys)
    assert any(said in problem for problem in problems(grafana))


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("provisioning/datasources/hypercode.yml", "a: [b"),
        ("provisioning/datasources/hypercode.yml", "datasources: []"),
        ("provisioning/dashboards/hypercode.yml", "apiVersion: 1"),
        ("dashboards/fleet.json", "{"),
        ("dashboards/fleet.json", "[]"),
    ],
)
def test_a_damaged_file_is_found(grafana: Path, place: str, text: str) -> None:
    (grafana / "etc/grafana" / place).write_text(text, encoding="utf-8")
    assert any(Path(place).name in problem for problem in problems(grafana))
