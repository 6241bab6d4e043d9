# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Who is told of alerts: `monitoring_receivers` as it stands in the inventory, read and judged.

Addresses of chats are secrets, so no value is ever in a message, only the names of settings.
"""

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import ERROR, WARNING, Finding

RECEIVERS = "monitoring_receivers"
SWITCH = "monitoring_dead_mans_switch_url"
CRITICAL, LESSER = "critical", "warning"
SEVERITIES = (CRITICAL, LESSER)
# With this port mail servers expect TLS from the first byte.
TLS_PORT = 465

_RULE = "alert-receiver"
# Names of files are made of it, and it is shown.
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
# What may be shown of a key or a kind that is not known: a secret that is in the wrong place has another form.
_WORD = re.compile(r"[a-z_]{1,20}")
_URL = re.compile(
    r"(?P<scheme>https?)://(?:[\w.~!$&'()*+,;=:%-]*@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][\w.-]*)(?::(?P<port>[0-9]{1,5}))?"
    r"(?:[/?#][\w.~:/?#\[\]@!$&'()*+,;=%-]*)?",
    re.ASCII,
)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SERVER = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9.-]*):(?P<port>[0-9]{1,5})")
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`|~-]+"
_ADDRESS = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_PAGERDUTY_KEY = re.compile(r"[A-Za-z0-9]{32}")
# Ends of names that lead to the same network.
_NEAR = ("localhost", ".internal", ".local", ".lan", ".home.arpa")


class _Wrong(Exception):
    """A value that cannot be used: what is wrong with it, and the fix."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.what, self.fix = what, fix


@dataclasses.dataclass(frozen=True)
class Receiver:
    """One who is told. `settings` are those of its kind, checked; what was left out is not in it."""

    name: str
    kind: str
    severities: tuple[str, ...]
    send_resolved: bool
    settings: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class _Field:
    check: Callable[[Any], Any]
    required: bool = True


def read_receivers(value: Any) -> tuple[list[Receiver], list[Finding]]:
    """The receivers that can be used, and all that is wrong with the others, or worth knowing."""
    if not isinstance(value, list | tuple):
        return [], [_finding(RECEIVERS, "is no list", "Begin each receiver with a dash, as in docs/alerts.md.")]
    receivers: list[Receiver] = []
    findings: list[Finding] = []
    taken: set[str] = set()
    for number, entry in enumerate(value, 1):
        found, problems = _read(f"{RECEIVERS}, entry {number}", entry, taken)
        findings += problems
        receivers += [found] if found else []
    return receivers, findings + ([] if findings else _unheard(receivers))


def read_switch(value: Any, others: Iterable[Any] = ()) -> tuple[str, list[Finding]]:
    """The address of the dead man's switch, "" without one or where it cannot be used, and what is wrong with it.

    ``others`` are those of other hosts.
    """
    if value is None or value == "":
        return "", []
    try:
        url = _web(value)
    except _Wrong as wrong:
        return "", [_finding(SWITCH, wrong.what, wrong.fix, name=SWITCH)]
    findings = [_unencrypted(SWITCH, SWITCH)] if _is_open(url) else []
    if url in others:
        what = "is that of another host too: it is silent only when both are"
        fix = "Give each host an address of its own, in host_vars."
        findings.append(_finding(SWITCH, what, fix, name=SWITCH, severity=WARNING))
    return url, findings


def _finding(place: str, what: str, fix: str, *, name: str = RECEIVERS, severity: str = ERROR) -> Finding:
    return Finding(_RULE, severity, name, f"{place} {what}.", fix)


def _unheard(receivers: list[Receiver]) -> list[Finding]:
    """Warnings about alerts that reach nobody."""
    if not receivers:
        what, fix = "is empty: alerts are only on the board, and nobody is told", "Name somebody, as in docs/alerts.md."
    elif not any(CRITICAL in receiver.severities for receiver in receivers):
        what, fix = "has nobody who is told of critical alerts", "Add critical to the severities of one of them."
    else:
        return []
    return [_finding(RECEIVERS, what, fix, severity=WARNING)]


def _unencrypted(place: str, name: str) -> Finding:
    what = "begins with http://: whoever sees the traffic on its way can read the address and the alerts"
    return _finding(place, what, "Write https:// where the other side has it.", name=name, severity=WARNING)


