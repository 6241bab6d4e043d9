# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules about healthchecks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ..release import healthcheck_summary
from ..units import duration_text, parse_duration
from .addresses import LONGEST, ports_of
from .rule import ERROR, WARNING, AuditRule, Example, Hit
from .view import View

# A command that says yes whatever the state of the service is; the last one of a list decides.
_ALWAYS = re.compile(r"(true|:|(/usr)?/bin/true|exit\s+0|echo(\s.*)?|printf\s.*|sleep\s+[\d.]+[smh]?|/bin/echo(\s.*)?)")
# Commands that only look at what is always there, and programs that end well without a look at anything.
_LOOKS = re.compile(
    r"(/usr)?(/bin/)?(date|pwd|hostname|uname|whoami|id|uptime|env)(\s.*)?|cat\s+/dev/null|test\s+-[de]\s+/"
)
_NOTHING = re.compile(
    r"(\S*/)?(python[\d.]*\s+-c|node\s+-e)\s+"
    r"['\"]?(pass|(import sys;\s*)?(sys\.|process\.)?exit\(0?\)|"
    r"(print|console\.log)\((?P<mark>['\"])[^'\"]*(?P=mark)\));?['\"]?"
)
_SHELLS = re.compile(r"(?:/(?:usr/)?bin/)?(?:ba|da|a)?sh\s+-\w*c\s+(?P<quote>['\"]?)(?P<inner>.*)(?P=quote)", re.DOTALL)
_ENDLESS = (
    (re.compile(r"\btail\b(?:\s+-\S+)*\s+(?:-[a-zA-Z]*[fF]|--follow|--retry)"), "tail follows the file"),
    (re.compile(r"\bcelery\b.*\bevents\b"), "celery events shows events as they come"),
    (re.compile(r"\bdocker\b.*\bevents\b(?!.*--until)"), "docker events shows events as they come"),
    (re.compile(r"\b(?:docker|kubectl|docker-compose)\b.*\blogs?\b.*(?:\s-f\b|--follow)"), "it follows a log"),
    (re.compile(r"\bjournalctl\b.*(?:\s-\w*f\b|--follow)"), "it follows the journal"),
    (re.compile(r"\bredis-cli\b.*\b(?:monitor|p?subscribe)\b", re.IGNORECASE), "redis-cli shows what comes"),
    (re.compile(r"(?:^|[;&|]\s*)watch\s"), "watch repeats its command"),
    (re.compile(r"\bsleep\s+inf(?:inity)?\b"), "it sleeps for ever"),
    (re.compile(r"(?:^|[;&|]\s*)ping6?\s(?!.*-\w*[cw]\s*\d)"), "ping without -c does not stop"),
    (re.compile(r"\bwhile\s+(?:true|:)(?!.*\b(?:break|exit|timeout)\b)", re.DOTALL), "its loop has no end"),
)
_STREAM = re.compile(
    r"\b(?:curl|wget|http)\b.*?/(?:[\w./-]*/)?(?:stream|events?|sse|subscribe|watch|tail)(?=[\s'\"?]|$)"
)
_BOUNDED = re.compile(r"--max-time|\s-\w*m\s*\d|--timeout|\s-T\s*\d|(?:^|[;&|\s])timeout\s+-?\S*\d")
_HERE = r"localhost|127\.0\.0\.\d+|0\.0\.0\.0|\[::1?\]|\$\$\{?HOSTNAME\}?|\$\(hostname\)"
_TIMES = ("interval", "timeout", "start_period")


class Probe(NamedTuple):
    """What a healthcheck asks for; ``path`` is empty where it asks for none."""

    port: int
    path: str


def _tests(view: View) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    """Services that have a healthcheck: name, the check with the engine's defaults, its command as one line."""
    for name, service in view.services.items():
        check = healthcheck_summary(service)
        if check is not None and check["test"]:
            yield name, service["healthcheck"], " ".join(check["test"][1:])[:LONGEST]


def _always(view: View) -> Iterator[Hit]:
    for name, _check, test in _tests(view):
        if _passes_always(test):
            message = f"{name}: the healthcheck passes whatever happens, so it says nothing."
            yield Hit(name, message, f"services.{name}.healthcheck.test")


def _passes_always(test: str) -> bool:
    inner = _SHELLS.fullmatch(test.strip())
    text = (inner["inner"] if inner else test).strip()
    if _NOTHING.fullmatch(text):
        return True
    # Behind || or ; or | the last command decides; behind && all must pass.
    last = re.split(r"\|\||;|(?<!\|)\|(?!\|)|\n", text.rstrip("; \n"))[-1].strip()
    if re.search(r"\bexit\s+[1-9]", text) and not text.endswith(("|| true", "|| exit 0", "|| :")):
        return False
    parts = [part.strip().strip("()'\"{} ;") for part in last.split("&&")]
    return all(_ALWAYS.fullmatch(part) or _LOOKS.fullmatch(part) for part in parts)


