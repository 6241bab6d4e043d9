# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judges the settings of the role edge and turns them into data. All that is wrong is reported at once."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..certificates.directories import LETS_ENCRYPT
from ..finding import ERROR, Finding
from ..firewall.words import Reader
from .names import International, as_written, hostname, is_public
from .read_dns import read_challenge
from .settings import ACME, ACME_DNS, FILES, MODES, Pairs, Route, Settings, Site

_SITE_KEYS = (
    *("name", "aliases", "certificate", "certificate_file", "key_file", "auth", "body_limit", "headers", "routes"),
    *("service", "port", "websocket", "timeout"),
)
_ROUTE_KEYS = ("path", "service", "port", "websocket", "auth", "timeout")
# A site with one route may say these itself.
_SHORT = ("service", "port", "websocket", "timeout")
_PATH = re.compile(r"/[A-Za-z0-9._~/-]*")
_SERVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_USER = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_BCRYPT = re.compile(r"\$2[aby]\$[0-3][0-9]\$[./A-Za-z0-9]{53}")
_SIZE = re.compile(r"[1-9][0-9]*(KB|MB|GB)")
_HEADER = re.compile(r"[A-Za-z0-9-]{1,100}")
_FIX_SITES = "Correct it in edge_sites."


class EdgeReader(Reader):
    """As the reader of the firewall's words, with the words of this role."""

    def __init__(self, international: International) -> None:
        super().__init__()
        self.international = international

    def wrong(self, place: str, message: str, fix: str, rule: str = "edge-setting") -> None:
        self.findings.append(Finding(rule, ERROR, place, f"{place} {message}", fix))

    def text(self, place: str, value: Any, *, most: int = 1000) -> str:
        """One printable line; nothing reads as an empty one."""
        text = "" if value is None else str(value)
        if len(text) > most or not text.isprintable() or isinstance(value, Mapping | list):
            self.wrong(place, "is not one line of text.", f"Write one line of at most {most} letters.")
            return ""
        return text


def read_settings(
    options: Mapping[str, Any], international: International = as_written
) -> tuple[Settings, list[Finding]]:
    """The settings, and all that is wrong with them. With findings, the settings are not to be used."""
    reader = EdgeReader(international)
    known = options.get("known_services")
    mode = reader.choice("edge_certificate", options.get("certificate", ACME), MODES) or ACME
    ca = reader.text("edge_acme_ca", options.get("acme_ca")) or LETS_ENCRYPT
    if not ca.startswith("https://"):
        reader.wrong("edge_acme_ca", f"is '{ca}', which is no https address.", "Write the address of its directory.")
    sites = _sites(reader, options, mode)
    settings = Settings(
        sites=tuple(sites),
        binary=str(options.get("binary") or "/usr/bin/caddy"),
        project=str(options.get("project") or "hypercode"),
        acme_email=_email(reader, options.get("acme_email")),
        acme_ca=ca,
        acme_ca_root=str(options.get("acme_ca_root") or ""),
        dns=read_challenge(reader, options.get("dns_challenge")),
        health_path=_health_path(reader, options.get("health_path"), sites),
        hsts=reader.text("edge_hsts", options.get("hsts", "max-age=63072000")),
        headers=_headers(reader, "edge_headers", options.get("headers")),
        trusted_proxies=tuple(
            str(network) for network in reader.networks("edge_trusted_proxies", options.get("trusted_proxies")) or ()
        ),
        **{
            name: reader.number(f"edge_{name}", options.get(name, default), least, most) or 0
            for name, default, least, most in (
                ("drain_timeout", 30, 0, 3600),
                ("header_timeout", 10, 1, 600),
                ("body_timeout", 300, 1, 86400),
                ("idle_timeout", 120, 1, 3600),
                ("log_size_mb", 50, 1, 10000),
                ("log_keep", 10, 1, 1000),
                ("log_keep_days", 30, 1, 3650),
            )
        },
    )
    _judge_names(reader, settings)
    _judge_certificates(reader, settings)
    if known:
        _judge_services(reader, settings, sorted(map(str, known)))
    return settings, reader.findings


# --- sites ----------------------------------------------------------------------------------------------------------


def _sites(reader: EdgeReader, options: Mapping[str, Any], mode: str) -> list[Site]:
    found = []
    for number, entry in enumerate(reader.items("edge_sites", options.get("sites"))):
        place = f"edge_sites[{number}]"
        if isinstance(entry, Mapping) and entry.get("name"):
            place = f"edge_sites[{entry['name']}]"
        before = len(reader.findings)
        keys = reader.mapping(place, entry, _SITE_KEYS)
        site = _site(reader, place, keys, options, mode) if keys is not None else None
        if site is not None and len(reader.findings) == before:
            found.append(site)
    return found


