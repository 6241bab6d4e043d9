# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Turns settings into the text of a Caddyfile, as far as the version of Caddy on the host understands it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from .layout import ACME_ROOT, DRAINED, LOGS, SOCKET, Paths
from .settings import ACME, ACME_DNS, FILES, INTERNAL, Route, Settings, Site

Version = tuple[int, int]

# Those of TLS 1.2 with forward secrecy and authenticated encryption; those of TLS 1.3 are not chosen.
CIPHERS = (
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 "
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 "
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"
)
# A test puts the log elsewhere: Caddy opens it already when it only judges a file.
LOG_VARIABLE = "HYPERCODE_EDGE_LOG"
RETRY_SECONDS = 5
_NEW = (2, 7)
_BASIC_AUTH = (2, 8)
_FILE_PLACEHOLDERS = (2, 8)


class Lines(list[str]):
    """Lines of a Caddyfile, indented by blocks."""

    depth = 0

    def add(self, *words: str) -> None:
        self.append("\t" * self.depth + " ".join(words))

    def open(self, *words: str) -> None:
        self.add(*words, "{")
        self.depth += 1

    def close(self) -> None:
        self.depth -= 1
        self.add("}")


def quoted(text: str) -> str:
    """A word of a Caddyfile that may hold anything printable."""
    escaped = text.replace('"', '\\"')
    return f'"{escaped}"'


def reads_addresses(version: Version) -> bool:
    """Whether Caddy takes the address of a service from a file at each request."""
    return version >= _FILE_PLACEHOLDERS


def caddyfile(settings: Settings, version: Version, bridges: Mapping[str, str] | None = None) -> str:
    """The Caddyfile. ``bridges`` names, by site, a folder of certificates that serve until its own are there."""
    bridges = bridges or {}
    lines = Lines(["# Written by the role edge of hypercode.deploy: change its variables instead."])
    _global(lines, settings, version, bridges)
    lines.add("import users.caddy")
    lines.add("import upstreams/*.caddy")
    _log(lines, settings)
    for site in settings.sites:
        _site(lines, site, settings, version, bridges.get(site.name))
    return "\n".join(lines) + "\n"


def _global(lines: Lines, settings: Settings, version: Version, bridges: Mapping[str, str]) -> None:
    lines.open()
    lines.add(f"admin unix/{SOCKET}")
    if version >= _NEW:
        # What is loaded by hand is gone after a restart: the files say what holds.
        lines.add("persist_config off")
    lines.add("skip_install_trust")
    # Requests that are under way at a reload get the time that their route has.
    lines.add(f"grace_period {max((*_timeouts(settings), settings.drain_timeout))}s")
    if settings.contact:
        lines.add(f"email {settings.contact}")
    if settings.with_mode(ACME):
        lines.add(f"acme_ca {settings.acme_ca}")
        if settings.acme_ca_root:
            lines.add(f"acme_ca_root {ACME_ROOT}")
    if bridges:
        lines.add("auto_https ignore_loaded_certs")
    lines.open("servers")
    # What it counts is read at the admin socket.
    lines.add("metrics")
    lines.add("max_header_size 64KB")
    if settings.trusted_proxies and version >= _NEW:
        lines.add("trusted_proxies static", *settings.trusted_proxies)
    lines.open("timeouts")
    lines.add(f"read_header {settings.header_timeout}s")
    lines.add(f"read_body {settings.body_timeout}s")
    lines.add(f"idle {settings.idle_timeout}s")
    for _block in range(3):
        lines.close()


def _timeouts(settings: Settings) -> Iterable[int]:
    return (route.timeout for site in settings.sites for route in site.routes)


def _log(lines: Lines, settings: Settings) -> None:
    """Who asked for what, and how it went. What may be a secret is left out: queries, logins, cookies."""
    lines.open("(log)")
    lines.open("log")
    lines.open(f"output file {{${LOG_VARIABLE}:{LOGS}/access.log}}")
    lines.add(f"roll_size {settings.log_size_mb}MiB")
    lines.add(f"roll_keep {settings.log_keep}")
    lines.add(f"roll_keep_for {settings.log_keep_days * 24}h")
    lines.close()
    lines.open("format filter")
    lines.add("wrap json")
    lines.open("fields")
    lines.add('request>uri regexp [?].* ""')
    lines.add('request>headers>Referer regexp [?].* ""')
    for name in ("Authorization", "Proxy-Authorization", "Cookie", "X-Api-Key"):
        lines.add(f"request>headers>{name} delete")
    lines.add("resp_headers>Set-Cookie delete")
    for _block in range(4):
        lines.close()


def _errors(lines: Lines, site: Site, settings: Settings) -> None:
    """What Caddy answers itself carries the same headers: a 401 or 503 too."""
    lines.open("handle_errors")
    _headers(lines, site, settings)
    lines.add("@busy expression `{err.status_code} in [502, 503, 504]`")
    lines.add("header @busy Retry-After 5")
    lines.add('respond "{err.status_code} {err.status_text}"')
    lines.close()


# --- one site -------------------------------------------------------------------------------------------------------


