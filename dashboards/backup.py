"""Backups, whether they come back, and to which moment."""

from __future__ import annotations

from . import limits
from .board import Board
from .look import DONE, NONE_ELSE
from .panels import AGO, BYTES, NO_UNIT, SECONDS, Column, grid, number, trend
from .queries import HOST, Query

_NAME = "{{host}}"
_REPOSITORY = "by (host, repository)"
_RUN = "the first backup"
_CHECK = "the first check of a repository"
_DRILL = "the first restore drill (weekly, or: sudo hypercode backup drill)"
_LOG = "a Postgres whose log is kept (point in time)"


def _metric(name: str) -> str:
    return f"hypercode_backup_{name}{{{HOST}}}"


BOARD = Board(
    uid="hypercode-backup",
    title="Backups and drills",
    about="Is there a fresh backup, does it restore, and what would be lost?",
    since="now-7d",
    refresh="1m",
    rows=(
        (
            number(
                "Age of the last good backup",
                Query(
                    f"max by (host) (time() - ({_metric('last_success_timestamp_seconds')}"
                    f" or {_metric('configured_timestamp_seconds')}))",
                    _NAME,
                ),
                unit=SECONDS,
                limits=limits.BACKUP_AGE,
                decimals=0,
                alerts=["BackupOld"],
                normal="less than a day. Of several repositories the oldest counts.",
                act="`sudo hypercode backup run` on the host says what hinders it.",
            ),
            number(
                "Last run",
                Query(f"min by (host) ({_metric('last_run_success')})", _NAME, event=_RUN),
                unit=NO_UNIT,
                words=DONE,
                alerts=["BackupFailed"],
                normal="✔ well.",
                act="`sudo hypercode backup status` on the host says why. It is tried again within the hour.",
            ),
            number(
                "Repositories are sound",
                Query(f"min by (host) ({_metric('verify_success')})", _NAME, event=_CHECK),
                unit=NO_UNIT,
                words=DONE,
                alerts=["BackupDamaged"],
                normal="✔ well.",
                act="`sudo hypercode backup status` on the host. Delete nothing before you have read the page.",
            ),
            number(
                "Last drill",
                Query(f"min by (host) ({_metric('drill_success')})", _NAME, event=_DRILL),
                unit=NO_UNIT,
                words=DONE,
                alerts=["BackupDrillFailed"],
                normal="✔ well: all came back as it was saved.",
                act="the backup does not restore: `sudo hypercode backup status` says what differs.",
            ),
            number(
                "Since the last drill",
                Query(
                    f"max by (host) (time() - ({_metric('drill_timestamp_seconds')}"
                    f" or min without (repository) ({_metric('configured_timestamp_seconds')})))",
                    _NAME,
                ),
                unit=SECONDS,
                limits=limits.DRILL_AGE,
                decimals=0,
                alerts=["BackupDrillOld"],
                normal="less than a week.",
                act="`sudo hypercode backup drill` on the host.",
            ),
            number(
                "Volumes that no backup holds",
                Query(f"max by (host) ({_metric('unplanned_volumes')})", _NAME, event=_RUN),
                words=NONE_ELSE,
                limits=limits.ANY,
                alerts=["BackupUnplanned"],
                normal="none.",
                act="`sudo hypercode backup status` names them, and what to do.",
            ),
        ),
        (
            grid(
                "Repositories",
                [
                    Column(
                        "Last good run",
                        Query(f"max {_REPOSITORY} ({_metric('last_success_timestamp_seconds')}) * 1000", event=_RUN),
                        AGO,
                    ),
                    Column(
                        "Last run",
                        Query(f"min {_REPOSITORY} ({_metric('last_run_success')})", event=_RUN),
                        NO_UNIT,
                        words=DONE,
                    ),
                    Column(
                        "Took",
                        Query(f"max {_REPOSITORY} ({_metric('last_success_duration_seconds')})", event=_RUN),
                        SECONDS,
                    ),
                    Column("Saved", Query(f"max {_REPOSITORY} ({_metric('last_success_bytes')})", event=_RUN), BYTES),
                    Column(
                        "Checked",
                        Query(f"max {_REPOSITORY} ({_metric('verify_timestamp_seconds')}) * 1000", event=_CHECK),
                        AGO,
                    ),
                ],
                {"host": "Host", "repository": "Repository"},
                width=16,
                height=8,
                alerts=["BackupFailed", "BackupDamaged"],
                normal="each has a run of last night.",
                act="the one without: is it reached from the host?",
            ),
            number(
                "A restore takes",
                Query(f"max by (host) ({_metric('drill_rto_seconds')})", _NAME, event=_DRILL),
                unit=SECONDS,
                width=8,
                height=8,
                normal="minutes, as the last drill measured it.",
                act="too long for you? A point in time, or a nearer repository.",
            ),
        ),
        (
            trend(
                "What is saved of each item",
                [Query(f"max by (host, item) ({_metric('item_bytes')})", "{{host}} {{item}}", event=_RUN)],
                unit=BYTES,
                alerts=["BackupShrank"],
                normal="it grows slowly.",
                act="it halves from one night to the next: was so much deleted on purpose?",
            ),
            trend(
                "What would be lost with the host",
                [
                    Query(
                        f"max by (host, service) (time() - {_metric('wal_newest_point_timestamp_seconds')})",
                        "{{host}} {{service}}",
                        event=_LOG,
                    )
                ],
                unit=SECONDS,
                limits=limits.LOG_AGE,
                alerts=["BackupLogLags", "BackupLogFailed", "BackupLogGap"],
                normal="less than two minutes of what was written to a Postgres.",
                act="`sudo hypercode backup status` on the host says why its log does not get through.",
            ),
        ),
        (
            trend(
                "Age of the newest base",
                [
                    Query(
                        f"max by (host, service) (time() - {_metric('wal_base_timestamp_seconds')})",
                        "{{host}} {{service}}",
                        event=_LOG,
                    )
                ],
                unit=SECONDS,
                limits=limits.BASE_AGE,
                alerts=["BackupBaseOld"],
                normal="less than a day: a saw.",
                act="to a point in time it comes back ever more slowly. `sudo hypercode backup status`.",
            ),
            trend(
                "Log that waits to be fetched",
                [
                    Query(
                        f"max by (host, service) ({_metric('wal_slot_retained_bytes')})",
                        "{{host}} {{service}}",
                        event=_LOG,
                    )
                ],
                unit=BYTES,
                limits=limits.LOG_WAITS,
                alerts=["BackupLogWaits", "PostgresWalGrows"],
                normal="less than 100 MiB.",
                act="at 8 GiB it is let go, so that the disk does not fill up.",
            ),
        ),
    ),
)
