# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The deploy that brings rotated secrets to the hosts."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable

from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_command.rotate import Deployed
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_command.session import Session
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import refuse

# ansible-playbook ends with this when it was stopped; a signal gives a negative number.
_STOPPED = 99
_KEYBOARD = 130


def command_of(session: Session) -> list[str]:
    """The whole deploy: any role may use a secret. What is right already costs seconds, not restarts."""
    inventory = str(session.environment.folder)
    return ["ansible-playbook", "site.yml", "-i", inventory, *session.passwords.options.as_arguments()]


def deployer(session: Session) -> Callable[[], Deployed]:
    """A function that deploys once. It waits for Ansible to end in every case, also after Ctrl-C."""

    def deploy() -> Deployed:
        if shutil.which("ansible-playbook") is None:
            raise refuse("deploy", "ansible-playbook is not installed.", "scripts/test unit makes .venv, which has it.")
        stopped = False
        child: subprocess.Popen[bytes] | None = None

        def stop(number: int, _frame: object) -> None:
            nonlocal stopped
            stopped = True
            # Ctrl-C reaches Ansible by itself: it belongs to the same terminal.
            if number != signal.SIGINT and child is not None and child.poll() is None:
                child.send_signal(signal.SIGINT)

        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.getsignal(number) for number in numbers}
        # Relative paths in the environment, such as a password file's, are meant from where the user stands.
        environment = {**os.environ, **_absolute("ANSIBLE_VAULT_PASSWORD_FILE"), **_absolute("ANSIBLE_CONFIG")}
        try:
            for number in numbers:
                signal.signal(number, stop)
            child = subprocess.Popen(command_of(session), cwd=session.root, env=environment)
            status = child.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if status == 0:
            return Deployed.DONE
        return Deployed.OPEN if stopped or status in (_STOPPED, _KEYBOARD) or status < 0 else Deployed.FAILED

    return deploy


def _absolute(name: str) -> dict[str, str]:
    value = os.environ.get(name, "")
    return {name: os.path.abspath(os.path.expanduser(value))} if value else {}  # noqa: PTH100, PTH111
