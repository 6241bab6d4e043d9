"""The linters, two at a time. Each one counts as a test."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from testbed import engine

from . import lint_rules
from .context import Context, begin_log
from .files import is_python, tracked
from .outcome import Outcome, read_lines
from .process import POLL, Stopped

WORKERS = 2
TIMEOUT = 600.0
COLLECTION = "collections/ansible_collections/hypercode/deploy"
PROMETHEUS = "roles/stack/templates/tree/etc/hypercode/stack/prometheus"
MYPY = ("mypy", "--config-file", "pyproject.toml")
# Its name is that of a module of Python's own, which others import: it is looked at by itself.
SECRETS = "scripts/secrets"
# Typed strictly, under the names by which they are imported.
TYPED = {
    "plugins/": f"{COLLECTION}/",
    **dict.fromkeys(
        (
            "dashboards/",
            "molecule/shared/testbed/",
            "tests/runner/",
            "tests/benchmark/",
            "tests/hardening/",
            "scripts/",
        ),
        "",
    ),
}


@dataclass(frozen=True)
class Check:
    """A linter: `work` writes to the log and says whether all is well."""

    name: str
    work: Callable[[Path], bool]


def run(context: Context) -> Outcome:
    log = begin_log(context.output / "lint.log")
    folder = context.output / "lint"
    outcome = Outcome()
    done = 0
    todo = checks(context)
    with pool() as workers:
        running: dict[Future[bool], tuple[Check, Path]] = {}
        for check in todo:
            path = begin_log(folder / f"{check.name}.log")
            running[workers.submit(check.work, path)] = (check, path)
        while running:
            finished, _rest = wait(running, timeout=POLL, return_when=FIRST_COMPLETED)
            for future in finished:
                check, path = running.pop(future)
                done += 1
                judge(outcome, check, future, path)
                collect(log, check, path)
            active = [check.name for future, (check, _path) in running.items() if future.running()]
            context.console.tick(f"{done}/{len(todo)}  {', '.join(active[:WORKERS])}")
    outcome.problems.sort(key=lambda problem: problem.name)
    return outcome


@contextmanager
def pool() -> Iterator[ThreadPoolExecutor]:
    """Give workers; when the run is stopped, what has not begun never begins."""
    workers = ThreadPoolExecutor(max_workers=WORKERS, thread_name_prefix="lint")
    try:
        yield workers
    finally:
        workers.shutdown(wait=False, cancel_futures=True)


def judge(outcome: Outcome, check: Check, future: Future[bool], path: Path) -> None:
    """Count one check. One that breaks has failed: it must not look like a clean one."""
    error = future.exception()
    if isinstance(error, Stopped):
        return
    if error is not None:
        outcome.fail(check.name, [*read_lines(path), f"{type(error).__name__}: {error}"])
    elif future.result():
        outcome.passed += 1
    else:
        # The first line is the command.
        outcome.fail(check.name, [line for line in read_lines(path) if not line.startswith("$ ")])


def collect(log: Path, check: Check, path: Path) -> None:
    with log.open("ab") as stream:
        stream.write(f"\n=== {check.name}\n".encode() + path.read_bytes())


def checks(context: Context) -> list[Check]:
    """Return all checks, the slowest first."""
    root = context.root
    python = [name for name in tracked(root) if is_python(root, name)]
    rules: dict[str, Callable[[Path], list[str]]] = {
        "file-length": lint_rules.file_length,
        "addresses": lint_rules.addresses,
        "lock": lint_rules.lock,
        "scripts": lint_rules.commands,
    }

    def linter(name: str, *words: str) -> Check:
        return Check(name, partial(command, context, [context.tool(words[0]), *words[1:]]))

    install_tools()
    return [
        Check("ansible-lint", partial(ansible_lint, context)),
        Check("collection", partial(collection, context)),
        linter("mypy", *MYPY, "--scripts-are-modules", *(name for name in typed(python) if name != SECRETS)),
        linter("mypy secrets", *MYPY, SECRETS),
        *(Check(f"syntax {name}", partial(syntax, context, name)) for name in playbooks(root)),
        linter("yamllint", "yamllint", "--strict", "."),
        linter("ruff", "ruff", "check", "--quiet", "--output-format", "concise", *python),
        linter("ruff-format", "ruff", "format", "--check", "--output-format", "concise", *python),
        Check("promtool check", partial(promtool, context, "check", f"{PROMETHEUS}/rules/*.yml")),
        Check("promtool test", partial(promtool, context, "test", "tests/promtool/*_test.yml")),
        Check("role-docs", partial(command, context, ["scripts/role_docs", "--check"])),
        Check("dashboards", partial(command, context, [sys.executable, "-m", "dashboards", "--check"])),
        Check("audit-docs", partial(command, context, ["scripts/audit_docs", "--check"])),
        *(Check(name, partial(rule, context, function)) for name, function in rules.items()),
    ]


def install_tools() -> None:
    if not shutil.which("promtool") and os.geteuid() == 0 and shutil.which("apt-get"):
        engine.install(["prometheus"])


def promtool(context: Context, verb: str, pattern: str, log: Path) -> bool:
    """Check the rules of alerts, or what they do."""
    if not shutil.which("promtool"):
        return report(["promtool is missing. Fix: apt-get install prometheus"], log)
    files = sorted(str(path.relative_to(context.root)) for path in context.root.glob(pattern))
    return command(context, ["promtool", verb, "rules", *files], log)


def typed(python: Sequence[str]) -> list[str]:
    """Return the files that mypy reads. Listed one by one, since it must not walk into the link back to this folder."""
    return [way + name for folder, way in TYPED.items() for name in python if name.startswith(folder)]


def playbooks(root: Path) -> list[str]:
    return ["site.yml", *sorted(f"playbooks/{path.name}" for path in (root / "playbooks").glob("*.yml"))]


def command(context: Context, argv: Sequence[str | Path], log: Path) -> bool:
    """Run a linter from the root of the repository."""
    return context.children.run(argv, log=log, cwd=context.root, timeout=TIMEOUT) == 0


def ansible_lint(context: Context, log: Path) -> bool:
    """With a home of its own: a collection of this name in the user's would be looked at instead of this one."""
    words: list[str | Path] = [context.tool("ansible-lint"), "--offline", "--nocolor", "-q", "-f", "pep8"]
    with tempfile.TemporaryDirectory() as home:
        env = {"ANSIBLE_HOME": home}
        return context.children.run(words, log=log, cwd=context.root, env=env, timeout=TIMEOUT) == 0


