"""In place of Docker beside a database: the programs that would run in a container of their own run here."""

from __future__ import annotations

import sys
from pathlib import Path

# `docker run … --name N … --volume HERE:THERE … --entrypoint PROGRAM IMAGE WORDS…`, `docker stop` and `docker rm` of N,
# and `docker exec --interactive ID …` with the environment of that container.
SCRIPT = """#!{python}
import os, pathlib, signal, sys
folder = pathlib.Path({folder!r})
words = sys.argv[1:]
with (folder / "commands").open("a") as log:
    log.write(" ".join(words) + "\\n")

def pid_of(name):
    path = folder / (name + ".pid")
    return int(path.read_text()) if path.exists() else 0

def kill(name, number):
    try:
        os.kill(pid_of(name) or sys.maxsize, number)
    except (ProcessLookupError, OverflowError):
        pass

if words[0] == "run":
    at = words.index("--entrypoint")
    program, rest = words[at + 1], words[at + 3:]
    if "--volume" in words:
        here, there = words[words.index("--volume") + 1].split(":")
        rest = [word.replace(there, here) for word in rest]
    (folder / (words[words.index("--name") + 1] + ".pid")).write_text(str(os.getpid()))
    os.environ.update(PGHOST={socket!r}, PATH={programs!r} + ":/usr/bin:/bin")
    os.execvp(program, [program, *rest])
elif words[0] == "stop":
    kill(words[-1], signal.SIGINT)
elif words[0] == "rm":
    kill(words[-1], signal.SIGKILL)
elif words[0] == "exec":
    script = 'set -a; . "$0"; set +a; exec "$@"'
    os.execvp("sh", ["sh", "-c", script, str(folder / (words[2] + ".env")), *words[3:]])
"""


def install(docker: Path, socket: Path, programs: Path) -> None:
    """Write it in place of the command at this path."""
    text = SCRIPT.format(python=sys.executable, folder=str(docker.parent), socket=str(socket), programs=str(programs))
    docker.write_text(text)
    docker.chmod(0o755)
