"""What the parts on real hosts share: a Docker engine, and an address range that nobody holds any more."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from testbed import engine, hosts

from .context import Context
from .outcome import PartError


@contextlib.contextmanager
def ready(context: Context, first: str = "", *, apart_from: str = "") -> Iterator[None]:
    """Have an engine run, rid of the hosts of runs that were cut off. One that was started for this is stopped.

    ``first`` is the scenario that is about to begin: it removes its own hosts itself. What is in the range
    ``apart_from`` is left alone: it may be of a part that runs beside this one.
    """
    context.console.clear()
    engine.install_tools()
    with engine.borrowed():
        # A sandbox of this checkout that stands still, as after a reboot, is its owner's: `up` starts it again.
        own = {path.name for path in (context.root / ".cache" / "testbed").glob("sandbox")}
        for name in hosts.clear_dead(own, apart_from):
            context.console.say(f"  Removed what an earlier run had left of {name}: its hosts did not run any more.")
        beds = hosts.beds(apart_from)
        running = sorted(name for name, alive in beds.items() if alive and name.startswith("molecule-"))
        for name in (name.removeprefix("molecule-") for name in running if name != f"molecule-{first}"):
            raise PartError(
                f"The hosts of the scenario {name} are running, and hold the addresses that every scenario needs.\n"
                "Fix: when nobody needs them any more, where they were made: "
                f". .venv/bin/activate && molecule destroy -s {name}"
            )
        yield
        context.console.clear()
