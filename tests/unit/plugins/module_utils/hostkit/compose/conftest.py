"""Helpers for tests of Compose projects: files in memory, and a short way to render them."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils import compose_yaml
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.findings import Document, Finding
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.policy import Settings
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.render import Request, Result, render

DIRECTORY = "/project"
SETTINGS = ("policy", "classes", "default_class", "services", "images", "publish", "outlets")


class MemoryReader:
    """Files by their path below /project."""

    def __init__(self, files: dict[str, str]) -> None:
        self.files = {f"{DIRECTORY}/{name}": textwrap.dedent(text) for name, text in files.items()}

    def document(self, path: str) -> Document:
        if path not in self.files:
            finding = Finding("file-missing", "error", None, f"{path}: no such file.", "correct it.", "", None, path)
            return Document(path, findings=[finding])
        return compose_yaml.load(self.files[path].encode(), path)

    def text(self, path: str) -> str | None:
        return self.files.get(path)


@pytest.fixture
def run() -> Callable[..., Result]:
    """``run(text, **options)`` renders one file; ``run({name: text}, files=[...])`` several."""

    def call(source: str | dict[str, str], **options: Any) -> Result:
        files = {"compose.yaml": source} if isinstance(source, str) else source
        settings = Settings(**{key: options.pop(key) for key in SETTINGS if key in options})
        names = options.pop("files", ["compose.yaml"])
        options.setdefault("bind_root", "/etc/hypercode/stack")
        request = Request(
            project_name=options.pop("project_name", "demo"),
            files=[f"{DIRECTORY}/{name}" for name in names],
            project_directory=DIRECTORY,
            settings=settings,
            **options,
        )
        return render(request, MemoryReader(files))

    return call
