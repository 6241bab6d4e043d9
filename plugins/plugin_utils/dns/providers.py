# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The providers that are known by name: their package, their settings, and what of these is secret."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import importlib.util
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import Finding

RFC2136 = "rfc2136"
ALGORITHMS = ("hmac-sha256", "hmac-sha384", "hmac-sha512", "hmac-sha224", "hmac-sha1", "hmac-md5")
_CLASS = re.compile(r"(?P<module>[A-Za-z_][\w.]*)\.(?P<name>[A-Za-z_]\w*)")
_PORT = range(1, 65536)


@dataclasses.dataclass(frozen=True)
class Known:
    """A provider that has a name here. Settings by our name: what octoDNS calls them."""

    package: str
    class_name: str
    required: Mapping[str, str]
    optional: Mapping[str, str] = dataclasses.field(default_factory=dict)
    secret: tuple[str, ...] = ()
    fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def _token(package: str, class_name: str, **fixed: Any) -> Known:
    return Known(package, class_name, {"token": "token"}, secret=("token",), fixed=fixed)


KNOWN: Mapping[str, Known] = {
    # No zone is ever looked for among page rules, and a refused request is told at once, not after five minutes.
    "cloudflare": Known(
        "octodns-cloudflare",
        "octodns_cloudflare.CloudflareProvider",
        {"token": "token"},
        {"email": "email", "account_id": "account_id", "min_ttl": "min_ttl", "api_url": "api_url"},
        ("token",),
        {"pagerules": False, "retry_period": 10},
    ),
    "desec": _token("octodns-desec", "octodns_desec.DesecProvider"),
    "digitalocean": _token("octodns-digitalocean", "octodns_digitalocean.DigitalOceanProvider"),
    "gandi": _token("octodns-gandi", "octodns_gandi.GandiProvider"),
    # The API of the Cloud console; the one before it has been switched off.
    "hetzner": _token("octodns-hetzner", "octodns_hetzner.HetznerProvider", backend="hcloud"),
    "ovh": Known(
        "octodns-ovh",
        "octodns_ovh.OvhProvider",
        {name: name for name in ("endpoint", "application_key", "application_secret", "consumer_key")},
        secret=("application_key", "application_secret", "consumer_key"),
    ),
    "powerdns": Known(
        "octodns-powerdns",
        "octodns_powerdns.PowerDnsProvider",
        {"server": "host", "key": "api_key"},
        {"port": "port", "scheme": "scheme", "ssl_verify": "ssl_verify"},
        ("key",),
    ),
    RFC2136: Known(
        "octodns-bind",
        "octodns_bind.Rfc2136Provider",
        {"server": "host", "key_name": "key_name", "key": "key_secret"},
        {"key_algorithm": "key_algorithm", "port": "port"},
        ("key",),
        {"key_algorithm": ALGORITHMS[0], "timeout": 15},
    ),
    "route53": Known(
        "octodns-route53",
        "octodns_route53.Route53Provider",
        {},
        {name: name for name in ("access_key_id", "secret_access_key", "session_token", "role_arn", "profile")},
        ("access_key_id", "secret_access_key", "session_token"),
    ),
}


@dataclasses.dataclass(frozen=True)
class Provider:
    """Who serves a zone. ``arguments`` are octoDNS's, ``secrets`` the values that nobody may see."""

    name: str
    class_name: str
    package: str
    arguments: Mapping[str, Any] = dataclasses.field(repr=False)
    secrets: tuple[str, ...] = dataclasses.field(repr=False)

    @property
    def where(self) -> str:
        """For messages: the provider and the server."""
        host = self.arguments.get("host")
        return f"{self.name} ({host}:{self.arguments.get('port', 53)})" if host and self.name == RFC2136 else self.name

    @property
    def server(self) -> tuple[str, int] | None:
        """The name server that is written to, where there is one."""
        if self.name != RFC2136:
            return None
        return str(self.arguments["host"]), int(self.arguments.get("port", 53))


def is_installed(class_name: str) -> bool:
    """Whether the class of a provider can be imported."""
    try:
        return importlib.util.find_spec(class_name.rpartition(".")[0]) is not None
    except (ImportError, ValueError):
        return False


