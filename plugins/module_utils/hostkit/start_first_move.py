# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Moves services to their new containers without a gap: start beside, wait, switch the edge, drain, stop the old.

What was cut off is taken up again: a container that is not as the release wants it is an old one, whoever started it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import stack_state
from .engine import EngineError
from .files import FileError
from .probes import Doors, complaint_of_check
from .readiness import Waiter
from .rollout_error import RolloutError
from .room import groups_that_fit
from .stack_state import address_of
from .start_first import hidden_volume, in_place_reason, written
from .start_first_trial import Trial

if TYPE_CHECKING:
    from .release_stack import ReleaseStack

DEFAULT_MIN_HEALTHY, DEFAULT_DRAIN = 10.0, 30.0
STOP_MARGIN = 60.0
Inspected = Mapping[str, Any]


@dataclass
class Move:
    """One service on its way: the containers that go, and those that come."""

    service: str
    old: list[Inspected] = field(default_factory=list)
    new: list[Inspected] = field(default_factory=list)
    doors: Doors = field(default_factory=lambda: Doors({}))

    @property
    def serves(self) -> bool:
        """Whether one of those that go runs."""
        return any(container["State"]["Status"] == "running" for container in self.old)


class EdgeUntoldError(RolloutError):
    """The edge does not know of the new containers, so the old ones have to stay."""


