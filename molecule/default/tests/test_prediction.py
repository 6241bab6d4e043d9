"""Check mode on the bare host told the truth."""

from __future__ import annotations

import os
import re
from pathlib import Path

from checks.playbook import changes_in


def test_check_on_the_bare_host_predicted_what_the_deploy_then_did():
    """Compare the two in the log that Ansible kept: molecule ran `check`, then `converge`."""
    log = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "ansible.log").read_text(encoding="utf-8")
    runs = [run for run in re.split(r"Done in .*", log) if "stack : Roll the stack out" in run]
    assert "check: nothing will be changed" in runs[0]
    assert "check: nothing will be changed" not in runs[1]
    predicted, done = changes_in(runs[0]), changes_in(runs[1])
    assert len(predicted) > 5
    assert predicted == done