def read_provider(zone: str, given: Mapping[str, Any]) -> tuple[Provider | None, list[Finding]]:
    """The provider of a zone from its settings, and what is wrong with them. ``options`` go to a class as they are."""
    place = f"dns_zones['{zone}']"
    name = str(given.get("provider") or "")
    if not name:
        fix = f"Write one of {', '.join(sorted(KNOWN))}, or the class of another octoDNS provider."
        return None, [wrong(f"{place}.provider", f"The zone {zone} has no provider.", fix)]
    if name in KNOWN:
        return _known(zone, name, KNOWN[name], given)
    if not _CLASS.fullmatch(name):
        message = f"{place}.provider is '{name}', which is not known."
        fix = f"Write one of {', '.join(sorted(KNOWN))}, or a class (octodns_foo.FooProvider)."
        return None, [wrong(f"{place}.provider", message, fix)]
    options = given.get("options") or {}
    if not isinstance(options, Mapping):
        text = f"{place}.options is no mapping of settings."
        return None, [wrong(f"{place}.options", text, f"Write the settings of {name} in it.")]
    # Nobody knows which of them are secret: none is shown.
    secrets = tuple(str(value) for value in options.values() if isinstance(value, str))
    module = name.partition(".")[0]
    return _installed(zone, Provider(name, name, module.replace("_", "-"), dict(options), secrets))


def _known(zone: str, name: str, known: Known, given: Mapping[str, Any]) -> tuple[Provider | None, list[Finding]]:
    place = f"dns_zones['{zone}']"
    names = {**known.required, **known.optional}
    findings = [
        wrong(
            f"{place}.{setting}",
            f"{place} has no {setting}, which {name} needs.",
            f"Add it{', from the vault' if setting in known.secret else ''}.",
        )
        for setting in known.required
        if given.get(setting) in (None, "")
    ]
    findings += _unknown(place, name, names, given)
    findings += _odd(place, known, given)
    if findings:
        return None, findings
    arguments = {**known.fixed, **{names[key]: given[key] for key in names if given.get(key) not in (None, "")}}
    secrets = tuple(str(given[key]) for key in known.secret if given.get(key))
    return _installed(zone, Provider(name, known.class_name, known.package, arguments, secrets))


def _unknown(place: str, name: str, names: Mapping[str, str], given: Mapping[str, Any]) -> list[Finding]:
    return [
        wrong(
            f"{place}.{key}",
            f"{place} has a setting '{key}', which {name} does not have.",
            f"Take it out, or correct it to one of {', '.join((*names, *ZONE_SETTINGS))}.",
        )
        for key in given
        if key not in names and key not in ZONE_SETTINGS
    ]


# Of a zone, whatever its provider is.
ZONE_SETTINGS = ("provider", "records", "ttl", "nameservers")


def _odd(place: str, known: Known, given: Mapping[str, Any]) -> list[Finding]:
    """Settings with a value that cannot be. A secret is not shown."""
    findings = []
    port = given.get("port")
    if "port" in known.optional and port is not None and not (str(port).isdecimal() and int(port) in _PORT):
        findings.append(wrong(f"{place}.port", f"{place}.port is {port!r}.", "Write a number from 1 to 65535."))
    if known.class_name != KNOWN[RFC2136].class_name:
        return findings
    algorithm = given.get("key_algorithm") or ALGORITHMS[0]
    if algorithm not in ALGORITHMS:
        text = f"{place}.key_algorithm is '{algorithm}', which is not known."
        findings.append(wrong(f"{place}.key_algorithm", text, f"Write one of {', '.join(ALGORITHMS)}."))
    try:
        base64.b64decode(str(given.get("key") or ""), validate=True)
    except binascii.Error:
        fix = "Take it as the name server's tool (keymgr -t, tsig-keygen) printed it, from the vault."
        findings.append(wrong(f"{place}.key", f"{place}.key is not in base64, which every TSIG key is.", fix))
    return findings


def _installed(zone: str, provider: Provider) -> tuple[Provider | None, list[Finding]]:
    if is_installed(provider.class_name):
        return provider, []
    text = f"The provider {provider.name} of {zone} needs the Python package {provider.package}, which is missing."
    fix = f"Install it beside Ansible: pip install {provider.package}"
    return None, [wrong(f"dns_zones['{zone}'].provider", text, fix)]


def wrong(name: str, message: str, fix: str) -> Finding:
    """A finding about a setting of this role."""
    return Finding("dns-setting", "error", name, message, fix)
