"""Does it hold? What happened over the whole time that is chosen, a day without a choice."""

from __future__ import annotations

from . import limits
from .board import Board
from .look import NONE_ELSE
from .panels import BYTES, NUMBER, PART, SECONDS, Column, grid, number, trend
from .queries import EACH, HOST, Query, container, increase, memory_of_limit, unhealthy

_ALL = "$__range"
_FIRED = f'ALERTS{{alertstate="firing", severity!="none", {HOST}}}'
# Each minute is looked at; so it is known to a minute.
_UNHEALTHY = f"60 * sum_over_time({unhealthy()}[{_ALL}:1m])"
_REQUESTS = f"sum_over_time(host:edge_requests:rate5m{{{HOST}}}[{_ALL}])"
_ERRORS = f"sum_over_time(host:edge_errors:rate5m{{{HOST}}}[{_ALL}])"
_SLOPE = f"max {EACH} (deriv({container('memory_anonymous_bytes')}[{_ALL}])) * 3600"

BOARD = Board(
    uid="hypercode-soak",
    title="Soak: does it hold?",
    about="Over a day: did anything restart, run out of memory, leak, or fail? Choose the time at the top right.",
    since="now-24h",
    refresh="5m",
    rows=(
        (
            number(
                "Restarts",
                Query(f"sum(increase({container('restarts_total')}[{_ALL}]))"),
                limits=limits.ANY,
                words=NONE_ELSE,
                decimals=0,
                alerts=["ServiceRestarting"],
                normal="none. Rollouts do not count.",
                act="*Service by service* shows which.",
            ),
            number(
                "OOM kills",
                Query(f"sum(increase({container('oom_kills_total')}[{_ALL}]))"),
                limits=limits.OOM_KILLS,
                words=NONE_ELSE,
                decimals=0,
                alerts=["ServiceOomKilled"],
                normal="none.",
                act="a limit that is too low, or a leak: see its trend below.",
            ),
            number(
                "Unhealthy time",
                Query(f"sum({_UNHEALTHY})"),
                unit=SECONDS,
                limits=limits.UNHEALTHY_TIME,
                words=NONE_ELSE,
                decimals=0,
                alerts=["ServiceUnhealthy"],
                normal="none, of all services together.",
                act="*Service by service* shows which.",
            ),
            number(
                "Steepest growth of memory in an hour",
                Query(f"max({_SLOPE})"),
                unit=BYTES,
                decimals=1,
                alerts=["ServiceMemoryNearLimit"],
                normal="less than 1 MiB, over a day.",
                act="*Service by service* shows which. A new container fills up at first: look again in an hour.",
            ),
            number(
                "Requests that failed",
                Query(
                    f"max({_ERRORS} / ({_REQUESTS} > 0))", event="a request to a site of the edge, and a minute or two"
                ),
                unit=PART,
                limits=limits.ERRORS_THREE_DAYS,
                decimals=3,
                alerts=["EdgeErrorBudgetBurnsSlowly"],
                normal="less than 0.1 %: that is the objective. Of several hosts the worst counts.",
                act="*Edge and certificates* shows when.",
            ),
            number(
                "Alerts that fired",
                Query(f"count(group by (alertname, host, service) (count_over_time({_FIRED}[{_ALL}]))) or vector(0)"),
                limits=limits.ANY,
                words=NONE_ELSE,
                decimals=0,
                normal="none.",
                act="*Which alerts fired* names them.",
            ),
        ),
        (
            grid(
                "Service by service",
                [
                    Column("Restarts", Query(increase("restarts_total", _ALL)), NUMBER, limits.ANY, None, 0),
                    Column("OOM kills", Query(increase("oom_kills_total", _ALL)), NUMBER, limits.OOM_KILLS, None, 0),
                    Column("Unhealthy", Query(_UNHEALTHY), SECONDS, limits.UNHEALTHY_TIME, None, 0),
                    Column("Memory, in an hour", Query(_SLOPE), BYTES, decimals=1),
                    Column(
                        "Most memory of limit",
                        Query(f"max_over_time({memory_of_limit()}[{_ALL}:1m])"),
                        PART,
                        limits.MEMORY_OF_LIMIT,
                        None,
                        0,
                    ),
                ],
                {"service": "Service", "host": "Host", "project": "Project"},
                width=16,
                height=14,
                alerts=["ServiceRestarting", "ServiceOomKilled", "ServiceMemoryNearLimit"],
                normal="zeros, and memory that does not grow.",
                act="open the service on the dashboard *Agent*, with the same time.",
            ),
            grid(
                "Which alerts fired",
                [
                    Column(
                        "For",
                        Query(
                            f"60 * sum_over_time((group by (alertname, severity, host, service) ({_FIRED}))"
                            f"[{_ALL}:1m])",
                            event="an alert that fires",
                        ),
                        SECONDS,
                    )
                ],
                {"alertname": "Alert", "severity": "Severity", "host": "Host", "service": "Service"},
                width=8,
                height=14,
                normal="empty.",
                act="look up the alert under *What an alert means*, above.",
            ),
        ),
        (
            trend(
                "Memory of each service",
                [Query(f"max {EACH} ({container('memory_anonymous_bytes')})", "{{service}} {{host}}")],
                unit=BYTES,
                alerts=["ServiceMemoryNearLimit"],
                normal="level, or a saw. The page cache does not count.",
                act="a slope that never falls is a leak.",
            ),
            trend(
                "Memory of the limit",
                [Query(memory_of_limit(), "{{service}} {{host}}")],
                unit=PART,
                limits=limits.MEMORY_OF_LIMIT,
                alerts=["ServiceMemoryNearLimit"],
                normal="less than 10 % when idle, up to 40 % at work.",
                act="at 100 % it is killed.",
            ),
        ),
        (
            trend(
                "Restarts and heals",
                [
                    Query(f"sum(increase({container('restarts_total')}[15m]))", "restarts"),
                    Query(f"sum(increase({container('heals_total')}[15m]))", "heals"),
                ],
                bars=True,
                width=12,
                alerts=["ServiceRestarting", "ServiceHealedOften"],
                normal="none.",
                act="all at the same time? Look at Redis and at the host.",
            ),
            trend(
                "Requests that fail at the edge",
                [
                    Query(
                        f"host:edge_errors:ratio30m{{{HOST}}}",
                        "{{host}}",
                        event="a request to a site of the edge, and a minute or two",
                    )
                ],
                unit=PART,
                limits=limits.ERRORS_SIX_HOURS,
                alerts=["EdgeErrorBudgetBurns"],
                normal="0 %.",
                act="at the time of a mark: the rollout. Otherwise see *Edge and certificates*.",
            ),
        ),
    ),
)
