# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Runs playbooks/onboard.yml through ansible-runner. What that keeps lies in a private folder, and goes with it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.login import Found
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_command.session import Session
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import refuse

try:
    import ansible_runner
except ImportError:
    ansible_runner = None

PLAYBOOK = "playbooks/onboard.yml"


@dataclasses.dataclass(frozen=True)
class Ended:
    """How the run ended: ``status`` in the words of ansible-runner, and the exit code."""

    status: str
    code: int

    @property
    def good(self) -> bool:
        return self.status == "successful" and self.code == 0


def variables(name: str, found: Found) -> dict[str, str]:
    """What the playbook has to know of the login: names of files, never what is in them."""
    login = {"onboard_host": name, "onboard_login_user": found.way.user}
    if found.way.password_file:
        login["onboard_login_password_file"] = str(found.way.password_file)
    if found.sudo_password_file:
        login["onboard_login_sudo_password_file"] = str(found.sudo_password_file)
    return login


def run(session: Session, login: Mapping[str, str], private: Path, say: Callable[[str], None]) -> Ended:
    """Run the playbook and pass its lines on as they come. Raises StoreError."""
    if ansible_runner is None:
        fix = "pip install --require-hashes -r requirements.lock"
        raise refuse("package-missing", "The Python package ansible-runner is missing.", fix)
    stop = _Stop()
    words = session.passwords.options.as_arguments()

    def tell(event: dict[str, Any]) -> bool:
        stop.pid = int(event.get("pid") or stop.pid)
        if text := event.get("stdout"):
            say(str(text))
        # Nothing of the run is kept.
        return False

    private.mkdir(mode=0o700, exist_ok=True)
    with _signals(stop):
        done = ansible_runner.run(
            private_data_dir=str(private),
            project_dir=str(session.root),
            playbook=PLAYBOOK,
            inventory=str(session.environment.folder),
            extravars=dict(login),
            cmdline=shlex.join(words) if words else None,
            envvars=_environment(session.root),
            event_handler=tell,
            cancel_callback=stop.wanted,
            quiet=True,
            suppress_env_files=True,
            settings={"suppress_output_file": True},
        )
    return Ended(str(done.status), int(done.rc))


def _environment(root: Path) -> dict[str, str]:
    """What the run gets beside the operator's own environment; paths there count from where the operator stands."""
    found = {
        "ANSIBLE_CONFIG": os.environ.get("ANSIBLE_CONFIG", str(root / "ansible.cfg")),
        "ANSIBLE_STDOUT_CALLBACK": os.environ.get("ANSIBLE_STDOUT_CALLBACK", "hypercode.deploy.progress"),
        # The runner's terminal is none that anybody looks at.
        "HYPERCODE_PROGRESS": "plain",
        "ANSIBLE_NOCOLOR": "1",
    }
    if path := os.environ.get("ANSIBLE_VAULT_PASSWORD_FILE"):
        found["ANSIBLE_VAULT_PASSWORD_FILE"] = str(Path(path).expanduser().absolute())
    found["ANSIBLE_CONFIG"] = str(Path(found["ANSIBLE_CONFIG"]).expanduser().absolute())
    return found


class _Stop:
    """Ctrl-C: Ansible is asked to end once; the second time it is ended."""

    def __init__(self) -> None:
        self.pid = 0
        self._asked = 0

    def __call__(self, _number: int, _frame: object) -> None:
        self._asked += 1
        if self._asked == 1 and self.pid:
            print("\nStopping; once more ends it at once ...", file=sys.stderr, flush=True)
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGINT)

    def wanted(self) -> bool:
        return self._asked > 1 or (self._asked == 1 and not self.pid)


@contextlib.contextmanager
def _signals(stop: _Stop) -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        for number in numbers:
            signal.signal(number, stop)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
