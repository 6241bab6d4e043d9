"""A real browser: Debian's Chromium without a window, told what to do through a pipe in its own DevTools protocol."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PROGRAM = "chromium"
_PATIENCE = 20.0
# Its own sandbox needs what root in a container has not. What it opens here is written by the tests.
_OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"),
    *("--no-first-run", "--disable-extensions", "--disable-background-networking", "--disable-sync"),
    *("--disable-component-update", "--remote-debugging-pipe"),
)


class BrowserError(Exception):
    """The browser did not do what it was told; the text says what."""


def why_not() -> str:
    """Why there is no browser; empty when there is one."""
    return "" if shutil.which(PROGRAM) else f"{PROGRAM} is not installed. Fix: apt-get install {PROGRAM}"


class Browser:
    """One browser for several pages. Its profile is in a folder of its own; it ends with the block."""

    def __init__(self, folder: Path) -> None:
        to_it, self._write = os.pipe()
        self._read, from_it = os.pipe()
        # It reads from 3 and writes to 4. The pipes have other numbers here, or the same the other way round.
        script = (
            "import os, sys; ends = [os.dup(int(number)) for number in sys.argv[1:3]]; "
            "high = [os.dup2(end, 90 + place) for place, end in enumerate(ends)]; "
            "[os.dup2(end, 3 + place) for place, end in enumerate(high)]; os.execvp(sys.argv[3], sys.argv[3:])"
        )
        command = [sys.executable, "-c", script, str(to_it), str(from_it)]
        command += [PROGRAM, *_OPTIONS, f"--user-data-dir={folder}", "about:blank"]
        environment = os.environ | {"HOME": str(folder)}
        self._log = (folder.parent / f"{folder.name}.log").open("wb")
        self._process = subprocess.Popen(
            command, pass_fds=(to_it, from_it), stdout=self._log, stderr=self._log, env=environment
        )
        os.close(to_it)
        os.close(from_it)
        self._rest = b""
        self._number = 0
        self.told: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._write)
        os.close(self._read)
        self._log.close()

    def ask(self, method: str, session: str = "", **words: Any) -> dict[str, Any]:
        """One command and its answer. What the browser tells meanwhile is kept in `told`."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": words}
        if session:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + _PATIENCE
        while True:
            answer = self._next(deadline, method)
            if answer.get("id") != self._number:
                self.told.append(answer)
            elif "error" in answer:
                raise BrowserError(f"{method}: {answer['error']}")
            else:
                return dict(answer["result"])

    def wait_for(self, method: str, session: str) -> None:
        """Wait until the browser tells something."""
        deadline = time.monotonic() + _PATIENCE
        while not any(one.get("method") == method and one.get("sessionId") == session for one in self.told):
            self.told.append(self._next(deadline, method))

    def open(self, page: Path, *, width: int, height: int, dark: bool = False) -> Page:
        """Open a file as a phone would (below 600 wide), or a desktop."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for area in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{area}.enable", session)
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.ask("Emulation.setDeviceMetricsOverride", session, **metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", session, features=[scheme])
        self.ask("Page.navigate", session, url=page.as_uri())
        self.wait_for("Page.loadEventFired", session)
        return Page(self, session, target)

    def _next(self, deadline: float, waiting: str) -> dict[str, Any]:
        while b"\0" not in self._rest:
            left = deadline - time.monotonic()
            ready = select.select([self._read], [], [], max(0.0, left))[0]
            piece = os.read(self._read, 1 << 20) if ready else b""
            if not piece:
                raise BrowserError(f"no answer to {waiting}, exit code {self._process.poll()}")
            self._rest += piece
        line, _separator, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(line))


class Page:
    """A page that is open."""

    def __init__(self, browser: Browser, session: str, target: str) -> None:
        self._browser, self._session, self._target = browser, session, target

    def close(self) -> None:
        """Close it, for what it takes of memory."""
        self._browser.ask("Target.closeTarget", targetId=self._target)

    def value(self, script: str) -> Any:
        """What an expression of JavaScript gives. The page's own policy does not bind the browser's owner."""
        answer = self._browser.ask("Runtime.evaluate", self._session, expression=script, returnByValue=True)
        if "exceptionDetails" in answer:
            raise BrowserError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def picture(self, *, top: float = 0, height: float | None = None) -> bytes:
        """A PNG of what is seen, or of a part of the whole page."""
        words: dict[str, Any] = {"format": "png"}
        if height is not None:
            width = self.value("innerWidth")
            words["clip"] = {"x": 0, "y": top, "width": width, "height": height, "scale": 1}
            words["captureBeyondViewport"] = True
        return base64.b64decode(self._browser.ask("Page.captureScreenshot", self._session, **words)["data"])

    def pdf(self) -> bytes:
        """The page as it is printed."""
        words = {"preferCSSPageSize": True, "printBackground": False}
        return base64.b64decode(self._browser.ask("Page.printToPDF", self._session, **words)["data"])

    def complaints(self) -> list[str]:
        """What the console says, and what went wrong in scripts."""
        kinds = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
        return [json.dumps(one["params"]) for one in self._mine() if one["method"] in kinds]

    def requests(self) -> list[str]:
        """The addresses that were asked for."""
        return [
            str(one["params"]["request"]["url"]) for one in self._mine() if one["method"] == "Network.requestWillBeSent"
        ]

    def _mine(self) -> list[dict[str, Any]]:
        return [one for one in self._browser.told if one.get("sessionId") == self._session]
