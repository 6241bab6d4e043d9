# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: progress
type: stdout
short_description: One live line on a terminal, plain lines elsewhere, the board at the end
version_added: 0.1.0
author: The hypercode.deploy authors (@hypercode)
description:
  - On a terminal there is one line that is rewritten in place, with the phase (the role, or the play), the host, the
    task, the time so far, and the time left as far as earlier runs of the same playbook tell.
  - Elsewhere (a pipe, a file, CI) there are plain lines without escape sequences, for every phase and for every changed
    or failed task; with C(-v) also for tasks that changed nothing, with C(-vv) for skipped ones, with C(-vvv) results.
  - A failure is one block with its message, findings, fixes and evidence, and the hosts that have it.
  - At the end come what results returned as C(hypercode_board) and C(hypercode_summary), a recap in the words of
    Ansible's own, and what to type next (C(hypercode_next), or C(next_step) of a failed result).
  - Under Molecule, changes are written as Ansible's default output does; its idempotence check reads that.
requirements:
  - Set as C(stdout_callback) in the configuration.
extends_documentation_fragment:
  - ansible.builtin.result_format_callback
options:
  mode:
    description:
      - V(auto) shows the live line on a terminal, unless E(CI) is set or E(TERM) is V(dumb).
      - V(live) shows it on any terminal.
      - V(plain) never shows it.
    type: str
    choices: [auto, live, plain]
    default: auto
    env:
      - name: HYPERCODE_PROGRESS
    ini:
      - section: callback_progress
        key: mode
  timings_file:
    description:
      - Where the durations of earlier runs are kept.
      - Without it, C(.cache/progress.json) beside the project's C(ansible.cfg); without such a file, nothing is kept.
    type: path
    env:
      - name: HYPERCODE_PROGRESS_FILE
    ini:
      - section: callback_progress
        key: timings_file
