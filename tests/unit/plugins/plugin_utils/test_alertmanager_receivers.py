# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who is told of alerts, as it stands in the inventory: what is wrong is said at once, and without a secret."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.plugin_utils.alertmanager_receivers import (
    KINDS,
    read_receivers,
    read_switch,
)
from hypothesis import given
from hypothesis import strategies as st

CANARY = "xCANARYx"
URL = f"https://hooks.example/{CANARY}"
SLACK = {"name": "chat", "kind": "slack", "url": URL}
HOOK = {"name": "hook", "kind": "webhook", "url": URL}
MAIL = {
    "name": "ops",
    "kind": "mail",
    "to": "ops@example.com",
    "from": "a@example.com",
    "server": "mail.example.com:587",
}
LOGIN = {"username": "web1", "password": CANARY}
DUTY = {"name": "duty", "kind": "pagerduty", "key": "A" * 32}
PLACE = "monitoring_receivers, entry 1"


def found(*entries: Any) -> list[str]:
    """What is said, each as one line."""
    return [finding.text() for finding in read_receivers(list(entries))[1]]


def test_what_is_left_out_has_a_meaning() -> None:
    (receiver,), findings = read_receivers([SLACK])
    assert findings == []
    assert (receiver.name, receiver.kind) == ("chat", "slack")
    assert (receiver.severities, receiver.send_resolved) == (("critical", "warning"), True)
    assert dict(receiver.settings) == {"url": URL}


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        # What every receiver has.
        ("chat", f"{PLACE} is no mapping of names to values."),
        ({"kind": "slack", "url": URL}, f"{PLACE}: name is missing."),
        ({**SLACK, "name": "Team Chat"}, "name has to be of small letters, digits, - and _"),
        ({**SLACK, "name": "chät"}, "name has to be of small letters"),
        ({**SLACK, "name": 'chat"'}, "name has to be of small letters"),
        ({**SLACK, "name": "chat\n"}, "name has to be of small letters"),
        ({**SLACK, "name": "../chat"}, "name has to be of small letters"),
        ({**SLACK, "name": 5}, "name has to be of small letters"),
        ({"name": "chat", "url": URL}, f"{PLACE} (chat): kind is missing."),
        ({**SLACK, "kind": "slak"}, "Did you mean slack?"),
        ({**SLACK, "kind": "telegram"}, "kind has to be one of: mail, slack, discord, webhook, pagerduty."),
        ({**SLACK, "kind": ["slack"]}, "kind has to be one of"),
        ({**SLACK, "severities": []}, "severities has to be a list of one or more of: critical, warning."),
        ({**SLACK, "severities": "critical"}, "severities has to be a list"),
        ({**SLACK, "severities": ["page"]}, "severities has to be a list"),
        ({**SLACK, "severities": [["critical"]]}, "severities has to be a list"),
        ({**SLACK, "send_resolved": "no"}, "send_resolved is neither true nor false."),
        ({**SLACK, "chanel": "#a"}, "(chat) has chanel. A receiver of kind slack may have: name, kind,"),
        ({**SLACK, "chanel": "#a"}, "Did you mean channel?"),
        ({"name": "d", "kind": "discord", "url": URL, "channel": "#a"}, "(d) has channel. A receiver of kind discord"),
        # Addresses.
        ({"name": "chat", "kind": "slack"}, f"{PLACE} (chat): url is missing."),
        ({**SLACK, "url": ""}, "url is empty."),
        ({**SLACK, "url": None}, "url is empty."),
        ({**SLACK, "url": 5}, "url is no text."),
        ({**SLACK, "url": f"hooks.example/{CANARY}"}, "url does not begin with https://."),
        ({**SLACK, "url": f"ftp://hooks.example/{CANARY}"}, "url does not begin with https://."),
        ({**SLACK, "url": f"http://hooks.example/{CANARY}"}, "url begins with http://, and would be sent unencrypted"),
        ({**SLACK, "url": f"http://127.0.0.1/{CANARY}"}, "url begins with http://"),
        ({**SLACK, "url": f"https://{CANARY} x"}, "url is no address of the web."),
        ({**SLACK, "url": f"https://hooks.example/{CANARY}\n"}, "url has a line break"),
        ({**SLACK, "url": f" https://hooks.example/{CANARY}"}, "url begins or ends with a space."),
        ({**SLACK, "url": "https://"}, "url is no address of the web."),
        ({**SLACK, "url": f"https://hooks.example:70000/{CANARY}"}, "url is no address of the web."),
        ({**SLACK, "url": f"https://hooks.example/{CANARY}%2"}, "url is no address of the web."),
        ({**SLACK, "url": f"https://hooks.example/{{{{ {CANARY} }}}}"}, "url is no address of the web."),
        ({**SLACK, "url": f"https://hööks.example/{CANARY}"}, "url is no address of the web."),
        ({**SLACK, "url": f"https://[::g]/{CANARY}"}, "url is no address of the web."),
        ({**SLACK, "channel": None}, "One that begins with # has to be in quotes."),
        ({**SLACK, "channel": "#all alerts"}, "channel has a space in it."),
        ({**SLACK, "channel": "{{ .X }}"}, "channel has {{ or }} in it"),
        # Logins.
        ({**HOOK, "username": "a"}, "(hook) has a username and no password."),
        ({**HOOK, "password": CANARY}, "(hook) has a password and no username."),
        ({**HOOK, "token": CANARY, **LOGIN}, "(hook) has both a token and a username."),
        ({**HOOK, **LOGIN, "username": "a:b"}, "username has a : in it."),
        ({**HOOK, "token": f"{CANARY}\x00"}, "token has a line break, or a character that cannot be seen."),
        ({**HOOK, "token": f"{CANARY}\ud800"}, "token has a line break, or a character that cannot be seen."),
        ({**HOOK, "token": 123}, "token is no text."),
        # Mail.
        ({**MAIL, "to": []}, "to is empty."),
        ({**MAIL, "to": "ops"}, "to is no mail address."),
        ({**MAIL, "to": ["ops@example.com", "boss"]}, "to is no mail address."),
        ({**MAIL, "to": "Ops <ops@example.com>"}, "to is no mail address."),
        ({**MAIL, "to": "ops@@example.com"}, "to is no mail address."),
        ({**MAIL, "to": "a..b@example.com"}, "to is no mail address."),
        ({**MAIL, "from": "{{ .X }}@example.com"}, "from is no mail address."),
        ({**MAIL, "server": "mail.example.com"}, "server is no name with a port."),
        ({**MAIL, "server": "mail.example.com:0"}, "server is no name with a port."),
        ({**MAIL, "server": 25}, "server is no text."),
        ({**MAIL, **LOGIN, "encrypted": False}, "(ops) would send its password unencrypted."),
        ({**MAIL, "encrypted": "false"}, "encrypted is neither true nor false."),
        # PagerDuty.
        ({**DUTY, "key": CANARY}, "key is no key of 32 letters and digits."),
        ({**DUTY, "key": "{{ .Env.X }}"}, "key is no key of 32 letters and digits."),
        ({**DUTY, "url": "http://events.example"}, "url begins with http://"),
    ],
)
def test_what_cannot_be_is_said_with_its_place_and_the_fix(entry: Any, words: str) -> None:
    receivers, findings = read_receivers([entry])
    assert receivers == []
    (finding,) = findings
    assert words in finding.text()
    assert (finding.rule, finding.severity, finding.name) == ("alert-receiver", "error", "monitoring_receivers")
    assert finding.message.startswith(PLACE)
    assert finding.fix.endswith((".", "?", '".'))
    assert CANARY not in finding.text()


