# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The settings of Alertmanager, made from who is to be told: routes, grouping, inhibition, and files for the secrets.

For Alertmanager 0.28 and newer: from then on each secret can be in a file of its own, so the settings hold none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from . import alertmanager_messages as messages
from .alertmanager_receivers import CRITICAL, LESSER, TLS_PORT, Receiver

# Where Alertmanager finds the files, which is in its container.
SECRETS = "/etc/alertmanager/secrets"
# No receiver can be called so: theirs are in small letters.
NOBODY, SWITCH = "Nobody", "DeadMansSwitch"
WATCHDOG = "Watchdog"
# What the watch on a host tells of containers, from what Docker says. Not what the kernel says, such as of memory.
FROM_DOCKER = ("ServiceDown", "ServiceUnhealthy", "ServiceCrashLooping", "ServiceRestarting", "ServiceHealGivenUp")


class _Dumper(yaml.SafeDumper):
    """Leaves text of several lines as it is read."""


def _represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent)


@dataclasses.dataclass(frozen=True)
class Pace:
    """How long a new group waits for more of its kind, how long for changes, and when it is told again."""

    group_wait: str
    group_interval: str
    repeat_interval: str

    def as_dict(self) -> dict[str, str]:
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Timing:
    """The pace of each kind of alert, in Alertmanager's durations."""

    # From unhealthy to told takes 90 seconds at most, and the rules need up to 75 of them. The interval counts for the
    # second service of a host that becomes unhealthy. Nothing is sent when nothing has changed.
    critical: Pace = Pace("5s", "15s", "4h")
    # It waits for the working day: rather one message more complete.
    warning: Pace = Pace("30s", "5m", "24h")
    # To be repeated is checked at each interval: with less than one, it is at each of them.
    watchdog: Pace = Pace("0s", "2m", "1m")


