# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the edge is asked to do, as plain data: sites, their routes, and what holds for all of them."""

from __future__ import annotations

from dataclasses import dataclass

from ..certificates.directories import LETS_ENCRYPT

ACME, ACME_DNS, INTERNAL, FILES = "acme", "acme_dns", "internal", "files"
MODES = (ACME, ACME_DNS, INTERNAL, FILES)

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Route:
    """Requests below ``path`` go to a port of a service. ``users`` have bcrypt hashes; with none everybody gets in.

    ``timeout`` is how many seconds the service may take to begin its answer.
    """

    path: str
    service: str
    port: int
    websocket: bool = True
    users: Pairs = ()
    timeout: int = 300

    @property
    def upstream(self) -> str:
        """The name of the snippet that says where the service is now."""
        return upstream_name(self.service, self.port)


@dataclass(frozen=True)
class Site:
    """One name with its aliases, and what answers there. Names are as DNS has them: lower case, punycode."""

    name: str
    mode: str
    routes: tuple[Route, ...]
    aliases: tuple[str, ...] = ()
    certificate_file: str = ""
    key_file: str = ""
    body_limit: str = "10MB"
    headers: Pairs = ()

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.aliases)


@dataclass(frozen=True)
class DnsChallenge:
    """Who changes DNS for a certificate: a provider by the name that lego has for it, and its variables (secrets)."""

    provider: str
    environment: Pairs = ()
    resolvers: tuple[str, ...] = ()
    """Name servers (address:port) that are asked which zone a name is in; none for those of the host."""


@dataclass(frozen=True)
class Settings:
    """All of it. Times are in seconds."""

    sites: tuple[Site, ...] = ()
    binary: str = "/usr/bin/caddy"
    project: str = "hypercode"
    acme_email: str = ""
    acme_ca: str = LETS_ENCRYPT
    acme_ca_root: str = ""
    """The PEM text of the authority that signed the CA's own certificate; empty for one that the system knows."""
    dns: DnsChallenge | None = None
    hsts: str = "max-age=63072000"
    headers: Pairs = ()
    trusted_proxies: tuple[str, ...] = ()
    drain_timeout: int = 30
    header_timeout: int = 10
    body_timeout: int = 300
    idle_timeout: int = 120
    health_path: str = ""
    """Where a load balancer asks whether to send requests here; empty for nowhere."""
    log_size_mb: int = 50
    log_keep: int = 10
    log_keep_days: int = 30

    @property
    def contact(self) -> str:
        """Where the CA writes to: what is set, else the mailbox that RFC 2142 has for the first name.

        Never none: without an address, Caddy looks for an account that it has already. Of two names at once, the second
        may find the folder of the account that is just being made, and take its name, "default", for an address. The CA
        refuses that, and the name waits for a minute.
        """
        asking = [site.name.removeprefix("*.") for site in self.with_mode(ACME, ACME_DNS)]
        return self.acme_email or (f"hostmaster@{asking[0]}" if asking else "")

    def with_mode(self, *modes: str) -> tuple[Site, ...]:
        """The sites whose certificates come this way."""
        return tuple(site for site in self.sites if site.mode in modes)

    @property
    def upstreams(self) -> dict[str, tuple[int, ...]]:
        """The ports that are asked for, by service."""
        found: dict[str, set[int]] = {}
        for site in self.sites:
            for route in site.routes:
                found.setdefault(route.service, set()).add(route.port)
        return {name: tuple(sorted(ports)) for name, ports in sorted(found.items())}

    @property
    def doors(self) -> dict[str, list[tuple[int, str, str]]]:
        """The ways to each service: port, host and path."""
        found: dict[str, set[tuple[int, str, str]]] = {}
        for site in self.sites:
            for route in site.routes:
                found.setdefault(route.service, set()).update((route.port, name, route.path) for name in site.names)
        return {name: sorted(ways) for name, ways in sorted(found.items())}


def upstream_name(service: str, port: int) -> str:
    """How the Caddyfile calls a port of a service."""
    return f"to-{service}-{port}"
