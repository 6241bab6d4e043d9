# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Redis and Valkey: a snapshot by replication, which is whole while clients write and the append-only file is on."""

from __future__ import annotations

import re
import subprocess
import tempfile

from .config import BackupError
from .restic import start
from .saver import Saver
from .stack import REDIS, Container, Stack
from .streams import Producer, end

# In the container: the client that is there, with the password that its environment has.
CLIENT = (
    'if [ -z "${REDISCLI_AUTH:-}" ]; then '
    'if [ -n "${REDIS_PASSWORD_FILE:-}" ]; then REDISCLI_AUTH=$(cat "$REDIS_PASSWORD_FILE"); '
    'else REDISCLI_AUTH="${REDIS_PASSWORD:-${VALKEY_PASSWORD:-}}"; fi; fi; '
    '[ -z "$REDISCLI_AUTH" ] || export REDISCLI_AUTH; [ -n "$REDISCLI_AUTH" ] || unset REDISCLI_AUTH; '
    'client=$(command -v valkey-cli || command -v redis-cli) || { echo "no redis-cli in this image" >&2; exit 127; }; '
    'exec "$client" "$@"'
)
# A server that sends its snapshot without a file ends it with this many bytes that are no part of it.
MARK = 40
_SIZE = re.compile(r"finished with success after (\d+) bytes")
_DB = re.compile(r"^db(\d+):keys=(\d+),expires=(\d+)", re.MULTILINE)


def back_up(stack: Stack, service: str, saver: Saver) -> None:
    """Save all keys of a service. Raises BackupError.

    Clients go on writing, so the number of keys is told as it was before and after.
    """
    container = stack.container(service)
    before, expiring, version, memory = info(stack, container)
    producer = Producer(
        stack.inside(container, CLIENT, "--rdb", "-"),
        f"redis-cli --rdb of {service}",
        tail=MARK,
        cut=cut,
        begins=b"REDIS",
    )
    item = f"{REDIS}/{service}"
    keys = {name: [count, count] for name, count in before.items()}
    saver.stream(item, producer, keys=keys, expiring=expiring, memory=memory, version=version, image=container.image)
    after, expiring_after, _version, _memory = info(stack, container)
    names = sorted({*before, *after})
    saver.items[item]["keys"] = {name: [before.get(name, 0), after.get(name, 0)] for name in names}
    saver.items[item]["expiring"] = {
        name: max(expiring.get(name, 0), expiring_after.get(name, 0)) for name in {**expiring, **expiring_after}
    }


def cut(size: int, said: str) -> int:
    """How many bytes at the end are no part of the snapshot. BackupError where that is not known to be whole."""
    if "finished with success" not in said:
        raise BackupError("redis-cli has not said that the transfer is whole. Fix: run it again; see docker logs of it")
    stated = _SIZE.search(said)
    extra = size - int(stated[1]) if stated else 0
    if extra not in (0, MARK):
        raise BackupError(f"redis-cli wrote {extra} bytes more than it said. Fix: run it again")
    return extra


def info(stack: Stack, container: Container) -> tuple[dict[str, int], dict[str, int], str, int]:
    """See parse_info. Raises BackupError."""
    with tempfile.TemporaryFile() as said:
        process = start(stack.inside(container, CLIENT, "INFO", "everything"), stderr=said)
        try:
            stdout, _none = process.communicate(timeout=60)
        except subprocess.TimeoutExpired as error:
            raise BackupError(f"{container.service} did not answer in 60 s. Fix: see docker logs of it") from error
        finally:
            end(process)
        said.seek(0)
        words = said.read().decode(errors="replace").strip()
    text = stdout.decode(errors="replace")
    found = parse_info(text)
    if process.returncode != 0 or not found[2]:
        reason = ((words or text).strip().splitlines() or [f"exit code {process.returncode}"])[-1][:300].rstrip(".")
        raise BackupError(
            f"Redis in {container.service} refused: {reason}. Fix: its password has to be in the container's "
            "environment, as REDISCLI_AUTH, REDIS_PASSWORD or REDIS_PASSWORD_FILE"
        )
    return found


def parse_info(text: str) -> tuple[dict[str, int], dict[str, int], str, int]:
    """The keys of each database, how many of them have an end of life, the version, and the memory in use, in bytes.

    What is not told is "" or 0.
    """
    text = text.replace("\r", "")
    version = re.search(r"^(?:valkey|redis)_version:(\S+)", text, re.MULTILINE)
    found = _DB.findall(text)
    keys = {number: int(count) for number, count, _ends in found}
    expiring = {number: int(ends) for number, _count, ends in found}
    memory = re.search(r"^used_memory:(\d+)", text, re.MULTILINE)
    return keys, expiring, version[1] if version else "", int(memory[1]) if memory else 0
