# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where one run of a playbook stands: phase, task, hosts, counts. No Ansible; the clock is injected."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from .progress_core import count, format_seconds, live_text, recap_lines
from .progress_timing import Eta

# Styles; the callback knows their colours. The words say the same, so nothing rests on colour.
GOOD, CHANGED, BAD, PLAIN = "good", "changed", "bad", "plain"
Say = Callable[[str, str], None]


class Run:
    """The state of one run, and the lines that follow from its changes.

    ``clock`` gives seconds (monotonic), ``say(text, style)`` prints. With ``announce`` the start of a phase is printed
    too; a live line shows it anyway. ``check`` is Ansible's check mode.
    """

    def __init__(self, clock: Callable[[], float], say: Say, *, announce: bool, check: bool) -> None:
        self._clock = clock
        self._say = say
        self._announce = announce
        self._check = check
        self._began = self._phase_began = clock()
        self._play, self._plays = "", 0
        self._hosts: list[str] = []
        self._phase: str | None = None
        self._ran_in_phase = self._changed_in_phase = 0
        self._failed_in_phase: set[str] = set()
        self._task = ""
        self._detail = ""
        self._labels: dict[str, str] = {}
        self._running: set[str] = set()
        self._reported: set[str] = set()
        self._gone: set[str] = set()
        self._ran: set[tuple[int, str]] = set()
        self.eta = Eta()
        self.label = ""

    def elapsed(self) -> float:
        """Seconds since the run began."""
        return self._clock() - self._began

    def start_play(self, name: str, hosts: Sequence[str]) -> None:
        """A play, or the next batch of one, on ``hosts``."""
        self.end_phase()
        self._play, self._hosts = name, list(hosts)
        self._plays += 1
        self._task = self.label = ""
        self._running = set()

    def is_new_task(self, task: str) -> bool:
        """Whether ``task`` (its id) is another one than the current."""
        return task != self._task

    def start_task(self, task: str, label: str, phase: str | None) -> None:
        """``task`` is its id, ``label`` is ``role : task``; without ``phase`` it belongs to the current one."""
        if self.is_new_task(task):
            self._gone |= self._failed_in_phase
            self._reported = set()
            self._detail = ""
        phase = phase or self._phase or self._play or "tasks"
        if phase != self._phase:
            self.end_phase()
            self._phase, self._phase_began = phase, self._clock()
            if self._announce:
                on = f"  on {self._hosts_text(self._hosts)}" if self._hosts else ""
                self._say(f"start  {phase}{on}", PLAIN)
        self._task, self.label = task, label
        self._labels[task] = label
        self.eta.start(label, self.elapsed())

    def label_of(self, task: str) -> str | None:
        """The label that the task had when it began: its variables are filled in only then."""
        return self._labels.get(task)

    def start_host(self, host: str) -> None:
        """A host begins the current task."""
        self._running.add(host)
        # Back after a rescue.
        self._gone.discard(host)

    def detail(self, text: str) -> None:
        """A remark on the current task for the live line, such as ``try 2 of 9``."""
        self._detail = f" ({text})"

    def finish(self, host: str, task: str, *, ran: bool, changed: bool = False) -> None:
        """A host is done with a task; ``ran`` is False for a skipped one."""
        self._running.discard(host)
        self._reported.add(host)
        if ran:
            self._ran_in_phase += 1
            self._ran.add((self._plays, task))
        if changed:
            self._changed_in_phase += 1

    def fail(self, host: str) -> None:
        """A task failed on a host and nobody ignores it."""
        self._failed_in_phase.add(host)

    def others_pending(self) -> bool:
        """Whether another host of the play may still report on the current task."""
        return bool(set(self._hosts) - self._reported - self._gone)

    def end_phase(self) -> None:
        """Say how the phase ended, if one is open."""
        if self._phase is None:
            return
        phase, changed, failed = self._phase, self._changed_in_phase, len(self._failed_in_phase)
        notes = [format_seconds(self._clock() - self._phase_began)]
        if changed:
            notes.append(f"{changed} to change" if self._check else f"{changed} changed")
        elif not self._ran_in_phase and not failed:
            notes.append("nothing to do")
        if failed:
            notes.append(f"{count(failed, 'host')} failed")
        self._phase, self._ran_in_phase, self._changed_in_phase, self._failed_in_phase = None, 0, 0, set()
        style = BAD if failed else CHANGED if changed else GOOD
        self._say(f"{'failed' if failed else 'done'}  {phase}  {', '.join(notes)}", style)

    def compose(self, width: int, *, unicode: bool) -> str:
        """The live line; empty before the first task."""
        if self._phase is None:
            return ""
        now = self.elapsed()
        # Other threads change the set meanwhile; copy() is atomic.
        hosts = self._hosts_text(self._running.copy() or self._hosts)
        task = self.label.removeprefix(f"{self._phase} : ") + self._detail
        return live_text(self._phase, hosts, task, now, self.eta.left(now), width=width, unicode=unicode)

    def say_recap(self, stats: Mapping[str, Mapping[str, int]], failed: Iterable[str]) -> None:
        """The recap lines and the last one, with the time and the number of tasks."""
        bad, ran = set(failed), len(self._ran)
        if stats:
            self._say("", PLAIN)
        for line, host in zip(recap_lines(stats), stats, strict=True):
            self._say(line, BAD if host in bad else CHANGED if stats[host].get("changed") else GOOD)
        self._say(
            f"{'Failed after' if bad else 'Done in'} {format_seconds(self.elapsed())}, {count(ran, 'task')} on "
            f"{count(len(stats), 'host')}. tasks={ran}" + (" (check: nothing was changed)" if self._check else ""),
            PLAIN,
        )

    def say_stopped(self, *, by_user: bool) -> None:
        """The run ended without a recap: Ctrl-C, or an error of the controller that Ansible has told already."""
        place = f", in {self.label}" if self.label else ""
        how = "by Ctrl-C" if by_user else "before the end"
        self._say(f"Stopped {how} after {format_seconds(self.elapsed())}{place}.", PLAIN)
        self._say("Next: " + ("Run" if by_user else "Fix the above and run") + " the same command again.", PLAIN)

    @staticmethod
    def _hosts_text(hosts: Iterable[str]) -> str:
        names = list(hosts)
        return names[0] if len(names) == 1 else count(len(names), "host")
