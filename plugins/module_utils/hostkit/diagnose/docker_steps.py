# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Docker tells. Of environments only the names are taken, of every container's output the end."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..redact import MASK
from .bounded import MEBIBYTE
from .context import Container, Context, as_json, rows_of
from .entries import Entries, File, Problem
from .known_secrets import secrets_of_environment

PROJECT = "com.docker.compose.project"
MOST_CONTAINERS = 200
LOG_LINES = 5000
_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(?:Z|[+-]\d\d:\d\d) "
_STAMP = re.compile(_TIME)
# Docker cuts a line at 16 KiB; each piece has the time before it.
_PIECE_MIN = 8 * 1024
_SECRET_WORD = re.compile(r"-{1,2}[\w-]*(?:pass\w*|secret|token|key|auth)$", re.IGNORECASE)


def find_containers(context: Context, projects: Iterable[str]) -> tuple[str, list[Container], list[tuple[str, str]]]:
    """Why Docker does not answer; the containers of these projects; and the secrets in environments of all."""
    done = context.run(["docker", "ps", "--all", "--quiet", "--no-trunc"], timeout=20)
    if done.code:
        return _last(done.stderr) or f"code {done.code}", [], []
    ids, wanted = done.stdout.split(), set(projects)
    found: list[Container] = []
    secrets: list[tuple[str, str]] = []
    if not ids:
        return "", [], []
    done = context.run(["docker", "inspect", *ids], timeout=30, limit=32 * MEBIBYTE)
    # One that has vanished meanwhile makes it fail; the others are told all the same.
    try:
        documents = json.loads(done.stdout)
    except ValueError:
        return f"docker inspect: {_last(done.stderr) or 'its answer cannot be read'}", [], []
    for document in documents:
        config = document.get("Config") or {}
        secrets += secrets_of_environment(config.get("Env") or [])
        if (config.get("Labels") or {}).get(PROJECT) in wanted:
            found.append(Container(str(document["Id"]), str(document.get("Name") or document["Id"][:12]).lstrip("/")))
    return "", sorted(found, key=lambda one: one.name)[:MOST_CONTAINERS], secrets


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def listed(context: Context) -> Entries:
    """All containers, networks and images. Not what containers were started with: that may hold secrets."""
    for name, words in (
        ("containers", ("ps", "--all", "--no-trunc")),
        ("images", ("images", "--no-trunc", "--digests")),
        ("volumes", ("volume", "ls")),
        ("usage", ("system", "df")),
    ):
        done = context.run(["docker", *words, "--format", "{{json .}}"], timeout=30)
        if done.code:
            yield Problem(f"docker {words[0]}: {_last(done.stderr)}")
            continue
        rows = [
            {key: value for key, value in row.items() if key not in ("Command", "Labels")}
            for row in rows_of(done.stdout)
        ]
        yield as_json(f"docker/{name}.json", rows)
    yield from context.output("docker/info.json", ["docker", "info", "--format", "{{json .}}"])


def networks(context: Context) -> Entries:
    """The networks, and who is on them."""
    done = context.run(["docker", "network", "ls", "--quiet", "--no-trunc"], timeout=20)
    if done.code:
        yield Problem(f"docker network: {_last(done.stderr)}")
    elif done.stdout.split():
        yield from context.output("docker/networks.json", ["docker", "network", "inspect", *done.stdout.split()])


def statistics(context: Context) -> Entries:
    """What each running container takes right now."""
    done = context.run(["docker", "stats", "--no-stream", "--no-trunc", "--format", "{{json .}}"], timeout=30)
    if done.code:
        yield Problem(f"docker stats: {_last(done.stderr)}")
    else:
        yield as_json("docker/stats.json", rows_of(done.stdout))


def inspected(context: Context) -> Entries:
    """Every container of the stack as Docker has it, without values of its environment."""
    for container in context.containers:
        done = context.run(["docker", "inspect", container.id], timeout=20)
        try:
            documents = json.loads(done.stdout)
        except ValueError:
            yield Problem(f"docker inspect {container.name}: {_last(done.stderr) or 'its answer cannot be read'}")
            continue
        yield as_json(f"docker/inspect/{container.name}.json", [without_values(document) for document in documents])


def without_values(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document of a container: names of its environment only, and no value behind an option for a secret."""
    config = dict(document.get("Config") or {})
    config["Env"] = [f"{entry.partition('=')[0]}={MASK}" for entry in config.get("Env") or []]
    for key in ("Cmd", "Entrypoint"):
        config[key] = _without_secrets(config.get(key) or [])
    check = dict(config.get("Healthcheck") or {})
    if check:
        config["Healthcheck"] = {**check, "Test": _without_secrets(check.get("Test") or [])}
    return {**document, "Config": config, "Args": _without_secrets(document.get("Args") or [])}


def _without_secrets(words: str | Sequence[str]) -> list[str]:
    kept, hide = [], False
    for word in [words] if isinstance(words, str) else words:
        kept.append(MASK if hide else str(word))
        hide = bool(_SECRET_WORD.match(str(word)))
    return kept


def logs_of(context: Context, container: Container) -> Entries:
    """The end of the output of a container, standard output and error by their time."""
    argv = [
        "docker",
        "logs",
        "--timestamps",
        "--since",
        str(int(context.since)),
        "--tail",
        str(LOG_LINES),
        container.id,
    ]
    done = context.run(argv, timeout=30, limit=4 * MEBIBYTE)
    if done.code:
        yield Problem(f"docker logs {container.name}: {_last(done.stderr) or f'code {done.code}'}")
        return
    lines = [*whole_lines(done.stdout, LOG_LINES), *whole_lines(done.stderr, LOG_LINES)]
    cut = done.cut or len(lines) >= LOG_LINES
    yield File(f"logs/{container.name}.log", "".join(f"{line}\n" for line in sorted(lines, key=_time)), cut=cut)


def _time(line: str) -> str:
    return line[:30]


def whole_lines(text: str, most: int) -> list[str]:
    """Lines as the container wrote them: those that Docker has cut in pieces are put together.

    With ``most`` pieces or more, the first may be the end of a line whose begin was left out: then it goes.
    """
    lines, pieces = [], 0
    for line in text.splitlines():
        parts, begin = [], 0
        for stamp in _STAMP.finditer(line):
            if stamp.start() == 0 or stamp.start() - begin >= _PIECE_MIN:
                parts.append(line[begin : stamp.start()])
                begin = stamp.end()
                pieces += 1
        parts.append(line[begin:])
        first = _STAMP.match(line)
        lines.append((first[0] if first else "") + "".join(parts))
    return lines[1:] if pieces >= most else lines
