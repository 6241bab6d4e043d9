# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The outlet of a service: a Docker network for it alone, by which its packets leave the host.

The firewall cannot know a service by its address, which is another one after each start. It knows it by the bridge of
this network, whose name follows from the name of the service. Any number of copies of the service share it.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re

# A container leaves by the network that comes first in the alphabet, among those that lead outside (moby, `libnetwork`:
# Less of epHeap). No name of a project begins before this one.
NETWORK_PREFIX = "00-hypercode-outlet-"
_BRIDGE_PREFIX = "br-out-"
BRIDGE_LENGTH = 15  # As long as the name of an interface can be.
SERVICE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")


def network_key(service: str) -> str:
    """The name of a service's outlet in a Compose file."""
    return f"hypercode-outlet-{service}"


def network_name(service: str) -> str:
    """The name of a service's outlet in Docker."""
    return f"{NETWORK_PREFIX}{service}"


def bridge_name(service: str) -> str:
    """The interface of a service's outlet on the host."""
    digest = hashlib.sha256(service.encode()).hexdigest()
    return f"{_BRIDGE_PREFIX}{digest}"[:BRIDGE_LENGTH]


def ipv6_subnet(service: str) -> str:
    """A /64 of its own for a service's outlet, in the range for private use (RFC 4193)."""
    digest = hashlib.sha256(f"outlet of {service}".encode()).digest()
    return str(ipaddress.ip_network((b"\xfd" + digest[:7] + bytes(8), 64)))
