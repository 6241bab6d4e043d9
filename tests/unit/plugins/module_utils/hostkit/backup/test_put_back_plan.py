"""What a restore into the stack says that it will do, and what it refuses before anything is touched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup import (
    put_back_files,
    put_back_plan,
    put_back_see,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.config import BackupError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.put_back_plan import (
    Part,
    Plan,
    make_plan,
    part_of,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.put_back_see import connected, major_of
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.restic import Snapshot
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.runs import Run
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.saver import MANIFEST
from fakes.backup_host import BackupHost
from fakes.put_back_host import hands

ID = "20270115T080000Z-1a2b"
ITEMS: dict[str, dict[str, Any]] = {
    "postgres/db/roles": {"kind": "stream", "bytes": 600},
    "postgres/db/database/shop": {
        "kind": "stream",
        "bytes": 1000,
        "size": 8000,
        "version": "15.6 (Debian)",
        "rows": {},
    },
    "redis/cache": {"kind": "stream", "bytes": 100, "keys": {}},
    "volume/shop_notes": {"kind": "tree", "bytes": 10, "files": 1, "paths": ["/x"]},
    "path/srv/files": {"kind": "tree", "bytes": 10, "files": 1, "paths": ["/srv/files"]},
    "release": {"kind": "tree", "bytes": 10, "files": 1, "paths": []},
    "configuration": {"kind": "tree", "bytes": 10, "files": 1, "paths": []},
    "certificates": {"kind": "tree", "bytes": 10, "files": 1, "paths": []},
}
DEPENDS = {"db": [], "cache": [], "other": [], "app": ["db"], "page": ["app"], "files": []}


@pytest.fixture
def stack(host: BackupHost, monkeypatch: pytest.MonkeyPatch) -> BackupHost:
    """Six services; nothing in them can be asked, but that is not necessary for a plan."""
    host.add_service("db", "docker.io/pgvector/pgvector:pg15@sha256:0", {})
    host.add_service("cache", "redis:7.4", {}, [{"Type": "volume", "Name": "shop_cache", "Destination": "/data"}])
    for name in ("other", "app", "page"):
        host.add_service(name, "example/program:1", {})
    host.add_service("files", "example/program:1", {}, [{"Type": "volume", "Name": "shop_notes", "Destination": "/n"}])
    host.engine.add_volume("shop_notes", host.folder / "notes", {})
    monkeypatch.setattr(put_back_plan, "connected", lambda *_words: [])
    monkeypatch.setattr(put_back_plan, "call_docker", docker("pg_restore (PostgreSQL) 15.18 (Debian 15.18-1)"))
    return host


def docker(version: str) -> Any:
    def call(_docker: object, *words: str, **_named: object) -> str:
        return "/var/lib/docker" if words[0] == "info" else version

    return call


def planned(host: BackupHost, *wanted: str, items: dict[str, Any] | None = None) -> Plan:
    found = items or ITEMS
    run = Run(ID, {name: Snapshot("1", "", "web1", ("hypercode",), ()) for name in (*found, MANIFEST)})
    manifest = {"id": ID, "host": "web1", "began": host.now - 7200, "items": found}
    hand, release = hands(host, DEPENDS)
    host.now = run.time + 7200
    return make_plan(hand.backup, release, (hand.backup.repository(), run, manifest), wanted)  # type: ignore[arg-type]


def test_the_whole_plan(stack: BackupHost) -> None:
    plan = planned(stack)
    assert [part.item for part in plan.parts] == list(ITEMS)[:5]
    assert plan.left_out == ["release", "configuration", "certificates"]
    # The last to start stops first, and each one says why.
    assert plan.stops == {
        "page": "needs db",
        "app": "needs db",
        "files": "has shop_notes",
        "cache": "its files are exchanged",
    }
    assert plan.goes_on == ["db", "other"]
    text = "\n".join(plan.lines())
    assert "It is 2 h old" in text
    assert "app: needs db" in text
    assert "Not touched: db, other; the edge." in text
    assert "Left out: release, configuration, certificates. site.yml writes these" in text
    assert "saved as a run of its own" in text


def test_only_a_part(stack: BackupHost) -> None:
    plan = planned(stack, "volume/shop_notes")
    assert list(plan.stops) == ["files"]
    assert plan.left_out == []
    assert [part.item for part in planned(stack, "certificates").parts] == ["certificates"]
    assert planned(stack, "certificates").stops == {}


def test_who_is_connected_stops_too(stack: BackupHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        put_back_plan, "connected", lambda _stack, _service, kind: ["other"] if kind == "postgres" else []
    )
    assert planned(stack, "postgres").stops["other"] == "is connected to db"


@pytest.mark.parametrize("state", ["exited", "unhealthy"])
def test_a_database_that_is_not_well(stack: BackupHost, state: str) -> None:
    status = "exited" if state == "exited" else "running"
    stack.engine.found[0]["State"] = {"Status": status, "Health": {"Status": "unhealthy"}}
    plan = planned(stack, "postgres")
    assert plan.lost == ["db"]
    assert "db" in plan.stops
    assert "its files are set aside" in "\n".join(plan.lines())


def test_what_is_refused(stack: BackupHost, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BackupError, match="There is no item 'postgres/none' in the run"):
        planned(stack, "postgres/none")
    with pytest.raises(BackupError, match=r"release is not put into the stack: site\.yml writes it"):
        planned(stack, "release")
    with pytest.raises(BackupError, match=r"service 'old' with Postgres.*Services with Postgres: db\. Fix: deploy"):
        planned(stack, items={"postgres/old/database/shop": ITEMS["postgres/db/database/shop"]})
    with pytest.raises(BackupError, match="a volume that no service of the release in use has"):
        planned(stack, items={"volume/shop_gone": ITEMS["volume/shop_notes"]})
    with pytest.raises(BackupError, match="There is nothing to put into the stack"):
        planned(stack, items={"release": ITEMS["release"]})
    large = {"redis/cache": {**ITEMS["redis/cache"], "bytes": 1 << 60}}
    with pytest.raises(BackupError, match=r"are needed there\. Nothing was changed\. Fix: free some disk"):
        planned(stack, items=large)


def test_an_older_postgres_is_refused_and_a_newer_one_is_not(
    stack: BackupHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(put_back_plan, "call_docker", docker("pg_restore (PostgreSQL) 14.11"))
    with pytest.raises(BackupError, match=r"by Postgres 15, and db has Postgres 14.*Fix: deploy Postgres 15 or newer"):
        planned(stack)
    monkeypatch.setattr(put_back_plan, "call_docker", docker("pg_restore (PostgreSQL) 17.2 (Debian 17.2-1)"))
    assert planned(stack).parts


def test_a_repository_that_has_lost_an_item(stack: BackupHost) -> None:
    hand, release = hands(stack, DEPENDS)
    manifest = {"id": ID, "host": "web1", "began": 0, "items": ITEMS}
    found = (hand.backup.repository(), Run(ID, {}), manifest)
    with pytest.raises(BackupError, match=r"has no postgres/db/roles, .* Fix: use another --repository"):
        make_plan(hand.backup, release, found, [])  # type: ignore[arg-type]


def test_nothing_is_deployed(host: BackupHost) -> None:
    with pytest.raises(BackupError, match=r"No stack is deployed on this host.*Fix: run site\.yml"):
        planned(host)


@pytest.mark.parametrize(
    ("item", "part"),
    [
        ("postgres/db/database/a/b", ("postgres", "db", "a/b")),
        ("postgres/db/roles", ("postgres", "db", "roles")),
        ("redis/cache", ("redis", "cache", "")),
        ("grafana/board/database", ("grafana", "board", "database")),
        ("grafana/board/files", ("grafana", "board", "files")),
        ("volume/shop_notes", ("volume", "shop_notes", "")),
        ("path/srv/files", ("path", "/srv/files", "")),
        ("certificates", ("certificates", "", "")),
    ],
)
def test_names_of_items(item: str, part: tuple[str, str, str]) -> None:
    assert part_of(item) == Part(item, *part)


@pytest.mark.parametrize(
    ("text", "major"),
    [
        ("15.6 (Debian 15.6-0+deb12u1)", 15),
        ("pg_restore (PostgreSQL) 17.2 (Debian 17.2-1.pgdg120+1)", 17),
        ("pg_restore (PostgreSQL) 18beta1", 18),
        ("9.6.24", 9),
        ("", 0),
    ],
)
def test_versions(text: str, major: int) -> None:
    assert major_of(text) == major


def test_who_is_connected(stack: BackupHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the addresses that the server sees; whoever is not of the stack is none of ours."""
    stack.engine.found[3]["NetworkSettings"] = {"Networks": {"data": {"IPAddress": "192.0.2.7"}}}
    monkeypatch.setattr(put_back_see, "ask", lambda *_words, **_named: "192.0.2.7\n192.0.2.9\n")
    hand, _release = hands(stack, DEPENDS)
    assert connected(hand.stack, "db", "postgres") == ["app"]


