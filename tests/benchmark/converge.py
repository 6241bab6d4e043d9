"""scripts/bench converge: a run of site.yml that changes nothing, against the same state written the usual way.

What is written as JSON, `schema` 1:

    schema        1
    verb          "converge"
    created       when, UTC, ISO 8601
    inventory     as it was given
    hosts         number of hosts, without the controller
    runs          number of rounds; in each, site.yml runs first and the usual way second
    warmed_up     whether both ran once before the first round; if not, they ran once in check mode, and the figures are
                  no ones to keep
    versions      {"hypercode.deploy", "ansible-core", "python"}
    machine       {"cpus", "load"}: processors of the controller, and its load average before the first round
    ours, usual   {"playbook", "tasks", "seconds": [one for each round], "seconds_min", "seconds_median", "seconds_max",
                   "seconds_per_task": median / tasks}
    usual         also "tasks_for_hostkit": how many of its tasks bring the library of the host command
    ratio         usual / ours: {"median": of the medians, "pairwise_min", "pairwise_max": of the single rounds,
                   "tasks": of the numbers of tasks}
"""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from testbed.shell import TestbedError, say, step

from . import figures, usual_way
from .figures import Side
from .playbook import Player, Run

OURS, USUAL = "site.yml", "the usual way"
USUAL_FOLDER = Path("tests/benchmark/usual")
HOSTKIT = Path("plugins/module_utils/hostkit")
SHOWN = 10
# So many files of the library are enough to show that the usual way works.
QUICK = 5


@dataclass(frozen=True)
class Wish:
    """What the user asked for: the checkout, the inventory (path, and as it was typed), rounds, where the JSON goes,
    whether both run once before anything is measured; if not, their check mode is measured, and nothing else runs, with
    a few files of the library of the host command only."""

    root: Path
    inventory: Path
    inventory_name: str
    runs: int
    json: Path
    warm_up: bool = True

    @property
    def output(self) -> Path:
        """A folder for what the usual way is fed with."""
        return self.root / "tests" / "output" / "bench"


# The usual way is not written down for these, so both leave them out: our run by this, the usual one by itself.
LEFT_OUT = ("edge", "watch", "backup", "soak")
# That it is on decides which services the stack has, on both sides: only its own files are left out.
TAGS_LEFT_OUT = ("monitoring",)
SAME = (
    *("--extra-vars", json.dumps({f"{role}_enabled": False for role in LEFT_OUT})),
    *("--skip-tags", ",".join(TAGS_LEFT_OUT)),
)


def run(wish: Wish, player: Player) -> None:
    """Measure, print a table and one sentence, write the JSON."""
    say(f"A run that changes nothing, on {wish.inventory_name}: {OURS} against {USUAL}.")
    # Figures of an earlier run must not be taken for those of this one, should it end early.
    wish.json.unlink(missing_ok=True)
    usual_words = (f"{USUAL_FOLDER}/playbook.yml", "--extra-vars", json.dumps({"usual_output": str(wish.output)}))
    with step(f"Check that {OURS} would change nothing"):
        checked = player.play(OURS, *SAME, "--check")
    if checked.changed:
        raise TestbedError(
            f"{OURS} would change {counted(checked.changes)}\n"
            f"Next: .venv/bin/ansible-playbook {OURS} -i {wish.inventory_name}, then this command again."
        )
    with step("Look at what the hosts have"):
        hostkit_tasks = prepare(wish, player, usual_words[1:])
    # Check mode: should it not be the same state after all, then nothing on the host is touched.
    with step(f"Check that {USUAL} would change nothing"):
        load = os.getloadavg()[0]
        tried = refuse_changes(USUAL, player.play(*usual_words, "--check"))
    if not wish.warm_up:
        report(wish, Side(OURS, [checked]), Side(USUAL, [tried]), load, hostkit_tasks)
        return
    with step("Warm up, once each"):
        refuse_changes(OURS, player.play(OURS, *SAME))
        refuse_changes(USUAL, player.play(*usual_words))
    load = os.getloadavg()[0]
    ours: list[Run] = []
    usual: list[Run] = []
    for number in range(1, wish.runs + 1):
        ours.append(refuse_changes(OURS, player.play(OURS, *SAME)))
        usual.append(refuse_changes(USUAL, player.play(*usual_words)))
        say(f"  Round {number} of {wish.runs}: {OURS} {ours[-1].seconds:.1f} s, {USUAL} {usual[-1].seconds:.1f} s")
    report(wish, Side(OURS, ours), Side(USUAL, usual), load, hostkit_tasks)


