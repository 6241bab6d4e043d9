"""Where a value stops being well. Each number is that of an alert: a panel changes its colour when
somebody is told, and not before.

`SOURCES` says of which alerts; a test compares the numbers with the rules.
"""

from __future__ import annotations

from .look import Limits

GIB = 2.0**30

RESTARTS_HOUR = Limits(warning=2.5)
OOM_KILLS = Limits(warning=0.5)
MEMORY_OF_LIMIT = Limits(warning=0.9)
THROTTLED = Limits(warning=0.25)
WATCH_AGE = Limits(warning=120)
# The pace of the three alerts: an hour, 6 hours, 3 days.
ERRORS_HOUR = Limits(critical=0.0144)
# The same, seen from the other side.
ANSWERS_HOUR = Limits(critical=1 - 0.0144, below=True)
ERRORS_SIX_HOURS = Limits(critical=0.006)
ERRORS_THREE_DAYS = Limits(warning=0.001)

DISK_LEFT = Limits(critical=0.05, below=True)
DISK_TOMORROW = Limits(warning=0, below=True)
INODES_LEFT = Limits(warning=0.05, below=True)
MEMORY_STALLED = Limits(warning=0.1)
CLOCK_OFFSET = Limits(warning=0.05)

POSTGRES_CONNECTIONS = Limits(warning=0.8, critical=0.95)
POSTGRES_DEADLOCKS = Limits(warning=4.5)
POSTGRES_WAL = Limits(warning=4 * GIB)
REDIS_MEMORY = Limits(warning=0.9)

BACKUP_AGE = Limits(critical=26 * 3600)
DRILL_AGE = Limits(warning=8 * 86400)
BASE_AGE = Limits(warning=30 * 3600)
LOG_AGE = Limits(warning=5 * 60)
LOG_WAITS = Limits(warning=2 * GIB)
CERTIFICATE_LEFT = Limits(warning=0.30, critical=0.10, below=True)
CERTIFICATES_AGE = Limits(warning=3600)

# Whatever is counted and ought to be none.
ANY = Limits(warning=0.5)
ANY_CRITICAL = Limits(critical=0.5)
# More than one release at a time is an update that is at work, or that stopped half-way. No alert is about it.
ONE_RELEASE = Limits(warning=1.5)
# Over a day, each minute is looked at: less than one is not known.
UNHEALTHY_TIME = Limits(warning=60)

# Limits -> the alerts for warning and critical, with the number as it stands in the rule.
SOURCES: dict[str, tuple[tuple[str, str], ...]] = {
    "RESTARTS_HOUR": (("ServiceRestarting", "2.5"),),
    "OOM_KILLS": (("ServiceOomKilled", "0"),),
    "MEMORY_OF_LIMIT": (("ServiceMemoryNearLimit", "0.9"),),
    "THROTTLED": (("ServiceThrottled", "0.25"),),
    "WATCH_AGE": (("WatchStale", "120"),),
    "ERRORS_HOUR": (("EdgeErrorBudgetBurnsFast", "14.4 * 0.001"), ("ServiceErrorBudgetBurnsFast", "14.4 * 0.001")),
    "ANSWERS_HOUR": (("ServiceErrorBudgetBurnsFast", "14.4 * 0.001"),),
    "ERRORS_SIX_HOURS": (("EdgeErrorBudgetBurns", "6 * 0.001"), ("ServiceErrorBudgetBurns", "6 * 0.001")),
    "ERRORS_THREE_DAYS": (("EdgeErrorBudgetBurnsSlowly", "1 * 0.001"), ("ServiceErrorBudgetBurnsSlowly", "1 * 0.001")),
    "DISK_LEFT": (("DiskAlmostFull", "0.05"),),
    "DISK_TOMORROW": (("DiskFullSoon", "0"),),
    "INODES_LEFT": (("DiskInodesLow", "0.05"),),
    "MEMORY_STALLED": (("HostMemoryShort", "0.1"),),
    "CLOCK_OFFSET": (("ClockWrong", "0.05"),),
    "POSTGRES_CONNECTIONS": (("PostgresConnectionsNearLimit", "0.8"), ("PostgresConnectionsUsedUp", "0.95")),
    "POSTGRES_DEADLOCKS": (("PostgresDeadlocks", "4.5"),),
    "POSTGRES_WAL": (("PostgresWalGrows", "4 * 2^30"),),
    "REDIS_MEMORY": (("RedisMemoryNearLimit", "0.9"),),
    "BACKUP_AGE": (("BackupOld", "26 * 3600"),),
    "DRILL_AGE": (("BackupDrillOld", "8 * 86400"),),
    "BASE_AGE": (("BackupBaseOld", "30 * 3600"),),
    "LOG_AGE": (("BackupLogLags", "5 * 60"),),
    "LOG_WAITS": (("BackupLogWaits", "2 * 2^30"),),
    "CERTIFICATE_LEFT": (("CertificateRenewalLate", "0.30"), ("CertificateNearlyExpired", "0.10")),
    "CERTIFICATES_AGE": (("CertificatesNotWatched", "3600"),),
    # No alert has the number itself: each alert of the kind is "more than none".
    "ANY": (("RedisEvicts", "0"), ("RedisRejectsConnections", "0"), ("BackupUnplanned", "0")),
    "ANY_CRITICAL": (("RedisRejectsWrites", "0"),),
}
