# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judges the settings of the firewall. Everything that is wrong comes out at once, each with its place and its fix."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..finding import Finding
from ..outlet import SERVICE
from .settings import PROTOCOLS, RIVALS, EgressRule, Network, OpenPort, Ports, ServiceEgress, Settings
from .words import Reader, kind

OPTIONS = (
    *(
        "open_ports",
        "trusted_networks",
        "trusted_interfaces",
        "container_interfaces",
        "ssh_ports",
        "ssh_from",
        "ssh_rate",
    ),
    *("swarm_peers", "ping", "dns_servers", "egress", "egress_default", "egress_closed", "log_rate", "replace"),
    *("filter_macvlan", "egress_services"),
)
_PREFIX = "firewall_"  # The variables of the role, which is where people write these.
_PLACES = ("host", "internet", "any")


def read_settings(options: Mapping[str, Any]) -> tuple[Settings, list[Finding]]:
    """The settings, and what is wrong with them. With a finding, the settings are not fit for use.

    ``options`` are the variables of the role without their prefix; one that is missing has its default.
    """
    reader = Reader()
    given = {name: value for name, value in options.items() if name in OPTIONS and value is not None}
    for name in sorted(set(options) - set(OPTIONS)):
        reader.wrong(f"{_PREFIX}{name}", "is no setting of the firewall.", "Correct the name, or take it away.")
    read = {name: _READERS[name](reader, f"{_PREFIX}{name}", value) for name, value in given.items()}
    settings = Settings(**{name: value for name, value in read.items() if value is not None})
    _judge_trust(reader, settings)
    _judge_open_ports(reader, settings)
    _judge_egress(reader, settings)
    return settings, reader.findings


# --- single settings ----------------------------------------------------------------------------------------------


def _open_ports(reader: Reader, place: str, value: Any) -> tuple[OpenPort, ...]:
    found = (_open_port(reader, f"{place}[{number}]", item) for number, item in enumerate(reader.items(place, value)))
    return tuple(port for port in found if port is not None)


def _open_port(reader: Reader, place: str, item: Any) -> OpenPort | None:
    entry = reader.mapping(place, item, ("port", "proto", "from", "comment"))
    if entry is None:
        return None
    ports = reader.ports(f"{place}.port", entry.get("port"))
    proto = reader.choice(f"{place}.proto", entry.get("proto", "tcp"), PROTOCOLS)
    sources = _sources(reader, f"{place}.from", entry.get("from", "any"))
    comment = reader.comment(f"{place}.comment", entry.get("comment"))
    if ports is None or proto is None or sources is None:
        return None
    return OpenPort(ports, proto, sources, comment)


def _sources(reader: Reader, place: str, value: Any) -> tuple[Network, ...] | None:
    if value is None or value == "" or (isinstance(value, Sequence) and len(value) == 0):
        reader.wrong(place, "is empty, so that nobody would get in.", "Write networks, or any.")
        return None
    return reader.networks(place, value, any_word=True)


def _networks(reader: Reader, place: str, value: Any) -> tuple[Network, ...] | None:
    return reader.networks(place, value)


def _interfaces(reader: Reader, place: str, value: Any) -> tuple[str, ...]:
    found = (reader.interface(f"{place}[{number}]", item) for number, item in enumerate(reader.items(place, value)))
    return tuple(dict.fromkeys(name for name in found if name is not None))


def _ssh_ports(reader: Reader, place: str, value: Any) -> tuple[int, ...]:
    found = []
    for number, item in enumerate(reader.items(place, value)):
        ports = reader.ports(f"{place}[{number}]", item)
        if ports is not None and ports.first != ports.last:
            reader.wrong(f"{place}[{number}]", f"is the range {ports}.", "Write one port an entry.")
        elif ports is not None:
            found.append(ports.first)
    return tuple(sorted(set(found)))


def _egress(reader: Reader, place: str, value: Any) -> tuple[EgressRule, ...]:
    found = (_egress_rule(reader, f"{place}[{number}]", item) for number, item in enumerate(reader.items(place, value)))
    return tuple(rule for rule in found if rule is not None)


