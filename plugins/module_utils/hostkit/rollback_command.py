# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`hypercode rollout list` and `hypercode rollout back`: which releases there are, and going back to one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from .board_text import aligned
from .converge import ConvergeError
from .deploy import DeployError, LaunchError
from .release import Release, Store
from .rollback import GoBack, Request, make_plan, plan_lines, target_of, wanted_of
from .rollout_facts import who

COLUMNS = ("RELEASE", "VERSION", "STATE", "IN USE SINCE", "WHY")
IN_USE, KEPT = "in use", "kept"


def add_verbs(verbs: Any) -> None:
    """Add `list` and `back` to `hypercode rollout`."""
    listed = verbs.add_parser("list", help="show the releases on this host: which is in use, since when, and why")
    listed.set_defaults(function=_list)
    back = verbs.add_parser("back", help="go back to a release that was in use before")
    back.add_argument("to", nargs="?", default="", help="its id or version (default: the one before the current one)")
    back.add_argument("--check", action="store_true", help="only say what would be done")
    back.add_argument("--reason", default="", help="why, for the record")
    back.add_argument(
        "--accept-data", action="store_true", help="the data was put back to what that release understands"
    )
    back.add_argument("--timeout", type=float, default=1800.0, help="seconds to wait for it (1800)")
    back.set_defaults(function=_back)


# ---- which there are -------------------------------------------------------------------------------------------------


def _list(_arguments: argparse.Namespace, host: Any) -> int:
    rows = release_rows(host.store)
    if not rows:
        print("hypercode: there is no release on this host. Next: run site.yml for it")
        return 1
    for line in aligned([COLUMNS, *rows]):
        print(line.rstrip())
    return 0


def release_rows(store: Store) -> list[tuple[str, ...]]:
    """Return a row for each release, newest first: id, version, state, since when, why."""
    current = store.current()
    return [_row(release, release == current) for release in reversed(store.all())]


def _row(release: Release, is_current: bool) -> tuple[str, ...]:
    about = release.peek()
    was = KEPT if release.was_in_use else f"never in use ({release.status})"
    since = str(about.get("in_use_since") or (about.get("finished") if release.was_in_use else "") or "-")
    version = str(about.get("version") or "-")
    return (release.id, version, IN_USE if is_current else was, since, _why(about))


def _why(about: Mapping[str, Any]) -> str:
    back = about.get("back")
    if not isinstance(back, dict):
        return str(about.get("why") or "-")
    reason = f": {back['why']}" if back.get("why") else ""
    return f"gone back to from {back.get('from')} by {back.get('who') or 'somebody'}{reason}"


# ---- going back ------------------------------------------------------------------------------------------------------


def _back(arguments: argparse.Namespace, host: Any) -> int:
    try:
        return _go_back(arguments, host)
    except (ConvergeError, DeployError, LaunchError) as error:
        print(f"hypercode: {error}", file=sys.stderr)
        return 1


def _go_back(arguments: argparse.Namespace, host: Any) -> int:
    request = Request(to=arguments.to, who=who(), why=arguments.reason, accept_data=arguments.accept_data)
    plan = make_plan(host.store, host.engine, request)
    target = target_of(plan)
    version = target.read().get("version") or "-"
    if not plan.actions:
        print(f"nothing to do: {plan.reason}")
    else:
        print(f"{plan.reason}, version {version}:")
        for line in plan_lines(host.store, plan):
            print(f"  {line}")
    if arguments.check:
        return 0
    sys.stdout.flush()
    move = GoBack(
        host.store,
        host.engine,
        wanted_of(target),
        arguments.timeout,
        host.launcher,
        rollout=host.rollout,
        request=request,
    )
    _plan, about = move.run(plan)
    print(f"release {about['id']} is up, version {about.get('version') or '-'}")
    print("The next site.yml goes to what the inventory says. To stay here, set stack_version there")
    return 0