@pytest.mark.parametrize("value", [None, "chat", {"chat": {}}, 5, SLACK])
def test_what_is_no_list(value: Any) -> None:
    (finding,) = read_receivers(value)[1]
    assert finding.message == "monitoring_receivers is no list."


def test_all_problems_come_at_once() -> None:
    bad = {"name": "X", "kind": "mail", "to": "x", "server": "y", "severities": ["x"], "foo": 1}
    said = found(bad, {**SLACK, "url": "x"}, SLACK, HOOK)
    assert len(said) == 6 + 1 + 1
    assert [line for line in said if "entry 2 (chat): url" in line]
    # The one before has a fault, and its name all the same.
    assert [line for line in said if "entry 3 (chat): name is that of another receiver too." in line]
    assert [receiver.name for receiver in read_receivers([bad, HOOK])[0]] == ["hook"]


def test_a_secret_in_the_wrong_place_is_not_shown() -> None:
    shaped = "https://hooks.example/T0/B0"
    for entry in (
        {"name": "chat", "kind": "slack", shaped: None},
        {"name": shaped, "kind": "slack", "url": shaped},
        {"name": "chat", "kind": shaped, "url": shaped},
        {"name": "chat", "kind": "slack", "url": shaped, "channel": f"{shaped} {{{{"},
        {**SLACK, "severities": [shaped]},
        {**SLACK, "send_resolved": shaped},
    ):
        said = found(entry)
        assert said
        assert "hooks.example" not in "".join(said)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3).map(lambda text: CANARY + text) | st.just(URL),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.just(CANARY), inner, max_size=1),
    max_leaves=4,
)
KEYS = st.sampled_from(
    sorted({"name", "kind", "severities", "send_resolved", *(key for kind in KINDS.values() for key in kind)})
)


