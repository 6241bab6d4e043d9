"""What the parts on real hosts share: a Docker engine, and an address range that nobody holds any more."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from testbed import engine, hosts

from .context import Context


@contextlib.contextmanager
def ready(context: Context) -> Iterator[None]:
    """Have an engine run, rid of the hosts of runs that were cut off. One that was started for this is stopped."""
    context.console.clear()
    engine.install_tools()
    started = not engine.is_running()
    engine.start()
    # A sandbox of this checkout that stands still, as after a reboot, is its owner's: `up` starts it again.
    own = {path.name for path in (context.root / ".cache" / "testbed").glob("sandbox")}
    for name in hosts.clear_dead(keep=own):
        context.console.say(f"  Removed what an earlier run had left of {name}: its hosts did not run any more.")
    try:
        yield
    finally:
        if started:
            context.console.clear()
            engine.stop_if_ours()
