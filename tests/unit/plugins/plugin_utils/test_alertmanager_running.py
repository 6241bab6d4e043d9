# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A real Alertmanager with our settings, and real servers that it tells: who hears what, when, and in which words."""

from __future__ import annotations

import base64
import email
import email.policy
import itertools
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.plugin_utils.alertmanager import Pace, Timing
from fakes.alert_receivers import Call, until
from fakes.alert_scene import FAST, QUIET, Scene, alert, names
from fakes.alertmanager import needed

pytestmark = needed

PASSWORD = 'p"ä: \\ §{#'


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with ExitStack() as stack:
        yield Scene(tmp_path, stack)


def services(call: Call, status: str = "firing") -> set[str]:
    return {told["labels"]["service"] for told in call.body["alerts"] if told["status"] == status}


def test_who_hears_what(scene: Scene) -> None:
    api = scene.start(
        scene.hook("all"),
        scene.hook("pager", severities=["critical"]),
        scene.hook("chat", severities=["warning"]),
        switch=scene.web.url("/switch"),
    )
    other = {"alertname": "OfOthers", "host": "web1"}
    api.fire(
        alert("ServiceDown"),
        alert("DiskFullSoon", "warning"),
        alert("Quiet", "none"),
        other,
        alert("Odd", "page"),
        {"alertname": "Watchdog", "severity": "none"},
    )
    critical, lesser = {"ServiceDown"}, {"DiskFullSoon", "OfOthers", "Odd"}
    until(lambda: names(scene.web.at("/all")) == critical | lesser)
    until(lambda: len(scene.web.at("/switch")) >= 4)
    time.sleep(QUIET)
    assert names(scene.web.at("/all")) == critical | lesser
    assert names(scene.web.at("/pager")) == critical
    assert names(scene.web.at("/chat")) == lesser
    assert names(scene.web.at("/switch")) == {"Watchdog"}
    assert {call.path for call in scene.web.calls} == {"/all", "/pager", "/chat", "/switch"}


def test_the_switch_is_called_again_and_again_until_alerts_do_not_get_out(scene: Scene) -> None:
    api = scene.start(switch=scene.web.url("/switch"))
    api.fire({"alertname": "Watchdog", "severity": "none"}, alert("ServiceDown"))
    until(lambda: len(scene.web.at("/switch")) >= 6)
    # Prometheus stops: no word of an end, which would count as a call.
    api.fire({"alertname": "Watchdog", "severity": "none"}, over=True)
    time.sleep(QUIET)
    heard = len(scene.web.calls)
    time.sleep(QUIET)
    assert len(scene.web.calls) == heard
    assert {call.body["status"] for call in scene.web.calls} == {"firing"}


def test_without_a_switch_nobody_hears_the_watchdog(scene: Scene) -> None:
    api = scene.start(scene.hook("all"))
    api.fire({"alertname": "Watchdog", "severity": "none"}, alert("ServiceDown"))
    until(lambda: scene.web.calls)
    time.sleep(QUIET)
    assert names(scene.web.calls) == {"ServiceDown"}


def test_one_message_for_what_is_alike(scene: Scene) -> None:
    # Repeats would be in the way.
    timing = Timing(Pace("500ms", "1500ms", "1h"), FAST.warning, FAST.watchdog)
    api = scene.start(scene.hook("all"), timing=timing)
    api.fire(
        alert("ServiceUnhealthy", service="a"),
        alert("ServiceUnhealthy", service="b"),
        {**alert("ServiceUnhealthy", service="c"), "host": "web2"},
        alert("ServiceDown", service="a"),
    )
    until(lambda: len(scene.web.calls) >= 3)
    groups = {
        (call.body["groupLabels"]["alertname"], call.body["groupLabels"]["host"]): call for call in scene.web.calls
    }
    assert {key: services(call) for key, call in groups.items()} == {
        ("ServiceUnhealthy", "web1"): {"a", "b"},
        ("ServiceUnhealthy", "web2"): {"c"},
        ("ServiceDown", "web1"): {"a"},
    }
    # The next of the same kind is told after the interval at most, with those that are there.
    api.fire(alert("ServiceUnhealthy", service="d"))
    until(lambda: len(scene.web.calls) == 4)
    assert services(scene.web.calls[-1]) == {"a", "b", "d"}


