"""A table's sum on real PostgreSQL: the same for the same rows, however they lie and are shown; another for others."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.postgres_sums import (
    TABLES,
    read_sums,
    sums_of,
    sums_of_some,
)
from fakes import backup_host
from fakes.backup_host import missing

pytestmark = [pytest.mark.playbook, pytest.mark.skipif(bool(missing()), reason=f"not installed: {missing()}")]
MIXED = """
CREATE TABLE mixed
  (at timestamptz, lasted interval, share float8, raw bytea, "the row" text, whole regclass, cost money);
INSERT INTO mixed SELECT timestamptz '2026-03-01 12:00+00' + n * interval '1 hour', n * interval '1 day', n / 7.0,
  decode(md5(n::text), 'hex'), CASE WHEN n % 3 = 0 THEN NULL ELSE 'it''s ' || n END, 'mixed', n::int::money
FROM generate_series(1, 500) n;
"""
OTHERWISE = (
    "SET timezone = 'Asia/Tokyo'; SET datestyle = 'German'; SET intervalstyle = 'iso_8601'; "
    "SET bytea_output = 'escape'; SET extra_float_digits = -10; SET search_path = pg_temp; "
    "SET standard_conforming_strings = off;\n"
)


def total(database: Path, name: str = "public.mixed", before: str = "") -> str:
    found = read_sums(backup_host.sql(database, "shop", before + sums_of([name])).splitlines())
    assert list(found) == [name]
    return found[name]


def test_it_is_of_the_rows_and_of_nothing_else(database: Path) -> None:
    backup_host.sql(database, "shop", MIXED)
    first = total(database)
    assert int(first) > 1 << 60
    assert total(database, before=OTHERWISE) == first
    backup_host.sql(database, "shop", "CREATE TABLE other AS SELECT * FROM mixed ORDER BY random()")
    assert total(database, "public.other") == first
    backup_host.sql(database, "shop", "UPDATE mixed SET raw = '\\x00' WHERE cost = 400::money")
    assert total(database) != first


def test_names_that_look_like_statements(database: Path) -> None:
    backup_host.sql(database, "shop", """CREATE TABLE "it's \\ a" (note text); INSERT INTO "it's \\ a" VALUES ('x')""")
    assert int(total(database, "public.it's \\ a")) > 0
    assert int(total(database, "Odd, name.a|b")) > 0
    assert read_sums(backup_host.sql(database, "shop", sums_of([])).splitlines()) == {}
    assert read_sums(backup_host.sql(database, "shop", sums_of(["public.gone"])).splitlines()) == {}


def test_a_few_are_chosen_and_others_the_next_time(database: Path) -> None:
    backup_host.sql(database, "shop", "".join(f"CREATE TABLE t{n} AS SELECT {n} AS n;" for n in range(40)))
    chosen = []
    for run in ("20261130T020000Z-1a2b", "20261201T020000Z-1a2b"):
        lines = backup_host.sql(database, "shop", f"BEGIN READ ONLY;\n{sums_of_some(run)}COMMIT;\n").splitlines()
        chosen.append(set(read_sums(lines)))
    assert [len(names) for names in chosen] == [TABLES, TABLES]
    assert chosen[0] != chosen[1]