def _read(place: str, entry: Any, taken: set[str]) -> tuple[Receiver | None, list[Finding]]:
    """One receiver, none where it cannot be used, and what is wrong with it. Its name is added to `taken`."""
    if not isinstance(entry, Mapping):
        fix = "Write it as {name: ..., kind: ...}, as in docs/alerts.md."
        return None, [_finding(place, "is no mapping of names to values", fix)]
    problems: list[Finding] = []

    def get(key: str, check: Callable[[Any], Any], default: Any = None) -> Any:
        """The checked value; what is wrong with it is noted."""
        if key not in entry and default is not None:
            return default
        try:
            if key not in entry:
                raise _Wrong("is missing", "Add it; docs/alerts.md shows how.")
            return check(entry[key])
        except _Wrong as wrong:
            problems.append(_finding(f"{place}: {key}", wrong.what, wrong.fix))
            return None

    name = get("name", _name)
    if name:
        place = f"{place} ({name})"
        if name in taken:
            problems.append(
                _finding(f"{place}: name", "is that of another receiver too", "Give each a name of its own.")
            )
        taken.add(name)
    kind = get("kind", _kind)
    severities = get("severities", _severities, SEVERITIES)
    send_resolved = get("send_resolved", _flag, True)
    if kind is None:
        # Which of the other keys are right depends on it.
        return None, problems
    fields = KINDS[kind]
    settings = {key: get(key, field.check) for key, field in fields.items() if field.required or key in entry}
    known = ["name", "kind", "severities", "send_resolved", *fields]
    problems += [_unknown(place, kind, key, known) for key in entry if key not in known]
    if not any(problem.severity == ERROR for problem in problems):
        problems += _together(place, kind, settings)
    if any(problem.severity == ERROR for problem in problems):
        return None, problems
    return Receiver(name, kind, severities, send_resolved, settings), problems


def _unknown(place: str, kind: str, key: Any, known: list[str]) -> Finding:
    shown = _WORD.fullmatch(key) if isinstance(key, str) else None
    near = difflib.get_close_matches(key, known, n=1) if shown else []
    guess = f" Did you mean {near[0]}?" if near else ""
    what = f"has {key}" if shown else "has something that is not known (it is not shown, since it may be a secret)"
    may = f"A receiver of kind {kind} may have: {', '.join(known)}."
    return Finding(_RULE, ERROR, RECEIVERS, f"{place} {what}. {may}{guess}", "Correct its name, or take it out.")


def _together(place: str, kind: str, settings: Mapping[str, Any]) -> list[Finding]:
    """What is wrong, or worth knowing, about settings that are right by themselves."""
    problems: list[Finding] = []
    for one, other in (("username", "password"), ("password", "username")):
        if one in settings and other not in settings:
            problems.append(_finding(place, f"has a {one} and no {other}", f"Add the {other}, or take the {one} out."))
    if "token" in settings and "username" in settings:
        problems.append(_finding(place, "has both a token and a username", "Take out the one that is not asked for."))
    if kind == "mail" and "password" in settings and not settings.get("encrypted", True):
        host = _SERVER.fullmatch(settings["server"])
        if host is None or not _is_loopback(host["host"]):
            what = "would send its password unencrypted"
            problems.append(_finding(place, what, "Take the line encrypted: false out."))
    if kind == "webhook" and _is_open(settings["url"]):
        problems.append(_unencrypted(f"{place}: url", RECEIVERS))
    return problems


def _text(value: Any) -> str:
    """Text of one line, as it was meant: what was lost in a copy, or added to it, is refused."""
    if value is None or value == "":
        raise _Wrong("is empty", "Give it a value. One that begins with # has to be in quotes.")
    if not isinstance(value, str):
        raise _Wrong("is no text", "Put it in quotes.")
    # A plain string: YAML is not written from Ansible's own kinds of it.
    text = str.__str__(value)
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character == "\ufeff" for character in text):
        raise _Wrong("has a line break, or a character that cannot be seen", "Copy it again, on one line.")
    if text != text.strip():
        raise _Wrong("begins or ends with a space", "Take the space away.")
    return text


def _words(value: Any) -> str:
    """Text that Alertmanager evaluates: it must not look like one of its templates."""
    text = _text(value)
    if "{{" in text or "}}" in text:
        what = "has {{ or }} in it, which Alertmanager would take for a template"
        raise _Wrong(what, "Write it without.")
    return text


