from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils import compose_yaml
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.audit.examples import run
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.audit.files import Report
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.audit.rule import Example


@pytest.fixture
def report() -> Callable[..., Report]:
    """``report(text, **options)`` audits a file; ``files`` holds those beside it, by name."""

    def call(text: str, files: dict[str, str] | None = None, **options: Any) -> Report:
        return run(Example(text, files=files or {}, options=options), compose_yaml.load)

    return call


@pytest.fixture
def rules(report: Callable[..., Report]) -> Callable[..., set[str]]:
    """``rules(text, **options)`` is the set of rules that a file breaks."""

    def call(text: str, files: dict[str, str] | None = None, **options: Any) -> set[str]:
        return {finding.rule for finding in report(text, files, **options).findings}

    return call


@pytest.fixture
def web(rules: Callable[..., set[str]]) -> Callable[..., set[str]]:
    """``web(line)`` is the set of rules that a service breaks which has this line, beside a volume and two networks."""

    def call(line: str, **options: Any) -> set[str]:
        sections = "volumes: {data: {}}\nnetworks: {front: {}, back: {internal: true}}"
        return rules(f'services:\n  web:\n    image: "web:1"\n    {line}\n{sections}\n', **options)

    return call
