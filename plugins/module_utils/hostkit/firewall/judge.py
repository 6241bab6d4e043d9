# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judges the settings against the host: who would be cut off, what else filters, which interface leads outside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..finding import ERROR, Finding, refusal
from ..ssh_session import Session
from .host import cuts_off, outside_among
from .read import ssh_port_opened
from .rivals import replaceable, rival_findings
from .settings import HostView, Ports, Settings


def host_findings(
    settings: Settings, view: HostView, session: Session | None, root: Path, rivals: Sequence[str], host: str
) -> list[Finding]:
    """What keeps these settings from being applied to this host. Without a session, nobody is cut off."""
    found = rival_findings(rivals, replaceable(root, settings.replace), host)
    for port in settings.open_ports:
        # Those that the settings name themselves have been judged with them.
        for ssh in sorted({*view.ssh_ports} - {*settings.ssh_ports}):
            if port.proto == "tcp" and port.ports.overlaps(Ports(ssh, ssh)):
                place, message, fix = ssh_port_opened(port, ssh)
                found.append(Finding("overlap", ERROR, place, f"{place} {message}", fix))
    for name in outside_among(root, settings.container_interfaces):
        found.append(
            Finding(
                "container-interface",
                ERROR,
                "firewall_container_interfaces",
                f"firewall_container_interfaces fits {name}, but {host} reaches the internet through {name}.",
                "Name the bridges of the containers so that it does not fit, for example br-0*, br-1* and so on to"
                " br-f*, or rename that interface",
            )
        )
    if session is not None and cuts_off(settings, session):
        found.append(
            Finding(
                "lockout",
                ERROR,
                "firewall_ssh_from",
                f"firewall_ssh_from does not hold {session.network.network_address}, from which you are connected to"
                f" {host}: you would lock yourself out.",
                f"Add {session.network} to firewall_ssh_from. Or set firewall_refuse_lockout: false to try the rules"
                " nevertheless; the host undoes them when you cannot connect any more",
            )
        )
    return found


def report(findings: Sequence[Finding], host: str) -> dict[str, Any]:
    """The result of a run that was refused."""
    return refusal(findings, f"The firewall of {host} was not changed")
