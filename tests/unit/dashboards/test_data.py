"""Each panel finds data: the questions are put to what real exporters, and our own programs, tell of a real stack.

promtool works out half an hour of it, with the real rules. On a quiet stack all questions find something, but for those
which name an event that they wait for: these find nothing. When all of that has happened, each one does.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.exposition import samples_in
from checks.dashboards import Expression, expressions
from fakes import backup_host, stack_metrics
from fakes.stack_metrics import NOW, SERVICES, Exporters

from dashboards.alerts import RULES
from dashboards.build import FOLDER
from dashboards.metrics import METRICS

pytestmark = pytest.mark.playbook
ROOT = Path(__file__).resolve().parents[3]
ALL = list(expressions(ROOT / FOLDER))
PROGRAMS = ("promtool", *(f"prometheus-{name}-exporter" for name in ("node", "redis", "postgres", "blackbox")))
CADDY = Path(sys.executable).with_name("caddy")
STEP = 15
KNOWN = frozenset().union(*METRICS.values())
# What the recording rules are made of.
NAMES = KNOWN | {"caddy_http_requests_total"}
COUNTER = re.compile(r"^# TYPE (\S+) (?:counter|histogram|summary)$", re.MULTILINE)


def series_of(job: str, before: str, after: str) -> Iterator[dict[str, str]]:
    """Series for promtool: counters grow in each step as they did between two scrapes, all else stays as it is."""
    counters = set(COUNTER.findall(after))
    old = {(name, json.dumps(labels)): value for name, labels, value in samples_in(before)}
    for name, labels, value in samples_in(after):
        if name not in NAMES or math.isnan(value):
            continue
        grows = name in counters or re.sub(r"_(sum|count|bucket)$", "", name) in counters
        step = max(0.0, value - old.get((name, json.dumps(labels)), 0.0)) if grows else 0.0
        every = {**labels, "job": job, "instance": f"{job}:1", "host": "web1"}
        inside = ",".join(f"{key}={json.dumps(text)}" for key, text in sorted(every.items()))
        yield {"series": f"{name}{{{inside}}}", "values": f"{value:.17g}+{step:.17g}x{NOW // STEP}"}


def ups(*jobs: str) -> Iterator[dict[str, str]]:
    for job in jobs:
        yield {"series": f'up{{host="web1",instance="{job}:1",job="{job}"}}', "values": f"1x{NOW // STEP}"}


def asked(folder: Path, series: list[dict[str, str]], wanted: dict[Expression, bool]) -> list[str]:
    """The questions that find something and should not, or the other way round."""
    question = {True: ("count({}) > bool 0", 1), False: ("count({}) or vector(0)", 0)}
    tests = [
        {
            "expr": question[finds][0].format(each.expr),
            "eval_time": f"{NOW}s",
            "exp_samples": [{"labels": "{}", "value": question[finds][1]}],
        }
        for each, finds in wanted.items()
    ]
    document = {
        "rule_files": sorted(str(path) for path in RULES.glob("*.yml")),
        "evaluation_interval": "15s",
        "tests": [{"interval": f"{STEP}s", "input_series": series, "promql_expr_test": tests}],
    }
    path = folder / "questions.yml"
    path.write_text(json.dumps(document))
    done = subprocess.run(["promtool", "test", "rules", path], capture_output=True, text=True, check=False)
    told = done.stdout + done.stderr
    by_words = {question[finds][0].format(each.expr): each for each, finds in wanted.items()}
    # promtool writes an expression as a Go string, which is JSON here.
    failed = [by_words[json.loads(words)] for words in re.findall(r'expr: ("(?:[^"\\]|\\.)*"), time', told)]
    assert (done.returncode == 0) == (not failed), told
    return [f"{each.dashboard}: {each.panel} {each.ref}: {each.expr}" for each in failed]


@pytest.fixture(scope="module")
def exporters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporters]:
    missing = [name for name in PROGRAMS if not shutil.which(name)] + ([] if CADDY.exists() else ["caddy"])
    if missing or backup_host.missing():
        pytest.skip(f"not installed: {', '.join(missing) or backup_host.missing()}")
    with Exporters(tmp_path_factory.mktemp("exporters"), str(CADDY)) as found:
        yield found


def whole_stack(exporters: Exporters, *, busy: bool) -> list[dict[str, str]]:
    """All series of a stack."""
    exporters.write(
        {
            "watch.prom": stack_metrics.watch(busy=busy),
            "backup.prom": stack_metrics.backups(busy=busy),
            "certificates.prom": stack_metrics.certified() if busy else "",
            "stack.prom": stack_metrics.agreed(busy=busy),
        }
    )
    before = exporters.scrape()
    # As the exporter does itself, every 15 seconds.
    exporters.use_postgres()
    if busy:
        exporters.request()
        exporters.use_redis()
    time.sleep(1)
    after = exporters.scrape()
    probe = after.pop("probe")
    series = [each for job in after for each in series_of(job, before[job], after[job])]
    series += series_of("hypercode-core", stack_metrics.core(0, busy=busy), stack_metrics.core(STEP, busy=busy))
    for service in SERVICES:
        labelled = re.sub(r"^(probe_\w+) ", rf'\1{{service="{service}"}} ', probe, flags=re.MULTILINE)
        series += series_of("probe", "", labelled)
    series += ups(*after, "probe", "prometheus", "hypercode-core")
    # Since version 0.14: Debian 12 has 0.11, and our stack a newer one.
    if not any(each["series"].startswith("pg_wal_size_bytes") for each in series):
        series += series_of("postgres", "", "pg_wal_size_bytes 16777216")
    return series


def test_on_a_quiet_stack_only_what_waits_for_an_event_is_empty(exporters: Exporters, tmp_path: Path) -> None:
    wanted = {each: not each.event for each in ALL}
    assert asked(tmp_path, whole_stack(exporters, busy=False), wanted) == []


def test_when_all_has_happened_every_panel_has_data(exporters: Exporters, tmp_path: Path) -> None:
    wanted = dict.fromkeys(ALL, True)
    assert asked(tmp_path, whole_stack(exporters, busy=True), wanted) == []


def test_a_question_that_finds_nothing_is_found(tmp_path: Path) -> None:
    if not shutil.which("promtool"):
        pytest.skip("promtool (package prometheus) is not installed")
    empty = Expression("d", "p", 'nobody_tells{host=~".*"}', "A", "")
    full = Expression("d", "p", 'up{host=~".*"}', "B", "")
    series = list(ups("node"))
    assert asked(tmp_path, series, {empty: True, full: True}) == [f"d: p A: {empty.expr}"]
    assert asked(tmp_path, series, {empty: False, full: False}) == [f"d: p B: {full.expr}"]
