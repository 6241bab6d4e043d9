# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The settings of Alertmanager: amtool takes whatever the inventory allows, and no secret is in them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.hypercode.deploy.plugins.plugin_utils import alertmanager
from ansible_collections.hypercode.deploy.plugins.plugin_utils.alertmanager import Alertmanager, Timing, configure
from ansible_collections.hypercode.deploy.plugins.plugin_utils.alertmanager_receivers import read_receivers
from fakes.alert_scene import ALERTS
from fakes.alertmanager import checked, needed, place
from hypothesis import given, settings
from hypothesis import strategies as st

SECRET = "canary-51e7"
URL = f"https://hooks.example/{SECRET}"
SWITCH = f"https://switch.example/{SECRET}"
MAIL = {"kind": "mail", "to": "ops@example.com", "from": "web1@example.com", "server": "mail.example.com:587"}
ENTRIES: dict[str, dict[str, Any]] = {
    "mail": MAIL,
    "mail-login": {**MAIL, "username": "web1", "password": SECRET},
    "mail-tls": {**MAIL, "server": "mail.example.com:465"},
    "mail-several": {**MAIL, "to": ["ops@example.com", "boss@example.com"]},
    "slack": {"kind": "slack", "url": URL},
    "slack-channel": {"kind": "slack", "url": URL, "channel": "#alerts"},
    "discord": {"kind": "discord", "url": URL},
    "webhook": {"kind": "webhook", "url": URL},
    "webhook-login": {"kind": "webhook", "url": URL, "username": "alerts", "password": SECRET},
    "webhook-token": {"kind": "webhook", "url": URL, "token": SECRET},
    "pagerduty": {"kind": "pagerduty", "key": "0" * 28 + "51e7"},
    "pagerduty-europe": {"kind": "pagerduty", "key": "0" * 32, "url": "https://events.eu.pagerduty.com/v2/enqueue"},
}


def made(*entries: dict[str, Any], switch: str = "", **options: Any) -> Alertmanager:
    receivers, findings = read_receivers(list(entries))
    assert not [finding for finding in findings if finding.severity == "error"]
    return configure(receivers, switch, **options)


@needed
@pytest.mark.parametrize("name", ENTRIES)
def test_alertmanager_takes_each_kind(name: str, tmp_path: Path) -> None:
    result = made({"name": name, **ENTRIES[name]})
    said = checked(place(result, tmp_path))
    assert said.returncode == 0, said.stderr
    assert SECRET not in result.text()
    # The key of PagerDuty.
    assert "51e7" not in result.text()


@needed
def test_alertmanager_takes_all_of_them_together_and_none(tmp_path: Path) -> None:
    everybody = made(*({"name": name, **entry} for name, entry in ENTRIES.items()), switch=SWITCH)
    for result in (everybody, made(), made(switch=SWITCH)):
        said = checked(place(result, tmp_path))
        assert said.returncode == 0, said.stderr
    assert SECRET not in everybody.text()


def test_each_secret_is_in_a_file_of_its_own_and_named_where_it_is_needed() -> None:
    result = made(*({"name": name, **entry} for name, entry in ENTRIES.items()), switch=SWITCH)
    named = re.findall(r"/etc/alertmanager/secrets/(\S+)", result.text())
    assert sorted(named) == sorted(result.secrets)
    assert len(named) == len(set(named))
    assert result.secrets["DeadMansSwitch.url"] == SWITCH
    assert result.secrets["webhook-token.token"] == SECRET
    assert result.secrets["mail-login.password"] == SECRET
    # Some of what reads them would take a line break for a part of it.
    assert all(content == content.strip() for content in result.secrets.values())


def test_a_name_is_no_path() -> None:
    assert all(re.fullmatch(r"[\w-]+\.(?:url|password|token|key)", name) for name in made(*named_all()).secrets)


def named_all() -> list[dict[str, Any]]:
    return [{"name": name, **entry} for name, entry in ENTRIES.items()]


def test_it_reads_as_yaml_what_was_meant() -> None:
    result = made(*named_all(), switch=SWITCH)
    assert yaml.safe_load(result.text()) == result.config
    # What has several lines can be read.
    assert "text: |" in result.text()
    assert "config" not in json.dumps(list(result.secrets))


