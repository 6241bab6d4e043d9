# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rehearses a renewal: the whole way to a certificate, without touching one that is in use.

A second Caddy, the same program under the same user with the issuers of the running configuration, asks for the names
with a storage of its own that is thrown away. It asks the test directory of the CA, where there is one. The challenge
goes the real way: Caddys that share a storage answer each other's challenges, so the one that serves the sites answers
this one's: the folder of the challenges is common to both. The running one is not stopped, reloaded or changed.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import queue
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .caddy import RunningCaddy
from .directories import LETS_ENCRYPT, test_directory
from .rehearsal_log import LogReader, Rehearsed
from .storage import ca_folder, safe

# Of a policy: what the rehearsal must not take over.
_NOT_TAKEN = ("storage", "on_demand", "managers")
# systemd would take what the second one says for words of the first.
_NOT_INHERITED = ("NOTIFY_SOCKET", "LISTEN_", "WATCHDOG_", "JOURNAL_STREAM", "INVOCATION_ID", "SYSTEMD_EXEC_PID")
_FRESH = 300  # seconds; a token that is older was left behind
_STOP = 5  # seconds in which Caddy ends by itself

Choose = Callable[[str], str]
# Takes the folder in which a new certificate lies, below that of the second Caddy, and the storage of the running one.
Keep = Callable[[RunningCaddy, Path, Path], None]


@dataclass(frozen=True)
class Issuer:
    """A CA of the running configuration, and the directory that is asked in its place."""

    directory: str
    asked: str


def rehearsal_config(
    running: Mapping[str, Any], names: Sequence[str], storage: Path, ports: tuple[int, int], choose: Choose
) -> tuple[dict[str, Any], list[Issuer]]:
    """The configuration of the second Caddy from that of the running one, and the CAs in it.

    `ports` are two free ones on the loopback; nobody asks them, since the running Caddy answers. `choose` says which
    directory is asked in place of that of a CA.
    """
    automation = running.get("apps", {}).get("tls", {}).get("automation", {})
    issuers: list[Issuer] = []
    policies = []
    for policy in automation.get("policies") or [{}]:
        taken = {key: copy.deepcopy(value) for key, value in policy.items() if key not in _NOT_TAKEN}
        taken["issuers"] = [
            issuer for issuer in taken.get("issuers") or [{"module": "acme"}] if issuer["module"] == "acme"
        ]
        if not taken["issuers"]:
            continue
        for issuer in taken["issuers"]:
            directory = issuer.get("ca") or LETS_ENCRYPT
            issuer["ca"] = choose(directory)
            issuer.pop("test_ca", None)
            issuers.append(Issuer(directory, issuer["ca"]))
            challenges = issuer.setdefault("challenges", {})
            challenges["bind_host"] = "127.0.0.1"
            for kind, port in zip(("http", "tls-alpn"), ports, strict=True):
                challenges.setdefault(kind, {})["alternate_port"] = port
        policies.append(taken)
    tls = {
        "certificates": {"automate": list(names)},
        "automation": {"policies": policies},
        "disable_ocsp_stapling": True,
    }
    config = {
        "admin": {"disabled": True, "config": {"persist": False}},
        "logging": {"logs": {"default": {"level": "INFO", "encoder": {"format": "json"}}}},
        "storage": {"module": "file_system", "root": str(storage)},
        "apps": {"tls": tls},
    }
    return config, list(dict.fromkeys(issuers))


def share_challenges(
    issuers: Iterable[Issuer], storage: Path, running_storage: Path, caddy: RunningCaddy, *, accounts: bool = False
) -> None:
    """Let both Caddys have the folders of the challenges in common; with `accounts`, the accounts at the CA too."""
    made = [storage, storage / "acme"]
    made[1].mkdir()
    for issuer in issuers:
        shared = running_storage / "acme" / ca_folder(issuer.directory) / "challenge_tokens"
        # As Caddy's user: in a folder of another one, root follows no links.
        subprocess.run(["mkdir", "-p", shared], check=True, umask=0o077, timeout=_STOP, **caddy.as_user())
        own = made[1] / ca_folder(issuer.asked)
        if own not in made and not own.is_symlink():
            if accounts:
                own.symlink_to(shared.parent)
                continue
            own.mkdir()
            (own / "challenge_tokens").symlink_to(shared)
            made.append(own)
    for folder in reversed(made):
        os.chown(folder, caddy.uid, caddy.gid)