def _site(
    reader: EdgeReader, place: str, entry: Mapping[str, Any], options: Mapping[str, Any], mode: str
) -> Site | None:
    name = _name(reader, f"{place}.name", entry.get("name"))
    aliases = [
        _name(reader, f"{place}.aliases[{number}]", alias)
        for number, alias in enumerate(reader.items(f"{place}.aliases", entry.get("aliases")))
    ]
    limit = str(entry.get("body_limit") or options.get("body_limit") or "10MB")
    if not _SIZE.fullmatch(limit):
        reader.wrong(
            f"{place}.body_limit", f"is '{limit}', which is no size.", "Write a number with KB, MB or GB: 10MB."
        )
    users = _users(reader, f"{place}.auth", entry.get("auth"))
    return Site(
        name=name,
        aliases=tuple(filter(None, aliases)),
        mode=reader.choice(f"{place}.certificate", entry.get("certificate") or mode, MODES) or mode,
        certificate_file=_file(reader, f"{place}.certificate_file", entry.get("certificate_file")),
        key_file=_file(reader, f"{place}.key_file", entry.get("key_file")),
        body_limit=limit,
        headers=_headers(reader, f"{place}.headers", entry.get("headers")),
        routes=tuple(_routes(reader, place, entry, options, users)),
    )


def _routes(
    reader: EdgeReader, place: str, entry: Mapping[str, Any], options: Mapping[str, Any], users: Pairs
) -> list[Route]:
    short = {key: entry[key] for key in _SHORT if key in entry}
    listed = reader.items(f"{place}.routes", entry.get("routes"))
    if short and listed:
        reader.wrong(place, f"has {', '.join(short)} beside routes.", "Write them into the route that they belong to.")
        return []
    if not listed and "service" not in short:
        reader.wrong(place, "leads nowhere.", "Add service and port, or a list of routes.")
        return []
    if not listed:
        route = _route(reader, place, short, options, users)
        return [route] if route else []
    found: dict[str, Route] = {}
    for number, item in enumerate(listed):
        at = f"{place}.routes[{number}]"
        keys = reader.mapping(at, item, _ROUTE_KEYS)
        route = _route(reader, at, keys, options, users) if keys is not None else None
        if route and route.path in found:
            reader.wrong(at, f"has the path {route.path}, which another route has already.", "Keep one.", "duplicate")
        elif route:
            found[route.path] = route
    return list(found.values())


def _route(
    reader: EdgeReader, place: str, entry: Mapping[str, Any], options: Mapping[str, Any], users: Pairs
) -> Route | None:
    path = str(entry.get("path") or "/")
    if not _PATH.fullmatch(path) or "//" in path or "/../" in f"{path}/":
        reader.wrong(f"{place}.path", f"is '{path}'.", "Write the beginning of a path, such as /api, without stars.")
    service = str(entry.get("service") or "")
    if not _SERVICE.fullmatch(service):
        reader.wrong(f"{place}.service", f"is '{service}'.", "Write the name of a service of the Compose file.")
    port = reader.number(f"{place}.port", entry.get("port"), 1, 65535)
    websocket = reader.boolean(f"{place}.websocket", entry.get("websocket", True))
    timeout = reader.number(f"{place}.timeout", entry.get("timeout", options.get("timeout", 300)), 1, 86400)
    if "auth" in entry:
        users = _users(reader, f"{place}.auth", entry["auth"])
    if port is None or websocket is None or timeout is None:
        return None
    return Route(path.rstrip("/") or "/", service, port, websocket, users, timeout)


def _name(reader: EdgeReader, place: str, value: Any) -> str:
    try:
        return hostname(value, reader.international)
    except ValueError as error:
        reader.wrong(place, f"is '{value}': {error}.", "Write a name as in DNS, such as app.example.com.", "name")
        return ""


def _file(reader: EdgeReader, place: str, value: Any) -> str:
    text = reader.text(place, value)
    if text and (not text.startswith("/") or " " in text or '"' in text):
        reader.wrong(place, f"is '{text}'.", "Write the full path of a file on the host, without spaces.")
    return text


def _health_path(reader: EdgeReader, value: Any, sites: list[Site]) -> str:
    path = reader.text("edge_health_path", value)
    if path and (not _PATH.fullmatch(path) or path == "/" or "//" in path or "/../" in f"{path}/"):
        reader.wrong("edge_health_path", f"is '{path}'.", "Write a path of its own, such as /edge-health, or nothing.")
        return ""
    for site in sites:
        if path in {route.path for route in site.routes}:
            reader.wrong(
                "edge_health_path", f"is '{path}', which is a route of {site.name}.", "Choose another.", "duplicate"
            )
    return path


def _email(reader: EdgeReader, value: Any) -> str:
    text = reader.text("edge_acme_email", value)
    if text and not re.fullmatch(r"[^@\s\"{}]+@[^@\s\"{}]+", text):
        reader.wrong(
            "edge_acme_email", f"is '{text}', which is no address.", "Write an address such as ops@example.com."
        )
    return text