def _egress_services(reader: Reader, place: str, value: Any) -> tuple[ServiceEgress, ...]:
    """A mapping of services to all that each may reach."""
    if value is None or value == []:
        return ()
    if not isinstance(value, Mapping):
        reader.wrong(
            place, f"is {kind(value)}, not a mapping.", "Write the name of a service, and its list of rules below it."
        )
        return ()
    found = []
    for name, items in value.items():
        if not isinstance(name, str) or not SERVICE.fullmatch(name):
            reader.wrong(f"{place}.{name}", "is no name of a service.", "Write a name as in the Compose file.")
            continue
        listed = enumerate(reader.items(f"{place}.{name}", items))
        rules = (_egress_rule(reader, f"{place}.{name}[{number}]", item, with_from=False) for number, item in listed)
        found.append(ServiceEgress(name, tuple(rule for rule in rules if rule is not None)))
    return tuple(sorted(found, key=lambda item: item.service))


def _egress_rule(reader: Reader, place: str, item: Any, *, with_from: bool = True) -> EgressRule | None:
    entry = reader.mapping(place, item, ((("from",) if with_from else ()) + ("to", "ports", "proto", "comment")))
    if entry is None:
        return None
    before = len(reader.findings)
    sources = _sources(reader, f"{place}.from", entry.get("from", "any"))
    to = entry.get("to")
    to = to[0] if isinstance(to, list | tuple) and len(to) == 1 else to
    networks: tuple[Network, ...] | None = ()
    if to is None or to in ("", []):
        reader.wrong(f"{place}.to", "is empty.", f"Write networks, or one of {', '.join(_PLACES)}.")
    elif to not in _PLACES:
        networks = reader.networks(f"{place}.to", to)
    ports = [
        reader.ports(f"{place}.ports[{number}]", port)
        for number, port in enumerate(_as_list(reader, f"{place}.ports", entry.get("ports")))
    ]
    proto = reader.choice(f"{place}.proto", entry.get("proto", "tcp" if ports else "any"), (*PROTOCOLS, "any"))
    comment = reader.comment(f"{place}.comment", entry.get("comment"))
    if len(reader.findings) > before:
        return None
    protocols = () if proto == "any" and not ports else PROTOCOLS if proto == "any" else (str(proto),)
    return EgressRule(
        sources or (),
        str(to) if to in _PLACES else "",
        networks or (),
        _joined(port for port in ports if port),
        protocols,
        comment,
    )


def _joined(ports: Iterable[Ports]) -> tuple[Ports, ...]:
    """Ports in order, those that touch made one: a set of nft holds no port twice."""
    found: list[Ports] = []
    for port in sorted(ports, key=lambda item: item.first):
        if found and port.first <= found[-1].last + 1:
            found[-1] = Ports(found[-1].first, max(found[-1].last, port.last))
        else:
            found.append(port)
    return tuple(found)


def _as_list(reader: Reader, place: str, value: Any) -> list[Any]:
    return [value] if isinstance(value, int | str) and not isinstance(value, bool) else reader.items(place, value)


def _replace(reader: Reader, place: str, value: Any) -> tuple[str, ...]:
    words = [value] if isinstance(value, str) else reader.items(place, value)
    found = [reader.choice(f"{place}[{number}]", item, RIVALS) for number, item in enumerate(words)]
    return tuple(dict.fromkeys(name for name in found if name is not None))


_READERS: Mapping[str, Any] = {
    "open_ports": _open_ports,
    "trusted_networks": _networks,
    "trusted_interfaces": _interfaces,
    "container_interfaces": _interfaces,
    "ssh_ports": _ssh_ports,
    "ssh_from": _sources,
    "ssh_rate": lambda reader, place, value: reader.number(place, value, 0, 100_000),
    "swarm_peers": _networks,
    "ping": lambda reader, place, value: reader.boolean(place, value),
    "dns_servers": _networks,
    "egress": _egress,
    "egress_default": lambda reader, place, value: reader.choice(place, value, ("internet", "none")),
    "egress_closed": _networks,
    "egress_services": _egress_services,
    "log_rate": lambda reader, place, value: reader.number(place, value, 0, 100_000),
    "replace": _replace,
    "filter_macvlan": lambda reader, place, value: reader.boolean(place, value),
}


