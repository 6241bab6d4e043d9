# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Has new settings judged by the program that will read them, before they take the place of the old ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..command import CommandResult
from ..stack_state import containers_by_service

_TIMEOUT = 120.0  # seconds
# A file in this folder is judged with the settings that name it.
_RULES = "rules"


class MonitoringError(Exception):
    """Settings that are refused, or a Prometheus that does not answer; the text says why and the fix."""


@dataclass(frozen=True)
class Judge:
    """Who judges a file: a program in the image of a service, which sees the file's folder where the service does."""

    service: str
    # Empty for what the image runs by itself.
    program: str
    folder: str
    words: tuple[str, ...]


# By the name of the file. All of them say by their exit code whether it is sound.
JUDGES: Mapping[str, Judge] = {
    "prometheus.yml": Judge("prometheus", "promtool", "/etc/prometheus", ("check", "config")),
    "alertmanager.yml": Judge("alertmanager", "amtool", "/etc/alertmanager", ("check-config",)),
    "blackbox.yml": Judge("blackbox-exporter", "", "/etc/blackbox", ("--config.check", "--config.file")),
}


def check(path: Path, containers: Sequence[Mapping[str, Any]], run: Callable[..., CommandResult]) -> str:
    """Judge a file, with what lies beside it. Return why it could not be judged; empty when it is sound.

    ``containers`` are those of the stack as the engine tells them; ``run`` runs docker. MonitoringError when it is not
    sound. Where the service was never there, there are no old settings to keep, and nobody to ask.
    """
    if path.parent.name == _RULES:
        path = path.parent.parent / "prometheus.yml"
    judge = JUDGES.get(path.name)
    if judge is None:
        raise MonitoringError(f"{path.name} is none of {', '.join(sorted(JUDGES))}. Fix: name one of these")
    found = containers_by_service(containers).get(judge.service, [])
    image = next((str(container["Image"]) for container in found if container.get("Image")), "")
    if not image:
        return f"{path.name} is not judged: there is no {judge.service} yet"
    inside = f"{judge.folder}/{path.name}"
    done = run(
        [
            *("docker", "run", "--rm", "--network", "none", "--read-only", "--user", "0", "--memory", "512m"),
            *("--volume", f"{path.parent}:{judge.folder}:ro"),
            *(("--entrypoint", judge.program) if judge.program else ()),
            *(image, *_joined(judge.words, inside)),
        ],
        timeout=_TIMEOUT,
    )
    if done.code != 0:
        said = " ".join((done.stderr.strip() or done.stdout.strip()).split())
        raise MonitoringError(
            f"{judge.service} would refuse {path.name}, so it stays as it was: {said[-600:]}. "
            "Fix: correct what it names in the inventory, then run site.yml again"
        )
    return ""


def _joined(words: Sequence[str], path: str) -> list[str]:
    """The words with the path: after an option's name with =, else as a word of its own."""
    last = words[-1]
    return [*words[:-1], f"{last}={path}"] if last.startswith("--") else [*words, path]
