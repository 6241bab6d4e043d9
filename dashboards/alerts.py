"""What the rules of Prometheus say: where the page of an alert is. The dashboards lead there."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
RULES = ROOT / "roles/stack/templates/tree/etc/hypercode/stack/prometheus/rules"
# The page that lists them all.
RUNBOOKS = "https://github.com/hypercode/deploy/blob/main/docs/runbooks/README.md"


@cache
def rules() -> dict[str, dict[str, str]]:
    """Alert -> `expr`, `severity` and `runbook_url`, of all files of rules."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted(RULES.glob("*.yml")):
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                if "alert" in rule:
                    page = rule["annotations"]["runbook_url"]
                    severity = rule["labels"]["severity"]
                    found[rule["alert"]] = {"expr": rule["expr"], "severity": severity, "runbook_url": page}
    return found


def runbook(alert: str) -> str:
    """The address of the page of an alert. ValueError when there is no such alert."""
    try:
        return rules()[alert]["runbook_url"]
    except KeyError:
        where = RULES.relative_to(ROOT)
        raise ValueError(f"There is no alert {alert} in {where}. Fix: use the name of one that is there.") from None
