# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The password of Grafana's first administrator, set by the command that is in Grafana's image.

What is set now cannot be read cheaply: Grafana keeps a salted hash in a database of its own. So it is set whenever the
value changes from one release to the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .credentials import Credential, CredentialError
from .credentials_exec import Teller, in_container, last_line

# GF_PATHS_HOME of the official image says the same.
HOME = "/usr/share/grafana"
NO_PROGRAM = (126, 127)


def give_administrator(credential: Credential, container: Mapping[str, Any], password: str, tell: Teller) -> None:
    """Set the password. Raises CredentialError; it may be passing, as Grafana's database can be busy for a moment."""
    done = tell(
        in_container(
            str(container["Id"]),
            *("grafana", "cli", "--homepath", _home(container), "admin", "reset-admin-password"),
            "--password-from-stdin",
        ),
        password + "\n",
    )
    if done.code == 0:
        return
    reason = last_line(done).replace(password, "***")
    if done.code in NO_PROGRAM:
        fix = f"{credential.service} has to be an image of Grafana that has the command grafana cli"
    else:
        fix = f"see docker logs {str(container['Id'])[:12]}, mend what it names, then run the same command again"
    raise CredentialError(
        f"The password of the administrator in {credential.service} cannot be set: {reason}. Fix: {fix}",
        passing=done.code not in NO_PROGRAM,
    )


def _home(container: Mapping[str, Any]) -> str:
    for pair in container["Config"].get("Env") or []:
        name, _equals, value = str(pair).partition("=")
        if name == "GF_PATHS_HOME" and value:
            return value
    return HOME
