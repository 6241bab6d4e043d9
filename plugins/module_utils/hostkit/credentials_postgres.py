# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The password of a role in a running Postgres: compared with what is stored, and set where it is another one.

Both is done by the superuser over the socket inside of the container, so that no password is needed for it. What is
sent is the verifier that Postgres stores, never the password.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .command import CommandResult
from .credentials import Credential, CredentialError
from .credentials_exec import Teller, in_container, last_line
from .scram import fits, make_verifier

# psql's exit code for a server that does not answer (yet).
NO_CONNECTION = 2
# Of Docker: the container does not run, or has no such program.
NO_PROGRAM = (126, 127)
# SCRAM-SHA-256 came with version 10.
OLDEST = 100000
MARK = "hypercode-role"
# A text in quotes means the same everywhere; and a verifier is nothing for the server's log.
QUIETLY = "SET standard_conforming_strings = on;\n"
UNLOGGED = "SET log_statement = 'none';\nSET log_min_duration_statement = -1;\nSET log_min_error_statement = 'panic';\n"


@dataclass(frozen=True)
class PostgresRole:
    """A role in the Postgres of a container."""

    credential: Credential
    container: Mapping[str, Any]
    tell: Teller

    def has(self, password: str) -> bool:
        """True when the role's password is this one. Raises CredentialError where that cannot be told."""
        return fits(self._stored(self._say(self._question())), password, self.credential.role)

    def give(self, password: str) -> None:
        """Set the password, and look whether it is set. Raises CredentialError."""
        verifier = make_verifier(password)
        order = f"ALTER ROLE {identifier(self.credential.role)} PASSWORD {literal(verifier)};\n"
        done = self._say(UNLOGGED + order + self._question(), hide=verifier)
        if self._stored(done) != verifier:
            raise CredentialError(
                f"Postgres in {self.credential.service} took the new password of role {self.credential.role} and then "
                "showed another one: something else sets it too. Fix: find what does, then run the same command again"
            )

    def _question(self) -> str:
        # Text in quotes of its own is the only way to hand psql a query on its standard input.
        return (
            f"SELECT '{MARK}', current_setting('server_version_num'), coalesce(rolpassword, '')"  # noqa: S608
            f" FROM pg_catalog.pg_authid WHERE rolname = {literal(self.credential.role)};\n"
        )

    def _stored(self, done: CommandResult) -> str:
        """Return the column rolpassword; empty where the role has no password."""
        found = [line.split("|", 2) for line in done.stdout.splitlines() if line.startswith(f"{MARK}|")]
        role, service = self.credential.role, self.credential.service
        if not found or len(found[-1]) != 3:
            raise CredentialError(
                f"There is no role {role} in the Postgres of {service}, so its password cannot be set. "
                f"Fix: create it, or correct 'role' of {self.credential.secret} in stack_secrets_policy",
                # While the first start fills the volume, it may come yet.
                passing=True,
            )
        _kind, version, stored = found[-1]
        if not version.isdecimal() or int(version) < OLDEST:
            raise CredentialError(
                f"The Postgres in {service} is older than version 10 and knows no SCRAM passwords. Fix: upgrade it"
            )
        return stored

    def _say(self, text: str, *, hide: str = "") -> CommandResult:
        done = self.tell(
            in_container(
                str(self.container["Id"]),
                *("psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--no-password"),
                *("--field-separator=|", "--set=ON_ERROR_STOP=1", "--set=VERBOSITY=terse"),
                *(f"--username={superuser(self.container)}", f"--dbname={self.credential.database}"),
            ),
            QUIETLY + text,
        )
        if done.code == 0:
            return done
        reason, service = last_line(done), self.credential.service
        if hide:
            reason = reason.replace(hide, "***")
        if done.code in NO_PROGRAM:
            fix = f"{service} has to be an image of Postgres with psql in it"
        elif done.code == NO_CONNECTION:
            fix = f"its superuser has to be let in over the socket without a password (see: docker logs {self._short})"
        else:
            fix = f"see docker logs {self._short}, mend what it names, then run the same command again"
        raise CredentialError(
            f"The password of role {self.credential.role} in {service} cannot be read or set: {reason}. Fix: {fix}",
            passing=done.code == NO_CONNECTION,
        )

    @property
    def _short(self) -> str:
        return str(self.container["Id"])[:12]


def superuser(container: Mapping[str, Any]) -> str:
    """Return the superuser that the image made: POSTGRES_USER of the container, else postgres."""
    for pair in container["Config"].get("Env") or []:
        name, _equals, value = str(pair).partition("=")
        if name == "POSTGRES_USER" and value:
            return value
    return "postgres"


def identifier(name: str) -> str:
    """Return a name as SQL takes it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text as SQL takes it, while standard_conforming_strings is on."""
    return "'" + text.replace("'", "''") + "'"
