# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules about networks and published ports."""

from __future__ import annotations

from collections.abc import Iterator

from ..repair import port_text
from .addresses import Address, addresses, names_of, ports_of
from .rule import ERROR, WARNING, AuditRule, Example, Hit
from .view import View

_EVERYWHERE = ("", "0.0.0.0", "::", "[::]", "*")  # noqa: S104  Looked for, not listened on.


def _published_everywhere(view: View) -> Iterator[Hit]:
    for name, service in view.services.items():
        for index, port in enumerate(service.get("ports") or []):
            if str(port.get("host_ip") or "") in _EVERYWHERE and service.get("network_mode") != "host":
                yield Hit(
                    name,
                    f"{name} publishes {port_text(port)} on every address of the host; Docker's rules let it past ufw.",
                    f"services.{name}.ports[{index}]",
                )


def _published_internal(view: View) -> Iterator[Hit]:
    for name, service in view.services.items():
        joined = view.joined(name)
        if service.get("ports") and joined and all(view.is_internal(network) for network in joined):
            yield Hit(
                name,
                f"{name} publishes ports on internal networks only ({', '.join(sorted(joined))}): Docker opens none.",
                f"services.{name}.ports",
            )


def _port_conflict(view: View) -> Iterator[Hit]:
    taken: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for name, service in view.services.items():
        replicas = service.get("scale") or (service.get("deploy") or {}).get("replicas") or 1
        for index, port in enumerate(service.get("ports") or []):
            published, protocol = str(port.get("published") or ""), str(port["protocol"])
            if not published.isdigit() or published == "0":
                continue
            path, address = f"services.{name}.ports[{index}]", str(port.get("host_ip") or "")
            if isinstance(replicas, int) and replicas > 1:
                message = f"{name} runs {replicas} times, and each copy wants port {published} of the host."
                yield Hit(name, message, path, "publish no port, or let the copies stand behind a proxy.")
            for other, place in taken.setdefault((published, protocol), []):
                # The same file can list a port twice for one service: Docker refuses that as well.
                if place == address or place in _EVERYWHERE or address in _EVERYWHERE:
                    yield Hit(name, f"{name} and {other} both publish port {published} of the host.", path)
                    break
            taken[published, protocol].append((name, address))


def _reached(view: View) -> list[tuple[str, str, Address]]:
    """Each address of another service in the project: who uses it, whose it is."""
    if "reached" not in view.memo:
        view.memo["reached"] = list(_find_reached(view))
    reached: list[tuple[str, str, Address]] = view.memo["reached"]
    return reached


def _find_reached(view: View) -> Iterator[tuple[str, str, Address]]:
    names = names_of(view)
    for name, service in view.services.items():
        outside = {str(entry).replace("=", ":").partition(":")[0] for entry in service.get("extra_hosts") or []}
        for address in addresses(service, name):
            target = names.get(address.host)
            if target is not None and target != name and address.host not in outside:
                yield name, target, address


def _apart(view: View, name: str, target: str) -> bool:
    mine, its = view.joined(name), view.joined(target)
    return mine is not None and its is not None and not mine & its


def _unreachable(view: View) -> Iterator[Hit]:
    told = set()
    for name, target, address in _reached(view):
        if (name, target) not in told and _apart(view, name, target):
            told.add((name, target))
            mine, its = (", ".join(sorted(view.joined(n) or ())) or "none" for n in (name, target))
            message = (
                f"{name}: {address.label} names {target}, but they share no network ({name}: {mine}; {target}: {its})."
            )
            yield Hit(name, message, address.path, f"put {name} and {target} on one network.")


def _dependency_apart(view: View) -> Iterator[Hit]:
    spoken = {(name, target) for name, target, _address in _reached(view)}
    for name, service in view.services.items():
        for target, entry in (service.get("depends_on") or {}).items():
            job = entry.get("condition") == "service_completed_successfully"
            if target not in view.services or job or (name, target) in spoken or name in view.jobs:
                continue
            shared = _sources(view, name) & _sources(view, target)
            if _apart(view, name, target) and not shared:
                message = f"{name} depends on {target}, but they share no network and no volume."
                fix = f"put both on one network, or remove the depends_on if {name} never talks to {target}."
                yield Hit(name, message, f"services.{name}.depends_on", fix)


