"""A part that begins beside an earlier one, and shows nothing until its own turn comes."""

from __future__ import annotations

import dataclasses
import io
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from .console import Console
from .context import Context
from .outcome import Outcome
from .process import POLL

# Part -> the one that begins with it. ansible-lint and ansible-test keep one core busy each, for most of their while.
# The sandbox leaves about half of two cores idle; the corpus takes no more than that (see unit.py). The scenarios,
# where seconds count, have the machine to themselves.
PAIRS: Mapping[str, str] = {"lint": "sanity", "sandbox": "corpus"}


class Beside:
    """Begins the work of a part. Called when its turn has come, it waits for the end, and returns or raises it."""

    def __init__(self, work: Callable[[Context], Outcome], context: Context) -> None:
        unseen = dataclasses.replace(context, console=Console(out=io.StringIO(), environment={"CI": "true"}))
        self._began = time.monotonic()
        workers = ThreadPoolExecutor(1, thread_name_prefix="beside")
        self._future = workers.submit(work, unseen)
        workers.shutdown(wait=False)

    def __call__(self, context: Context) -> Outcome:
        context.console.began(self._began)
        while not self._future.done():
            context.console.tick()
            time.sleep(POLL)
        return self._future.result()
