# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""docs/alerts.md and the example inventory: what is shown there works as it stands."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.hypercode.deploy.plugins.plugin_utils.alertmanager import Timing, inhibit_rules
from ansible_collections.hypercode.deploy.plugins.plugin_utils.alertmanager_receivers import KINDS, read_receivers
from fakes.alert_receivers import until
from fakes.alert_scene import Scene, names
from fakes.alertmanager import AMTOOL, Api, needed

ROOT = Path(__file__).resolve().parents[4]
PAGE = (ROOT / "docs/alerts.md").read_text(encoding="utf-8")
EXAMPLE = (ROOT / "inventories/example/group_vars/hypercode/main.yml").read_text(encoding="utf-8")
BLOCK = re.compile(r"(?:^    .*\n)+", re.MULTILINE)
VAULT = {"vault_alerts_pagerduty": "A" * 32, "vault_alerts_mail": "x", "vault_alerts_token": "x"}


def from_vault(text: str) -> Any:
    """YAML with what the vault has in it."""
    known = re.sub(r"{{ (\w+) }}", lambda match: VAULT.get(match[1], "https://hooks.example/x"), text)
    return yaml.safe_load(known)


EXAMPLES = [entry for block in BLOCK.findall(PAGE) if block.startswith("    - name: ") for entry in from_vault(block)]


def test_every_kind_is_shown_once_and_right() -> None:
    receivers, findings = read_receivers(EXAMPLES)
    assert findings == []
    assert sorted(receiver.kind for receiver in receivers) == sorted(KINDS)


def test_every_setting_is_named() -> None:
    settings = {setting for kind in KINDS.values() for setting in kind} | {"severities", "send_resolved"}
    assert [setting for setting in settings if not re.search(rf"\b{setting}\b", PAGE)] == []


def test_the_first_steps_and_the_example_inventory_are_right() -> None:
    shown = from_vault(re.search(r"(?:^       .*\n)+", PAGE, re.MULTILINE)[0])  # type: ignore[index]
    commented = "".join(f"{line[2:]}\n" for line in EXAMPLE[EXAMPLE.index("# monitoring_receivers:") :].splitlines())
    for variables in (shown, from_vault(re.sub(r"^[A-Z].*", "", commented, flags=re.MULTILINE))):
        assert read_receivers(variables["monitoring_receivers"])[1] == []
    assert "# monitoring_dead_mans_switch_url: " in EXAMPLE


def test_what_is_kept_back_is_in_the_table_with_what_has_to_be_the_same() -> None:
    rows = re.findall(r"^\| (`.*) \| (.*) \| ([a-z, ]+) \|$", PAGE, re.MULTILINE)
    rules = inhibit_rules()
    assert len(rows) == len(rules)
    for (source, target, same), rule in zip(rows, rules, strict=True):
        assert same.split(", ") == rule["equal"]
        for text, matchers in ((source, rule["source_matchers"]), (target, rule["target_matchers"])):
            named = re.findall(r"`([A-Z]\w+)", text)
            (pattern,) = [matcher for matcher in matchers if "alertname" in matcher or "inhibits" in matcher][-1:]
            if "alertname=" in pattern:
                expected = pattern.partition('"')[2].rstrip('"')
                assert all(re.fullmatch(expected, name) for name in named), (text, pattern)
                assert len(named) == expected.count("|") + 1 + expected.count("?")


def test_how_soon_is_what_is_set() -> None:
    timing = Timing()
    assert (timing.critical.repeat_interval, timing.warning.repeat_interval) == ("4h", "24h")
    assert "every 4 hours" in PAGE
    assert "once a day" in PAGE
    assert (timing.critical.group_interval, timing.warning.group_interval) == ("15s", "5m")
    assert re.search(r"after 15 seconds, for a warning\s+after 5 minutes", PAGE)
    assert timing.watchdog.group_interval == "2m"
    assert "Every two minutes it is called" in PAGE


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with ExitStack() as stack:
        yield Scene(tmp_path, stack)


def typed(api: Api, *commands: str) -> str:
    """Type commands of the page, with Alertmanager not in a container."""
    am = f'am() {{ {AMTOOL} --alertmanager.url=http://127.0.0.1:{api.port} "$@"; }}'
    words = ["bash", "-euc", "\n".join((am, *commands))]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def shown(beginning: str) -> str:
    (line,) = [line.strip() for line in PAGE.splitlines() if line.startswith(f"    {beginning}")]
    return line


@needed
def test_the_test_arrives_and_a_silence_holds_until_it_is_ended(scene: Scene) -> None:
    api = scene.start(scene.hook("all"))
    typed(api, shown("soon="), shown("am alert add"))
    (call,) = until(lambda: scene.web.calls)
    assert names([call]) == {"Test"}
    assert call.body["commonAnnotations"] == {"summary": "Only a test"}
    # A silence: of what is silent nothing is told.
    identity = typed(api, shown("am silence add")).strip()
    silent = {"alertname": "DiskFullSoon", "severity": "warning", "host": "web1"}
    api.fire(silent, {**silent, "host": "web2"})
    until(lambda: [call for call in scene.web.calls if call.body["groupLabels"]["host"] == "web2"])
    assert not [call for call in scene.web.calls if call.body["groupLabels"]["host"] == "web1"]
    assert identity in typed(api, shown("am silence query"))
    typed(api, shown("am silence expire ID").replace("ID", identity))
    until(lambda: [call for call in scene.web.calls if call.body["groupLabels"]["host"] == "web1"])


def test_the_tool_is_asked_as_it_is_in_the_page() -> None:
    # It is that of `typed`, within the container.
    assert 'am() { docker exec "$alertmanager" amtool --alertmanager.url=http://127.0.0.1:9093 "$@"; }' in PAGE
