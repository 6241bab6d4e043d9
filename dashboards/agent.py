"""One agent, or any other service."""

from __future__ import annotations

from . import limits
from .board import Board
from .look import STATES
from .panels import BYTES, NO_UNIT, NUMBER, PART, PER_SECOND, SECONDS, number, traces, trend
from .queries import AGENT, EACH, HOST, PROBED, Query, container, increase, memory_of_limit, state, throttled, up

_NAME = "{{host}}"

BOARD = Board(
    uid="hypercode-agent",
    title="Agent",
    about="Is this agent, or service, well? What does it lack?",
    agent=True,
    links=(("Its traces (Jaeger)", traces("${agent}")),),
    rows=(
        (
            number(
                "Is it well?",
                Query(state(AGENT), _NAME),
                unit=NO_UNIT,
                words=STATES,
                alerts=["ServiceDown", "ServiceUnhealthy", "ServiceHealGivenUp"],
                normal="✔ healthy.",
                act="`sudo docker logs` of it says why. Down: `sudo hypercode stack start` on the host.",
            ),
            number(
                "Probes that are answered",
                Query(f"avg {PROBED} (avg_over_time(probe_success{{{AGENT}}}[5m]))", _NAME),
                unit=PART,
                limits=limits.ANSWERS_HOUR,
                decimals=1,
                alerts=["ServiceErrorBudgetBurnsFast"],
                normal="100 % of the probes of the last five minutes.",
                act="it runs, and answers wrongly or late: see the latency below.",
            ),
            number(
                "Restarts in an hour",
                Query(increase("restarts_total", "1h", AGENT), _NAME),
                limits=limits.RESTARTS_HOUR,
                decimals=0,
                alerts=["ServiceRestarting", "ServiceCrashLooping"],
                normal="0.",
                act="the last lines of its log before the end say why it ends.",
            ),
            number(
                "Memory of its limit",
                Query(memory_of_limit(AGENT), _NAME),
                unit=PART,
                limits=limits.MEMORY_OF_LIMIT,
                decimals=0,
                alerts=["ServiceMemoryNearLimit", "ServiceOomKilled"],
                normal="less than 10 % when idle, up to 40 % at work.",
                act="at 100 % it is killed. `sudo hypercode limits` shows what it needs.",
            ),
            number(
                "Cut short by its CPU limit",
                Query(throttled(AGENT), _NAME),
                unit=PART,
                limits=limits.THROTTLED,
                decimals=0,
                alerts=["ServiceThrottled"],
                normal="0 to 5 % of the time in which it runs.",
                act="above 25 % for an hour it is slow: give it more CPU, or less work.",
            ),
            number(
                "Runs since",
                Query(f"(time() - max {EACH} ({container('started_timestamp_seconds', AGENT)})) * {up(AGENT)}", _NAME),
                unit=SECONDS,
                alerts=["ServiceRestarting"],
                normal="since the last rollout.",
                act="less: it was restarted. See *Restarts, heals and OOM kills*.",
            ),
        ),
        (
            trend(
                "Latency of the probe",
                [
                    Query(f"avg {PROBED} (probe_duration_seconds{{{AGENT}}})", "{{host}} now"),
                    Query(f"max {PROBED} (max_over_time(probe_duration_seconds{{{AGENT}}}[5m]))", "{{host}} worst"),
                ],
                unit=SECONDS,
                alerts=["ServiceErrorBudgetBurns"],
                normal="some hundredths of a second, and steady.",
                act="it rises with the CPU: too little of that. Without: what it asks (Redis, Core) is slow.",
            ),
            trend(
                "Probes that fail",
                [
                    Query(f"host_service:probe_failures:ratio5m{{{AGENT}}}", "{{host}} 5 minutes"),
                    Query(f"host_service:probe_failures:ratio1h{{{AGENT}}}", "{{host}} 1 hour"),
                ],
                unit=PART,
                limits=limits.ERRORS_HOUR,
                alerts=["ServiceErrorBudgetBurnsFast", "ServiceErrorBudgetBurnsSlowly"],
                normal="0 %.",
                act="both above the line: somebody is woken.",
            ),
        ),
        (
            trend(
                "Memory against its limit",
                [
                    Query(f"max {EACH} ({container('memory_anonymous_bytes', AGENT)})", "{{host}} in use"),
                    Query(f"max {EACH} ({container('memory_cache_bytes', AGENT)})", "{{host}} page cache"),
                    Query(f"max {EACH} ({container('memory_limit_bytes', AGENT)})", "{{host}} limit"),
                ],
                unit=BYTES,
                alerts=["ServiceMemoryNearLimit", "ServiceOomKilled"],
                normal="level. The page cache does not count: the kernel takes it back.",
                act="in use rises and never falls: a leak. See *Soak* for the trend.",
            ),
            trend(
                "CPU against its limit",
                [
                    Query(
                        f"sum {EACH} (rate({container('cpu_seconds_total', AGENT)}[$__rate_interval]))",
                        "{{host}} in use",
                    ),
                    Query(f"max {EACH} ({container('cpu_limit_cores', AGENT)})", "{{host}} limit"),
                ],
                unit=NO_UNIT,
                alerts=["ServiceThrottled"],
                normal="cores: 0.1 to 0.3 under load, far from the limit.",
                act="at the limit it is slow, and its probes too.",
            ),
        ),
        (
            trend(
                "Restarts, heals and OOM kills",
                [
                    Query(increase("restarts_total", "5m", AGENT), "{{host}} restarts"),
                    Query(increase("heals_total", "5m", AGENT), "{{host}} heals"),
                    Query(increase("oom_kills_total", "5m", AGENT), "{{host}} OOM kills"),
                ],
                unit=NUMBER,
                width=12,
                bars=True,
                alerts=["ServiceRestarting", "ServiceHealedOften", "ServiceOomKilled"],
                normal="none.",
                act="OOM kills: more memory, or a leak. Heals: it hung. Restarts: it ended by itself.",
            ),
            trend(
                "LLM calls of all agents",
                [
                    Query(
                        f"sum by (host) (rate(llm_requests_total{{{HOST}}}[5m]))",
                        "{{host}}",
                        event="the first call to the LLM API through the core",
                    )
                ],
                unit=PER_SECOND,
                width=12,
                normal="as many as there is work. The core counts them, for all agents together.",
                act="none while missions wait: the key of the API, its quota, or the way out.",
            ),
        ),
    ),
)
