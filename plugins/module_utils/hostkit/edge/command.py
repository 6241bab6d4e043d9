# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`hypercode edge …`: what an operator, a unit or a rollout asks of the edge."""

from __future__ import annotations

import argparse
import time
from typing import Any

from ..engine import Engine, EngineError
from ..files import FileError
from .caddy import Caddy, EdgeError
from .challenge import renew
from .drain import drain, is_drained, undrain
from .follow import Follower, docker_events
from .layout import Paths
from .metrics import Relay
from .render import RETRY_SECONDS
from .sync import read_manifest, sync

NOBODY_ASKS = (
    "hypercode: no load balancer asks this host, so that nobody would notice. "
    "Fix: set edge_health_path and run site.yml --tags edge"
)
BY_HAND = "this host was drained by hand, and stays so. Next: hypercode edge undrain"
NOTHING = "hypercode: this host has no edge. Next: set edge_sites and run site.yml"


def add_verbs(verbs: Any) -> None:
    """Add `edge` to the command."""
    edge = verbs.add_parser("edge", help="look after the way from outside to the containers")
    edges = edge.add_subparsers(required=True, metavar="WHAT")
    done = edges.add_parser("sync", help="tell Caddy where the containers are now")
    done.set_defaults(function=_sync)
    done = edges.add_parser("follow", help="do so at each change, until stopped (hypercode-edge.service does it)")
    done.set_defaults(function=_follow)
    done = edges.add_parser("renew", help="renew the certificates that come through DNS, where it is time")
    done.set_defaults(function=_renew)
    done = edges.add_parser("drain", help="tell the load balancer to send no more; what comes is answered all the same")
    done.add_argument("--wait", type=_seconds, default=0, metavar="SECONDS", help="then wait, until it has asked")
    done.add_argument("--for-update", action="store_true", help="until the rollout that follows has come up")
    done.set_defaults(function=_drain)
    done = edges.add_parser("undrain", help="tell the load balancer to send requests again (a boot does it too)")
    done.add_argument("--for-update", action="store_true", help="where an update has drained it; not where you have")
    done.set_defaults(function=_undrain)


def _sync(_arguments: argparse.Namespace, host: Any) -> int:
    synced = sync(host.engine)
    if synced is None:
        print(NOTHING)
        return 0
    for name in synced.changed:
        print(f"new address  {name}")
    for name in synced.missing:
        print(f"no container {name}: requests wait {RETRY_SECONDS} seconds for one, then are refused")
    print("Caddy has loaded it" if synced.reloaded else "Caddy needs no reload")
    return 1 if synced.missing else 0


def _say(text: str) -> None:
    print(text, flush=True)


def _follow(_arguments: argparse.Namespace, host: Any) -> int:
    paths = Paths()
    about = read_manifest(paths)
    if about is None:
        print(NOTHING)
        return 1
    Relay(paths, _say).start()
    Follower(
        lambda: sync(host.engine),
        lambda: docker_events(host.engine, str(about["project"])),
        say=_say,
    ).run()
    return 0


def _renew(_arguments: argparse.Namespace, _host: Any) -> int:
    paths = Paths()
    about = read_manifest(paths)
    if about is None:
        print(NOTHING)
        return 0
    renewed = renew(about, paths)
    if renewed:
        Caddy(str(about["binary"]), paths).reload(force=True)
    print(f"renewed: {', '.join(renewed) or 'nothing, it is not time yet'}")
    return 0


def _seconds(text: str) -> int:
    """A number of seconds, as argparse wants it: ValueError for what is none."""
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


def _drain(arguments: argparse.Namespace, _host: Any) -> int:
    paths = Paths()
    about = read_manifest(paths)
    if about is None or not about.get("health_path"):
        print(NOTHING if about is None else NOBODY_ASKS)
        return 1
    if not drain(paths, for_update=arguments.for_update):
        print(BY_HAND)
        return 0
    print(f"drained: {about['health_path']} is answered with 503. Next: hypercode edge undrain", flush=True)
    time.sleep(arguments.wait)
    return 0


def _undrain(arguments: argparse.Namespace, _host: Any) -> int:
    paths = Paths()
    if undrain(paths, for_update=arguments.for_update):
        print("undrained: the load balancer sends requests again when it has asked")
    else:
        print(BY_HAND if is_drained(paths) else "this host was not drained")
    return 0


def sync_after_rollout(engine: Engine, paths: Paths | None = None) -> str:
    """Tell Caddy of a release that has come up. What went wrong, or nothing: a release does not fail for it.

    The follower tries again at each event.
    """
    try:
        sync(engine, paths)
    except (EdgeError, EngineError, FileError, OSError) as error:
        return str(error)
    return ""
