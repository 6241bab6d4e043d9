"""Files come back into the stack: volumes, paths, Grafana. When that fails, the old ones are there as before."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.config import BackupError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.put_back import PutBack
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.put_back_plan import make_plan
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.put_back_record import place_of_record
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.wanted import (
    Paths as CertificatePaths,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge import layout
from fakes.backup_host import RESTIC, BackupHost
from fakes.put_back_host import FakeRelease, hands

pytestmark = pytest.mark.skipif(not RESTIC, reason="not installed: restic")
DEPENDS: dict[str, list[str]] = {"board": [], "web": [], "other": []}


def titles(path: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute("SELECT title FROM dashboard ORDER BY 1")]


def write_titles(path: Path, *names: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS dashboard (title TEXT)")
        connection.execute("DELETE FROM dashboard")
        connection.executemany("INSERT INTO dashboard VALUES (?)", [(name,) for name in names])
        connection.commit()


@pytest.fixture
def ready(host: BackupHost) -> BackupHost:
    """A host with a good run of a dashboard, a volume, a folder and a single file, all of which have changed since."""
    grafana, notes = host.folder / "volumes" / "grafana" / "_data", host.folder / "volumes" / "notes" / "_data"
    host.engine.add_volume("grafana", grafana, {})
    host.engine.add_volume("notes", notes, {"hypercode.backup": "true"})
    mount = {"Type": "volume", "Name": "grafana", "Source": str(grafana), "Destination": "/var/lib/grafana"}
    host.add_service("board", "grafana/grafana:12.4", {}, [mount])
    host.add_service("web", "example/web:1", {}, [{"Type": "volume", "Name": "notes", "Destination": "/notes"}])
    host.add_service("other", "example/web:1", {})
    host.settings["paths"] = ("/srv/files", "/srv/single.txt")
    write_titles(grafana / "grafana.db", "one", "two")
    (grafana / "plugins").mkdir()
    (grafana / "plugins" / "a").write_text("then")
    (notes / "note").write_text("then")
    host.paths.at("/srv/files").mkdir(parents=True)
    host.paths.at("/srv/files/x").write_text("then")
    host.paths.at("/srv/single.txt").write_text("then")
    host.paths.at("/srv/beside.txt").write_text("nobody's")
    assert host.backup().run() == []
    write_titles(grafana / "grafana.db", "damaged")
    (grafana / "plugins" / "a").unlink()
    for path in (notes / "note", host.paths.at("/srv/files/x"), host.paths.at("/srv/single.txt")):
        path.write_text("now")
    (notes / "more").write_text("now")
    host.now += 3600
    return host


def look(host: BackupHost) -> dict[str, str]:
    """What there is now."""
    volumes = host.folder / "volumes"
    files = [path for folder in (volumes, host.paths.at("/srv")) for path in folder.rglob("*") if path.is_file()]
    found = {path.name: path.read_text() for path in files if path.name != "grafana.db"}
    return {**found, "dashboards": ",".join(titles(volumes / "grafana" / "_data" / "grafana.db"))}


THEN = {
    "a": "then",
    "note": "then",
    "x": "then",
    "single.txt": "then",
    "beside.txt": "nobody's",
    "dashboards": "one,two",
}
NOW = {
    "note": "now",
    "more": "now",
    "x": "now",
    "single.txt": "now",
    "beside.txt": "nobody's",
    "dashboards": "damaged",
}


def restore(host: BackupHost, run: str = "latest", *, broken: str = "") -> tuple[str, FakeRelease]:
    hand, release = hands(host, DEPENDS)
    plan = make_plan(hand.backup, release, hand.backup.find(run), [])  # type: ignore[arg-type]
    release.broken = {broken} if broken else set()
    return PutBack(hand, plan).go(), release


def test_all_of_it_and_back_again(ready: BackupHost) -> None:
    safety, release = restore(ready)
    assert look(ready) == THEN
    assert release.done[0].startswith("stop ")
    assert not any("other" in line for line in release.done)
    ready.now += 60
    restore(ready, safety)
    assert look(ready) == NOW
    # Nothing that was set aside is left.
    assert not list(ready.folder.rglob(".hypercode-*"))
    assert not (ready.paths.state / "restore").exists()


CADDY = """#!/bin/sh
echo "$(cat {certificate})" >> {log}
echo "$@" >> {log}
exit {code}
"""


@pytest.mark.parametrize("code", [0, 1])
def test_certificates_come_back_only_when_named_and_the_edge_reads_them(ready: BackupHost, code: int) -> None:
    storage = CertificatePaths(ready.paths.root).storage
    storage.mkdir(parents=True)
    certificate, log, program = storage / "site.crt", ready.folder / "caddy.log", ready.folder / "caddy"
    certificate.write_text("then")
    assert ready.backup().run() == []
    certificate.write_text("lost")
    program.write_text(CADDY.format(certificate=certificate, log=log, code=code))
    program.chmod(0o755)
    ready.paths.at(layout.MANIFEST).parent.mkdir(parents=True, exist_ok=True)
    ready.paths.at(layout.MANIFEST).write_text(f'{{"binary": "{program}"}}')
    # All of a run leaves them alone.
    restore(ready)
    assert certificate.read_text() == "lost"
    assert not log.exists()
    hand, release = hands(ready, DEPENDS)
    plan = make_plan(hand.backup, release, hand.backup.find("latest"), ["certificates"])  # type: ignore[arg-type]
    assert plan.stops == {}
    if code:
        with pytest.raises(BackupError, match=r"Caddy did not take the new configuration.*The old data was put back"):
            PutBack(hand, plan).go()
        assert certificate.read_text() == "lost"
        # Those of before are read again.
        assert [line for line in log.read_text().splitlines() if "reload" not in line] == ["then", "lost"]
        return
    PutBack(hand, plan).go()
    assert certificate.read_text() == "then"
    assert log.read_text().startswith("then\nreload --config")


@pytest.mark.parametrize("broken", ["board", "web"])
def test_a_service_that_does_not_get_well(ready: BackupHost, broken: str) -> None:
    with pytest.raises(BackupError, match=rf"{broken} did not get healthy\. The old data was put back"):
        restore(ready, broken=broken)
    assert look(ready) == NOW
    assert not list(ready.folder.rglob(".hypercode-*"))
    assert not place_of_record(ready.paths).exists()
