"""The host against the points of CIS and Lynis, all roles in place."""

from __future__ import annotations

from hardening import examine


def test_each_point_is_met_or_explained(host, inventory):
    assert examine.problems(inventory) == []
