# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the progress callback says. Pure: no Ansible, no clock, no terminal."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence

from .hostkit.board_text import clean_text, one_line, render_board, shorten, text_width

TAIL_LINES = 15


def format_seconds(seconds: float) -> str:
    """A duration as ``14 s``, ``2 min 5 s`` or ``1 h 2 min``; negative counts as zero."""
    total = max(0, round(seconds))
    if total < 60:
        return f"{total} s"
    minutes, rest = divmod(total, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def count(number: int, noun: str) -> str:
    """``1 host``, ``2 hosts``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def live_text(
    phase: str, host: str, task: str, elapsed: float, left: float | None, *, width: int, unicode: bool = True
) -> str:
    """The live line: phase, host, task, time so far and time left, in at most ``width`` columns.

    ``left`` is in seconds, ``None`` when no earlier run tells. The task gives way first, then the time left, then the
    host.
    """
    separator = " · " if unicode else " | "
    times = [format_seconds(elapsed)]
    if left is not None:
        times.append(f"about {format_seconds(left)} left" if left >= 1 else "nearly done")
    phase = shorten(one_line(phase), max(8, width // 4), unicode=unicode)
    host = shorten(one_line(host), max(8, width // 5), unicode=unicode)
    task = one_line(task)
    for head, tail in (([phase, host], times), ([phase, host], times[:1]), ([phase], times[:1])):
        fixed = [part for part in (*head, *tail) if part]
        room = width - text_width(separator.join(fixed)) - text_width(separator)
        if room >= min(12, text_width(task)):
            return separator.join(part for part in (*head, shorten(task, room, unicode=unicode), *tail) if part)
    return shorten(separator.join(part for part in (phase, times[0]) if part), width, unicode=unicode)


def recap_lines(stats: Mapping[str, Mapping[str, int]]) -> list[str]:
    """One line per host, in the words of Ansible's own recap: tools search it for ``changed=0``."""
    words = {"failures": "failed"}
    size = max((text_width(host) for host in stats), default=0)
    keys = ("ok", "changed", "unreachable", "failures", "skipped", "rescued", "ignored")
    return [
        f"{host:<{size}} : " + " ".join(f"{words.get(key, key)}={counts.get(key, 0)}" for key in keys)
        for host, counts in stats.items()
    ]


def indent(text: str) -> str:
    """Four blanks before every line, so that no line of a result looks like one of ours."""
    return "\n".join(f"    {line}" if line else "" for line in text.strip("\n").split("\n"))


def molecule_text(text: str) -> str:
    """``text`` without an indented line that Molecule, which drops the indent, would take for a change of a task."""
    return re.sub(r"^(\s+)(?=changed|TASK)", r"\1| ", clean_text(text), flags=re.MULTILINE)


def as_lines(value: object) -> list[str]:
    """A string, or a list of them, as clean lines; anything else as one line."""
    if value is None or value == "":
        return []
    if isinstance(value, (list, tuple)):
        return [line for item in value for line in as_lines(item)]
    return clean_text(value).rstrip().split("\n")


def failure_lines(result: Mapping[str, object]) -> list[str]:
    """What a failed result says to its reader, line by line and without indent.

    The message comes first, then ``findings``, the assertion, the end of a command's output and ``evidence``.
    """
    lines = message_lines(result.get("msg")) or as_lines(result.get("reason") or result.get("censored"))
    lines = lines or ["The task failed and gave no message."]
    for finding in _sequence(result.get("findings")):
        lines += _finding_lines(finding)
    if "evaluated_to" in result:
        lines += [f"not true: {line}" for line in as_lines(result.get("assertion"))]
    lines += _command_lines(result)
    return lines + [f"evidence: {line}" for line in as_lines(result.get("evidence"))]


def message_lines(message: object) -> list[str]:
    """A result's message without the words that Ansible puts before it: the headline says them already."""
    lines = as_lines(message)
    return [lines[0].removeprefix("Task failed: "), *lines[1:]] if lines else []


def _sequence(value: object) -> Sequence[object]:
    return value if isinstance(value, (list, tuple)) else []


def _finding_lines(finding: object) -> list[str]:
    if not isinstance(finding, Mapping):
        return _bullet(as_lines(finding))
    where = one_line(finding.get("service") or finding.get("name") or "")
    text = as_lines(finding.get("message")) or [one_line(finding.get("rule") or "no message")]
    if where and not text[0].startswith(where):
        text[0] = f"{where}: {text[0]}"
    rule, severity = one_line(finding.get("rule") or ""), one_line(finding.get("severity") or "error")
    remarks = [rule] if rule and rule not in text[0] else []
    remarks += [severity] if severity != "error" else []
    if remarks:
        text[-1] += f" ({', '.join(remarks)})"
    place = one_line(finding.get("file") or "")
    if place:
        text.append(f"at: {place}:{finding['line']}" if finding.get("line") else f"at: {place}")
    fix = as_lines(finding.get("fix") or finding.get("hint"))
    return _bullet(text + [f"fix: {line}" if index == 0 else f"     {line}" for index, line in enumerate(fix)])


def _bullet(lines: Sequence[str]) -> list[str]:
    return [f"{'- ' if index == 0 else '  '}{line}" for index, line in enumerate(lines)]


def _command_lines(result: Mapping[str, object]) -> list[str]:
    lines: list[str] = []
    code = result.get("rc")
    if isinstance(code, int) and code != 0:
        lines.append(f"exit code: {code}")
    for key in ("stderr", "module_stderr", "stdout", "module_stdout"):
        output = [line.rstrip() for line in as_lines(result.get(key))]
        while output and not output[0]:
            output.pop(0)
        if output:
            name = key.removeprefix("module_")
            cut = len(output) > TAIL_LINES
            lines.append(f"{name} (last {TAIL_LINES} of {len(output)} lines):" if cut else f"{name}:")
            return lines + [f"  {line}" for line in output[-TAIL_LINES:]]
    return lines


def unreachable_lines(host: str, login: Mapping[str, object], message: object) -> list[str]:
    """What to say of a host that does not answer.

    ``login`` may hold ``address``, ``port``, ``user``, ``key`` (a file) and ``options`` (more ssh arguments), and
    ``connection``; the ssh command is left out for a connection that is not ssh.
    """
    address = one_line(login.get("address") or host)
    port, user = one_line(login.get("port") or 22), one_line(login.get("user") or "")
    ssh = one_line(login.get("connection") or "ssh").rpartition(".")[2] in ("ssh", "smart", "paramiko", "paramiko_ssh")
    if not ssh:
        return [f"{host} cannot be reached.", *message_lines(message)]
    target = f"{user}@{address}" if user else address
    command = ["ssh", "-p", port, target, *(["-i", str(login["key"])] if login.get("key") else [])]
    options = one_line(login.get("options") or "")
    return [
        f"{host} cannot be reached at {address}, port {port}" + (f", as user {user}." if user else "."),
        *message_lines(message),
        "try: " + " ".join([shlex.join(command), *([options] if options else [])]),
    ]


def login(find: Callable[[str], object], user: object, key: object, connection: object) -> dict[str, object]:
    """The login of a host, for ``unreachable_lines``.

    ``find`` gives the value of a host variable, or None; it may raise, as a template may. The other arguments hold
    where no variable says otherwise.
    """

    def first(*names: str) -> object:
        for name in names:
            with contextlib.suppress(Exception):
                value = find(name)
                if value not in (None, ""):
                    return value
        return None

    return {
        "address": first("ansible_host", "ansible_ssh_host"),
        "port": first("ansible_port", "ansible_ssh_port"),
        "user": first("ansible_user", "ansible_ssh_user") or user,
        "key": first("ansible_ssh_private_key_file", "ansible_private_key_file") or key,
        "options": first("ansible_ssh_common_args"),
        "connection": first("ansible_connection") or connection,
    }


class FailureLog:
    """Gathers failures and gives each text out once, with every host that has it.

    ``add`` then ``drain``: what was added since the last ``drain`` comes back as ``(headline, body)``; the body is
    empty when the same text was given out before, and the headline says so.
    """

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
        self._shown: dict[tuple[str, str, tuple[str, ...]], str] = {}

    def add(self, word: str, host: str, label: str, body: Sequence[str]) -> None:
        """``word`` opens the headline (``FAILED``), ``label`` is ``role : task``."""
        hosts = self._waiting.setdefault((word, label, tuple(body)), [])
        if host not in hosts:
            hosts.append(host)

    def drain(self) -> list[tuple[str, list[str]]]:
        """What is new, in the order it came."""
        blocks = []
        waiting, self._waiting = self._waiting, {}
        for key, hosts in waiting.items():
            word, label, body = key
            names, known = ", ".join(sorted(hosts)), self._shown.get(key)
            headline = f"{word}  {names}  {label}" + (f"  (same as on {known})" if known else "")
            blocks.append((headline, [] if known else list(body)))
            self._shown.setdefault(key, names)
        return blocks


class Closing:
    """What results asked to be shown at the end: boards, summaries, next commands, by host."""

    def __init__(self) -> None:
        self._boards: dict[str, list[Mapping[str, object]]] = {}
        self._summaries: dict[str, list[str]] = {}
        self.commands: list[str] = []
        self.next_steps: dict[str, str] = {}

    def remember(self, host: str, result: Mapping[str, object], *, failed: bool = False) -> None:
        """Take over ``hypercode_board`` (the latest one counts), ``hypercode_summary`` and ``hypercode_next``.

        Of a result that ``failed``, ``next_step`` too.
        """
        board = result.get("hypercode_board")
        if isinstance(board, (list, tuple)):
            self._boards[host] = [row for row in board if isinstance(row, Mapping)]
        summary = self._summaries.setdefault(host, [])
        summary += [line for line in as_lines(result.get("hypercode_summary")) if line not in summary]
        self.commands += [line for line in as_lines(result.get("hypercode_next")) if line not in self.commands]
        if failed:
            self.next_steps[host] = one_line(result.get("next_step") or "")

    def blocks(self, *, width: int, unicode: bool) -> list[str]:
        """One text per host that has a board or a summary."""
        texts = []
        for host in sorted(set(self._boards) | {host for host, lines in self._summaries.items() if lines}):
            lines = self._summaries.get(host, [])
            if host in self._boards:
                head = render_board(self._boards[host], title=host, width=width, unicode=unicode)
            else:
                head = f"{host}:"
            texts.append("\n".join([head, *(f"  {line}" for line in lines)]))
        return texts

    def next_lines(self, failed_hosts: Iterable[str]) -> list[str]:
        """The ``Next:`` lines; exactly one when a host failed."""
        failed = list(failed_hosts)
        if failed:
            steps = [self.next_steps.get(host, "") for host in failed]
            return ["Next: " + next(filter(None, steps), "Fix the above and run the same command again.")]
        return ["Next:", *(f"  {line}" for line in self.commands)] if self.commands else []
