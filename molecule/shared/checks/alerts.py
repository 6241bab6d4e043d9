"""Which alerts the stack's own rules raise for figures that a host has written: the real rules, the real promtool."""

from __future__ import annotations

import json
import re
import subprocess

from testbed import authority
from testbed.hosts import Bed

from .playbook import ROOT

RULES = ROOT / "roles/stack/templates/tree/etc/hypercode/stack/prometheus/rules"
_MINUTES = 30


def raised(bed: Bed, rules: str, metrics: str, alert: str, **labels: str) -> bool:
    """Whether this alert, with these labels, is there when the figures have been as they are for half an hour.

    The program lies in the container of the CA, whose image has Prometheus in it.
    """
    series = []
    for line in metrics.splitlines():
        if line and not line.startswith("#"):
            name, _space, value = line.rpartition(" ")
            series.append({"series": name, "values": f"{value}x{_MINUTES}"})
    wanted = {"alertname": alert, **labels}
    # A test of promtool compares whole alerts, with all their words; what counts here is asked for as a figure.
    matchers = ",".join(f"{key}={json.dumps(value)}" for key, value in {**wanted, "alertstate": "firing"}.items())
    question = {"expr": f"count(ALERTS{{{matchers}}})", "eval_time": f"{_MINUTES}m", "exp_samples": [{"value": 1}]}
    test = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": [question]}],
    }
    put = "mkdir -p /tmp/alerts && cat > /tmp/alerts/"
    container = authority.container(bed)
    for name, text in (("rules.yml", (RULES / rules).read_text(encoding="utf-8")), ("test.yml", json.dumps(test))):
        words = ["docker", "exec", "--interactive", container, "sh", "-c", f"{put}{name}"]
        subprocess.run(words, input=text, text=True, check=True)
    words = ["docker", "exec", "--workdir", "/tmp/alerts", container, "promtool", "test", "rules", "test.yml"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    told = done.stdout + done.stderr
    assert done.returncode == 0 or re.search(r'got:\s*"?nil', told), told
    return done.returncode == 0