def prepare(wish: Wish, player: Player, words: Iterable[str]) -> int:
    """Write what the usual way is fed with, and check that it covers all that our roles manage.

    Returns the number of its tasks for hostkit.
    """
    tasks = usual_way.hostkit_tasks(wish.root / HOSTKIT)
    wish.output.mkdir(parents=True, exist_ok=True)
    played = tasks if wish.warm_up else tasks[:QUICK]
    (wish.output / "hostkit.yml").write_text(yaml.safe_dump(played, sort_keys=False), encoding="utf-8")
    for old in wish.output.glob("*/host.json"):
        old.unlink()
    player.play(f"{USUAL_FOLDER}/look.yml", *words)
    patterns = usual_way.managed_patterns([*tasks, *usual_way.tasks_below(wish.root / USUAL_FOLDER)])
    missing = {
        path
        for found in wish.output.glob("*/host.json")
        for path in usual_way.not_covered(json.loads(found.read_text(encoding="utf-8"))["paths"], patterns)
    }
    if missing:
        raise TestbedError(
            f"{OURS} manages {counted(sorted(missing))}\n{USUAL_FOLDER}/ does not, so it is not the same state. "
            f"Fix: add a task for each to its role in {USUAL_FOLDER}/roles/."
        )
    return len(played)


def refuse_changes(name: str, run: Run) -> Run:
    """Return the run when it changed nothing; else its figures mean nothing: raise TestbedError."""
    if not run.changed:
        return run
    raise TestbedError(
        f"{name} is not without changes here, so its time tells nothing. It changes {counted(run.changes)}\n"
        f"Fix: make both declare the same ({USUAL_FOLDER}/ against roles/). Did someone else work on the project or "
        "the host meanwhile? Then run site.yml, and this command again."
    )


def counted(things: Iterable[str]) -> str:
    """Return a number and a list of lines, cut to a readable length."""
    lines = list(things)
    more = [f"  … and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return "\n".join([f"{len(lines)}:", *(f"  {line}" for line in lines[:SHOWN]), *more])


def report(wish: Wish, ours: Side, usual: Side, load: float, hostkit_tasks: int) -> None:
    try:
        found = result(wish, ours, usual, load, hostkit_tasks)
    except ValueError as error:
        raise TestbedError(
            f"{error}. Somebody changed the project or the host meanwhile. Fix: run this command again."
        ) from error
    say("")
    for line in figures.table([ours, usual]):
        say(line)
    say(f"  ({hostkit_tasks} tasks of {USUAL} bring the library of the host command, one for each file and folder.)")
    say(f"\n{figures.sentence(ours, usual, found['hosts'])}")
    if not wish.warm_up:
        say(
            "Measured once, cold, in check mode, and without most of the library: it shows that both ways work. For "
            "figures to keep, run it without --quick."
        )
    if ours.unsteady or usual.unsteady:
        say(
            "The times differ much from round to round: something else uses this machine. Run it again in a quiet hour."
        )
    wish.json.parent.mkdir(parents=True, exist_ok=True)
    wish.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    say(f"As JSON: {wish.json}")


def result(wish: Wish, ours: Side, usual: Side, load: float, hostkit_tasks: int) -> dict[str, Any]:
    """Return what is written as JSON (see the head of this file). Raises ValueError when runs do not fit together."""
    galaxy = yaml.safe_load((wish.root / "galaxy.yml").read_text(encoding="utf-8"))
    ratio = figures.ratio_of(ours, usual)
    hosts = {run.hosts for run in (*ours.runs, *usual.runs)}
    if len(hosts) != 1:
        raise ValueError(f"The runs were on {' and '.join(map(str, sorted(hosts)))} hosts")
    return {
        "schema": 1,
        "verb": "converge",
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "inventory": wish.inventory_name,
        "hosts": hosts.pop(),
        "runs": len(ours.runs),
        "warmed_up": wish.warm_up,
        "versions": {
            "hypercode.deploy": str(galaxy["version"]),
            "ansible-core": version("ansible-core"),
            "python": platform.python_version(),
        },
        "machine": {"cpus": os.cpu_count(), "load": round(load, 2)},
        "ours": {"playbook": OURS, **ours.as_json()},
        "usual": {
            "playbook": f"{USUAL_FOLDER}/playbook.yml",
            **usual.as_json(),
            "tasks_for_hostkit": hostkit_tasks,
        },
        "ratio": {**ratio.as_json(), "tasks": round(usual.tasks / ours.tasks, 2)},
    }