def _endless(view: View) -> Iterator[Hit]:
    for name, _check, test in _tests(view):
        if _BOUNDED.search(test):
            continue
        reason = next((why for pattern, why in _ENDLESS if pattern.search(test)), "")
        if not reason and _STREAM.search(test):
            reason = "it reads a stream without a time limit"
        if reason:
            message = f"{name}: the healthcheck never ends by itself ({reason}), so it fails or piles up processes."
            yield Hit(name, message, f"services.{name}.healthcheck.test")


def _no_timeout(view: View) -> Iterator[Hit]:
    for name, check, _test in _tests(view):
        if not check.get("timeout"):
            message = f"{name}: the healthcheck has no timeout; a check that hangs counts after 30 seconds only."
            yield Hit(name, message, f"services.{name}.healthcheck")


def _tight(view: View) -> Iterator[Hit]:
    for name, check, _test in _tests(view):
        policy = view.rules_of(name).get("healthcheck") or {}
        if name in view.jobs:
            continue
        tight = [text for key in _TIMES if (text := _tighter(key, check, policy))]
        retries, least = check.get("retries"), policy.get("retries")
        if isinstance(retries, int) and isinstance(least, int) and retries < least:
            tight.append(f"retries {retries} instead of {least}")
        if tight:
            class_name = view.context.classes.get(name)
            message = f"{name}: the healthcheck is tighter than its class {class_name} allows: {', '.join(tight)}."
            yield Hit(name, message, f"services.{name}.healthcheck")


def _tighter(key: str, check: Mapping[str, Any], policy: Mapping[str, Any]) -> str:
    stated, least = check.get(key), policy.get(key)
    try:
        if stated and least and parse_duration(stated) < parse_duration(duration_text(least)):
            return f"{key} {stated} instead of {least}"
    except ValueError:  # A finding of the shape, or a reference to a secret.
        return ""
    return ""


def _own_names(view: View, name: str) -> set[str]:
    service = view.services[name]
    return {name, str(service.get("container_name") or name), str(service.get("hostname") or name), *view.aliases(name)}


def _probes(view: View, name: str, text: str) -> Iterator[Probe]:
    """Where a text asks the service itself: URLs, ``host:port``, ``host port`` and ``/dev/tcp/host/port``."""
    host = f"(?:{_HERE}|{'|'.join(map(re.escape, sorted(_own_names(view, name))))})"
    for match in re.finditer(
        rf"(?P<scheme>https?)://{host}(?::(?P<port>\d{{1,5}}))?(?P<path>/[^\s'\"?#;|&)]*)?(?![\w.:$-])", text
    ):
        port = match["port"] or ("443" if match["scheme"] == "https" else "80")
        yield Probe(int(port), match["path"] or "")
    if "://" not in text:
        for match in re.finditer(
            rf"(?<![\w.-]){host}(?::|[\s,'\"]+|/)(?:-p\s+)?(?P<port>\d{{2,5}})(?P<path>/[^\s'\"?#;|&)]*)?", text
        ):
            yield Probe(int(match["port"]), match["path"] or "")


def _wrong_port(view: View) -> Iterator[Hit]:
    for name, _check, test in _tests(view):
        ports, shared = ports_of(view, name), str(view.services[name].get("network_mode") or "")
        possible = set(ports.possible)
        if shared.startswith("service:") and shared.partition(":")[2] in view.services:
            possible |= ports_of(view, shared.partition(":")[2]).possible
        elif shared not in ("", "bridge", "none"):
            continue  # Whatever listens on the host, or in that container, answers there.
        wrong = sorted({probe.port for probe in _probes(view, name, test)} - possible)
        if not ports.stated or not wrong:
            continue
        listed = ", ".join(map(str, sorted(ports.stated)))
        if wrong[0] in ports.outside:
            where = f"the port on the host; inside {name} listens on {ports.outside[wrong[0]]}"
        else:
            where = f"and the file says that {name} listens on {listed}"
        message = f"{name}: the healthcheck asks port {wrong[0]}, {where}."
        yield Hit(name, message, f"services.{name}.healthcheck.test")


def _wrong_path(view: View) -> Iterator[Hit]:
    for name, _check, test in _tests(view):
        asked = {probe.path for probe in _probes(view, name, test) if probe.path}
        for key, value in (view.services[name].get("environment") or {}).items():
            if not asked or not re.search(r"HEALTH(CHECK)?_?(URL|URI|ENDPOINT)$", str(key), re.IGNORECASE):
                continue
            said = {probe.path for probe in _probes(view, name, str(value or "")[:LONGEST]) if probe.path}
            if said and not said & asked:
                message = f"{name}: the healthcheck asks {min(asked)}, and {key} tells everyone {min(said)}."
                yield Hit(name, message, f"services.{name}.healthcheck.test")