def _sources(view: View, name: str) -> set[str]:
    return {mount.source for mount in view.mounts(name) if mount.source}


def _host_port(view: View) -> Iterator[Hit]:
    for name, target, address in _reached(view):
        ports = ports_of(view, target)
        inside = ports.outside.get(address.port or 0)
        if inside is not None and inside != address.port and address.port not in ports.possible:
            message = (
                f"{name}: {address.label} speaks to {target} on {address.port}, which is its port on the host;"
                f" inside it listens on {inside}."
            )
            yield Hit(name, message, address.path, f"write {target}:{inside}; published ports count outside only.")


def _other_port(view: View) -> Iterator[Hit]:
    for name, target, address in _reached(view):
        ports = ports_of(view, target)
        image = view.known(target)
        known = ports.stated or frozenset(image.ports if image else ())
        if address.port and known and address.port not in ports.possible and address.port not in ports.outside:
            listed = ", ".join(map(str, sorted(known)))
            message = f"{name}: {address.label} speaks to {target} on {address.port}, and the file has {listed} for it."
            yield Hit(name, message, address.path, f"correct the port, or add it to expose: of {target}.")


def _container_name(view: View) -> Iterator[Hit]:
    names = view.before.container_names
    for name, service in view.services.items():
        for address in addresses(service, name):
            target = names.get(address.host)
            if target is not None and target != name and address.host not in view.all:
                message = (
                    f"{name}: {address.label} reaches {target} by its container_name, which a release does not keep."
                )
                yield Hit(name, message, address.path, f"write {target} in place of {address.host}.")


def _data_network(view: View) -> Iterator[Hit]:
    for name in view.services:
        known, joined = view.server(name), view.joined(name)
        if known and known.database and joined and not any(view.is_internal(network) for network in joined):
            message = f"{name} keeps data and is on no internal network ({', '.join(sorted(joined))})."
            yield Hit(name, message, f"services.{name}.networks")


