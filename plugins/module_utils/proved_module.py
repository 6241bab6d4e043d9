# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the modules that may cut the operator off share: options, the proof, and how they say what went wrong."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from .hostkit.ssh_session import Session
from .hostkit.trial import Trial, Trials

# The documentation is in doc_fragments/proved.py.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "refuse_lockout": {"type": "bool", "default": True},
    "confirm_timeout": {"type": "int", "default": 30},
    "phase": {"type": "str", "choices": ["apply", "confirm", "look"], "default": "apply"},
    "token": {"type": "str", "default": "", "no_log": False},
    "fresh_connection": {"type": "bool", "default": True},
}


def new_trial(name: str, session: Session | None, seconds: int) -> Trial:
    """A trial that nobody else has; ``name`` says what is tried, in the name of its timer."""
    token = uuid.uuid4().hex[:12]
    return Trial(token, f"hypercode-{name}-undo-{token}", session.mark if session else "", seconds)


def begun(trial: Trial) -> dict[str, Any]:
    """What the action needs to know of a trial that runs."""
    return {"trial": {"token": trial.token, "seconds": trial.seconds}}


def prove(
    params: dict[str, Any], trials: Trials, session: Session | None, confirm: Callable[[Trial], bool], forgotten: str
) -> dict[str, Any]:
    """Keep what is on trial, if this is a connection that proves something.

    ``confirm`` returns False when the timer was faster. ``forgotten`` says what it means when the host has no such
    trial any more. The result has C(confirmed), or C(undone), or the C(reason) why neither.
    """
    token = params["token"]
    answer: dict[str, Any] = {"changed": False, "findings": [], "confirmed": False, "undone": False, "reason": ""}
    trial = trials.pending()
    if trials.confirmed(token):
        # The answer to the confirmation was lost on its way.
        return {**answer, "changed": True, "confirmed": True}
    if trial is None or trial.token != token:
        undone = trials.undone(token)
        return {**answer, "undone": undone, "reason": "" if undone else forgotten}
    if params["fresh_connection"] and session is not None and session.mark == trial.session:
        # The packets of a connection from before pass under any rules, and who is in stays in.
        setting = "A ControlPath in ssh_args or ansible_ssh_common_args keeps it open: take it out"
        return {**answer, "reason": f"the connection from before was used again. {setting}"}
    if not confirm(trial):
        return {**answer, "undone": True}
    return {**answer, "changed": True, "confirmed": True}


def finish(
    module: AnsibleModule, host: str, errors: tuple[type[Exception], ...], work: Callable[[], dict[str, Any]]
) -> None:
    """Do the work and end the module with its result. ``errors`` say themselves what is wrong, and the fix."""
    try:
        result = work()
    except errors as error:
        module.fail_json(msg=str(error), findings=[], actions=[])
    except OSError as error:
        module.fail_json(
            msg=f"{error.filename or 'A file'} on {host} cannot be used: {error.strerror or error}. Fix: run as root"
            " (become: true), and see that the disk is neither full nor read-only",
            findings=[],
            actions=[],
        )
    module.exit_json(**result)
