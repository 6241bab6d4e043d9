# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The names of sites by host, for their records."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.filter.served_names import served_names

SITE = {"name": "app.example.com", "aliases": ["www.example.com"]}


def test_names_and_aliases_of_each_host() -> None:
    hostvars: dict[str, dict[str, Any]] = {
        "web1": {"edge_sites": [SITE, {"name": "lab.example.com", "certificate": "internal"}]},
        "web2": {"edge_sites": [SITE], "edge_certificate": "files"},
        "web3": {"edge_sites": [{**SITE, "certificate": "acme_dns"}], "edge_certificate": "files"},
        "db1": {"edge_sites": [SITE], "edge_enabled": False},
        "db2": {},
    }
    assert served_names([*hostvars, "unknown"], hostvars) == {
        "web1": [
            {"name": "app.example.com", "acme": True},
            {"name": "www.example.com", "acme": True},
            {"name": "lab.example.com", "acme": False},
        ],
        "web2": [{"name": "app.example.com", "acme": False}, {"name": "www.example.com", "acme": False}],
        "web3": [{"name": "app.example.com", "acme": True}, {"name": "www.example.com", "acme": True}],
    }


@pytest.mark.parametrize("sites", [None, "app", {"name": "x"}, [None], ["app"], [{"aliases": "www"}], [{"name": ""}]])
def test_what_is_no_site_is_left_to_the_edge(sites: Any) -> None:
    assert served_names(["web1"], {"web1": {"edge_sites": sites}}) == {}
