"""The green board: the whole fleet at a glance."""

from __future__ import annotations

from . import limits
from .board import Board
from .look import NONE_ELSE, STATES
from .panels import AGO, NO_UNIT, NUMBER, PART, SECONDS, Column, grid, number, timeline, trend
from .queries import (
    HOST,
    PROBED,
    Query,
    cpu_of_limit,
    firing,
    increase,
    memory_of_limit,
    state,
    throttled,
    unhealthy,
    up,
)

AGENT = "/d/hypercode-agent?var-host=${__data.fields.Host}&var-agent=${__data.fields.Service}&${__url_time_range}"
SERVICE = {"service": "Service", "host": "Host", "project": "Project"}

_PROBES = f"sum {PROBED} (sum_over_time(probe_success{{{HOST}}}[5m]))"
_ASKED = f"sum {PROBED} (count_over_time(probe_success{{{HOST}}}[5m]))"

BOARD = Board(
    uid="hypercode-fleet",
    title="Fleet: the green board",
    about="Is everything well? If not: where?",
    rows=(
        (
            number(
                "Critical alerts",
                Query(firing("critical")),
                words=NONE_ELSE,
                limits=limits.ANY_CRITICAL,
                normal="none. All tiles of this row are blue.",
                act="the table *What fires now* names them. Start there.",
            ),
            number(
                "Warnings",
                Query(firing("warning")),
                words=NONE_ELSE,
                limits=limits.ANY,
                normal="none, or a few. They wait for the working day.",
                act="the table *What fires now* names them.",
            ),
            number(
                "Services that are down",
                Query(f"sum({up()} == bool 0)"),
                words=NONE_ELSE,
                limits=limits.ANY_CRITICAL,
                alerts=["ServiceDown"],
                normal="none. For a moment one, while it is replaced.",
                act="*The board* shows which. On its host: `sudo hypercode status`.",
            ),
            number(
                "Services that are unhealthy",
                Query(f"sum({unhealthy()})"),
                words=NONE_ELSE,
                limits=limits.ANY_CRITICAL,
                alerts=["ServiceUnhealthy"],
                normal="none.",
                act="*The board* shows which. Many? Redis first: without it every agent is unhealthy.",
            ),
            number(
                "Hosts that do not answer",
                Query(f'sum(max by (host) (max_over_time(up{{job!="probe", {HOST}}}[1m])) == bool 0)'),
                words=NONE_ELSE,
                limits=limits.ANY_CRITICAL,
                alerts=["HostDown"],
                normal="none.",
                act="`ansible HOST -i inventories/production -m ping` from your machine.",
            ),
            number(
                "Age of what is known",
                Query(f"max(time() - hypercode_watch_last_sample_timestamp_seconds{{{HOST}}})"),
                unit=SECONDS,
                limits=limits.WATCH_AGE,
                alerts=["WatchStale", "TargetDown"],
                normal="less than a minute.",
                act="the board is blind on a host: what it shows is old. `systemctl status hypercode-watch` there.",
            ),
        ),
        (
            grid(
                "The board",
                [
                    Column("State", Query(state()), NO_UNIT, words=STATES),
                    Column(
                        "Restarts in 1 h",
                        Query(increase("restarts_total", "1h")),
                        NUMBER,
                        limits.RESTARTS_HOUR,
                        None,
                        0,
                    ),
                    Column("Memory of limit", Query(memory_of_limit()), PART, limits.MEMORY_OF_LIMIT, None, 0),
                    Column("CPU of limit", Query(cpu_of_limit()), PART, decimals=0),
                    Column("Cut short", Query(throttled()), PART, limits.THROTTLED, None, 0),
                ],
                SERVICE,
                alerts=["ServiceDown", "ServiceUnhealthy", "ServiceRestarting"],
                to=("This service", AGENT),
                height=14,
                normal="every service ✔ healthy, no restarts, less than 90 % of its memory.",
                act="click on the name of the service: its own dashboard says more.",
            ),
        ),
        (
            grid(
                "What fires now",
                [
                    Column(
                        "Since",
                        Query(
                            "max by (alertname, severity, host, service) (ALERTS_FOR_STATE and ignoring (alertstate) "
                            f'ALERTS{{alertstate="firing", severity!="none", {HOST}}}) * 1000',
                            event="an alert that fires",
                        ),
                        AGO,
                    )
                ],
                {"alertname": "Alert", "severity": "Severity", "host": "Host", "service": "Service"},
                width=12,
                normal="empty.",
                act="look up the alert under *What an alert means*, above. One with severity critical first.",
            ),
            timeline(
                "State of each service",
                Query(state(), "{{service}} {{host}}"),
                words=STATES,
                width=12,
                alerts=["ServiceCrashLooping", "ServiceHealGivenUp"],
                normal="one bar of ✔ healthy for each. A short *starting* at a rollout, which a mark shows.",
                act="what began first is often the cause of the rest.",
            ),
        ),
        (
            trend(
                "Requests that fail at the edge",
                [
                    Query(
                        f"host:edge_errors:ratio1h{{{HOST}}}",
                        "{{host}}",
                        event="a request to a site of the edge, and an hour at most",
                    )
                ],
                unit=PART,
                limits=limits.ERRORS_HOUR,
                alerts=["EdgeErrorBudgetBurnsFast"],
                normal="less than 0.1 % of the last hour. Nothing is shown where there were no requests.",
                act="above the line somebody is woken. See *Edge and certificates*.",
            ),
            trend(
                "Probes that fail",
                [Query(f"1 - {_PROBES} / {_ASKED}", "{{service}} {{host}}")],
                unit=PART,
                limits=limits.ERRORS_HOUR,
                alerts=["ServiceErrorBudgetBurnsFast", "ProberDown"],
                normal="0 % of the last five minutes, for each service.",
                act="the first in the table is the worst: open its dashboard.",
            ),
        ),
    ),
)
