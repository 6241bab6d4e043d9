# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One way to judge for all tests of the rules: no finding may ever hold a value."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_rules.finding import SecretFinding
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_rules.judge import Request, judge

Judge = Callable[..., list[SecretFinding]]
TODAY = datetime.date(2026, 11, 24)
# Shorter values are words of our own messages.
_TELLING = 9


def _texts(value: Any, depth: int = 3) -> Iterator[str]:
    if isinstance(value, str):
        yield value.strip()
    elif isinstance(value, Mapping) and depth:
        for item in value.values():
            yield from _texts(item, depth - 1)


@pytest.fixture
def judged() -> Judge:
    """Judges in production, unless told otherwise."""

    def run(secrets: Any, policy: Any = None, environment: Any = "production", **more: Any) -> list[SecretFinding]:
        request = Request(secrets=secrets, policy=policy or {}, environment=environment, **{"today": TODAY, **more})
        findings = judge(request)
        said = "\n".join(f"{finding}" for finding in findings) + repr(request)
        for text in (*_texts(secrets), *_texts(more.get("related"))):
            assert len(text) < _TELLING or text not in said, "a value is shown"
        for finding in findings:
            assert finding.message.endswith((".", "?"))
            assert finding.hint
        return findings

    return run
