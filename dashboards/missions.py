"""The orchestrator, the core, and the missions that go through them."""

from __future__ import annotations

from . import limits
from .board import Board
from .look import STATES
from .panels import NO_UNIT, NUMBER, PART, PER_SECOND, REQUESTS, SECONDS, number, traces, trend
from .queries import HOST, PROBED, Query, state

_SERVICES = f'{HOST}, service=~"crew-orchestrator|hypercode-core"'
_MISSION = "the first mission that the core is given"
_DURATIONS = "a request to the core; a stand-in for it in tests may not measure them"


def _moved(to: str, span: str) -> str:
    """How many missions came to a state. The core has no series of a kind of step before the first one."""
    return f'sum by (host) (increase(mission_transitions_total{{{HOST}, to_state=~"{to}"}}[{span}]))'


def _none_yet(expr: str) -> str:
    """0 for a core that answers and has not counted any."""
    return f'{expr} or 0 * max by (host) (up{{job="hypercode-core", {HOST}}})'


_REQUESTS = f"sum by (host) (rate(http_requests_total{{{HOST}}}[5m]))"
_FAILED = f'sum by (host) (rate(http_requests_total{{{HOST}, status=~"5.."}}[5m]))'
_LLM = f"sum by (host) (rate(llm_request_latency_seconds_sum{{{HOST}}}[5m]))"
_LLM_CALLS = f"(sum by (host) (rate(llm_request_latency_seconds_count{{{HOST}}}[5m])) > 0)"
_SPENT = f"sum by (host) (rate(http_request_duration_seconds_sum{{{HOST}}}[5m]))"
_COUNTED = f"(sum by (host) (rate(http_request_duration_seconds_count{{{HOST}}}[5m])) > 0)"

BOARD = Board(
    uid="hypercode-missions",
    title="Orchestrator and missions",
    about="Do missions get through, and if not: where do they stick?",
    links=(("Traces (Jaeger)", traces()),),
    rows=(
        (
            number(
                "Orchestrator and core",
                Query(state(_SERVICES), "{{service}}"),
                unit=NO_UNIT,
                words=STATES,
                width=8,
                alerts=["ServiceDown", "ServiceUnhealthy"],
                normal="both ✔ healthy.",
                act="nothing gets through without them. `sudo hypercode status` on the host, then their logs.",
            ),
            number(
                "Missions that came in within an hour",
                Query(_none_yet(_moved("(?i)queued", "1h")), "{{host}}"),
                decimals=0,
                alerts=["TargetDown"],
                normal="as many as people gave.",
                act="0, though people gave some: look at the edge and the orchestrator.",
            ),
            number(
                "Missions that failed within an hour",
                Query(_none_yet(_moved("(?i)failed", "1h")), "{{host}}"),
                limits=limits.ANY,
                decimals=0,
                alerts=["TargetDown"],
                normal="0.",
                act="*Steps of missions* shows from where. Then the agent that had it.",
            ),
            number(
                "Requests to the core that fail",
                Query(f"({_FAILED} or 0 * {_REQUESTS}) / ({_REQUESTS} > 0)", "{{host}}"),
                unit=PART,
                limits=limits.ERRORS_HOUR,
                decimals=1,
                normal="0 % of the last five minutes.",
                act="the log of hypercode-core says why; Postgres and Redis are what it needs.",
            ),
            number(
                "Heartbeats of agents",
                Query(f"sum by (host) (rate(agent_heartbeat_total{{{HOST}}}[5m]))", "{{host}}"),
                unit=PER_SECOND,
                normal="steady: each agent sends one every 10 to 30 seconds.",
                act="0: agents do not reach the core. They do not say so themselves.",
            ),
        ),
        (
            trend(
                "Steps of missions",
                [
                    Query(
                        f"sum by (from_state, to_state) (increase(mission_transitions_total{{{HOST}}}[5m]))",
                        "{{from_state}} → {{to_state}}",
                        event=_MISSION,
                    )
                ],
                bars=True,
                normal="each step as often as the one before: what comes in goes out again.",
                act="the first step that is missing is where they stick.",
            ),
            trend(
                "Requests to the core",
                [Query(f"sum by (host, status) (rate(http_requests_total{{{HOST}}}[5m]))", "{{host}} {{status}}")],
                unit=REQUESTS,
                normal="200 most of all.",
                act="401 and 403: a wrong key. 5xx: its log. None at all: nobody gets to it.",
            ),
        ),
        (
            trend(
                "Time that a request to the core takes",
                [Query(f"{_SPENT} / {_COUNTED}", "{{host}}", event=_DURATIONS)],
                unit=SECONDS,
                normal="less than half a second, on the average.",
                act="see Postgres and Redis: mostly it waits for them.",
            ),
            trend(
                "Latency of the probes",
                [Query(f"avg {PROBED} (probe_duration_seconds{{{_SERVICES}}})", "{{service}} {{host}}")],
                unit=SECONDS,
                alerts=["ServiceErrorBudgetBurnsFast"],
                normal="some hundredths of a second.",
                act="it rises before probes fail: look at CPU and memory on the dashboard *Agent*.",
            ),
        ),
        (
            trend(
                "LLM calls",
                [
                    Query(
                        f"sum by (host) (rate(llm_requests_total{{{HOST}}}[5m]))",
                        "{{host}}",
                        event="the first call to the LLM API through the core",
                    )
                ],
                unit=PER_SECOND,
                width=8,
                normal="follows the missions.",
                act="none while missions wait: the key of the API, its quota, or the way out.",
            ),
            trend(
                "Time that an LLM call takes",
                [Query(f"{_LLM} / {_LLM_CALLS}", "{{host}}", event="a call to the LLM API within five minutes")],
                unit=SECONDS,
                width=8,
                normal="seconds, on the average of five minutes.",
                act="it rises for all: the API is slow, not your agents.",
            ),
            trend(
                "Agents that register",
                [Query(f"sum by (host) (increase(agent_registered_total{{{HOST}}}[5m]))", "{{host}}")],
                unit=NUMBER,
                width=8,
                bars=True,
                normal="all of them at a rollout, then none.",
                act="again and again: agents restart, see *Fleet*.",
            ),
        ),
    ),
)
