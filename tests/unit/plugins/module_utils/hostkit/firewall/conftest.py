# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from collections.abc import Iterator

import pytest
from fakes import network_lab
from fakes.network_lab import Lab


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Real namespaces, real nftables; where these cannot be had, the tests are skipped and say why."""
    reason = network_lab.missing()
    if reason:
        pytest.skip(f"the rules are not tried with packets: {reason}")
    with Lab() as built:
        yield built