def test_the_end_is_told_to_those_who_want_it(scene: Scene) -> None:
    api = scene.start(scene.hook("all"), scene.hook("short", send_resolved=False))
    api.fire(alert("ServiceUnhealthy", service="a"), alert("ServiceUnhealthy", service="b"))
    until(lambda: scene.web.at("/all") and scene.web.at("/short"))
    api.fire(alert("ServiceUnhealthy", service="a"), over=True)
    until(lambda: services(scene.web.at("/all")[-1], "resolved") == {"a"})
    assert scene.web.at("/all")[-1].body["status"] == "firing"
    api.fire(alert("ServiceUnhealthy", service="b"), over=True)
    until(lambda: scene.web.at("/all")[-1].body["status"] == "resolved")
    time.sleep(QUIET)
    assert services(scene.web.at("/all")[-1], "resolved") == {"b"}
    assert all(services(call, "resolved") == set() for call in scene.web.at("/short"))


def test_critical_ones_are_told_again_and_nothing_else_without_a_change(scene: Scene) -> None:
    api = scene.start(scene.hook("all"))
    api.fire(alert("ServiceDown"), alert("DiskFullSoon", "warning"))
    until(lambda: len([call for call in scene.web.calls if names([call]) == {"ServiceDown"}]) >= 3)
    times = [call.at for call in scene.web.calls if names([call]) == {"ServiceDown"}]
    # After 2.4 s, not at each interval. A busy machine may note one late, and the next in time.
    assert all(later - earlier > 1.2 for earlier, later in itertools.pairwise(times)), times
    assert len([call for call in scene.web.calls if names([call]) == {"DiskFullSoon"}]) == 1


WORDS = {
    "summary": "web <!channel> & db is down on web1",
    "description": "It fails. Next: on the host, hypercode status",
    "runbook_url": "https://docs.example/slo.md#down",
}


def test_a_message_in_slack_says_what_is_wrong_and_the_next_step(scene: Scene) -> None:
    slack = {"name": "chat", "kind": "slack", "url": scene.web.url("/slack"), "channel": "#älerts"}
    api = scene.start(slack)
    api.fire(alert("ServiceDown", service="web"), words=WORDS)
    (call,) = until(lambda: scene.web.at("/slack"))
    assert call.body["channel"] == "#älerts"
    (shown,) = call.body["attachments"]
    # What would call everybody, or hide where a link goes, is text.
    assert shown["title"] == "CRITICAL: web &lt;!channel> &amp; db is down on web1"
    assert shown["title_link"] == WORDS["runbook_url"]
    assert shown["text"].strip() == f"{WORDS['description']}\nWhat to do: {WORDS['runbook_url']}"
    assert shown["color"] == "danger"
    api.fire(alert("ServiceDown", service="web"), over=True, words=WORDS)
    last = until(lambda: scene.web.at("/slack")[1:])[-1]
    (shown,) = last.body["attachments"]
    assert (shown["title"], shown["color"]) == ("Over: web &lt;!channel> &amp; db is down on web1", "good")
    assert shown["text"].strip() == "Over: web &lt;!channel> &amp; db is down on web1"


def test_a_message_about_several_names_each(scene: Scene) -> None:
    # Both are there before the first is told, however busy the machine is.
    timing = Timing(FAST.critical, Pace("3s", "3s", "1h"), FAST.watchdog)
    chat = {"name": "chat", "kind": "discord", "url": scene.web.url("/discord"), "severities": ["warning"]}
    api = scene.start(chat, timing=timing)
    for service in ("a", "b"):
        api.fire(
            alert("ServiceThrottled", "warning", service=service),
            words={"summary": f"{service} is slow", "description": "Wait."},
        )
    # A rule of somebody else, without any words.
    api.fire(alert("OfOthers", "warning"))
    several, bare = sorted(
        until(lambda: scene.web.calls[1:] and scene.web.calls), key=lambda call: -len(str(call.body))
    )
    (shown,) = several.body["embeds"]
    assert shown["title"] == "Warning: ServiceThrottled on web1 (2 alerts)"
    assert shown["description"].split("\n") == ["a is slow", "Wait.", "", "b is slow", "Wait.", "", ""]
    assert bare.body["embeds"][0]["title"] == "Warning: OfOthers on web1"