def _name(value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        what = "has to be of small letters, digits, - and _, at most 40, and to begin with a letter or a digit"
        raise _Wrong(what, "Name it like team-chat.")
    return str.__str__(value)


def _kind(value: Any) -> str:
    if not isinstance(value, str) or value not in KINDS:
        near = difflib.get_close_matches(str(value), KINDS, n=1)
        guess = f"Did you mean {near[0]}?" if near else "Take one of these."
        raise _Wrong(f"has to be one of: {', '.join(KINDS)}", guess)
    return str.__str__(value)


def _severities(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not value or any(one not in SEVERITIES for one in value):
        raise _Wrong(f"has to be a list of one or more of: {', '.join(SEVERITIES)}", "Write it as [critical].")
    return tuple(severity for severity in SEVERITIES if severity in value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Wrong("is neither true nor false", "Write true or false, without quotes.")
    return value


def _web(value: Any) -> str:
    """An address of the web that the programs of both sides read in the same way."""
    url = _text(value)
    if not url.startswith(("https://", "http://")):
        raise _Wrong("does not begin with https://", "Copy the whole address.")
    match = _URL.fullmatch(url)
    if not match or _BAD_ESCAPE.search(url) or not _is_port(match["port"] or "443") or not _is_host(match["host"]):
        raise _Wrong("is no address of the web", "Copy it again, from https:// to its end.")
    return url


def _web_encrypted(value: Any) -> str:
    url = _web(value)
    if not url.startswith("https://"):
        raise _Wrong("begins with http://, and would be sent unencrypted: it is a secret", "Write https://.")
    return url


def _server(value: Any) -> str:
    match = _SERVER.fullmatch(_text(value))
    if not match or not _is_port(match["port"]) or not _is_host(match["host"]):
        raise _Wrong("is no name with a port", "Write it like mail.example.com:587.")
    return match[0]


def _address(value: Any) -> str:
    text = _text(value)
    if not _ADDRESS.fullmatch(text) or ".." in text:
        raise _Wrong("is no mail address", "Write it like ops@example.com, without a name before it.")
    return text


def _addresses(value: Any) -> str:
    values = value if isinstance(value, list | tuple) else _text(value).split(",")
    if not values:
        raise _Wrong("is empty", "Name one address at least.")
    return ", ".join(_address(one.strip() if isinstance(one, str) else one) for one in values)


def _login(value: Any) -> str:
    text = _text(value)
    if ":" in text:
        # HTTP has the password after the first one.
        raise _Wrong("has a : in it", "Take a name without.")
    return text


def _channel(value: Any) -> str:
    text = _words(value)
    if any(character.isspace() for character in text):
        raise _Wrong("has a space in it", 'Write it like "#alerts".')
    return text


def _key(value: Any) -> str:
    text = _text(value)
    if not _PAGERDUTY_KEY.fullmatch(text):
        fix = "In PagerDuty, add the integration Events API v2 to the service, and copy its integration key."
        raise _Wrong("is no key of 32 letters and digits", fix)
    return text


def _is_port(text: str) -> bool:
    return 1 <= int(text) <= 65535


def _is_host(host: str) -> bool:
    if not host.startswith("["):
        return ".." not in host
    try:
        ipaddress.IPv6Address(host[1:-1])
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _is_open(url: str) -> bool:
    """Whether it is sent unencrypted, and leaves this network as far as its name tells."""
    match = _URL.fullmatch(url)
    if not match or match["scheme"] != "http":
        return False
    host = match["host"].strip("[]").lower()
    try:
        return not ipaddress.ip_address(host).is_private
    except ValueError:
        # A name of one word is that of a container, or of a host close by.
        return "." in host and not host.endswith(_NEAR)


KINDS: dict[str, dict[str, _Field]] = {
    "mail": {
        "to": _Field(_addresses),
        "from": _Field(_address),
        "server": _Field(_server),
        "username": _Field(_text, required=False),
        "password": _Field(_text, required=False),
        "encrypted": _Field(_flag, required=False),
    },
    "slack": {"url": _Field(_web_encrypted), "channel": _Field(_channel, required=False)},
    "discord": {"url": _Field(_web_encrypted)},
    "webhook": {
        "url": _Field(_web),
        "username": _Field(_login, required=False),
        "password": _Field(_text, required=False),
        "token": _Field(_text, required=False),
    },
    "pagerduty": {"key": _Field(_key), "url": _Field(_web_encrypted, required=False)},
}