RULES = (
    AuditRule(
        "port-published-everywhere",
        ERROR,
        "A port is published on every address of the host.",
        "Docker writes its own packet filter rules, so a published port is open to everyone even where ufw denies it.",
        "publish nothing and let the edge reach the container, or write 127.0.0.1: in front of the port.",
        bad=Example('services: {web: {image: "web:1", ports: ["8080:80"]}}'),
        good=Example('services: {web: {image: "web:1", ports: ["127.0.0.1:8080:80"]}}'),
        check=_published_everywhere,
    ),
    AuditRule(
        "port-on-internal-network",
        ERROR,
        "A port is published by a service that is on internal networks only.",
        "Docker opens no port for a container without a network that leads out, and says nothing about it.",
        "take the ports away, or add a network that is not internal.",
        bad=Example(
            """
            services:
              web: {image: "web:1", ports: ["127.0.0.1:8080:80"], networks: [back]}
            networks: {back: {internal: true}}
            """
        ),
        good=Example(
            """
            services:
              web: {image: "web:1", ports: ["127.0.0.1:8080:80"], networks: [back, front]}
            networks: {back: {internal: true}, front: {}}
            """
        ),
        check=_published_internal,
    ),
    AuditRule(
        "port-conflict",
        ERROR,
        "One port of the host is published twice.",
        "The second container does not start: the address is in use.",
        "give one of them another port on the host.",
        bad=Example(
            """
            services:
              web: {image: "web:1", ports: ["127.0.0.1:8080:80"]}
              api: {image: "api:1", ports: ["127.0.0.1:8080:8000"]}
            """
        ),
        good=Example(
            """
            services:
              web: {image: "web:1", ports: ["127.0.0.1:8080:80"]}
              api: {image: "api:1", ports: ["127.0.0.1:8081:8000"]}
            """
        ),
        check=_port_conflict,
    ),
    AuditRule(
        "service-unreachable",
        ERROR,
        "A service is told the address of another one with which it shares no network.",
        "The name does not resolve and every connection fails, often only when the first request comes.",
        "put both on one network.",
        bad=Example(
            """
            services:
              web: {image: "web:1", environment: {REDIS_URL: "redis://redis:6379/0"}, networks: [front]}
              redis: {image: "redis:7.4", networks: [data]}
            networks: {front: {}, data: {internal: true}}
            """
        ),
        good=Example(
            """
            services:
              web: {image: "web:1", environment: {REDIS_URL: "redis://redis:6379/0"}, networks: [front, data]}
              redis: {image: "redis:7.4", networks: [data]}
            networks: {front: {}, data: {internal: true}}
            """
        ),
        check=_unreachable,
    ),
    AuditRule(
        "dependency-unreachable",
        WARNING,
        "A service depends on another one with which it shares no network and no volume.",
        "Who waits for a service mostly talks to it, and cannot.",
        "put both on one network, or remove the depends_on.",
        bad=Example(
            """
            services:
              web: {image: "web:1", depends_on: [queue], networks: [front]}
              queue: {image: "queue:1", networks: [data]}
            networks: {front: {}, data: {}}
            """
        ),
        good=Example(
            """
            services:
              web: {image: "web:1", depends_on: [queue], networks: [front, data]}
              queue: {image: "queue:1", networks: [data]}
            networks: {front: {}, data: {}}
            """
        ),
        check=_dependency_apart,
    ),
    AuditRule(
        "address-host-port",
        ERROR,
        "A service speaks to another one on the port that is published on the host.",
        "Published ports count on the host only. Between containers the port inside counts: the connection is refused.",
        "write the port inside the container.",
        bad=Example(
            """
            services:
              web: {image: "web:1", environment: {API_URL: "http://api:9090"}}
              api: {image: "api:1", ports: ["127.0.0.1:9090:8000"]}
            """
        ),
        good=Example(
            """
            services:
              web: {image: "web:1", environment: {API_URL: "http://api:8000"}}
              api: {image: "api:1", ports: ["127.0.0.1:9090:8000"]}
            """
        ),
        check=_host_port,
    ),
    AuditRule(
        "address-other-port",
        WARNING,
        "A service speaks to another one on a port of which the file knows nothing.",
        "Where the port is wrong, every connection is refused.",
        "correct the port, or add it to expose: of that service.",
        bad=Example(
            """
            services:
              web: {image: "web:1", environment: {API_URL: "http://api:8001"}}
              api: {image: "api:1", expose: ["8000"]}
            """
        ),
        good=Example(
            """
            services:
              web: {image: "web:1", environment: {API_URL: "http://api:8000"}}
              api: {image: "api:1", expose: ["8000"]}
            """
        ),
        check=_other_port,
    ),
    AuditRule(
        "address-container-name",
        ERROR,
        "A service reaches another one by its container_name.",
        "A release runs without fixed names, so that two versions can run side by side. The name is then gone.",
        "write the name of the service.",
        bad=Example(
            """
            services:
              web: {image: "web:1", environment: {API_URL: "http://my-api:8000"}}
              api: {image: "api:1", container_name: my-api, expose: ["8000"]}
            """
        ),
        good=Example(
            """
            services:
              web: {image: "web:1", environment: {API_URL: "http://api:8000"}}
              api: {image: "api:1", container_name: my-api, expose: ["8000"]}
            """
        ),
        check=_container_name,
    ),
    AuditRule(
        "data-network-missing",
        WARNING,
        "A database is on no internal network.",
        "A database needs no way out. From an internal network nothing can be sent away, and no port can be opened.",
        "put it on a network with internal: true, together with the services that use it, and on no other.",
        bad=Example('services: {db: {image: "postgres:17.2", networks: [back]}}\nnetworks: {back: {}}'),
        good=Example('services: {db: {image: "postgres:17.2", networks: [data]}}\nnetworks: {data: {internal: true}}'),
        check=_data_network,
    ),
)
