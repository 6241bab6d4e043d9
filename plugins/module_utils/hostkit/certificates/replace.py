# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Replaces certificates now, whatever is left of their lifetime: with new keys, from the CA in use.

Caddy has no command for it, and a reload keeps what it has in memory. So a second Caddy asks, as in a rehearsal, but
under the account of the running one; only a certificate that is there takes the place of the old one. The running Caddy
is restarted to read it, and waited for until it serves it. What comes through DNS is asked for by lego, and needs no
restart.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..command import CommandResult, run_command
from ..edge.bridge import served
from ..edge.caddy import Caddy
from ..edge.challenge import renew
from ..edge.layout import Paths as EdgePaths
from ..edge.sync import read_manifest
from .caddy import UNIT, CaddyError, RunningCaddy, find_caddy
from .rehearsal import ask
from .rehearsal_log import DONE, Rehearsed
from .rehearse import choose_names
from .wanted import Paths, WantedCertificate

_TIMEOUT = 90.0
# Seconds in which a Caddy that says it has started serves its certificates: it loads them after it said so.
_LOADED_IN = 15.0
_PAUSE = 0.1


def replace_names(
    paths: Paths, wanted: Sequence[WantedCertificate], names: Sequence[str], *, timeout: float = 120.0
) -> list[Rehearsed]:
    """How it went for each of these names. Where one failed, its old certificate is left as it was.

    CertificateError for a name that no CA gives, CaddyError without Caddy, EdgeError when lego fails.
    """
    by_http, by_dns = choose_names(wanted, names)
    results: list[Rehearsed] = []
    if by_http:
        caddy = find_caddy(paths)
        port = https_port(caddy)
        before = {name: served(name, port=port) for name in by_http}
        results += ask(caddy, by_http, lambda directory: directory, keep=put_in_place, timeout=timeout)
        new = {result.name: before[result.name] for result in results if result.passed}
        if new:
            restart_caddy()
            wait_until_served(new, port)
    if by_dns:
        at = EdgePaths(paths.root)
        about = read_manifest(at) or {}
        renew(about, at, only=[name for site in by_dns for name in site])
        Caddy(str(about["binary"]), at).reload(force=True)
        results += [Rehearsed(name, True, DONE) for site in by_dns for name in site]
    found = {result.name: result for result in results}
    return [found[name] for name in dict.fromkeys(names)]


def put_in_place(caddy: RunningCaddy, relative: Path, storage: Path) -> None:
    """Move a new certificate, with its key, to where the running Caddy reads it from. CaddyError says what hinders it.

    As Caddy's user: in a folder of another one, root follows no links.
    """
    target = caddy.storage(caddy.config()) / relative
    new, old = target.with_name(f".{target.name}.new"), target.with_name(f".{target.name}.old")
    aside: list[list[str | Path]] = [["mv", "-T", target, old]] if target.exists() else []
    steps: list[list[str | Path]] = [
        ["mkdir", "-p", target.parent],
        ["rm", "-rf", new, old],
        ["cp", "-r", storage / relative, new],
        *aside,
        ["mv", "-T", new, target],
        ["rm", "-rf", old],
    ]
    for step in steps:
        try:
            subprocess.run(step, check=True, capture_output=True, text=True, umask=0o077, timeout=30, **caddy.as_user())
        except (subprocess.SubprocessError, OSError) as error:
            said = str(getattr(error, "stderr", "") or error).strip()
            raise CaddyError(
                f"The new certificate cannot be put into {target}: {said}. Fix: see to that, then run it again"
            ) from error


def restart_caddy(run: Callable[..., CommandResult] = run_command) -> None:
    """Let Caddy read its certificates anew. CaddyError."""
    done = run(["systemctl", "restart", UNIT], timeout=_TIMEOUT)
    if done.code:
        said = (done.stderr or done.stdout).strip().rstrip(".")
        raise CaddyError(f"The new certificate is there, and {UNIT} does not start: {said}. Fix: journalctl -u caddy")


def https_port(caddy: RunningCaddy) -> int:
    """The port on which it serves its certificates. CaddyError when it does not say."""
    return int(caddy.config().get("apps", {}).get("http", {}).get("https_port") or 443)


def wait_until_served(before: Mapping[str, bytes | None], port: int, *, within: float = _LOADED_IN) -> None:
    """Return when another certificate than ``before`` is served for each name. CaddyError after ``within`` seconds."""
    late = time.monotonic() + within
    for name, old in before.items():
        while (now := served(name, port=port)) is None or now == old:
            if time.monotonic() >= late:
                raise CaddyError(
                    f"The new certificate of {name} is there, and {UNIT} does not serve it {within:.0f} s after it "
                    "was restarted. Fix: journalctl -u caddy"
                )
            time.sleep(_PAUSE)
