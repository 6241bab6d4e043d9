# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A token under the address at which a CA looks: shows from outside that a name and a port lead to this host.

Where Caddy serves the host, the token lies among the challenges in its storage, and Caddy gives it out as it does for a
CA. Where nobody listens yet, a process of our own answers, and ends by itself after a while, whatever becomes of us.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .caddy import RunningCaddy
from .directories import LETS_ENCRYPT
from .storage import ca_folder, safe

PATH = "/.well-known/acme-challenge/"
_REQUEST = 4096
_PATIENCE = 5.0
# Below a name that is kept for examples: no host of anybody.
_NOBODY = "hypercode-preflight.example.com"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{20,100}")


def new_token() -> str:
    """A token that nobody can guess."""
    return secrets.token_urlsafe(24)


def proof_of(token: str) -> str:
    """What has to be answered to a token."""
    return f"{token}.hypercode"


# --- Caddy answers ------------------------------------------------------------------------------------------------


def directories_for(config: Mapping[str, Any], name: str) -> list[str]:
    """The ACME directories of the CAs whose challenges Caddy answers for a name with this configuration.

    None where the name has a certificate of Caddy's own CA. A name that no policy speaks of has Caddy's usual CA.
    """
    for policy in config.get("apps", {}).get("tls", {}).get("automation", {}).get("policies") or []:
        subjects = policy.get("subjects") or []
        if subjects and not any(_is_meant(name, subject) for subject in subjects):
            continue
        issuers = policy.get("issuers") or [{"module": "acme"}]
        return [issuer.get("ca") or LETS_ENCRYPT for issuer in issuers if issuer.get("module") == "acme"]
    return [LETS_ENCRYPT]


def _is_meant(name: str, subject: str) -> bool:
    _label, _dot, parent = name.partition(".")
    return subject.lower() in (name.lower(), f"*.{parent.lower()}")


@dataclass(frozen=True)
class Placed:
    """Where Caddy finds the token, and as which host it has to be asked for each name."""

    files: list[str] = field(default_factory=list)
    asked_as: dict[str, str] = field(default_factory=dict)


def place(caddy: RunningCaddy, token: str, names: Iterable[str]) -> Placed:
    """Put the token where Caddy finds it.

    While Caddy serves a name with a certificate of its own CA, it answers no challenge for it; and the file of a
    challenge that is under way, or was left behind, stays. For such names it is asked as another host, which nobody
    has: that shows as well where the address leads. A name for which Caddy answers in no way is left out.
    """
    config = caddy.config()
    placed = Placed()
    for name in names:
        other = f"{secrets.token_hex(8)}.{_NOBODY}"
        for host in (name, other):
            files = [_put(caddy, config, token, host, directory) for directory in directories_for(config, host)]
            placed.files.extend(filter(None, files))
            if files and all(files):
                placed.asked_as[name] = host
                break
    return placed


def _put(caddy: RunningCaddy, config: Mapping[str, Any], token: str, host: str, directory: str) -> str:
    """Write the challenge of one host and CA; its file, or "" where there is one already."""
    path = caddy.storage(config) / "acme" / ca_folder(directory) / "challenge_tokens" / f"{safe(host)}.json"
    text = json.dumps(
        {
            "type": "http-01",
            "status": "pending",
            "token": token,
            "keyAuthorization": proof_of(token),
            "identifier": {"type": "dns", "value": host},
        }
    )
    # As Caddy's user: in a folder of another one, root follows no links.
    script = 'umask 077; mkdir -p "${1%/*}"; set -C; cat > "$1"'
    done = subprocess.run(
        ["sh", "-c", script, "sh", path],
        input=text.encode(),
        check=False,
        capture_output=True,
        timeout=_PATIENCE,
        **caddy.as_user(),
    )
    return "" if done.returncode else str(path)


def take_away(files: Iterable[str], token: str, caddy: RunningCaddy | None = None) -> None:
    """Take our tokens away; a file that holds another one by now stays."""
    for file in files:
        path = Path(file)
        if path.parent.name != "challenge_tokens":
            continue
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            if json.loads(path.read_text(encoding="utf-8"))["token"] == token:
                who: dict[str, Any] = caddy.as_user() if caddy else {}
                subprocess.run(["rm", "-f", path], check=False, timeout=_PATIENCE, **who)


# --- we answer ----------------------------------------------------------------------------------------------------


def listen(ports: Iterable[int], token: str, seconds: float) -> int:
    """Answer on these ports with a process of its own for so many seconds; its number. OSError when a port is taken."""
    sockets = [_bound(port) for port in ports]
    # Whoever started us must neither wait for it nor end it.
    waiting, ready = os.pipe()
    child = os.fork()
    if child:
        for one in sockets:
            one.close()
        os.close(ready)
        # Until it has the name by which `end` knows it, and lets go of all that it does not need.
        os.read(waiting, 1)
        os.close(waiting)
        return child
    try:
        os.setsid()
        with contextlib.suppress(OSError):
            Path("/proc/self/comm").write_text(_process_name(token), encoding="utf-8")
        nothing = os.open(os.devnull, os.O_RDWR)
        kept = {one.fileno() for one in sockets}
        for number in (0, 1, 2):
            os.dup2(nothing, number)
        for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - numbers, not paths.
            if int(name) > 2 and int(name) not in kept:
                with contextlib.suppress(OSError):
                    os.close(int(name))
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # Should it hang all the same.
        signal.alarm(int(seconds) + 5)
        _serve(sockets, token, time.monotonic() + seconds)
    finally:
        os._exit(0)


def end(pid: int, token: str) -> None:
    """End the process that answers for this token; another one with that number stays."""
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        if _is_ours(pid, token):
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)


def _is_ours(pid: int, token: str) -> bool:
    """A number may have been given to another process meanwhile: ours leads a session, and has this very name."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip() == _process_name(token)
    return False


def _process_name(token: str) -> str:
    # The kernel keeps 15 bytes.
    return f"hc-{token}"[:15]


def _bound(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        with contextlib.suppress(OSError):
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


def _serve(sockets: Iterable[socket.socket], token: str, until: float) -> None:
    with selectors.DefaultSelector() as selector:
        for one in sockets:
            selector.register(one, selectors.EVENT_READ)
        while (left := until - time.monotonic()) > 0:
            for key, _events in selector.select(min(left, 1)):
                listening = key.fileobj
                if isinstance(listening, socket.socket):
                    with contextlib.suppress(OSError):
                        _answer(listening.accept()[0], token)


def _answer(connection: socket.socket, token: str) -> None:
    with connection:
        connection.settimeout(1)
        request = connection.recv(_REQUEST)
        found = request.startswith(f"GET {PATH}{token} ".encode())
        body = proof_of(token) if found else ""
        head = (
            f"HTTP/1.0 {'200 OK' if found else '404 Not Found'}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
        )
        connection.sendall(f"{head}Content-Type: text/plain\r\n\r\n{body}".encode())


def is_token(text: str) -> bool:
    """Whether a text may be a token."""
    return bool(_TOKEN.fullmatch(text))
