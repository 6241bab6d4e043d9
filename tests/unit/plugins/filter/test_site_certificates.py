# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What certificates sites have, for those who look at them before the edge does."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.filter.site_certificates import site_certificates

SITE = {"name": "App.example.com", "aliases": ["www.example.com"], "service": "app", "port": 80}
NAMES = ["app.example.com", "www.example.com"]


def test_each_site_with_all_its_names() -> None:
    wild = {**SITE, "name": "*.example.com", "aliases": [], "certificate": "acme_dns"}
    assert site_certificates([SITE, wild]) == [
        {"name": NAMES[0], "names": NAMES, "mode": "acme", "certificate_file": ""},
        {
            "name": "*.example.com",
            "names": ["*.example.com"],
            "mode": "acme_dns",
            "certificate_file": "/var/lib/caddy/lego/certificates/_.example.com.crt",
        },
    ]
    assert [site["mode"] for site in site_certificates([SITE], "internal")] == ["internal"]


@pytest.mark.parametrize(
    "sites", [None, "app", {"name": "x"}, [None], [{"name": "-x", "service": "a", "port": 1}], [{}]]
)
def test_what_is_wrong_is_left_to_the_edge(sites: Any) -> None:
    assert site_certificates(sites) == []