def _users(reader: EdgeReader, place: str, value: Any) -> Pairs:
    """Names with bcrypt hashes. No message repeats a hash, or what stands in place of one."""
    if value in (None, False, {}):
        return ()
    entry = reader.mapping(place, value, ("users",))
    if entry is None:
        return ()
    users = reader.mapping(f"{place}.users", entry.get("users"), entry.get("users") or ())
    if not users:
        reader.wrong(f"{place}.users", "is empty: nobody could log in.", "Add a user, or take auth away.")
        return ()
    for name, word in users.items():
        if not _USER.fullmatch(str(name)):
            reader.wrong(f"{place}.users", f"has the name '{name}'.", "Use letters, digits and ._@- only.")
        if not isinstance(word, str) or not _BCRYPT.fullmatch(word):
            reader.wrong(
                f"{place}.users.{name}",
                "is no bcrypt hash. Passwords never stand in settings.",
                "Make a hash with `caddy hash-password` or `htpasswd -nBC 12 NAME`, and put it here in single quotes.",
                "no-hash",
            )
    return tuple(sorted((str(name), str(word)) for name, word in users.items()))


def _headers(reader: EdgeReader, place: str, value: Any) -> Pairs:
    entry = reader.mapping(place, value or {}, value or ())
    found = []
    for name, text in (entry or {}).items():
        if not _HEADER.fullmatch(str(name)):
            reader.wrong(place, f"has '{name}', which is no name of a header.", "Use letters, digits and dashes.")
        words = reader.text(f"{place}.{name}", text)
        if "{" in words or "}" in words:
            reader.wrong(f"{place}.{name}", "has braces, which Caddy would replace.", "Write the text without braces.")
        found.append((str(name), words))
    return tuple(found)


# --- all of them together -------------------------------------------------------------------------------------------


def _judge_names(reader: EdgeReader, settings: Settings) -> None:
    owners: dict[str, str] = {}
    for site in settings.sites:
        for name in site.names:
            if name in owners:
                place = f"edge_sites[{site.name}]"
                text = "twice" if owners[name] == site.name else f"as the site {owners[name]} does"
                reader.wrong(
                    place,
                    f"has the name {name} {text}.",
                    "Keep it in one place; two routes need one site.",
                    "duplicate",
                )
            owners.setdefault(name, site.name)


def _judge_certificates(reader: EdgeReader, settings: Settings) -> None:
    for site in settings.sites:
        place = f"edge_sites[{site.name}]"
        wild = [name for name in site.names if name.startswith("*.")]
        if site.mode == ACME and wild:
            fix = "Set certificate: acme_dns for this site, and edge_dns_challenge."
            reader.wrong(
                place, f"has {wild[0]}: a CA gives a certificate for a wildcard through DNS only.", fix, "wildcard"
            )
        private = [name for name in site.names if not is_public(name)]
        if site.mode in (ACME, ACME_DNS) and private and settings.acme_ca == LETS_ENCRYPT:
            fix = "Set certificate: internal or files for this site, or edge_acme_ca to a CA of your own."
            reader.wrong(place, f"has {private[0]}, for which no public CA gives a certificate.", fix, "private-name")
        if site.mode == FILES and not (site.certificate_file and site.key_file):
            reader.wrong(place, "lacks certificate_file or key_file.", "Add both, as paths on the host.")
        if site.mode != FILES and (site.certificate_file or site.key_file):
            fix = "Set certificate: files, or take the files away."
            reader.wrong(place, f"names a certificate_file, and gets its certificate by {site.mode}.", fix)
        if site.mode == ACME_DNS and settings.dns is None:
            fix = "Set edge_dns_challenge, for example {provider: rfc2136, server: 192.0.2.53, key_name: …, key: …}."
            reader.wrong(place, "gets its certificate through DNS, and nothing says who changes DNS.", fix)


def _judge_services(reader: EdgeReader, settings: Settings, known: list[str]) -> None:
    for site in settings.sites:
        for route in site.routes:
            if route.service not in known:
                near = difflib.get_close_matches(route.service, known, 1)
                hint = f" Did you mean {near[0]}?" if near else ""
                reader.wrong(
                    f"edge_sites[{site.name}]{'' if route.path == '/' else route.path}",
                    f"leads to {route.service}, which the stack does not have.{hint}",
                    f"Name one of {', '.join(known)}.",
                    "unknown-service",
                )


def secrets_in(options: Mapping[str, Any]) -> Iterable[str]:
    """Values that no message may repeat: hashes of passwords, and what DNS is changed with."""
    found: list[str] = []
    _collect(options.get("sites"), found)
    _collect(options.get("dns_challenge"), found)
    return found


def _collect(value: Any, found: list[str], secret: bool = False) -> None:
    if isinstance(value, Mapping):
        for key, item in value.items():
            _collect(item, found, secret or str(key) in ("users", "key", "environment"))
    elif isinstance(value, list | tuple):
        for item in value:
            _collect(item, found, secret)
    elif secret and isinstance(value, str) and len(value) > 3:
        found.append(value)
