"""For tests of modules."""

from __future__ import annotations

import pytest
from ansible.module_utils import _internal
from ansible.module_utils.common import warnings


@pytest.fixture(autouse=True)
def as_on_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a module act as on a host, where it is alone.

    Once a test has imported Ansible's controller, warnings no longer go to the result; and those of one test would show
    up in the next.
    """
    monkeypatch.setattr(_internal, "is_controller", False)
    monkeypatch.setattr(warnings, "_global_warnings", {})