def in_progress(names: Iterable[str], running_storage: Path, now: float) -> list[str]:
    """The names for which the running Caddy solves a challenge just now."""
    found = []
    for name in names:
        for path in running_storage.glob(f"acme/*/challenge_tokens/{safe(name)}.json"):
            # It is gone as soon as the challenge is over.
            with contextlib.suppress(FileNotFoundError):
                if now - path.stat().st_mtime < _FRESH:
                    found.append(name)
    return found


def rehearse(
    caddy: RunningCaddy,
    names: Sequence[str],
    *,
    ca: str = "",
    timeout: float = 120.0,
    clock: Callable[[], float] = time.time,
) -> list[Rehearsed]:
    """Ask for every name; how it went for each, in their order. CaddyError when the running Caddy cannot be asked."""
    return ask(caddy, names, lambda directory: ca or test_directory(directory), timeout=timeout, clock=clock)


def ask(
    caddy: RunningCaddy,
    names: Sequence[str],
    choose: Choose,
    *,
    keep: Keep | None = None,
    timeout: float = 120.0,
    clock: Callable[[], float] = time.time,
) -> list[Rehearsed]:
    """Ask for every name with a second Caddy. With `keep` under the accounts of the running one, and it gets each
    certificate; without, they are thrown away."""
    running = caddy.config()
    storage = caddy.storage(running)
    busy = in_progress(names, storage, clock())
    results = {
        name: Rehearsed(
            name, False, "begin", "Caddy is about to get this very certificate.", "Try again in some minutes."
        )
        for name in busy
    }
    todo = [name for name in names if name not in results]
    folder = Path(tempfile.mkdtemp(prefix="hypercode-rehearsal-"))
    try:
        issuers = rehearsal_config(running, todo, folder, _free_ports(), choose)[1]
        if todo and not issuers:
            text = "Caddy's configuration has no CA for it."
            results |= {name: Rehearsed(name, False, "begin", text, "Run site.yml again.") for name in todo}
        elif todo:
            share_challenges(issuers, folder, storage, caddy, accounts=keep is not None)
            deadline = time.monotonic() + timeout
            for batch in _batches(running, todo):
                config, issuers = rehearsal_config(running, batch, folder, _free_ports(), choose)
                reader = LogReader(batch, [issuer.asked for issuer in issuers], timeout)
                _run(caddy, config, folder, reader, max(0.0, deadline - time.monotonic()))
                results |= {result.name: result for result in reader.results()}
        if keep:
            for name in (name for name in todo if results[name].passed):
                for found in folder.glob(f"certificates/*/{safe(name)}"):
                    keep(caddy, found.relative_to(folder), folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return [results[name] for name in names]


def _batches(running: Mapping[str, Any], names: Sequence[str]) -> list[list[str]]:
    """Which names are asked for together: all, or, where a CA has no address to write to, one after the other.

    Without one, Caddy looks for an older account. Of two names at once, the second finds that of the first half made,
    and takes its folder, "default", for the address; the CA refuses that.
    """
    policies = running.get("apps", {}).get("tls", {}).get("automation", {}).get("policies") or [{}]
    issuers = [issuer for policy in policies for issuer in policy.get("issuers") or [{"module": "acme"}]]
    alone = any(issuer["module"] == "acme" and not issuer.get("email") for issuer in issuers)
    return [[name] for name in names] if alone else [list(names)]


def _run(caddy: RunningCaddy, config: Mapping[str, Any], folder: Path, reader: LogReader, timeout: float) -> None:
    """Run the second Caddy until every name is through, and end it."""
    environment = {key: value for key, value in caddy.environment.items() if not key.startswith(_NOT_INHERITED)}
    environment |= {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    lines: queue.Queue[str | None] = queue.Queue()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as config_file:
        # The configuration may hold a key for the DNS: it lies in a file that has no name.
        json.dump(config, config_file)
        config_file.seek(0)
        process = subprocess.Popen(
            [caddy.executable, "run", "--config", "-"],
            stdin=config_file,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=folder,
            **caddy.as_user(),
        )
    threading.Thread(target=_pump, args=(process.stderr, lines), daemon=True).start()
    try:
        deadline = time.monotonic() + timeout
        while not reader.is_done and (left := deadline - time.monotonic()) > 0:
            try:
                line = lines.get(timeout=left)
            except queue.Empty:
                break
            if line is None:
                reader.ended()
                break
            reader.feed(line)
    finally:
        process.terminate()
        try:
            process.wait(_STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _pump(stream: Iterable[bytes], lines: queue.Queue[str | None]) -> None:
    for line in stream:
        lines.put(line.decode("utf-8", errors="replace"))
    lines.put(None)


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]