@given(
    st.lists(
        VALUES
        | st.builds(
            lambda rest, kind: {**rest, **kind},
            st.dictionaries(KEYS | st.text(max_size=3).map(lambda text: CANARY + text), VALUES, max_size=6),
            st.just({}) | st.fixed_dictionaries({"kind": st.sampled_from(sorted(KINDS)), "name": st.just("chat")}),
        ),
        max_size=3,
    ),
    VALUES,
)
def test_whatever_stands_there_no_message_shows_it(entries: list[Any], switch: Any) -> None:
    findings = [*read_receivers(entries)[1], *read_switch(switch)[1]]
    assert CANARY not in "".join(finding.text() for finding in findings)
    assert all(finding.fix for finding in findings)


def test_alerts_that_reach_nobody_are_a_warning() -> None:
    for entries, words in (
        ([], "alerts are only on the board"),
        ([{**SLACK, "severities": ["warning"]}], "critical alerts"),
    ):
        _receivers, (finding,) = read_receivers(entries)
        assert finding.severity == "warning"
        assert words in finding.message
    # What is wrong comes first: it may be the one who was meant to be told.
    assert len(found({**SLACK, "severities": ["warning"]}, {**DUTY, "key": "x"})) == 1


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("http://relay:8080/x", False),
        ("http://10.1.2.3/x", False),
        ("http://[fd00::1]:8080/x", False),
        ("http://relay.internal/x", False),
        ("http://relay.example.com/x", True),
        ("http://192.88.99.1/x", True),
        ("http://localhost.example.com/x", True),
        ("https://relay.example.com/x", False),
    ],
)
def test_a_hook_may_be_unencrypted_close_by_and_is_warned_of_elsewhere(url: str, warned: bool) -> None:
    (_receiver,), findings = read_receivers([{**HOOK, "url": url}])
    assert [finding.severity for finding in findings] == ["warning"] * warned
    switched, more = read_switch(url)
    assert (switched, [finding.severity for finding in more]) == (url, ["warning"] * warned)


def test_a_password_may_go_unencrypted_to_this_host_only() -> None:
    open_mail = {**MAIL, **LOGIN, "encrypted": False}
    assert found({**open_mail, "server": "localhost:25"}) == []
    assert found({**open_mail, "server": "127.0.0.1:25"}) == []
    assert found({**open_mail, "server": "localhost.example.com:25"}) != []


def test_addresses_may_be_a_list_or_a_line() -> None:
    for to in (["a@example.com", "b@example.com"], "a@example.com, b@example.com", "a@example.com,b@example.com"):
        (receiver,), _findings = read_receivers([{**MAIL, "to": to}])
        assert receiver.settings["to"] == "a@example.com, b@example.com"


@pytest.mark.parametrize("value", ["", None])
def test_no_switch(value: Any) -> None:
    assert read_switch(value) == ("", [])


@pytest.mark.parametrize("value", [f"hc.example/{CANARY}", [URL], f"https://{CANARY}\n", 5])
def test_a_switch_that_cannot_be(value: Any) -> None:
    url, (finding,) = read_switch(value)
    assert url == ""
    assert (finding.severity, finding.name) == ("error", "monitoring_dead_mans_switch_url")
    assert CANARY not in finding.text()
