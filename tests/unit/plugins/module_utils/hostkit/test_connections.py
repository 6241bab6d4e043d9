# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Connections that are open, counted by their other end; on the real /proc of this machine."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.connections import connections_to

# Nobody else talks to it.
ADDRESS = "127.86.75.64"


@pytest.mark.parametrize("spoken", [ADDRESS, f"::ffff:{ADDRESS}"])
def test_an_open_connection_is_counted_until_it_ends(spoken: str) -> None:
    with socket.create_server((ADDRESS, 0)) as server:
        assert connections_to([ADDRESS]) == 0
        with socket.create_connection((spoken, server.getsockname()[1])):
            accepted = server.accept()[0]
            assert connections_to([ADDRESS]) == 1
            assert connections_to(["127.86.75.65", "[::2]"]) == 0
            accepted.close()
        assert connections_to([ADDRESS]) == 0


def test_a_host_without_these_files_has_none(tmp_path: Path) -> None:
    assert connections_to([ADDRESS], tmp_path) == 0
