"""What runs where, since when, and how it went."""

from __future__ import annotations

from . import limits
from .board import Board
from .look import STATES
from .panels import AGO, BYTES, NO_UNIT, NUMBER, PART, Column, grid, number, timeline, trend
from .queries import EACH, HOST, PROBED, Query, container, state, up

_INFO = f"hypercode_stack_release_info{{{HOST}}}"
_PLACED = f"hypercode_stack_release_timestamp_seconds{{{HOST}}}"
_OF = "by (project, host, release, version, how)"
_VERDICT = f"hypercode_soak_verdict{{{HOST}}}"
_ENDED = f"hypercode_soak_ended_timestamp_seconds{{{HOST}}}"
_SOAK = "a soak check"
_SOAKED = Query(f"(max by (host, run) ({_ENDED}) > 0) * 1000", event=_SOAK)
_JUDGED = Query(f"max by (host, run, verdict) ({_VERDICT}) > 0", event=_SOAK)
_BACK = f'hypercode_stack_release_info{{{HOST}, how="rollback"}}'

BOARD = Board(
    uid="hypercode-releases",
    title="Releases",
    about="What runs where, and what changed when it came? Each rollout and rollback is marked on all dashboards.",
    since="now-7d",
    refresh="1m",
    rows=(
        (
            number(
                "Releases in use",
                Query(f"max(count by (project) (count by (project, release) ({_INFO})))"),
                limits=limits.ONE_RELEASE,
                decimals=0,
                normal="1: all hosts have the same one. More while an update is at work.",
                act="an update stopped half-way. `ansible-playbook playbooks/update.yml -i inventories/production`.",
            ),
            number(
                "Hosts that went back",
                Query(f"sum({_BACK}) or 0 * sum({_INFO})"),
                limits=limits.ANY,
                decimals=0,
                normal="0.",
                act="the release before the one that failed is in use. `sudo hypercode rollout list` says why.",
            ),
            number(
                "Last change",
                Query(f"max({_PLACED}) * 1000"),
                unit=AGO,
                width=5,
                normal="when you deployed last.",
                act="something began to fail then? It came with the release: go back with `playbooks/rollback.yml`.",
            ),
            number(
                "Services that are not healthy",
                Query(f"sum(({state()}) < bool 1)"),
                limits=limits.ANY_CRITICAL,
                decimals=0,
                width=5,
                alerts=["ServiceDown", "ServiceUnhealthy"],
                normal="0. A rollout that fails goes back by itself.",
                act="*State of each service* shows which, and since which release.",
            ),
            number(
                "Services that run",
                Query(f"sum({up()})"),
                unit=NUMBER,
                decimals=0,
                width=6,
                alerts=["ServiceDown"],
                normal="all of the Compose file, on each host: 17 of the bundled one.",
                act="fewer: *The board* of the fleet shows which.",
            ),
        ),
        (
            grid(
                "Release of each host",
                [
                    Column("In use since", Query(f"max by (project, host, release, how) ({_PLACED}) * 1000"), AGO),
                    Column("In use", Query(f"max {_OF} ({_INFO})"), NO_UNIT, decimals=0),
                ],
                {
                    "project": "Project",
                    "host": "Host",
                    "release": "Release",
                    "version": "Version",
                    "how": "Came by",
                },
                width=14,
                height=7,
                normal="one release on all hosts, come by rollout.",
                act="another one on one host: update it, or go back on all.",
            ),
            grid(
                "Verdict of the last soak check",
                [
                    Column("Ended", Query(f"(max by (host, run) ({_ENDED}) > 0) * 1000", event=_SOAK), AGO),
                    Column(
                        "Is", Query(f"max by (host, run, verdict) ({_VERDICT}) > 0", event=_SOAK), NO_UNIT, decimals=0
                    ),
                ],
                {"host": "Host", "run": "Soak", "verdict": "Verdict"},
                width=10,
                height=7,
                normal="PASS, or running.",
                act="on the host: `sudo hypercode soak report`. It says why, and what to do.",
            ),
        ),
        (
            timeline(
                "State of each service",
                Query(state(), "{{service}} {{host}}"),
                words=STATES,
                height=12,
                alerts=["ServiceUnhealthy", "ServiceCrashLooping"],
                normal="✔ healthy, before a mark and after it.",
                act="unhealthy from a mark on: go back.",
            ),
        ),
        (
            trend(
                "Requests that fail at the edge",
                [
                    Query(
                        f"host:edge_errors:ratio5m{{{HOST}}}",
                        "{{host}}",
                        event="a request to a site of the edge, and a minute or two",
                    )
                ],
                unit=PART,
                limits=limits.ERRORS_HOUR,
                width=8,
                alerts=["EdgeErrorBudgetBurnsFast"],
                normal="0 %, through a rollout too.",
                act="it begins at a mark: go back.",
            ),
            trend(
                "Probes that fail",
                [
                    Query(
                        f"1 - sum {PROBED} (sum_over_time(probe_success{{{HOST}}}[5m]))"
                        f" / sum {PROBED} (count_over_time(probe_success{{{HOST}}}[5m]))",
                        "{{service}} {{host}}",
                    )
                ],
                unit=PART,
                limits=limits.ERRORS_HOUR,
                width=8,
                alerts=["ServiceErrorBudgetBurnsFast"],
                normal="0 %. A service that is replaced in place has a gap.",
                act="it begins at a mark and stays: go back.",
            ),
            trend(
                "Memory of services",
                [Query(f"max {EACH} ({container('memory_anonymous_bytes')})", "{{service}} {{host}}")],
                unit=BYTES,
                width=8,
                alerts=["ServiceMemoryNearLimit"],
                normal="the same after a mark as before.",
                act="more, and it rises: the release leaks. See *Soak*.",
            ),
        ),
    ),
)
