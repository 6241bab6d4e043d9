"""What several dashboards ask Prometheus. Each series has the label `host`. Variables are regular expressions: `=~`."""

from __future__ import annotations

from dataclasses import dataclass

HOST = 'host=~"$host"'
AGENT = f'{HOST}, service=~"$agent"'
# One service on one host: while a rollout is at work it has two containers.
EACH = "by (host, project, service)"
# The prober knows no project.
PROBED = "by (host, service)"


@dataclass(frozen=True)
class Query:
    """A question to Prometheus: PromQL, and what a line is called, with `{{label}}`.

    `event` is for one that may rightly find nothing on a quiet healthy stack: what has to happen before it does.
    """

    expr: str
    legend: str = ""
    event: str = ""


def container(metric: str, where: str = HOST) -> str:
    """The series of hypercode_container_METRIC."""
    return f"hypercode_container_{metric}{{{where}}}"


def up(where: str = HOST) -> str:
    """1 for each service of which a container runs, else 0. The last minute: one scrape may fail."""
    return f"max {EACH} (last_over_time({container('up', where)}[1m]))"


def in_health(state: str, where: str = HOST) -> str:
    """1 for each service of which a container is in this state of health."""
    selector = f'{where}, state="{state}"'
    return f"max {EACH} (last_over_time({container('health', selector)}[1m]))"


def unhealthy(where: str = HOST) -> str:
    """1 for each service that is unhealthy, as the alert has it: one container is, and no other is healthy."""
    return f"({in_health('unhealthy', where)} * (1 - {in_health('healthy', where)}))"


def state(where: str = HOST) -> str:
    """3 healthy, 2 starting, 1 without a check, 0 unhealthy, -1 down (look.STATES). Its best container counts."""
    parts = [
        f"last_over_time({container('health', f'{where}, state={word}')}[1m]) * {value}"
        for word, value in (('"healthy"', 3), ('"starting"', 2), ('"none"', 1))
    ]
    best = f"max {EACH} ({' or '.join(parts)})"
    # A service that has no container at all has no health either.
    return f"({best} * {up(where)} + {up(where)} - 1) or ({up(where)} - 1)"


def memory_of_limit(where: str = HOST) -> str:
    """Memory without the page cache, as a part of the limit."""
    used, limit = container("memory_anonymous_bytes", where), container("memory_limit_bytes", where)
    return f"max {EACH} ({used} / ({limit} > 0))"


def cpu_of_limit(where: str = HOST) -> str:
    """Processor time, as a part of the limit."""
    used, limit = container("cpu_seconds_total", where), container("cpu_limit_cores", where)
    return f"max {EACH} (rate({used}[5m]) / ({limit} > 0))"


def throttled(where: str = HOST) -> str:
    """Part of the time in which a service ran and was cut short at its CPU limit; 0 for one that hardly ran."""
    cut, all_ = container("cpu_throttled_periods_total", where), container("cpu_periods_total", where)
    return f"max {EACH} (rate({cut}[10m]) / (rate({all_}[10m]) > 1) or 0 * rate({all_}[10m]))"


def increase(metric: str, span: str, where: str = HOST) -> str:
    """By how much a counter of containers grew, for each service. 0 when nothing happened."""
    return f"sum {EACH} (increase({container(metric, where)}[{span}]))"


def firing(severity: str, where: str = HOST) -> str:
    """How many alerts fire. Prometheus has no series at all while none does."""
    return f'count(ALERTS{{alertstate="firing", severity="{severity}", {where}}}) or vector(0)'