@pytest.mark.parametrize("path", ["/", "/etc", "/var/lib", "/var/lib/hypercode", "/opt/hypercode"])
def test_what_the_host_lives_in_is_not_exchanged(stack: BackupHost, path: str) -> None:
    with pytest.raises(BackupError, match=r"not exchanged as a whole.*Fix: --to FOLDER"):
        planned(stack, items={f"path{path}": {"kind": "tree", "bytes": 10, "paths": [path]}})


def test_not_a_path_that_holds_the_repository_either(stack: BackupHost) -> None:
    """The run that is to be the way back would be set aside, and then removed."""
    stack.repositories.clear()
    stack.add_repository("near", str(stack.paths.at("/srv/files/backups")))
    with pytest.raises(BackupError, match="not exchanged as a whole"):
        planned(stack, "path/srv/files")


def test_mounts_are_seen_before_anything_is_stopped(
    stack: BackupHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mountinfo").write_text(f"36 22 8:2 / {stack.folder / 'notes' / 'disk'} rw - ext4 /dev/b rw\n")
    with monkeypatch.context() as patched:
        patched.setattr(put_back_files, "MOUNTS", tmp_path / "mountinfo")
        with pytest.raises(BackupError, match=r"volume/shop_notes is not put back: something is mounted"):
            planned(stack)
    # This one Docker mounts itself, and only while a service has it.
    stack.engine.volumes["shop_notes"]["Options"] = {"type": "none", "o": "bind", "device": "/mnt/notes"}
    with pytest.raises(BackupError, match="only while a service has it"):
        planned(stack)


def test_a_snapshot_that_is_too_large_for_the_memory(stack: BackupHost) -> None:
    facts = {**ITEMS["redis/cache"], "memory": 1 << 50}
    with pytest.raises(BackupError, match=r"redis/cache is read by a scratch server first, .*Fix: free some memory"):
        planned(stack, items={"redis/cache": facts})