def rule(context: Context, function: Callable[[Path], list[str]], log: Path) -> bool:
    """Apply one of our own rules."""
    return report(function(context.root), log)


def report(found: list[str], log: Path) -> bool:
    """Write findings to the log and say whether there are none; where there are, they are all that counts."""
    if found:
        log.write_text("".join(f"{line}\n" for line in found), encoding="utf-8")
    return not found


def syntax(context: Context, playbook: str, log: Path) -> bool:
    """Check a playbook as it is typed from a clone."""
    example = context.root / "inventories" / "example" / "hosts.yml"
    inventory = "inventories/example" if example.exists() else "localhost,"
    return command(context, [context.tool("ansible-playbook"), "--syntax-check", "-i", inventory, playbook], log)


def collection(context: Context, log: Path) -> bool:
    """Build the collection, install it elsewhere, and use it from there."""
    galaxy = context.tool("ansible-galaxy")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "ansible.cfg").touch()
        target = folder / "collections"
        env = {
            "ANSIBLE_COLLECTIONS_PATH": str(target),
            "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
            "ANSIBLE_HOME": str(folder / "home"),
        }

        def step(*words: str | Path) -> bool:
            return context.children.run(words, log=log, cwd=folder, env=env, timeout=TIMEOUT) == 0

        if not step(galaxy, "collection", "build", "--output-path", folder, context.root):
            return False
        archive = next(folder.glob("hypercode-deploy-*.tar.gz"))
        if not step(galaxy, "collection", "install", "--no-deps", "--offline", "-p", target, archive):
            return False
        if not step(context.tool("ansible-playbook"), "--syntax-check", "-i", "localhost,", "hypercode.deploy.site"):
            return False
        return report(lint_rules.tarball(context.root, archive), log)
