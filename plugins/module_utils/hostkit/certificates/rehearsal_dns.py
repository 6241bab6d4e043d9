# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rehearses a renewal through DNS: lego, with a folder that is thrown away and the CA's test directory.

For the time of the challenge the record _acme-challenge stands in the zone, as at a renewal.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..board_text import one_line
from ..command import NOT_FOUND, TIMED_OUT, CommandResult, run_command
from .directories import test_directory
from .rehearsal_log import CHALLENGE, DONE, ORDER, REACH, Rehearsed, fix_of
from .wanted import Paths
from .x509 import CertificateError

Run = Callable[..., CommandResult]
USER = "caddy"
_LONGEST = 400
_AGAIN = "Fix: run site.yml again; it writes the file anew"
# What lego says before the cause of an error: date, level, its own words.
_PREFIX = re.compile(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d (?:\[\w+\] )?")


def rehearse_dns(
    paths: Paths,
    sites: Sequence[Sequence[str]],
    *,
    ca: str = "",
    timeout: float = 120.0,
    run: Run = run_command,
    user: str = USER,
) -> list[Rehearsed]:
    """How it went for each name of these sites. CertificateError when the settings of the host cannot be read."""
    about = _manifest(paths)
    environment = _environment(paths)
    found: list[Rehearsed] = []
    for names in sites:
        found += _site(paths, names, about, environment, ca, timeout, run, user)
    return found


def _site(
    paths: Paths,
    names: Sequence[str],
    about: dict[str, Any],
    environment: dict[str, str],
    ca: str,
    timeout: float,
    run: Run,
    user: str,
) -> list[Rehearsed]:
    directory = ca or test_directory(str(about.get("acme_ca", "")))
    folder = tempfile.mkdtemp(prefix="hypercode-rehearsal-")
    try:
        if user:
            shutil.chown(folder, user, user)
        words = ["lego", "--accept-tos", "--path", folder, "--server", directory, "--key-type", "ec256"]
        words += ["--email", str(about.get("acme_email") or f"hostmaster@{names[0].removeprefix('*.')}")]
        words += ["--dns", str(about.get("dns_provider", ""))]
        for name in names:
            words += ["--domains", name]
        for resolver in about.get("dns_resolvers") or ():
            words += ["--dns.resolvers", str(resolver)]
        root = paths.at("/etc/hypercode/edge/acme-root.pem")
        extra = {"LEGO_CA_CERTIFICATES": str(root)} if root.exists() else {}
        prefix = ["runuser", "--user", user, "--"] if user else []
        done = run([*prefix, *words, "run"], timeout=timeout, environment={**environment, **extra, "HOME": folder})
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if done.code == 0:
        return [Rehearsed(name, True, DONE) for name in names]
    return [_failed(name, done, environment, directory, timeout) for name in names]


def _failed(name: str, done: CommandResult, environment: dict[str, str], directory: str, timeout: float) -> Rehearsed:
    text = f"{done.stdout}\n{done.stderr}"
    if done.code == NOT_FOUND or "lego: command not found" in text or "lego: No such file" in text:
        return Rehearsed(
            name, False, "begin", "lego is not installed, which renews through DNS.", "apt-get install lego"
        )
    if done.code == TIMED_OUT:
        fix = "Check that the name servers of the zone answer; try again with a longer --timeout."
        return Rehearsed(name, False, CHALLENGE, f"It was not through after {timeout:.0f} s.", fix)
    lines = [_PREFIX.sub("", line) for line in text.splitlines() if line.strip()]
    # lego names each domain before its error; what concerns no domain stands last.
    own = [line for line in lines if line.startswith(f"[{name}]")]
    message = one_line((own or lines or ["lego said nothing"])[-1])
    for value in environment.values():
        if len(value) > 7 and not value.startswith("/"):
            message = message.replace(value, "********")
    step = REACH if "directory" in message or "no such host" in message else CHALLENGE if own else ORDER
    own_fix = "Check edge_dns_challenge: provider, server and key; and that the zone of the name is at that server."
    if step == REACH:
        own_fix = f"See from this host whether it answers: curl -sS {directory}"
    return Rehearsed(name, False, step, message[:_LONGEST], fix_of(message, name, directory) or own_fix)


def _manifest(paths: Paths) -> dict[str, Any]:
    path = paths.at("/etc/hypercode/edge/edge.json")
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CertificateError(f"{path} does not exist. {_AGAIN}") from error
    except ValueError as error:
        raise CertificateError(f"{path}: {error}. {_AGAIN}") from error
    if not isinstance(about, dict):
        raise CertificateError(f"{path} holds no settings. {_AGAIN}")
    return about


def _environment(paths: Paths) -> dict[str, str]:
    """The variables of the DNS provider, secrets among them."""
    path: Path = paths.at("/etc/hypercode/edge/dns.env")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {name: value for name, _sign, value in pairs}
