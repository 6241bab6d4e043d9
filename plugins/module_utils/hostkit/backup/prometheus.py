# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prometheus, where it is asked for: a snapshot that it makes of itself, saved as files. Never a copy of a live block.

Its interface for that (https://prometheus.io/docs/prometheus/latest/querying/api/#snapshot) is off by default.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from .config import BackupError
from .saver import Saver
from .stack import PROMETHEUS, Container, Stack

PORT = 9090
# Where its data is when no option says so: in the official image, and in what follows it.
_DATA = ("/prometheus", "/var/lib/prometheus", "/bitnami/prometheus", "/opt/bitnami/prometheus/data")
_TIMEOUT = 600.0
_PATH = "/api/v1/admin/tsdb/snapshot"


def back_up(stack: Stack, service: str, saver: Saver) -> None:
    """Have it make a snapshot, save that, and take it away again. Raises BackupError."""
    container = stack.container(service)
    data = data_folder(stack, container)
    folder = data / "snapshots" / ask_for_snapshot(container)
    try:
        if not folder.is_dir():
            raise BackupError(
                f"{service} says that it made the snapshot {folder.name}, and it is not in {folder.parent}. "
                "Fix: see that its --storage.tsdb.path is a volume"
            )
        saver.tree(f"{PROMETHEUS}/{service}", [str(folder)])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            # Empty, unless somebody else keeps snapshots there.
            folder.parent.rmdir()


def data_folder(stack: Stack, container: Container) -> Path:
    """The folder on this host in which its data is. BackupError where it is in no volume."""
    stated = option(container.arguments, "storage.tsdb.path")
    for wanted in (stated,) if stated else _DATA:
        found = stack.folder_in(container, Path(wanted))
        if found is not None:
            return found
    raise BackupError(
        f"{container.service} keeps nothing: no volume is mounted at {stated or _DATA[0]}. "
        "Fix: mount one in the Compose file, or take it out of backup_services"
    )


def ask_for_snapshot(container: Container) -> str:
    """Have it make a snapshot; return its name. Raises BackupError."""
    port = int((option(container.arguments, "web.listen-address") or f":{PORT}").rpartition(":")[2])
    prefix = "/" + option(container.arguments, "web.route-prefix").strip("/")
    path = prefix.rstrip("/") + _PATH
    reason = "it is in no network"
    for address in container.addresses:
        connection = http.client.HTTPConnection(address, port, timeout=_TIMEOUT)
        try:
            connection.request("POST", path)
            answer = connection.getresponse()
            text = answer.read(1 << 16).decode("utf-8", errors="replace")
        except (OSError, http.client.HTTPException) as error:
            reason = f"{address}:{port} does not answer ({error})"
            continue
        finally:
            connection.close()
        return _name(container.service, answer.status, text)
    raise BackupError(
        f"{container.service} could not be asked for a snapshot: {reason}. Fix: hypercode status shows why"
    )


def _name(service: str, status: int, text: str) -> str:
    try:
        document = json.loads(text)
        name = str(document["data"]["name"]) if status == 200 else ""
        said = str(document.get("error") or "")
    except (AttributeError, KeyError, TypeError, ValueError):
        name = said = ""
    if re.fullmatch(r"[0-9TZ]+-[0-9a-f]+", name):
        return name
    if "admin API" in said:
        raise BackupError(
            f"{service} makes no snapshots: {said}. Fix: add --web.enable-admin-api to its command, where nobody else "
            "gets at it, since who does can delete data; or take it out of backup_services"
        )
    raise BackupError(
        f"{service} made no snapshot: it answered {status} {said[:200]}".rstrip(". ") + ". Fix: see docker logs of it"
    )


def option(arguments: Sequence[str], name: str) -> str:
    """The value of an option of its command line, written with one dash or two; "" where it is not given."""
    for number, word in enumerate(arguments):
        found = re.fullmatch(rf"--?{re.escape(name)}(=(?P<value>.*))?", word, re.DOTALL)
        if found:
            return found["value"] if found["value"] is not None else "".join(arguments[number + 1 : number + 2])
    return ""
