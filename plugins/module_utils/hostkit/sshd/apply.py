# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Brings the drop-in of sshd to what is wanted: asks sshd what it would mean, judges that, and tries it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..finding import ERROR, Finding
from ..ssh_session import Session
from ..trial import Run, TrialError
from ..units import Systemd
from ..users.accounts import read_accounts
from ..users.wanted import WantedUser
from .config import Effective, Sshd, SshdError, copy_with, includes_drop_ins, where_set
from .lockout import Lockout
from .settings import DROP_IN, Settings, algorithms, render
from .trial import Paths, SshdTrials

_UNITS = ("ssh.service", "sshd.service")
# sshd prints the value under an older name.
_SPELLINGS = {"without-password": "prohibit-password"}


@dataclass
class Look:
    """What is there and what would be. ``now`` and ``then`` are the drop-in, None where there is none."""

    now: str | None
    then: str | None
    effective: Effective = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def differs(self) -> bool:
        """Whether there is anything to do."""
        return self.now != self.then

    def actions(self) -> list[str]:
        """What there is to do, in words."""
        if not self.differs:
            return []
        return [f"write {DROP_IN}" if self.then is not None else f"remove {DROP_IN}", "reload sshd"]


class SshdHost:
    """sshd on one host. ``scratch`` is a folder for temporary files."""

    def __init__(self, run: Run, root: Path, host: str, scratch: Path) -> None:
        self._root, self._host, self._scratch = root, host, scratch
        self.paths = Paths(root)
        self.sshd = Sshd(run, host)
        self._systemd = Systemd(run, host)
        self._run = run

    def trials(self, client: str = "") -> SshdTrials:
        """The trial of this host. ``client`` is the address that is to prove it."""
        states = self._systemd.states(_UNITS)
        unit = next((name for name in _UNITS if states[name].exists), "")
        if not unit:
            raise TrialError(
                f"There is no ssh.service on {self._host}, so sshd cannot be told to read its settings. Fix: install"
                " openssh-server as a package, or set base_sshd_enabled: false"
            )
        return SshdTrials(self._systemd, self._run, self.paths, self._host, unit, client)

    def look(
        self, settings: Settings | None, users: Sequence[WantedUser], session: Session | None, *, check_mode: bool
    ) -> Look:
        """Compare and judge. ``settings`` None means that our drop-in is to go."""
        now = self._now()
        if not self.sshd.present():
            if check_mode:
                return Look(now, None if settings is None else render(settings, {}))
            raise SshdError(f"sshd is not installed on {self._host}. Fix: install the package openssh-server")
        known = {} if settings is None else self._known()
        then = None if settings is None else render(settings, known)
        # Judged even when nothing changes: what somebody else wrote may be what keeps people out.
        config = copy_with(self._root, self._scratch, then)
        problem = self.sshd.problem(config)
        if problem:
            raise SshdError(
                f"sshd on {self._host} refuses its configuration with our drop-in: {problem} Nothing was changed. Fix:"
                " see whether sshd -t says the same; if not, report it with the version of sshd"
            )
        look = Look(now, then, self.sshd.effective(config))
        if settings is not None:
            look.findings += self._overruled(settings, known, look.effective)
        look.findings += self._kept_out(config, users, session, check_mode=check_mode)
        return look

    def _now(self) -> str | None:
        try:
            return self.paths.drop_in.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return None

    def _known(self) -> Effective:
        """What sshd offers by itself."""
        empty = self._scratch / "empty"
        keys = "".join(f"HostKey {path}\n" for path in sorted((self._root / "etc/ssh").glob("ssh_host_*_key")))
        empty.write_text(keys, encoding="utf-8")
        found = self.sshd.effective(empty)
        return {name: ",".join(values).split(",") for name, values in found.items()}

    def _overruled(self, settings: Settings, known: Effective, effective: Effective) -> list[Finding]:
        """Settings that someone else's file decides, since it comes first."""
        wanted = {**settings.words(), **{name: ",".join(words) for name, words in algorithms(known).items()}}
        if not includes_drop_ins(self._root):
            return [
                Finding(
                    "sshd-not-included",
                    ERROR,
                    "/etc/ssh/sshd_config",
                    f"/etc/ssh/sshd_config on {self._host} does not read {DROP_IN}.",
                    "Put this line first in it: Include /etc/ssh/sshd_config.d/*.conf",
                )
            ]
        found = []
        for name, value in wanted.items():
            real = " ".join(effective.get(name.lower(), [value]))
            if _SPELLINGS.get(real, real).lower() == value.lower():
                continue
            where = where_set(self._root, name)
            found.append(
                Finding(
                    "sshd-overruled",
                    ERROR,
                    where or name,
                    f"{name} would be '{real}' on {self._host} instead of '{value}'"
                    + (f": {where} comes first." if where else "."),
                    f"Take {name} out of {where.partition(':')[0] or 'the file that sets it'}, or put the line Include"
                    " /etc/ssh/sshd_config.d/*.conf before it.",
                )
            )
        return found

    def _kept_out(
        self, config: Path, users: Sequence[WantedUser], session: Session | None, *, check_mode: bool
    ) -> list[Finding]:
        known: dict[tuple[str, str], Effective] = {}
        port = session.port if session else 0

        def effective(user: str, address: str) -> Effective:
            key = (user, address)
            if key not in known:
                known[key] = self.sshd.effective(config, user, address, port)
            return known[key]

        lockout = Lockout(self._root, read_accounts(self._root), effective, self._host)
        if session is not None and session.user:
            to_come = [key for user in users if check_mode and user.name == session.user for key in user.keys]
            lockout.session(session, to_come)
        for number, user in enumerate(users):
            if not user.absent and user.sudo != "none" and not (session and session.user == user.name):
                lockout.wanted(user, f"base_users[{number}]", keys_to_come=check_mode)
        return lockout.findings