# --- settings beside each other -----------------------------------------------------------------------------------


def overlapping(first: Sequence[Network], second: Sequence[Network]) -> bool:
    """Whether some address is in both. Nothing stands for every address."""
    if not first or not second:
        return True
    return any(one.version == other.version and one.overlaps(other) for one in first for other in second)


def _judge_trust(reader: Reader, settings: Settings) -> None:
    for name in ("trusted_networks", "swarm_peers"):
        for network in getattr(settings, name):
            if network.prefixlen == 0:
                reader.wrong(
                    f"{_PREFIX}{name}", f"holds {network}, the whole internet.", "Name the networks that you mean."
                )
    for name in sorted(set(settings.trusted_interfaces) & set(settings.container_interfaces)):
        reader.wrong(
            f"{_PREFIX}trusted_interfaces",
            f"holds {name}, which {_PREFIX}container_interfaces holds too.",
            "Keep it in one of them.",
            "overlap",
        )


def _judge_open_ports(reader: Reader, settings: Settings) -> None:
    for number, port in enumerate(settings.open_ports):
        place = f"{_PREFIX}open_ports: the entry {_of(port)}"
        for other in settings.open_ports[:number]:
            if port.proto != other.proto or not port.ports.overlaps(other.ports):
                continue
            if (port.ports, set(port.sources)) == (other.ports, set(other.sources)):
                reader.wrong(place, "stands there twice.", "Keep one of them.", "duplicate")
            elif overlapping(port.sources, other.sources):
                reader.wrong(
                    place,
                    f"overlaps with {_of(other)}: some connections fit both.",
                    "Join the two, or make their ports or sources differ.",
                    "overlap",
                )
        ours = [ssh for ssh in settings.ssh_ports if port.proto == "tcp" and port.ports.overlaps(Ports(ssh, ssh))]
        if ours:
            reader.wrong(*ssh_port_opened(port, ours[0]), "overlap")


def ssh_port_opened(port: OpenPort, ssh: int) -> tuple[str, str, str]:
    """Place, message and fix for an open port that is sshd's."""
    return (
        f"{_PREFIX}open_ports: the entry {_of(port)}",
        f"holds port {ssh}, on which sshd listens. sshd has its own rule, with a limit for each source.",
        f"Take the port out. Who may connect to sshd stands in {_PREFIX}ssh_from.",
    )


def _of(port: OpenPort) -> str:
    return f"{port} from {', '.join(str(network) for network in port.sources) or 'any'}"


def _judge_egress(reader: Reader, settings: Settings) -> None:
    _judge_rules(reader, f"{_PREFIX}egress", settings.egress)
    for service in settings.egress_services:
        _judge_rules(reader, f"{_PREFIX}egress_services.{service.service}", service.rules)


def _judge_rules(reader: Reader, where: str, rules: Sequence[EgressRule]) -> None:
    for number, rule in enumerate(rules):
        place = f"{where}[{number}]"
        families = {network.version for network in rule.sources}, {network.version for network in rule.networks}
        if all(families) and not families[0] & families[1]:
            reader.wrong(
                place,
                f"lets IPv{families[0].pop()} sources reach IPv{families[1].pop()} networks. No packet is both.",
                "Write both sides in the same family.",
                "family-mix",
            )
        same = [before for before, other in enumerate(rules[:number]) if _same(rule, other)]
        if same:
            reader.wrong(place, f"says the same as {where}[{same[0]}].", "Keep one of them.", "duplicate")


def _same(rule: EgressRule, other: EgressRule) -> bool:
    def key(item: EgressRule) -> tuple[Any, ...]:
        return set(item.sources), item.place, set(item.networks), set(item.ports), item.protocols

    return key(rule) == key(other)
