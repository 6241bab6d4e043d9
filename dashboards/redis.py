"""The store that all agents need."""

from __future__ import annotations

from . import limits
from .board import Board
from .look import DONE, YES_NO
from .panels import BYTES, NO_UNIT, NUMBER, PART, PER_SECOND, SECONDS, number, trend
from .queries import EACH, HOST, Query, container

_ONE = "by (host, instance)"
_NAME = "{{host}}"
_HITS = f"sum by (host) (rate(redis_keyspace_hits_total{{{HOST}}}[5m]))"
_MISSES = f"sum by (host) (rate(redis_keyspace_misses_total{{{HOST}}}[5m]))"
_SPENT = f"sum by (host) (rate(redis_commands_duration_seconds_total{{{HOST}}}[5m]))"
_DONE = f"(sum by (host) (rate(redis_commands_processed_total{{{HOST}}}[5m])) > 0)"
# No limit of its own is 0: then it is that of its container.
_OWN = f"max {_ONE} (redis_memory_used_bytes{{{HOST}}} / (redis_memory_max_bytes{{{HOST}}} > 0))"
_IMAGE = f'{HOST}, service="redis"'
_CONTAINER = (
    f"max by (host) ({container('memory_anonymous_bytes', _IMAGE)} / ({container('memory_limit_bytes', _IMAGE)} > 0))"
)
_REJECTED = f'sum {_ONE} (increase(redis_errors_total{{{HOST}, err=~"OOM|MISCONF"}}[5m]))'
_UP = f"max {_ONE} (redis_up{{{HOST}}})"

BOARD = Board(
    uid="hypercode-redis",
    title="Redis",
    about="Does Redis answer, keep what it is given, and have memory left? Without it every agent is unhealthy.",
    rows=(
        (
            number(
                "Does it answer?",
                Query(f"min {_ONE} (max_over_time(redis_up{{{HOST}}}[1m]))", _NAME),
                unit=NO_UNIT,
                words=YES_NO,
                alerts=["RedisDown"],
                normal="✔ yes.",
                act="`sudo hypercode status` on the host. Agents become well by themselves when it is back.",
            ),
            number(
                "Does it store?",
                Query(f"min {_ONE} (redis_aof_last_write_status{{{HOST}}})", _NAME),
                unit=NO_UNIT,
                words=DONE,
                alerts=["RedisRejectsWrites"],
                normal="✔ well: the last write to its log on disk.",
                act="its disk is full, or broken: `df -h` on the host. What services send is lost.",
            ),
            number(
                "Last snapshot",
                Query(f"min {_ONE} (redis_rdb_last_bgsave_status{{{HOST}}})", _NAME),
                unit=NO_UNIT,
                words=DONE,
                alerts=["RedisCannotSave"],
                normal="✔ well.",
                act="`df -h` on the host, then its log.",
            ),
            number(
                "Memory of its limit",
                Query(f"{_OWN} or on (host) {_CONTAINER}", _NAME),
                unit=PART,
                limits=limits.REDIS_MEMORY,
                decimals=0,
                alerts=["RedisMemoryNearLimit", "ServiceMemoryNearLimit"],
                normal="less than 50 %. The limit of its container counts where it has none of its own.",
                act="at 100 % it refuses to store, throws keys away, or is killed. `sudo hypercode limits`.",
            ),
            number(
                "Writes refused in 5 min",
                Query(f"{_REJECTED} or 0 * {_UP}", _NAME),
                limits=limits.ANY_CRITICAL,
                decimals=0,
                alerts=["RedisRejectsWrites"],
                normal="0.",
                act="its memory is full, or it cannot save. See the tiles to the left.",
            ),
            number(
                "Keys thrown away in 15 min",
                Query(f"sum {_ONE} (increase(redis_evicted_keys_total{{{HOST}}}[15m]))", _NAME),
                limits=limits.ANY,
                decimals=0,
                alerts=["RedisEvicts"],
                normal="0. For a mere cache (a policy allkeys-…) it is everyday work.",
                act="jobs or sessions may be lost: more memory, or fewer keys.",
            ),
        ),
        (
            trend(
                "Memory",
                [
                    Query(f"max by (host) (redis_memory_used_bytes{{{HOST}}})", "{{host}} in use"),
                    Query(
                        f"max by (host) (redis_memory_max_bytes{{{HOST}}} > 0)",
                        "{{host}} own limit",
                        event="a maxmemory in the settings of Redis",
                    ),
                    Query(f"max {EACH} ({container('memory_limit_bytes', _IMAGE)})", "{{host}} limit of the container"),
                ],
                unit=BYTES,
                alerts=["RedisMemoryNearLimit"],
                normal="level.",
                act="it rises steadily: keys without an end. See *Keys*.",
            ),
            trend(
                "Commands",
                [Query(f"sum by (host) (rate(redis_commands_processed_total{{{HOST}}}[5m]))", _NAME)],
                unit=PER_SECOND,
                normal="follows the missions.",
                act="many times as much: something asks in a loop.",
            ),
        ),
        (
            trend(
                "Time that a command takes",
                [Query(f"{_SPENT} / {_DONE}", _NAME)],
                unit=SECONDS,
                normal="millionths of a second.",
                act="thousandths: somebody uses KEYS on many keys, or the host has no CPU left.",
            ),
            trend(
                "Clients",
                [
                    Query(f"max by (host) (redis_connected_clients{{{HOST}}})", "{{host}} connected"),
                    Query(f"max by (host) (redis_blocked_clients{{{HOST}}})", "{{host}} wait for a job"),
                    Query(
                        f"sum by (host) (increase(redis_rejected_connections_total{{{HOST}}}[5m]))",
                        "{{host}} turned away",
                    ),
                ],
                unit=NUMBER,
                alerts=["RedisRejectsConnections"],
                normal="level; none turned away.",
                act="it rises without end: a service opens connections and forgets them. Restart that one.",
            ),
        ),
        (
            trend(
                "Keys",
                [
                    Query(
                        f"sum by (host, db) (redis_db_keys{{{HOST}}})",
                        "{{host}} {{db}}",
                    ),
                    Query(
                        f"sum by (host, db) (redis_db_keys_expiring{{{HOST}}})",
                        "{{host}} {{db}} that end by themselves",
                    ),
                ],
                unit=NUMBER,
                normal="level.",
                act="it rises for days: keys without an end.",
            ),
            trend(
                "Found",
                [
                    Query(
                        f"{_HITS} / ({_HITS} + {_MISSES} > 0)",
                        _NAME,
                        event="a key that is asked for within five minutes",
                    )
                ],
                unit=PART,
                top=1,
                normal="depends on what agents ask for; level.",
                act="it falls to 0: the keys are gone. Were they thrown away, or was Redis emptied?",
            ),
        ),
    ),
)