def _unwatched(view: View) -> Iterator[Hit]:
    users: dict[str, list[str]] = {}
    for name, service in view.services.items():
        for target, entry in (service.get("depends_on") or {}).items():
            if entry.get("condition") == "service_started" and target in view.services and target not in view.jobs:
                users.setdefault(target, []).append(name)
    for target, names in users.items():
        if healthcheck_summary(view.services[target]) is None:
            message = (
                f"{', '.join(names)}: {target} is started before, and has no healthcheck that says when it answers."
            )
            yield Hit(names[0], message, f"services.{names[0]}.depends_on")


def _service(**health: Any) -> str:
    keys = ", ".join(f"{key}: {value}" for key, value in health.items())
    return f'services:\n  web:\n    image: "web:1"\n    expose: ["8000"]\n    healthcheck: {{{keys}}}\n'


_GOOD = '"curl -fsS http://localhost:8000/health"'

RULES = (
    AuditRule(
        "healthcheck-always-passes",
        ERROR,
        "A healthcheck passes whatever happens.",
        "A service that hangs is shown as healthy: rollouts go on, and nobody is told.",
        "ask the service itself, and let the check fail when it does not answer.",
        bad=Example(_service(test='"curl -f http://localhost:8000/health || exit 0"', timeout="5s")),
        good=Example(_service(test='"curl -f http://localhost:8000/health || exit 1"', timeout="5s")),
        check=_always,
    ),
    AuditRule(
        "healthcheck-never-ends",
        ERROR,
        "A healthcheck runs a command that does not end by itself.",
        "Docker kills it at its timeout and counts a failure, so the service never gets healthy.",
        "ask once and end, and bound it: curl --max-time 5, timeout 5 ...",
        bad=Example(_service(test='"celery -A app events"', timeout="5s")),
        good=Example(_service(test='"celery -A app inspect ping --timeout 4"', timeout="5s")),
        check=_endless,
    ),
    AuditRule(
        "healthcheck-no-timeout",
        WARNING,
        "A healthcheck has no timeout.",
        "Then Docker waits 30 seconds for each answer, which is mostly not what was meant.",
        "add timeout: 10s, or give it to the class.",
        bad=Example(_service(test=_GOOD)),
        good=Example(_service(test=_GOOD, timeout="10s")),
        check=_no_timeout,
    ),
    AuditRule(
        "healthcheck-too-tight",
        WARNING,
        "A healthcheck is tighter than the class of the service allows.",
        "Under load it fails although the service works: false alarms, and rollouts that go back without a reason.",
        "take the timing of the class, or keep your own with x-hypercode-keep: [healthcheck].",
        bad=Example(_service(test=_GOOD, timeout="1s", interval="5s")),
        good=Example(_service(test=_GOOD, timeout="10s", interval="60s")),
        check=_tight,
    ),
    AuditRule(
        "healthcheck-wrong-port",
        ERROR,
        "A healthcheck asks a port on which nothing in the service listens.",
        "The service never gets healthy, or the check asks something else.",
        "write the port inside the container; if the service does listen there, add it to expose.",
        bad=Example(_service(test='"curl -fsS http://localhost:8007/health"', timeout="10s")),
        good=Example(_service(test=_GOOD, timeout="10s")),
        check=_wrong_port,
    ),
    AuditRule(
        "healthcheck-wrong-path",
        WARNING,
        "A healthcheck asks another path than the one that the service tells to others.",
        "One of the two is wrong: others look at an address that does not say how the service is.",
        "use one path in both places.",
        bad=Example(
            """
            services:
              web:
                image: "web:1"
                environment: {AGENT_HEALTH_URL: "http://web:8000/health"}
                healthcheck: {test: "curl -fsS http://localhost:8000/healthz", timeout: 10s}
            """
        ),
        good=Example(
            """
            services:
              web:
                image: "web:1"
                environment: {AGENT_HEALTH_URL: "http://web:8000/health"}
                healthcheck: {test: "curl -fsS http://localhost:8000/health", timeout: 10s}
            """
        ),
        check=_wrong_path,
    ),
    AuditRule(
        "dependency-unwatched",
        WARNING,
        "A service depends on another one that has no healthcheck.",
        "It starts as soon as the other container exists, not when that one answers.",
        "add a healthcheck to it, and wait with condition: service_healthy.",
        bad=Example('services: {web: {image: "web:1", depends_on: [api]}, api: {image: "api:1"}}'),
        good=Example(
            """
            services:
              web: {image: "web:1", depends_on: {api: {condition: service_healthy}}}
              api: {image: "api:1", healthcheck: {test: "api-check", timeout: 5s}}
            """
        ),
        check=_unwatched,
    ),
)
