# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Asks name servers and ports, as a CA does."""

from __future__ import annotations

import errno
import http.client
import socket
from collections.abc import Sequence

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
_LONGEST = 4096
_NO_WAY = (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def lookup_with(nameservers: Sequence[str], port: int = 53) -> Lookup:
    """Ask these name servers, or those of this machine."""
    # Here, since only a run that needs it has to have it.
    import dns.exception  # noqa: PLC0415
    import dns.resolver  # noqa: PLC0415

    resolver = dns.resolver.Resolver(configure=not nameservers)
    if nameservers:
        resolver.nameservers = list(nameservers)
        resolver.port = port
    resolver.lifetime = _LIFETIME
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