class Mover:
    """Moves those services of a level that may run twice."""

    def __init__(self, stack: ReleaseStack) -> None:
        self._stack = stack
        self._tools = stack.tools
        self._model = stack.release.read_model()["services"]

    def move(self, names: Sequence[str]) -> None:
        """Move what has changed of these services. Raises RolloutError.

        Where a new container does not get ready it is removed, and the old one has served all the time.
        """
        for moves in self._that_fit(self._moves(names)):
            self._move(moves)

    def _move(self, moves: Sequence[Move]) -> None:
        services = [move.service for move in moves]
        self._stack.journal.write("starting beside", services=services)
        doors = self._tools.doors()
        for move in moves:
            move.doors = Doors.of(move.old, doors.get(move.service, ()), self._tools.ask)
        # Docker may call the new one healthy long before it is trusted.
        self._send_requests_to({move.service: move.old for move in moves})
        try:
            try:
                self._start_beside(moves)
                self._wait_ready(moves)
                self._send_requests_to({move.service: move.new for move in moves})
            except Exception:
                self._remove_new(moves)
                raise
            self._retire([container for move in moves for container in move.old])
        finally:
            self._tools.pin({})
        self._stack.journal.write("moved", services=services)

    # ---- what has to move -----------------------------------------------------------------------------------------

    def only_in_place(self, names: Sequence[str]) -> list[str]:
        """Those of these services that are not as the release wants them, and where no new one can start beside."""
        return [move.service for move in self._changed(names) if not move.serves or self._reason(move)]

    def writers(self, names: Sequence[str]) -> list[str]:
        """Those of these services that run, are not as the release wants them, and have data in a volume."""
        moves = [move for move in self._changed(names) if move.serves]
        return [move.service for move in moves if self._hidden(move) or written(self._model[move.service], ("volume",))]

    def _moves(self, names: Sequence[str]) -> list[Move]:
        moves = []
        for move in self._changed(names):
            # Where nothing serves there is nothing to wait for.
            if not move.serves:
                continue
            reason = self._reason(move)
            if reason:
                self._stack.journal.write("replaced in place", services=[move.service], reason=reason)
            else:
                moves.append(move)
        return moves

    def _changed(self, names: Sequence[str]) -> list[Move]:
        """The services that are not as the release wants them, or not there. Jobs run by a rule of their own."""
        found = self._containers()
        moves = []
        for name in (name for name in names if name in self._hashes):
            move = Move(name)
            for container in found.get(name, []):
                (move.new if self._is_wanted(name, container) else move.old).append(container)
            if move.old or not move.new:
                moves.append(move)
        return moves

    def _that_fit(self, moves: Sequence[Move]) -> list[list[Move]]:
        """Those that move together: all of them, or so many at once as there is memory for."""
        use = [sum(self._tools.engine.memory_bytes(str(item["Id"])) or 0 for item in move.old) for move in moves]
        places = groups_that_fit(use, self._tools.free_memory())
        groups = [[moves[place] for place in group] for group in places]
        left = sorted({move.service for move in moves} - {move.service for group in groups for move in group})
        if left:
            reason = "there is no memory for a second one"
            self._stack.journal.write("replaced in place", services=left, reason=reason)
        return groups

    @staticmethod
    def _is_kept_running(meta: Mapping[str, Any]) -> bool:
        """A job ends by itself, and what is scaled to nothing has no new container to wait for."""
        return not meta.get("job") and meta.get("replicas") != 0

    def _reason(self, move: Move) -> str:
        """Why a service has to be replaced in place; empty when a second one may run."""
        service = self._model[move.service]
        reason = in_place_reason(move.service, service, self._model)
        if reason:
            return reason
        hidden = self._hidden(move)
        return f"its image keeps data in a volume at {hidden}" if hidden else ""

    def _hidden(self, move: Move) -> str:
        """Where one of those that go has a volume that only its image asks for; empty where none has."""
        service = self._model[move.service]
        return next(filter(None, (hidden_volume(container, service) for container in move.old)), "")

    @functools.cached_property
    def _hashes(self) -> dict[str, str]:
        """What Compose would write on the containers of services that are kept running. Without it nothing is moved.

        It starts them with `--no-deps`, and then whom a service waits for is no part of it. Where it only tells, up to
        2.26 at least, it is a part: so the file is read without that.
        """
        names = [name for name, meta in self._stack.about["services"].items() if self._is_kept_running(meta)]
        if not names:
            return {}
        override = _without_order({name: self._model[name] for name in names})
        done = self._stack.compose("--file", "-", "config", "--hash", ",".join(names), text=override)
        if done.code:
            self._stack.journal.write("replaced in place", services=names, reason="Compose tells no hash")
            return {}
        pairs = (line.split() for line in done.stdout.splitlines())
        return {pair[0]: pair[1] for pair in pairs if len(pair) == 2 and pair[0] in names}

    def _is_wanted(self, name: str, container: Inspected) -> bool:
        labels = container["Config"].get("Labels") or {}
        image = self._stack.about["services"][name].get("image_id")
        return labels.get(stack_state.HASH_LABEL) == self._hashes.get(name) and image in (None, "", container["Image"])

    def _containers(self) -> dict[str, list[Inspected]]:
        return stack_state.containers_by_service(self._tools.engine.containers(self._stack.project))

    # ---- the new ones ---------------------------------------------------------------------------------------------

    def _start_beside(self, moves: Sequence[Move]) -> None:
        """Start as many new containers as are wanted, beside all that is there."""
        words = []
        for move in moves:
            copies = int(self._stack.about["services"][move.service].get("replicas") or 1)
            words += ["--scale", f"{move.service}={len(move.old) + max(copies, len(move.new))}"]
        self._stack.compose_beside([move.service for move in moves], words)

    def _find_new(self, moves: Sequence[Move]) -> None:
        found = self._containers()
        for move in moves:
            old = {container["Id"] for container in move.old}
            move.new = [container for container in found.get(move.service, []) if container["Id"] not in old]

    def _rows(self, moves: Sequence[Move]) -> list[stack_state.Row]:
        self._find_new(moves)
        facts = self._stack.about["services"]
        return [stack_state.make_row(move.service, facts[move.service], move.new) for move in moves]

    def _wait_ready(self, moves: Sequence[Move]) -> None:
        """Until all are ready, and have been for the minimum time: one that falls down after a moment is not taken."""
        tools = self._tools
        timeout = self._stack.ready_timeout
        waiter = Waiter(lambda: self._rows(moves), timeout, tools.clock, tools.sleep, tools.poll_seconds)
        outcome = waiter.wait()
        if outcome.is_good:
            outcome = self._trial(moves).run()
        if not outcome.is_good:
            raise self._stack.not_ready(outcome)
        services = [move.service for move in moves]
        self._stack.journal.write("ready beside", services=services, seconds=round(outcome.seconds, 1))

    def _trial(self, moves: Sequence[Move]) -> Trial:
        tools = self._tools
        doors = {move.service: move.doors for move in moves}

        def complaint(service: str, container: Inspected) -> str:
            return complaint_of_check(container, tools.run) or doors[service].complaint(container, tools.ask)

        return Trial(
            look=lambda: self._rows(moves),
            containers=lambda: {move.service: move.new for move in moves},
            complaint=complaint,
            least=float(self._stack.about.get("min_healthy", DEFAULT_MIN_HEALTHY)),
            timeout=self._stack.ready_timeout,
            clock=tools.clock,
            sleep=tools.sleep,
            poll_seconds=tools.poll_seconds,
        )

    def _remove_new(self, moves: Sequence[Move]) -> None:
        """Take away what did not get ready; why is in the evidence. The old ones have never stopped to serve."""
        services = [move.service for move in moves]
        try:
            self._find_new(moves)
        except EngineError as error:
            # What led here counts; the way back, or the next run, takes them away.
            self._stack.journal.write("not removed", services=services, reason=str(error))
            return
        new = [str(container["Id"]) for move in moves for container in move.new]
        if new:
            self._tools.run(["docker", "rm", "--force", *new], timeout=STOP_MARGIN)
        self._stack.journal.write("removed what was started beside", services=services)

    # ---- the old ones ---------------------------------------------------------------------------------------------

    def _retire(self, old: Sequence[Inspected]) -> None:
        """Time for what is under way, then the end."""
        self._drain(old)
        self._stop(old)

    def _send_requests_to(self, chosen: Mapping[str, Sequence[Inspected]]) -> None:
        """From now on the edge asks these. Raises EdgeUntoldError: whom it asks instead must not be stopped."""
        names = ", ".join(chosen)
        try:
            self._tools.pin({name: [str(container["Id"]) for container in found] for name, found in chosen.items()})
            problem = self._tools.tell_edge(self._tools.engine)
        except FileError as error:
            problem = str(error)
        if problem:
            raise EdgeUntoldError(
                f"The edge cannot be told which container of {names} to ask: {problem}. "
                "Fix: mend that (hypercode edge sync tries it), then run the same command again"
            )

    def _drain(self, old: Sequence[Inspected]) -> None:
        """Wait until the edge has no connection to them any more, for as long as they have to drain."""
        tools, began = self._tools, self._tools.clock()
        limit = float(self._stack.about.get("drain_timeout", DEFAULT_DRAIN))
        addresses = [address for address in map(address_of, old) if address and not address.startswith("127.")]
        left = 0
        while addresses and tools.clock() - began < limit:
            left = tools.connections(addresses)
            if not left:
                break
            tools.sleep(min(tools.poll_seconds, limit))
        self._stack.journal.write("drained", seconds=round(tools.clock() - began, 1), connections_left=left)

    def _stop(self, old: Sequence[Inspected]) -> None:
        """All at once, each with its own signal and grace period; then they are removed."""
        grace = max(float(container["Config"].get("StopTimeout") or 10) for container in old)
        names = [str(container["Id"]) for container in old]
        for words in (["docker", "stop", *names], ["docker", "rm", "--force", *names]):
            done = self._tools.run(words, timeout=grace + STOP_MARGIN)
            if done.code:
                said = json.dumps(self._stack.redact(done.stderr.strip()))
                shown = [name[:12] for name in names]
                self._stack.journal.write("old containers not removed", containers=shown, reason=said)


def _without_order(services: Mapping[str, Mapping[str, Any]]) -> str:
    """A second Compose file, by which these services wait for nobody. `!reset` is Compose's own word for it."""
    lines = ["services:"]
    for name, service in services.items():
        lines += [f"  {json.dumps(name)}:", "    depends_on: !reset null" if service.get("depends_on") else "    {}"]
    return "\n".join(lines) + "\n"
