# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Does a server answer at all? What keeps it from answering is told apart, for each has another fix."""

from __future__ import annotations

import dataclasses
import errno
import ipaddress
import socket
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import StoreError, refuse

TIMEOUT = 8.0
_NO_ROUTE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_BANNER = 255
# In seconds. Each refused login costs an address five seconds with OpenSSH, from fifteen on.
_PAUSES = (6.0, 10.0, 15.0, 20.0)
_Result = TypeVar("_Result")


@dataclasses.dataclass(frozen=True)
class Target:
    """A server as the operator named it. ``addresses`` are what the name stands for, sorted."""

    host: str
    port: int
    addresses: tuple[str, ...] = ()

    @property
    def key_name(self) -> str:
        """How the server is called in a file of host keys."""
        return self.host if self.port == 22 else f"[{self.host}]:{self.port}"

    @property
    def shown(self) -> str:
        return self.host if self.port == 22 else f"{self.host}, port {self.port}"


def normal(host: str) -> str:
    """An address in its usual form; a name in small letters."""
    text = host.strip().removeprefix("[").removesuffix("]")
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return text.lower().rstrip(".")


def resolve(host: str, port: int) -> Target:
    """What a name stands for. Raises StoreError when it stands for nothing."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        message = f"The name {host} stands for no address."
        raise refuse("host-unknown", message, "check its spelling and its DNS entry, or give the address.") from None
    return Target(host, port, tuple(sorted({str(entry[4][0]) for entry in found})))


def patiently(
    attempt: Callable[[], _Result], is_closed: Callable[[StoreError], bool], wait: Callable[[float], None]
) -> _Result:
    """Try again for a while where sshd keeps an address out: since version 9.8 it does so after some refused logins.

    Raises the StoreError of the last attempt.
    """
    for pause in _PAUSES:
        try:
            return attempt()
        except StoreError as error:
            if not is_closed(error):
                raise
        wait(pause)
    return attempt()


def connect(target: Target, timeout: float = TIMEOUT, opener: Callable[..., Any] = socket.create_connection) -> str:
    """See that sshd answers on the port; what it calls itself. Raises StoreError that says what is in the way."""
    errors: list[OSError] = []
    for address in target.addresses:
        try:
            with opener((address, target.port), timeout) as link:
                link.settimeout(timeout)
                banner = link.recv(_BANNER)
                _judge_banner(target, banner)
                return str(banner.decode(errors="replace").strip())
        except OSError as error:
            errors.append(error)
    raise _why(target, errors, timeout)


def _judge_banner(target: Target, banner: bytes) -> None:
    if banner.startswith(b"SSH-"):
        return
    if not banner:
        message = f"{target.host} closes the connection on port {target.port} before it says anything."
        fix = "its sshd may refuse your address for a while after failed logins: wait some minutes, then try again."
        raise refuse("ssh-closed", message, fix)
    message = f"What answers on port {target.port} of {target.host} is not an SSH server."
    raise refuse("ssh-other", message, "give the port of sshd: --port NUMBER")


def _why(target: Target, errors: Sequence[OSError], timeout: float) -> StoreError:
    """The most telling of the errors: an answer says more than silence, silence more than no way."""
    host, port = target.host, target.port
    if any(isinstance(error, ConnectionRefusedError) for error in errors):
        message = f"{host} answers, but refuses connections on port {port}: no SSH server listens there."
        fix = "if sshd has another port, add --port NUMBER; if not, start it through the provider's console."
        return refuse("ssh-refused", message, fix)
    if any(isinstance(error, TimeoutError) for error in errors):
        message = f"Port {port} of {host} does not answer within {timeout:.0f} s: a firewall on the way drops it."
        fix = f"open TCP port {port} for your address in the provider's firewall (security group), then run this again."
        return refuse("ssh-timeout", message, fix)
    only_ipv6 = all(":" in address for address in target.addresses)
    if only_ipv6 and any(error.errno in _NO_ROUTE for error in errors):
        listed = ", ".join(target.addresses)
        message = f"{host} has only an IPv6 address ({listed}), and there is no way to it from here."
        fix = "run this from a machine with IPv6 (test it: ping -6 debian.org), or give the server an IPv4 address too."
        return refuse("ipv6-no-route", message, fix)
    if any(error.errno in _NO_ROUTE for error in errors):
        message = f"There is no way to {host} from here: the network says that it is not reachable."
        return refuse("no-route", message, "check the address, that the server runs, and your VPN where it needs one.")
    reason = next((error.strerror or str(error) for error in errors), "unknown reason").lower()
    message = f"{host} cannot be reached on port {port}: {reason}."
    return refuse("ssh-unreachable", message, "check the address and that the server runs, then run this again.")
