"""The options of dns_records with what a test changes, and real name servers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.action.dns_records import ARGUMENTS
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import Finding
from ansible_collections.hypercode.deploy.plugins.plugin_utils.dns.wanted import Wanted, read_wanted
from fakes.name_servers import Knot, PowerDns


def options(**changed: Any) -> dict[str, Any]:
    return {**{name: spec.get("default") for name, spec in ARGUMENTS.items()}, **changed}


def read(facts: Mapping[str, Mapping[str, Any]] | None = None, **changed: Any) -> tuple[Wanted, list[Finding]]:
    return read_wanted(options(**changed), facts or {})


@pytest.fixture
def knot(tmp_path: Path) -> Iterator[Knot]:
    if not shutil.which("knotd"):
        pytest.skip("knotd is not installed (apt-get install knot)")
    with Knot(tmp_path / "knot").running() as server:
        yield server


@pytest.fixture
def power_dns(tmp_path: Path) -> Iterator[PowerDns]:
    if not shutil.which("pdns_server"):
        pytest.skip("pdns_server is not installed (apt-get install pdns-backend-sqlite3)")
    with PowerDns(tmp_path / "pdns").running() as server:
        yield server