def _site(lines: Lines, site: Site, settings: Settings, version: Version, bridge: str | None) -> None:
    lines.add("")
    lines.open(", ".join(site.names))
    _tls(lines, site, bridge)
    lines.add("import log")
    lines.add("encode zstd gzip")
    lines.open("request_body")
    lines.add(f"max_size {site.body_limit}")
    lines.close()
    _headers(lines, site, settings)
    # The longest path first: Caddy takes the first that fits.
    routes = sorted(site.routes, key=lambda route: (-len(route.path), route.path))
    lines.open("route")
    if settings.health_path:
        _health(lines, settings.health_path)
    for route in routes:
        _route(lines, site, route, settings, version)
    if "/" not in {route.path for route in routes}:
        lines.open("handle")
        lines.add("error 404")
        lines.close()
    lines.close()
    _errors(lines, site, settings)
    lines.close()


def _health(lines: Lines, path: str) -> None:
    """Tell a load balancer whether to send requests here. The file is looked for at each request, without a reload."""
    folder, _slash, name = DRAINED.rpartition("/")
    lines.add(f"@health path {path}")
    lines.open("route @health")
    lines.open("@drained file")
    lines.add(f"root {folder}")
    lines.add(f"try_files /{name}")
    lines.close()
    lines.add("header Cache-Control no-store")
    lines.add("respond @drained drained 503")
    lines.add("respond ready 200")
    lines.close()


def _tls(lines: Lines, site: Site, bridge: str | None) -> None:
    lines.open("tls", *_certificate(site))
    lines.add("protocols tls1.2 tls1.3")
    lines.add("ciphers", CIPHERS)
    if bridge:
        lines.add(f"load {bridge}")
    if site.mode == INTERNAL:
        lines.add("issuer internal")
    lines.close()


def _certificate(site: Site) -> tuple[str, ...]:
    if site.mode == FILES:
        return site.certificate_file, site.key_file
    if site.mode == ACME_DNS:
        certificate, key = Paths().from_lego(site.name)
        return str(certificate), str(key)
    return ()


def _headers(lines: Lines, site: Site, settings: Settings) -> None:
    """What an answer carries: by default only what the service does not say itself; what the site says always."""
    own = {name.lower(): (name, value) for name, value in site.headers}
    lines.open("header")
    if settings.hsts and "strict-transport-security" not in own:
        lines.add("Strict-Transport-Security", quoted(settings.hsts))
    for name, value in settings.headers:
        if name.lower() not in own and value:
            lines.add(f"?{name}", quoted(value))
    for name, value in own.values():
        lines.add(name, quoted(value)) if value else lines.add(f"-{name}")
    for name in ("Server", "Via", "X-Powered-By"):
        if name.lower() not in own:
            lines.add(f"-{name}")
    lines.add("defer")
    lines.close()


def _route(lines: Lines, site: Site, route: Route, settings: Settings, version: Version) -> None:
    number = site.routes.index(route)
    if route.path == "/":
        lines.open("handle")
    else:
        lines.add(f"@route{number} path {route.path} {route.path}/*")
        lines.open(f"handle @route{number}")
    if route.users:
        lines.add(f"import {users_name(site, number)}")
    if not route.websocket:
        lines.add("request_header -Upgrade")
    lines.open("reverse_proxy")
    lines.add(f"import {route.upstream}")
    if settings.trusted_proxies:
        lines.add("trusted_proxies", *settings.trusted_proxies)
    if route.users:
        # The password is for the edge, and no business of the service.
        lines.add("header_up -Authorization")
    if route.websocket and version >= _NEW:
        lines.add(f"stream_close_delay {settings.drain_timeout}s")
    lines.open("transport http")
    lines.add("dial_timeout 3s")
    lines.add(f"response_header_timeout {route.timeout}s")
    for _block in range(3):
        lines.close()


# --- the files beside it --------------------------------------------------------------------------------------------


def users_name(site: Site, number: int) -> str:
    """How the Caddyfile calls the users of a route."""
    return f"users-{site.name.replace('*', 'wildcard_')}-{number}"


def users_file(settings: Settings, version: Version) -> str:
    """Who may log in where, in a file of its own: hashes are shown in no diff."""
    lines = Lines(["# Who may log in. Written by the role edge of hypercode.deploy."])
    for site in settings.sites:
        for number, route in enumerate(site.routes):
            if route.users:
                lines.open(f"({users_name(site, number)})")
                lines.open("basic_auth" if version >= _BASIC_AUTH else "basicauth")
                for name, word in route.users:
                    lines.add(name, word)
                lines.close()
                lines.close()
    return "\n".join(lines) + "\n"


def certificates(settings: Settings) -> str:
    """What certificates there have to be, as JSON for those who watch them."""
    wanted: list[dict[str, Any]] = []
    for site in settings.sites:
        files = _certificate(site) or (None, None)
        wanted.append(
            {
                "name": site.name,
                "names": list(site.names),
                "mode": site.mode,
                "certificate_file": files[0],
                "key_file": files[1],
                "ca": settings.acme_ca if site.mode in (ACME, ACME_DNS) else "",
            }
        )
    return json.dumps(wanted, indent=2) + "\n"


def manifest(settings: Settings, version: Version) -> str:
    """What the commands on the host need to know, as JSON."""
    about: dict[str, Any] = {
        "binary": settings.binary,
        "project": settings.project,
        "health_path": settings.health_path,
        "live": reads_addresses(version),
        "upstreams": {name: list(ports) for name, ports in settings.upstreams.items()},
        "doors": settings.doors,
        "dns": [list(site.names) for site in settings.with_mode(ACME_DNS)],
        "dns_provider": settings.dns.provider if settings.dns else "",
        "dns_resolvers": list(settings.dns.resolvers) if settings.dns else [],
        "acme_ca": settings.acme_ca,
        "acme_email": settings.contact,
    }
    return json.dumps(about, indent=2) + "\n"
