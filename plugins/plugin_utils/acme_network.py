# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Asks name servers and ports, as a CA does."""

from __future__ import annotations

import errno
import http.client
import socket
from collections.abc import Sequence
from typing import Any

from ansible_collections.hypercode.deploy.plugins.plugin_utils.acme_reach import (
    NO_WAY,
    REFUSED,
    SILENT,
    Answer,
    Fetch,
    Lookup,
    LookupFailedError,
)

_LIFETIME = 8.0  # seconds for one question, all attempts together
_DNS_PORT = 53
_CHAIN = 8  # names that may point to each other (CNAME)
_SERVERS = 3  # of a zone are enough to ask
_LONGEST = 4096
_NO_WAY = (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def lookup_with(nameservers: Sequence[str], port: int = _DNS_PORT) -> Lookup:
    """Ask these name servers, or those of this machine."""
    # Here, since only a run that needs it has to have it.
    import dns.exception  # noqa: PLC0415
    import dns.resolver  # noqa: PLC0415

    resolver = _resolver(nameservers, port)
    # Each name is asked for once for each type, whoever asks.
    known: dict[tuple[str, str], Sequence[str] | LookupFailedError] = {}

    def ask(name: str, kind: str) -> Sequence[str] | LookupFailedError:
        try:
            return [str(value) for value in resolver.resolve(f"{name}.", kind, search=False)]
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except dns.resolver.NoNameservers:
            return LookupFailedError("the name servers fail for it")
        except dns.exception.Timeout:
            return LookupFailedError("no name server answers in time")
        except dns.exception.DNSException as error:
            return LookupFailedError(str(error) or type(error).__name__)

    def lookup(name: str, kind: str) -> Sequence[str]:
        if (name, kind) not in known:
            known[name, kind] = ask(name, kind)
        found = known[name, kind]
        if isinstance(found, LookupFailedError):
            raise found
        return found

    return lookup


def _resolver(nameservers: Sequence[str], port: int) -> Any:
    import dns.resolver  # noqa: PLC0415

    resolver = dns.resolver.Resolver(configure=not nameservers)
    if nameservers:
        resolver.nameservers = list(nameservers)
        resolver.port = port
    resolver.lifetime = _LIFETIME
    return resolver


def lookup_at_owners(
    usual: Lookup, nameservers: Sequence[str], port: int = _DNS_PORT, owners_port: int = _DNS_PORT
) -> Lookup:
    """Ask the name servers of the zone of each name, as a CA does: a resolver keeps for a while what was there before.

    `nameservers` tell which ones these are. Where that way is closed, `usual` is what is left.
    """
    import dns.exception  # noqa: PLC0415
    import dns.resolver  # noqa: PLC0415

    finder = _resolver(nameservers, port)
    # By zone; without addresses where they could not be asked, so that one is not waited for again.
    owners: dict[Any, list[str]] = {}

    def addresses_of(zone: Any) -> list[str]:
        if zone not in owners:
            owners[zone] = []
            servers = sorted(str(value.target) for value in finder.resolve(zone, "NS"))[:_SERVERS]
            found = (address for name in servers for address in finder.resolve_name(name).addresses())
            owners[zone] = [str(address) for address in found]
        return owners[zone]

    def ask(name: str, kind: str) -> Sequence[str] | None:
        """The values; None where the servers of the zone cannot be asked."""
        for _link in range(_CHAIN):
            zone = dns.resolver.zone_for_name(name, resolver=finder)
            if not addresses_of(zone):
                return None
            owner = _resolver(addresses_of(zone), owners_port)
            # It knows its own zone, and is to ask nobody.
            owner.flags = 0
            try:
                answer = owner.resolve(name, kind, search=False, raise_on_no_answer=False)
            except dns.resolver.NXDOMAIN:
                return []
            except dns.exception.DNSException:
                owners[zone] = []
                return None
            if answer.rrset is not None or str(answer.canonical_name) == name:
                return [str(value) for value in answer.rrset or ()]
            name = str(answer.canonical_name)
        return []

    def lookup(name: str, kind: str) -> Sequence[str]:
        try:
            found = ask(f"{name}.", kind)
        except (dns.exception.DNSException, OSError):
            found = None
        return usual(name, kind) if found is None else found

    return lookup


def fetch_within(timeout: float) -> Fetch:
    """Connect, and ask for a path where there is one; redirects are not followed."""

    def fetch(address: str, port: int, host: str, path: str) -> Answer:
        connection = http.client.HTTPConnection(address, port, timeout=timeout)
        try:
            connection.connect()
            if not path:
                return Answer()
            connection.request(
                "GET", path, headers={"Host": host, "User-Agent": "hypercode.deploy", "Connection": "close"}
            )
            answer = connection.getresponse()
            body = answer.read(_LONGEST).decode("utf-8", errors="replace")
            return Answer(body=body, server=answer.getheader("Server", "") or f"status {answer.status}")
        except ConnectionRefusedError:
            return Answer(REFUSED)
        except (TimeoutError, ConnectionResetError, http.client.HTTPException):
            return Answer(SILENT)
        except socket.gaierror:
            return Answer(NO_WAY)
        except OSError as error:
            return Answer(NO_WAY if error.errno in _NO_WAY else SILENT)
        finally:
            connection.close()

    return fetch