"""

import atexit
import contextlib
import os
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from ansible import constants as C
from ansible import context
from ansible.playbook.task_include import TaskInclude
from ansible.plugins.callback import CallbackBase
from ansible_collections.hypercode.deploy.plugins.module_utils import progress_core, progress_live
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.board_text import clean_text, one_line, shorten
from ansible_collections.hypercode.deploy.plugins.module_utils.progress_core import Closing, FailureLog
from ansible_collections.hypercode.deploy.plugins.module_utils.progress_live import Delay, LiveLine
from ansible_collections.hypercode.deploy.plugins.module_utils.progress_run import BAD, CHANGED, GOOD, PLAIN, Run
from ansible_collections.hypercode.deploy.plugins.module_utils.progress_timing import Eta, TimingStore, run_key
from ansible_collections.hypercode.deploy.plugins.plugin_utils import progress_ansible
from ansible_collections.hypercode.deploy.plugins.plugin_utils.progress_ansible import task_name

# How long a failure waits for other hosts to fail the same way.
_GATHER_SECONDS = 2.0
_PLAIN_WIDTH = 100
_QUIET = "quiet"
_COLORS = {GOOD: C.COLOR_OK, CHANGED: C.COLOR_CHANGED, BAD: C.COLOR_ERROR, _QUIET: C.COLOR_VERBOSE}


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Says what the run does, for people first."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "hypercode.deploy.progress"

    def __init__(self) -> None:
        super().__init__()
        self._molecule = bool(os.environ.get("MOLECULE_FILE"))
        self._unicode = "utf" in (getattr(sys.stdout, "encoding", "") or "").lower()
        self._on_terminal = False
        self._live: LiveLine | None = None
        self._guard = threading.RLock()
        self._delay = Delay(self._show_failures, _GATHER_SECONDS)
        self._failures = FailureLog()
        self._begin(None)

    def _begin(self, playbook: Any) -> None:
        self._check = bool(context.CLIARGS.get("check"))
        self._playbook = playbook
        self._play: Any = None
        self._run = Run(time.monotonic, self._say, announce=not self._on_terminal, check=self._check)
        self._closing = Closing()
        self._items_shown: set[tuple[str, str]] = set()
        self._items_failed: set[tuple[str, str]] = set()
        self._diffs: dict[tuple[str, str], list[str]] = {}
        self._store = TimingStore(None)
        self._key = ""

    # Start and end of the run

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Begin a playbook; on a terminal, begin the live line."""
        mode = "plain" if self._molecule else self.get_option("mode")
        self._on_terminal = progress_live.wants_live(mode, sys.stdout, os.environ)
        self._begin(playbook)
        atexit.register(self._stopped_early)
        if self._on_terminal:
            run, unicode = self._run, self._unicode
            self._live = LiveLine(sys.stdout, self._display._lock, lambda width: run.compose(width, unicode=unicode))
            self._live.start(self._display)
        if self._check:
            self._say("check: nothing will be changed")

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """The last words: boards, recap, time, and what to do next."""
        self._show_failures()
        self._run.end_phase()
        atexit.unregister(self._stopped_early)
        self._stop_live()
        width = progress_live.terminal_width(sys.stdout, _PLAIN_WIDTH)
        counts = {host: stats.summarize(host) for host in sorted(stats.processed)}
        failed = [host for host, sums in counts.items() if sums["failures"] or sums["unreachable"]]
        for block in self._closing.blocks(width=width, unicode=self._unicode):
            self._say(f"\n{block}")
        self._run.say_recap(counts, failed)
        for line in self._closing.next_lines(failed):
            self._say(line)
        if not failed and self._key:
            self._store.save(self._key, self._run.eta.steps(self._run.elapsed()))

    def _stopped_early(self) -> None:
        self._show_failures()
        self._stop_live()
        with contextlib.suppress(OSError, ValueError):
            self._run.say_stopped(by_user=progress_live.interrupted())

    # Plays, phases and tasks

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """A play, or the next batch of one."""
        self._show_failures()
        self._play = play
        hosts, known = progress_ansible.hosts_of(play)
        self._run.start_play(one_line(play.get_name()), hosts)
        if not self._key:
            self._load_timings(known)

    def v2_playbook_on_no_hosts_matched(self) -> None:
        """No host of the inventory is meant by this play."""
        self._say(f"skipped  {one_line(self._play.get_name())}  (no hosts matched)", _QUIET)

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """The next task, and perhaps the next phase."""
        self._start_task(task, progress_ansible.phase_name(self._play, task))

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        """A handler: it belongs to the phase that called for it."""
        self._start_task(task, None)

    def _start_task(self, task: Any, phase: str | None) -> None:
        if progress_live.interrupted():
            # Ansible loses a Ctrl-C that comes while it starts a worker; the run ends here then.
            raise KeyboardInterrupt
        if self._run.is_new_task(task._uuid):
            self._show_failures()
        self._run.start_task(task._uuid, task_name(task), phase)
        self._refresh()

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """A host begins the task."""
        self._run.start_host(host.get_name())
        self._refresh()

    # Results

    def v2_runner_on_ok(self, result: Any) -> None:
        """Changed, or as it should be."""
        self._finish(result, changed=result.is_changed())
        if not isinstance(result.task, TaskInclude):
            self._tell_ok(result)

    def v2_runner_item_on_ok(self, result: Any) -> None:
        """One item of a loop."""
        self._closing.remember(result.host.get_name(), result.result)
        if not isinstance(result.task, TaskInclude) and not self._molecule:
            self._tell_ok(result, self._item(result))

    def _tell_ok(self, result: Any, item: str = "") -> None:
        self._tell_warnings(result)
        verbosity, changed, check = self._display.verbosity, result.is_changed(), result.task.check_mode is True
        told = not item and self._place(result) in self._items_shown
        debug = result.task.action in C._ACTION_DEBUG and "results" not in result.result
        diffs = self._diffs.pop(self._place(result), [])
        # On a terminal the phase's line counts the changes; one by one they matter to those who ask.
        worth_a_line = verbosity or (changed and (diffs or check or not self._on_terminal))
        if changed and self._molecule:
            self._say(f"TASK [{self._name(result)}]\nchanged: [{self.host_label(result)}]")
        elif worth_a_line and not told and (changed or not debug):
            word = ("would change" if check else "changed") if changed else "ok"
            self._say(self._line(word, result, item), CHANGED if changed else GOOD)
        if item and worth_a_line:
            self._items_shown.add(self._place(result))
        for diff in diffs:
            self._say(progress_core.indent(diff))
        if debug:
            self._tell_debug(result, item)
        elif verbosity >= 3 and not told:
            self._say(progress_core.indent(self._dump_results(result.result)))

    def _tell_debug(self, result: Any, item: str) -> None:
        """Someone wrote a debug task in order to read it."""
        if self._run_is_verbose(result):
            self._clean_results(result.result, result.task.action)
            message = result.result.get("msg")
            text = message if isinstance(message, str) else self._dump_results(result.result)
            self._say(self._line("debug", result, item) + "\n" + progress_core.indent(clean_text(text)), _QUIET)

    def v2_runner_on_skipped(self, result: Any) -> None:
        """Not run: nothing is said below -vv."""
        self._finish(result, ran=False)
        self._tell_warnings(result)
        if self._display.verbosity >= 2:
            self._say(self._line("skipped", result), _QUIET)
        if self._display.verbosity >= 3:
            self._say(progress_core.indent(self._dump_results(result.result)))

    def v2_on_file_diff(self, result: Any) -> None:
        """Keep the diffs until the line they belong to is printed."""
        loop = result.result.get("results")
        for part in loop if isinstance(loop, list) else [result.result]:
            if isinstance(part, Mapping) and part.get("diff") and part.get("changed"):
                text = self._get_diff(part["diff"])
                if text.strip():
                    self._diffs.setdefault(self._place(result), []).append(text)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """A failure, or one that the playbook ignores."""
        self._finish(result)
        self._tell_failed("FAILED", result, ignored=ignore_errors)

    def v2_runner_item_on_failed(self, result: Any) -> None:
        """One item of a loop failed."""
        self._items_failed.add(self._place(result))
        self._tell_failed("FAILED", result, ignored=result.task.ignore_errors is True, item=self._item(result))

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """A host that does not answer."""
        self._finish(result)
        login = progress_ansible.login_of(self._play, result)
        lines = progress_core.unreachable_lines(result.host.get_name(), login, result.result.get("msg"))
        self._tell_failed("UNREACHABLE", result, ignored=result.task.ignore_unreachable is True, lines=lines)

    def _tell_failed(
        self, word: str, result: Any, *, ignored: bool, item: str = "", lines: list[str] | None = None
    ) -> None:
        host, verbosity = result.host.get_name(), self._display.verbosity
        told = not item and self._place(result) in self._items_failed
        self._closing.remember(host, result.result, failed=not ignored and not told)
        self._tell_warnings(result)
        if not ignored and not item:
            self._run.fail(host)
        if not told:
            lines = progress_core.failure_lines(result.result) if lines is None else lines
            first = shorten(one_line(lines[0]), 200)
            if verbosity:
                lines.append(f"at: {result.task.get_path()}")
            if verbosity >= 3:
                lines += clean_text(self._dump_results(result.result)).strip("\n").split("\n")
            if ignored:
                more = ["", *map(progress_core.indent, lines)] if verbosity >= 3 else []
                self._say(f"{self._line('ignored', result, item)}: {first}" + "\n".join(more), CHANGED)
                return
            with self._guard:
                self._failures.add(word, self.host_label(result), self._name(result) + item, lines)
        if self._run.others_pending():
            self._delay.later()
        else:
            self._show_failures()

    def _tell_warnings(self, result: Any) -> None:
        # The exception repeats the message, and Ansible leaves it in results that no_log hides.
        if self._display.verbosity < 3 or "censored" in result.result:
            result.result.pop("exception", None)
        self._handle_warnings_and_exception(result)

    def _show_failures(self) -> None:
        with self._guard:
            self._delay.cancel()
            for headline, body in self._failures.drain():
                self._say("\n".join([headline, *map(progress_core.indent, body)]), BAD)

    # Between start and end of a task

    def v2_runner_retry(self, result: Any) -> None:
        """A task that waits for something tries again."""
        tries, most = result.result.get("attempts", 0), result.result.get("retries", 0)
        self._run.detail(f"try {tries} of {most}")
        # In a log the pauses grow, so that a long wait is neither silent nor a wall.
        if self._display.verbosity or (not self._on_terminal and not tries & (tries - 1)):
            self._say(f"{self._line('retry', result)}  (try {tries} of {most})", _QUIET)
        self._refresh()

    def v2_runner_on_async_poll(self, result: Any) -> None:
        """A background job is still at work."""
        self._run.detail("in the background")
        self._refresh()

    def v2_playbook_on_include(self, included_file: Any) -> None:
        """A file of tasks was included."""
        if self._display.verbosity:
            hosts = ", ".join(map(str, included_file._hosts))
            self._say(f"included  {hosts}  {one_line(included_file._filename)}", _QUIET)

    def v2_playbook_on_notify(self, handler: Any, host: Any) -> None:
        """A handler will run later."""
        if self._display.verbosity >= 2:
            self._say(f"notified  {host}  {task_name(handler)}", _QUIET)

    def _finish(self, result: Any, *, ran: bool = True, changed: bool = False) -> None:
        self._run.finish(result.host.get_name(), result.task._uuid, ran=ran, changed=changed)
        self._closing.remember(result.host.get_name(), result.result)

    # Words

    @staticmethod
    def _place(result: Any) -> tuple[str, str]:
        return result.host.get_name(), result.task._uuid

    def _name(self, result: Any) -> str:
        return self._run.label_of(result.task._uuid) or task_name(result.task)

    def _item(self, result: Any) -> str:
        return f"  (item: {shorten(one_line(self._get_item_label(result.result)), 60)})"

    def _line(self, word: str, result: Any, item: str = "") -> str:
        return f"{word}  {self.host_label(result)}  {self._name(result)}{item}"

    def _say(self, text: str, style: str = PLAIN) -> None:
        """Print; without a terminal there is no colour, and no escape sequence of anyone else either."""
        if self._on_terminal:
            self._display.display(text, color=_COLORS.get(style))
            return
        self._display.display(progress_core.molecule_text(text) if self._molecule else clean_text(text))
        # Whoever follows a log wants the line now, not when the buffer is full.
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()

    def _refresh(self) -> None:
        if self._live:
            self._live.refresh()

    def _stop_live(self) -> None:
        if self._live:
            self._live.stop()
            self._live = None

    def _load_timings(self, known_hosts: int) -> None:
        self._store = TimingStore.at(self.get_option("timings_file"), C.CONFIG_FILE)
        names = ("inventory", "check", "tags", "skip_tags", "subset", "start_at_task")
        options = {name: context.CLIARGS.get(name) for name in names}
        self._key = run_key(getattr(self._playbook, "_file_name", None), hosts=known_hosts, **options)
        self._run.eta = Eta(self._store.load(self._key))