def test_pagerduty_gets_one_incident_that_ends_by_itself(scene: Scene) -> None:
    duty = {"name": "duty", "kind": "pagerduty", "key": "A" * 32, "url": scene.web.url("/duty")}
    api = scene.start(duty)
    api.fire(alert("ServiceDown", service="web"), words=WORDS)
    (begin,) = until(lambda: scene.web.at("/duty"))
    assert (begin.body["routing_key"], begin.body["event_action"]) == ("A" * 32, "trigger")
    assert begin.body["payload"]["summary"] == f"CRITICAL: {WORDS['summary']}"
    assert begin.body["payload"]["severity"] == "critical"
    # The text has a colon in it, which must not make a mapping of it.
    assert begin.body["payload"]["custom_details"]["firing"].startswith(f"1 firing\n{WORDS['description']}\n")
    assert begin.body["links"] == [{"href": WORDS["runbook_url"], "text": "What to do"}]
    api.fire(alert("ServiceDown", service="web"), over=True, words=WORDS)
    last = until(lambda: scene.web.at("/duty")[1:])[-1]
    assert (last.body["event_action"], last.body["dedup_key"]) == ("resolve", begin.body["dedup_key"])
    assert last.body["payload"]["custom_details"]["resolved"].startswith("1 over\nOver: web")


def test_a_hook_logs_in_by_what_is_in_its_files(scene: Scene) -> None:
    login = {"username": "ü §", "password": PASSWORD}
    api = scene.start(
        scene.hook("basic", **login), scene.hook("token", token=PASSWORD.replace("ä", "a").replace("§", ""))
    )
    api.fire(alert("ServiceDown"))
    until(lambda: scene.web.at("/basic") and scene.web.at("/token"))
    sent = base64.b64decode(scene.web.at("/basic")[0].headers["authorization"].removeprefix("Basic ")).decode()
    assert sent == f"ü §:{PASSWORD}"
    assert scene.web.at("/token")[0].headers["authorization"] == "Bearer " + PASSWORD.replace("ä", "a").replace("§", "")


MAIL = {"name": "ops", "kind": "mail", "to": ["ops@example.com", "boss@example.com"], "from": "web1@example.com"}


def test_a_mail_is_encrypted_by_starttls_and_reads_well(scene: Scene) -> None:
    server = scene.mail()
    login = {"username": "web1", "password": PASSWORD}
    api = scene.start({**MAIL, "server": f"127.0.0.1:{server.port}", **login})
    api.fire(alert("ServiceDown", service="web"), words={**WORDS, "summary": "wéb is down\non web1"})
    (letter,) = until(lambda: server.letters)
    assert (letter.encrypted, letter.login) == (True, ("web1", PASSWORD))
    assert letter.recipients == ["ops@example.com", "boss@example.com"]
    message = email.message_from_bytes(letter.content, policy=email.policy.default)
    assert (message["From"], message["To"]) == ("web1@example.com", "ops@example.com, boss@example.com")
    # A line break in a name begins no header.
    assert message["Subject"].startswith("CRITICAL: wéb is down")
    assert message["on web1"] is None
    body = message.get_body(("plain",))
    assert body is not None
    assert body.get_content().split() == f"{WORDS['description']} What to do: {WORDS['runbook_url']}".split()
    assert message.get_body(("html",)) is None


def test_a_mail_on_port_465_is_encrypted_from_the_beginning(scene: Scene) -> None:
    try:
        server = scene.mail(address=("127.0.0.2", 465), implicit=True)
    except OSError as error:
        pytest.skip(f"port 465 cannot be had here: {error}")
    api = scene.start({**MAIL, "server": "127.0.0.2:465", "username": "web1", "password": PASSWORD})
    api.fire(alert("ServiceDown"))
    (letter,) = until(lambda: server.letters)
    assert (letter.encrypted, letter.login) == (True, ("web1", PASSWORD))


def test_a_mail_server_that_cannot_encrypt_gets_none_unless_it_is_said(scene: Scene, tmp_path: Path) -> None:
    server = scene.mail(tls=False)
    to = {**MAIL, "server": f"127.0.0.1:{server.port}"}
    api = scene.start({**to, "encrypted": False}, {**to, "name": "safe", "to": "safe@example.com"})
    api.fire(alert("ServiceDown"))
    (letter,) = until(lambda: server.letters)
    assert (letter.encrypted, letter.login) == (False, None)
    until(lambda: "does not advertise the STARTTLS extension" in (tmp_path / "log").read_text())
    assert [letter.recipients[0] for letter in server.letters] == ["ops@example.com"]