TEXTS = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp", "Zs")), min_size=1, max_size=12).filter(
    lambda text: text == text.strip() and "{{" not in text and "}}" not in text and "\ufeff" not in text
)
LOGINS = TEXTS.filter(lambda text: ":" not in text)
PARTS = st.from_regex(r"[a-z0-9!#$%&'*+/=?^_`|~-]{1,8}", fullmatch=True)
ADDRESSES = st.builds(
    lambda local, host: f"{local}@{host}.example", PARTS, st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True)
)
ADDRESSED = st.from_regex(
    r"https://[a-z0-9]{1,8}\.example(:[1-9][0-9]{0,3})?(/[a-zA-Z0-9_.~!$&'()*+,;=:@-]{0,8}|/%2F)?", fullmatch=True
)
NAMES = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,39}", fullmatch=True)


@st.composite
def receivers(draw: st.DrawFn) -> dict[str, Any]:
    """A receiver with as strange values as are allowed."""
    kind = draw(st.sampled_from(["mail", "slack", "discord", "webhook", "pagerduty"]))
    entry: dict[str, Any] = {"name": draw(NAMES), "kind": kind, "send_resolved": draw(st.booleans())}
    entry["severities"] = draw(st.lists(st.sampled_from(["critical", "warning"]), min_size=1, unique=True))
    if kind == "mail":
        entry |= {"to": draw(st.lists(ADDRESSES, min_size=1, max_size=3)), "from": draw(ADDRESSES)}
        entry["server"] = draw(st.from_regex(r"[a-z0-9][a-z0-9.-]{0,8}:(465|[1-9][0-9]{0,3})", fullmatch=True))
        if ".." in entry["server"]:
            entry["server"] = "mail:25"
        if draw(st.booleans()):
            entry |= {"username": draw(TEXTS), "password": draw(TEXTS)}
    elif kind == "pagerduty":
        entry["key"] = draw(st.from_regex(r"[A-Za-z0-9]{32}", fullmatch=True))
    else:
        entry["url"] = draw(ADDRESSED)
    if kind == "slack" and draw(st.booleans()):
        entry["channel"] = draw(TEXTS)
    if kind == "webhook":
        login = {"username": draw(LOGINS), "password": draw(TEXTS)}
        entry |= draw(st.sampled_from([{}, login, {"token": draw(TEXTS)}]))
    return entry


@needed
@settings(max_examples=60)
@given(entries=st.lists(receivers(), max_size=4, unique_by=lambda entry: entry["name"]), switch=st.just("") | ADDRESSED)
def test_alertmanager_takes_whatever_is_allowed(
    entries: list[dict[str, Any]], switch: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    result = made(*entries, switch=switch)
    assert yaml.safe_load(result.text()) == result.config
    said = checked(place(result, tmp_path_factory.mktemp("settings")))
    assert said.returncode == 0, said.stderr + result.text()


@pytest.mark.parametrize(
    ("settings", "require_tls"),
    [
        ({}, True),
        ({"server": "mail.example.com:465"}, False),
        ({"encrypted": False}, False),
        ({"encrypted": True}, True),
    ],
)
def test_mail_is_encrypted_as_its_server_does_it(settings: dict[str, Any], require_tls: bool) -> None:
    block = made({"name": "ops", **MAIL, **settings}).config["receivers"][1]["email_configs"][0]
    assert block["require_tls"] is require_tls


def test_somebody_knows_of_any_unhealthy_service_within_90_seconds() -> None:
    """The rule needs up to 75 s. A group that is there already waits for its interval."""
    pace = Timing().critical
    assert 75 + max(int(wait.removesuffix("s")) for wait in (pace.group_wait, pace.group_interval)) <= 90


def test_what_is_kept_back_is_about_alerts_that_exist() -> None:
    told = json.dumps(alertmanager.inhibit_rules())
    named = {name for words in re.findall(r'alertname!?=~?\\"(.*?)\\"', told) for name in words.split("|")}
    spread = {one for name in named for one in ([name] if "(" not in name else [name[:-7], name[:-7] + "Fast"])}
    assert spread
    assert spread <= set(ALERTS)
    assert "Watchdog" in spread
    assert ALERTS["HostDown"]["labels"]["inhibits"] == "host"


def test_what_docker_says_is_what_is_kept_back_while_it_says_nothing() -> None:
    asked = re.compile(r"hypercode_container_(?:up|health|restarts_total|heal_given_up)\b")
    assert {name for name, rule in ALERTS.items() if asked.search(rule["expr"])} == set(alertmanager.FROM_DOCKER)
