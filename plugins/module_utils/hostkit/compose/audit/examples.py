# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs the examples of the rules: for their tests, and for what their pages say of repairs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..findings import Document, Finding
from ..policy import Settings
from ..render import Request
from .files import Report, audit_files
from .rule import Example

DIRECTORY = "/project"
# What a class gives its services, as a stack would have it.
POLICY: dict[str, dict[str, Any]] = {
    "app": {
        "healthcheck": {"interval": "30s", "timeout": "10s", "retries": 3, "start_period": "0s"},
        "limits": {"cpus": "1", "memory": "1G"},
        "restart": "unless-stopped",
        "needs_outside": True,
        "security": {"cap_drop": ["ALL"]},
    }
}


class ExampleReader:
    """The files of an example, below ``/project``; ``load`` turns bytes into a document."""

    def __init__(self, example: Example, load: Callable[[bytes, str], Document]) -> None:
        self._load = load
        files = {"compose.yaml": example.text(), **example.files}
        self._bytes = {f"{DIRECTORY}/{name}": text.encode() for name, text in files.items()}
        self._bytes[f"{DIRECTORY}/compose.yaml"] = example.text().encode(example.encoding)

    def document(self, path: str) -> Document:
        """A Compose file; see ``Reader``."""
        if path not in self._bytes:
            finding = Finding(
                "file-missing", "error", None, f"{path}: no such file.", "correct the path.", "", None, path
            )
            return Document(path, findings=[finding])
        return self._load(self._bytes[path], path)

    def text(self, path: str) -> str | None:
        """A text file; see ``Reader``."""
        return self._bytes[path].decode() if path in self._bytes else None

    def kind_of(self, path: str) -> str | None:
        """What stands at a path; nothing is known of an example without files."""
        if len(self._bytes) == 1:
            return None
        if path in self._bytes:
            return "file"
        return "folder" if any(name.startswith(f"{path.rstrip('/')}/") for name in self._bytes) else "missing"


def run(example: Example, load: Callable[[bytes, str], Document]) -> Report:
    """The audit of an example."""
    options = dict(example.options)
    reader = ExampleReader(example, load)
    settings = {"policy": POLICY, "default_class": "app", **options.pop("settings", {})}
    env_files = [f"{DIRECTORY}/{name}" for name in options.pop("env_files", [])]
    files = [f"{DIRECTORY}/{name}" for name in options.pop("files", ["compose.yaml"])]
    request = Request("", files, DIRECTORY, settings=Settings(**settings), **options)
    return audit_files(request, env_files, reader, reader.kind_of)
