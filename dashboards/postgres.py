"""The database."""

from __future__ import annotations

from . import limits
from .board import Board
from .look import YES_NO
from .panels import BYTES, NO_UNIT, NUMBER, PART, PER_SECOND, SECONDS, number, trend
from .queries import HOST, Query

_ONE = "by (host, instance)"
_NAME = "{{host}}"
# Templates hold no data.
_DATABASE = f'{HOST}, datname!~"template.*|"'
_SERVER = "by (host, datname)"
_TAKEN = f"sum {_ONE} (pg_stat_activity_count{{{HOST}}}) / max {_ONE} (pg_settings_max_connections{{{HOST}}} > 0)"
_HIT = f"sum {_SERVER} (rate(pg_stat_database_blks_hit{{{_DATABASE}}}[5m]))"
_READ = f"sum {_SERVER} (rate(pg_stat_database_blks_read{{{_DATABASE}}}[5m]))"


def _rate(column: str) -> str:
    return f"sum {_SERVER} (rate(pg_stat_database_{column}{{{_DATABASE}}}[5m]))"


BOARD = Board(
    uid="hypercode-postgres",
    title="Postgres",
    about="Is the database well, and does it have room?",
    rows=(
        (
            number(
                "Does it answer?",
                Query(f"min {_ONE} (max_over_time(pg_up{{{HOST}}}[1m]))", _NAME),
                unit=NO_UNIT,
                words=YES_NO,
                alerts=["PostgresDown"],
                normal="✔ yes.",
                act="`sudo hypercode status` on the host, then its log. Do not delete its volume.",
            ),
            number(
                "Connections that are taken",
                Query(_TAKEN, _NAME),
                unit=PART,
                limits=limits.POSTGRES_CONNECTIONS,
                decimals=0,
                alerts=["PostgresConnectionsUsedUp", "PostgresConnectionsNearLimit"],
                normal="less than 50 %.",
                act="at 97 % services are turned away. *Connections* shows what they do.",
            ),
            number(
                "Deadlocks in an hour",
                Query(f"sum {_ONE} (increase(pg_stat_database_deadlocks{{{HOST}}}[1h]))", _NAME),
                limits=limits.POSTGRES_DEADLOCKS,
                decimals=0,
                alerts=["PostgresDeadlocks"],
                normal="0. One now and then is everyday life.",
                act="users saw errors. The log of Postgres names both transactions.",
            ),
            number(
                "Write-ahead log (WAL)",
                Query(
                    f"max {_ONE} (pg_wal_size_bytes{{{HOST}}})"
                    f" or max {_ONE} (pg_replication_slots_pg_wal_lsn_diff{{{HOST}}})",
                    _NAME,
                ),
                unit=BYTES,
                limits=limits.POSTGRES_WAL,
                decimals=1,
                alerts=["PostgresWalGrows", "BackupLogWaits"],
                normal="less than 1 GiB.",
                act="nobody fetches it, and it fills the disk. `sudo hypercode backup status`.",
            ),
            number(
                "Size of all databases",
                Query(f"sum {_ONE} (pg_database_size_bytes{{{HOST}}})", _NAME),
                unit=BYTES,
                decimals=1,
                alerts=["DiskAlmostFull"],
                normal="it grows slowly.",
                act="it jumps: *Size of each database* shows which.",
            ),
            number(
                "Longest transaction",
                Query(f"max {_ONE} (pg_stat_activity_max_tx_duration{{{HOST}}})", _NAME),
                unit=SECONDS,
                decimals=0,
                normal="seconds. During a backup, as long as that takes.",
                act="hours: it keeps old rows alive and blocks others. Restart the service that holds it.",
            ),
        ),
        (
            trend(
                "Connections",
                [
                    Query(f"sum by (host, state) (pg_stat_activity_count{{{HOST}}})", "{{host}} {{state}}"),
                    Query(f"max by (host) (pg_settings_max_connections{{{HOST}}})", "{{host}} limit"),
                ],
                alerts=["PostgresConnectionsNearLimit"],
                normal="level, most of them idle.",
                act="*idle in transaction* grows: a service forgets to end its transactions.",
            ),
            trend(
                "Transactions",
                [Query(_rate("xact_commit"), "{{datname}} done"), Query(_rate("xact_rollback"), "{{datname}} undone")],
                unit=PER_SECOND,
                normal="hardly any are undone.",
                act="many undone: services get errors, see their logs.",
            ),
        ),
        (
            trend(
                "Found in memory",
                [Query(f"{_HIT} / ({_HIT} + {_READ} > 0)", "{{host}} {{datname}}")],
                unit=PART,
                top=1,
                normal="more than 95 %.",
                act="it falls for good: the database has outgrown its memory.",
            ),
            trend(
                "Size of each database",
                [Query(f"max by (host, datname) (pg_database_size_bytes{{{_DATABASE}}})", "{{host}} {{datname}}")],
                unit=BYTES,
                alerts=["DiskFullSoon"],
                normal="it grows slowly.",
                act="see *Host* for how long the disk lasts.",
            ),
        ),
        (
            trend(
                "Rows that are written",
                [
                    Query(_rate("tup_inserted"), "{{datname}} new"),
                    Query(_rate("tup_updated"), "{{datname}} changed"),
                    Query(_rate("tup_deleted"), "{{datname}} deleted"),
                ],
                unit=PER_SECOND,
                normal="follows the missions.",
                act="much deleted, and nobody did that? Stop the service; a restore to the minute before is possible.",
            ),
            trend(
                "Deadlocks, and queries that spill to disk",
                [
                    Query(
                        f"sum {_SERVER} (increase(pg_stat_database_deadlocks{{{_DATABASE}}}[5m]))",
                        "{{datname}} deadlocks",
                    ),
                    Query(
                        f"sum {_SERVER} (increase(pg_stat_database_temp_files{{{_DATABASE}}}[5m]))",
                        "{{datname}} spills",
                    ),
                ],
                unit=NUMBER,
                bars=True,
                alerts=["PostgresDeadlocks"],
                normal="none.",
                act="spills: a query sorts more than fits into memory. It is slow, not wrong.",
            ),
        ),
    ),
)
