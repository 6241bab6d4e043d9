"""What is told of a move besides its plan."""

from __future__ import annotations

import os

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import rollout_facts


def test_who_is_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "ann")
    assert rollout_facts.who() == "ann"
    monkeypatch.delenv("SUDO_USER")

    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(rollout_facts.getpass, "getuser", nobody)
    assert rollout_facts.who() == str(os.getuid())