@dataclasses.dataclass(frozen=True)
class Alertmanager:
    """Its settings, and the content of each file with a secret, by the name of the file."""

    config: dict[str, Any]
    secrets: dict[str, str]

    def text(self) -> str:
        """The settings as YAML."""
        return yaml.dump(self.config, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def configure(
    receivers: Iterable[Receiver],
    switch: str = "",
    *,
    timing: Timing | None = None,
    secrets: str = SECRETS,
) -> Alertmanager:
    """Make the settings.

    ``switch`` is the address of the dead man's switch, "" for none. ``secrets`` is the folder with the files, as
    Alertmanager sees it.
    """
    told = list(receivers)
    files: dict[str, str] = {}

    def file(name: str, content: str) -> str:
        files[name] = content
        return f"{secrets}/{name}"

    made = [_RECEIVERS[receiver.kind](receiver, file) for receiver in told]
    blocks: list[dict[str, Any]] = [{"name": NOBODY}]
    blocks += [{"name": receiver.name, **block} for receiver, block in zip(told, made, strict=True)]
    if switch:
        # Whoever hears it counts calls, so it must not be told that the alert is over, as when Prometheus is restarted.
        hook = {"send_resolved": False, "url_file": file(f"{SWITCH}.url", switch)}
        blocks.append({"name": SWITCH, "webhook_configs": [hook]})
    config = {
        "route": _routes(told, SWITCH if switch else NOBODY, timing or Timing()),
        "inhibit_rules": inhibit_rules(),
        "receivers": blocks,
    }
    return Alertmanager(config, files)


def _routes(receivers: Iterable[Receiver], switch: str, timing: Timing) -> dict[str, Any]:
    """From the root: the watchdog, critical ones, those for nobody, and all others as warnings."""
    told = list(receivers)
    return {
        "receiver": NOBODY,
        "group_by": ["alertname", "host"],
        "routes": [
            {"matchers": [f'alertname="{WATCHDOG}"'], "receiver": switch, **timing.watchdog.as_dict()},
            {"matchers": ['severity="none"'], "receiver": NOBODY},
            {
                "matchers": [f'severity="{CRITICAL}"'],
                **timing.critical.as_dict(),
                "routes": _each(told, CRITICAL),
            },
            # Rules of others may have no severity, or one of their own. Better told than lost.
            {"matchers": [], **timing.warning.as_dict(), "routes": _each(told, LESSER)},
        ],
    }


def _each(receivers: Iterable[Receiver], severity: str) -> list[dict[str, Any]]:
    """A route for each who is told of this severity: all of them are."""
    return [{"receiver": one.name, "continue": True} for one in receivers if severity in one.severities]


def inhibit_rules() -> list[dict[str, Any]]:
    """Which alert keeps which others back.

    Only what cannot outlast it for long, or may well wait: else somebody is paged when all is well again. So a service
    that is down does not keep back that its error budget burns, nor the fast burning the one over six hours.
    """
    burns = "ErrorBudgetBurns"
    return [
        # Nothing else can be said of a host that does not answer. The label is in the rule.
        _inhibit(['inhibits="host"'], ['inhibits!="host"', f'alertname!="{WATCHDOG}"'], ["host"]),
        # Docker cannot be asked, so what is known of containers is old.
        _inhibit(['alertname="DockerDown"'], [f'alertname=~"{"|".join(FROM_DOCKER)}"'], ["host"]),
        # The same, and worse.
        _inhibit(['alertname="DiskAlmostFull"'], ['alertname="DiskFullSoon"'], ["host", "mountpoint"]),
        _inhibit(
            ['alertname="PostgresConnectionsUsedUp"'],
            ['alertname="PostgresConnectionsNearLimit"'],
            ["host", "instance"],
        ),
        _inhibit(['alertname="BackupOld"'], ['alertname="BackupFailed"'], ["host", "repository"]),
        # Told when the incident is over: it is for the working day.
        _inhibit([f'alertname=~"Edge{burns}(Fast)?"'], [f'alertname="Edge{burns}Slowly"'], ["host"]),
        _inhibit([f'alertname=~"Service{burns}(Fast)?"'], [f'alertname="Service{burns}Slowly"'], ["host", "service"]),
        # What node_exporter would say is missing, since it is away itself.
        _inhibit(
            ['alertname=~"TargetDown|TargetVanished"', 'job="node"'], ['alertname="CertificatesNotWatched"'], ["host"]
        ),
    ]


def _inhibit(source: list[str], target: list[str], equal: list[str]) -> dict[str, Any]:
    # A label that both lack counts as equal, so the source must have it.
    present = [f'{label}=~".+"' for label in equal if not any(matcher.startswith(f"{label}=") for matcher in source)]
    return {"source_matchers": [*source, *present], "target_matchers": target, "equal": equal}


def _mail(receiver: Receiver, file: Any) -> dict[str, Any]:
    settings = receiver.settings
    encrypted = settings.get("encrypted", True)
    port = int(settings["server"].rpartition(":")[2])
    block = {
        "send_resolved": receiver.send_resolved,
        "to": settings["to"],
        "from": settings["from"],
        "smarthost": settings["server"],
        # There TLS has begun before STARTTLS could be asked for, and asking for both fails.
        "require_tls": encrypted and port != TLS_PORT,
        "headers": {"Subject": messages.title()},
        "html": "",
        "text": messages.text(),
    }
    if "username" in settings:
        block["auth_username"] = settings["username"]
        block["auth_password_file"] = file(f"{receiver.name}.password", settings["password"])
    return {"email_configs": [block]}


def _slack(receiver: Receiver, file: Any) -> dict[str, Any]:
    settings = receiver.settings
    block = {
        "send_resolved": receiver.send_resolved,
        "api_url_file": file(f"{receiver.name}.url", settings["url"]),
        "color": messages.SLACK_COLOUR,
        "title": messages.title(slack=True),
        "title_link": messages.RUNBOOK,
        "text": messages.text(slack=True),
        "fallback": messages.title(slack=True),
    }
    if "channel" in settings:
        block["channel"] = settings["channel"]
    return {"slack_configs": [block]}


def _discord(receiver: Receiver, file: Any) -> dict[str, Any]:
    block = {
        "send_resolved": receiver.send_resolved,
        "webhook_url_file": file(f"{receiver.name}.url", receiver.settings["url"]),
        "title": messages.title(),
        "message": messages.text(),
    }
    return {"discord_configs": [block]}


def _webhook(receiver: Receiver, file: Any) -> dict[str, Any]:
    settings = receiver.settings
    block: dict[str, Any] = {
        "send_resolved": receiver.send_resolved,
        "url_file": file(f"{receiver.name}.url", settings["url"]),
    }
    if "token" in settings:
        credentials = {"type": "Bearer", "credentials_file": file(f"{receiver.name}.token", settings["token"])}
        block["http_config"] = {"authorization": credentials}
    elif "username" in settings:
        password = file(f"{receiver.name}.password", settings["password"])
        block["http_config"] = {"basic_auth": {"username": settings["username"], "password_file": password}}
    return {"webhook_configs": [block]}


def _pagerduty(receiver: Receiver, file: Any) -> dict[str, Any]:
    settings = receiver.settings
    block = {
        "send_resolved": receiver.send_resolved,
        "routing_key_file": file(f"{receiver.name}.key", settings["key"]),
        "severity": messages.PAGERDUTY_SEVERITY,
        "description": messages.title(),
        # Where it stands by default leads to a page that only the host itself can open.
        "client_url": "",
        "details": messages.details(),
        "links": [{"href": messages.RUNBOOK, "text": "What to do"}],
    }
    if "url" in settings:
        block["url"] = settings["url"]
    return {"pagerduty_configs": [block]}


_RECEIVERS: Mapping[str, Any] = {
    "mail": _mail,
    "slack": _slack,
    "discord": _discord,
    "webhook": _webhook,
    "pagerduty": _pagerduty,
}
