# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Questions about IP addresses."""

from __future__ import annotations

import ipaddress


def is_address(text: str) -> bool:
    """Whether a text is an IP address, IPv4 or IPv6, and not a name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
