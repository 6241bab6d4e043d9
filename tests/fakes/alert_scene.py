"""An Alertmanager with settings of ours, and those that it tells, in a test."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.hypercode.deploy.plugins.plugin_utils.alertmanager import Pace, Timing, configure
from ansible_collections.hypercode.deploy.plugins.plugin_utils.alertmanager_receivers import read_receivers

from .alert_receivers import Call, Mail, Web, certificate, mail, web
from .alertmanager import Api, running

RULES = Path(__file__).resolve().parents[2] / "roles/stack/templates/tree/etc/hypercode/stack/prometheus/rules"
# Our own, as they stand in the files.
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for path in sorted(RULES.glob("*.yml"))
    for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
    if "alert" in rule
}
# As the real ones, in a shorter time.
FAST = Timing(Pace("300ms", "600ms", "2400ms"), Pace("300ms", "600ms", "1h"), Pace("0s", "500ms", "100ms"))
# Longer than any wait of the above, in seconds.
QUIET = 1.5


class Scene:
    """Starts an Alertmanager for some receivers, beside a server of the web that hears it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.pem = certificate(folder)
        self.web: Web = stack.enter_context(web(self.pem))
        self._folder, self._stack = folder, stack

    def start(self, *entries: dict[str, Any], switch: str = "", timing: Timing = FAST) -> Api:
        receivers, findings = read_receivers(list(entries))
        assert not [finding for finding in findings if finding.severity == "error"]
        secrets = str(self._folder / "secrets")
        made = configure(receivers, switch, timing=timing, secrets=secrets)
        return self._stack.enter_context(running(made, self._folder, self.pem))

    def mail(self, **options: Any) -> Mail:
        return self._stack.enter_context(mail(self.pem, **options))

    def hook(self, name: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "kind": "webhook", "url": self.web.url(f"/{name}"), **more}


def alert(name: str, severity: str = "critical", **labels: str) -> dict[str, str]:
    return {"alertname": name, "severity": severity, "host": "web1", **labels}


def names(calls: list[Call]) -> set[str]:
    return {told["labels"]["alertname"] for call in calls for told in call.body["alerts"]}
