"""The access log of the edge. Comes before the story of the edge."""

from __future__ import annotations

import time

from checks import playbook, stack
from checks.web import Load, Site, until
from testbed.hosts import Bed

BED = Bed("molecule-tls", playbook.ROOT / ".cache" / "testbed" / "molecule-tls", "molecule", "docker")
SITE = Site(BED.address(0), "app.test")


def test_a_log_that_is_full_is_rolled_without_an_end_to_the_edge(host, figure):
    """What systemd forbids Caddy must not be what it needs for that: it would be killed, at each roll anew."""
    # As large as it may get, but for a second of requests.
    nearly = "truncate --size=$((50 * 1024 * 1024 - 30000)) /var/log/caddy/access.log"
    stack.root(host, f"systemctl stop caddy; {nearly}; systemctl start caddy")
    until("it serves again", 10, lambda: SITE.get("/").status == 200)
    load = Load(SITE, rate=50)
    with load.running():
        until("it is rolled", 30, lambda: stack.root(host, "find /var/log/caddy -name 'access-*'"))
        time.sleep(2)
    figure("requests while the access log is rolled", f"{load.sent}, {len(load.failures)} failed")
    assert (load.kinds, load.again) == ({}, 0)
    assert stack.root(host, "systemctl show caddy --property NRestarts --value").strip() == "0"
