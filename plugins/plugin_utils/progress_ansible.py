# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the callback progress reads from Ansible's own objects: plays, tasks and results."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from ansible import context
from ansible.template import Templar
from ansible_collections.hypercode.deploy.plugins.module_utils import progress_core
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.board_text import one_line


def task_name(task: Any) -> str:
    """The name of a task on one line, with its role in front, without the collection."""
    try:
        return one_line(task.get_name(include_role_fqcn=False))
    except TypeError:
        # An include_role names itself without a choice.
        return one_line(task.get_name())


def phase_name(play: Any, task: Any) -> str:
    """The role of a task, else its play; "" without a play. A part of a role (tasks_from) belongs to the play."""
    # Under these strategies the hosts are in different roles at the same time.
    free = str(getattr(play, "strategy", "")).rpartition(".")[2] in ("free", "host_pinned")
    whole = task._role and not getattr(task._role, "_from_files", {}).get("tasks")
    role = task._role.get_name(include_role_fqcn=False) if whole and not free else ""
    return one_line(role or (play.get_name() if play else ""))


def hosts_of(play: Any) -> tuple[list[str], int]:
    """The hosts of a play, or of its next batch, and how many the inventory has; nothing where Ansible cannot say."""
    with contextlib.suppress(Exception):  # The number of hosts is worth no failed run.
        variables = play.get_variable_manager().get_vars(play=play)
        hosts = [str(host) for host in variables["ansible_play_batch"]]
        return hosts, len(variables["groups"]["all"])
    return [], 0


def login_of(play: Any, result: Any) -> dict[str, object]:
    """Where Ansible tried to log in, from the variables of the host: see ``progress_core.login``."""
    try:
        variables = play.get_variable_manager().get_vars(play, result.host, result.task)
    except Exception:  # A poorer message is better than none.
        variables = result.host.get_vars()
    delegated = result.result.get("_ansible_delegated_vars")
    variables = {**variables, **(delegated if isinstance(delegated, Mapping) else {})}
    templar = Templar(loader=play.get_loader(), variables=variables)
    return progress_core.login(
        lambda name: templar.template(variables.get(name)),
        result.task.remote_user or context.CLIARGS.get("remote_user"),
        context.CLIARGS.get("private_key_file"),
        result.task.connection,
    )
