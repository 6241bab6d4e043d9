"""ansible-test sanity on a copy of the collection: it wants a real path, a git repository and a home of its own."""

from __future__ import annotations

import configparser
import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .context import Context, begin_log
from .files import tracked
from .outcome import Outcome, PartError, read_lines

TIMEOUT = 900.0
# Only these carry what ansible-test judges.
FOLDERS = ("plugins", "meta", "tests/sanity")
FILES = ("galaxy.yml", "LICENSE", "tests/config.yml")
# They look for what is not here: fragments of a changelog, PowerShell, shell scripts.
NOTHING_TO_DO = ("changelog", "pslint", "shellcheck")

_RUNNING = re.compile(r'^Running sanity test "(?P<name>[^"]+)"')
_SKIPPED = re.compile(r'^WARNING: (?P<reason>Skipping sanity test "(?P<name>[^"]+)".*)')
_LISTED = re.compile(r"^FATAL: The \d+ sanity test\(s\) listed below")
# What pip says about itself.
_NOISE = re.compile(
    r"WARNING: (?:Location|Using locale|Reviewing)|Looking in|Processing|Collecting|Downloading|Installing|Using cached"
    r"|Successfully installed|[━╸]"
)


def run(context: Context) -> Outcome:
    log = begin_log(context.output / "sanity.log")
    base = context.root / ".cache" / "sanity"
    home = prepare_home(base / "home")
    copy = stage(context.root, base / "ansible_collections" / "hypercode" / "deploy")
    code = context.run(
        [
            *(context.tool("ansible-test"), "sanity", "--color", "no"),
            *("--python", f"{sys.version_info[0]}.{sys.version_info[1]}"),
            *(word for name in NOTHING_TO_DO for word in ("--skip-test", name)),
        ],
        log,
        cwd=copy,
        env={"HOME": str(home)},
        timeout=TIMEOUT,
    )
    return judge(read_lines(log), code)


def stage(root: Path, target: Path) -> Path:
    """Copy the collection to where ansible-test accepts it, as a git repository."""
    shutil.rmtree(target, ignore_errors=True)
    for name in tracked(root):
        if name in FILES or name.startswith(tuple(f"{folder}/" for folder in FOLDERS)):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, target / name)
    for words in (["init", "--quiet", "."], ["add", "--all"]):
        subprocess.run(["git", *words], cwd=target, check=True, capture_output=True)
    return target


def prepare_home(home: Path) -> Path:
    """Make the home folder: ansible-test keeps its environments there, and passes no setting of pip on but files."""
    scripts = home / ".ansible" / "test" / "cache"
    scripts.mkdir(parents=True, exist_ok=True)
    # ansible-test would fetch a script that installs pip from a site of its own; Python has one on board.
    (scripts / f"get_pip_{pip_version().replace('.', '_')}.py").write_text(
        "import ensurepip\nensurepip.bootstrap()\n", encoding="utf-8"
    )
    settings = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True
    ).stdout
    folder = home / ".config" / "pip"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / "pip.conf"
    path.touch(mode=0o600)
    with path.open("w", encoding="utf-8") as stream:
        pip_file(settings.splitlines()).write(stream)
    return home


def pip_version() -> str:
    """Return the version of pip that this ansible-test asks for."""
    found = importlib.util.find_spec("ansible_test")
    if found is None or found.origin is None:
        raise PartError("ansible-test is not installed. Fix: rm -r .venv, then run scripts/test again.")
    source = Path(found.origin).parent / "_internal" / "python_requirements.py"
    match = re.search(r"pip='([\d.]+)'", source.read_text(encoding="utf-8"))
    if match is None:
        raise PartError(f"{source} names no version of pip any more. Fix: pip_version() in tests/runner/sanity.py.")
    return match[1]


def pip_file(settings: Sequence[str]) -> configparser.RawConfigParser:
    """Return pip's settings, as `pip config list` prints them, as the content of a pip.conf."""
    parser = configparser.RawConfigParser()
    for line in settings:
        match = re.fullmatch(r"(?P<section>:env:|[\w-]+)\.(?P<key>[\w-]+)='(?P<value>.*)'", line)
        if match is None:
            continue
        section = "global" if match["section"] == ":env:" else match["section"]
        if not parser.has_section(section):
            parser.add_section(section)
        # The environment's settings come first in the list, and they are the ones that count.
        if not parser.has_option(section, match["key"]):
            parser.set(section, match["key"], match["value"].replace("\\n", "\n"))
    return parser


def judge(lines: Sequence[str], code: int) -> Outcome:
    """Return the outcome from what ansible-test printed."""
    outcome = Outcome()
    ran: list[str] = []
    output: dict[str, list[str]] = {}
    failed: list[str] = []
    listed = False
    for line in lines:
        if match := _SKIPPED.match(line):
            outcome.skipped.append((match["name"], match["reason"]))
        elif match := _RUNNING.match(line):
            ran.append(match["name"])
            output[match["name"]] = []
        elif _LISTED.match(line):
            listed = True
        elif listed and line.strip():
            failed.append(line.split()[0])
        elif ran and not listed and not _NOISE.match(line.strip()):
            output[ran[-1]].append(line)
    skipped = {name for name, _reason in outcome.skipped}
    outcome.passed = len([name for name in ran if name not in failed and name not in skipped])
    for name in failed:
        outcome.fail(name, output.get(name, []))
    if code != 0 and not failed:
        outcome.passed -= 1 if ran and ran[-1] not in skipped else 0
        outcome.fail(f"ansible-test ended with exit code {code}", lines)
    return outcome
