# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What scripts/secrets says. Names and advice; no value ever gets here."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Sequence

from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_command.check import Verdict, as_findings
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_command.initialise import Outcome
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_command.rotate import Deployed
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_command.rotate import Outcome as Rotated
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_command.session import Session
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_rules.finding import ERROR, SecretFinding
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.layout import shown
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import Problem

_WIDTH = 100


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _wrapped(text: str, indent: str) -> str:
    lines = text.splitlines() or [""]
    wrap = textwrap.TextWrapper(
        _WIDTH, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(wrap.fill(line) for line in lines)


def problems_text(problems: Iterable[Problem]) -> str:
    """Why nothing was done."""
    indent = "\n       "
    texts = (f"{problem.message}\nFix: {problem.fix}" for problem in problems)
    return "\n\n".join(f"ERROR  {indent.join(text.splitlines())}" for text in texts)


def _group(title: str, findings: Sequence[SecretFinding]) -> list[str]:
    lines = ["", title] if findings else []
    for finding in findings:
        lines.append(f"  {finding.secret or '(all)'}  [{finding.rule}]")
        lines.append(_wrapped(finding.message, "    "))
        lines.append(_wrapped(f"Fix: {finding.hint}", "    "))
    return lines


def check_text(verdict: Verdict, name: str) -> str:
    """The findings, grouped, and the next step."""
    errors = [finding for finding in verdict.findings if finding.severity == ERROR]
    warnings = [finding for finding in verdict.findings if finding.severity != ERROR]
    sums = [_counted(len(errors), "problem") if errors else "no problems"]
    sums += [_counted(len(warnings), "warning")] if warnings else []
    lines = [f"{name}: {_counted(len(verdict.checked), 'secret')} checked, {', '.join(sums)}."]
    lines += _group("Problems", errors) + _group("Warnings", warnings)
    if verdict.not_compared:
        closed = ", ".join(verdict.not_compared)
        lines += ["", f"Not compared with {closed}: what is in there cannot be opened with what is known here."]
    return "\n".join(lines)


def check_json(verdict: Verdict, name: str) -> str:
    """The same for programs."""
    return json.dumps(
        {
            "environment": name,
            "valid": verdict.valid,
            "checked": verdict.checked,
            "not_compared": verdict.not_compared,
            "findings": [finding.as_dict() for finding in verdict.findings],
        },
        indent=2,
        ensure_ascii=False,
    )


def refused_json(problems: Sequence[Problem], name: str) -> str:
    """For programs: there was nothing that could be judged."""
    return check_json(Verdict(as_findings(problems)), name)


def init_text(outcome: Outcome, session: Session) -> str:
    """What was generated, kept and is left to do."""
    lines = [
        f"{session.environment.name}: {_counted(len(outcome.generated), 'secret')} generated, {len(outcome.kept)} kept."
    ]
    for title, names in (
        ("Generated", outcome.generated),
        ("Kept", outcome.kept),
        ("Optional, left empty", outcome.left_empty),
    ):
        if names:
            lines.append(_wrapped(f"{title}: {', '.join(names)}", "  "))
    lines.append(f"  {'Encrypted' if outcome.written else 'Unchanged'}: {session.file}")
    if outcome.generated:
        lines.append(f"  Dates: {shown(session.environment.dates)}")
    if outcome.to_fill_in:
        lines += ["", "You have to fill in:"]
        for name in outcome.to_fill_in:
            about = session.policy.rule_for(name).description
            lines.append(_wrapped(f"{name}: {about}" if about else name, "  "))
    verb = "edit" if outcome.to_fill_in else "check"
    return "\n".join([*lines, "", f"Next: {session.command(verb)}"])


def rotate_text(outcome: Rotated, session: Session, *, deployed_here: bool, undone: bool = False) -> str:
    """How a rotation ended, and the one command that comes next."""
    names = ", ".join(outcome.names) or "the secrets"
    name = session.environment.name
    if undone:
        done = outcome.deployed is Deployed.DONE
        ends = "The hosts have them too." if done else "The hosts may still have the new ones."
        playbook = f"ansible-playbook site.yml -i {shown(session.environment.folder)}"
        next_step = f"Next: {session.command('check')}" if done else f"Next: {playbook}"
        return f"{name}: the old values of {names} are back. {ends}\n{next_step}"
    if outcome.deployed is Deployed.DONE:
        return f"{name}: rotated {names}.\nNext: commit {session.file} and {shown(session.environment.dates)}"
    if outcome.deployed is Deployed.FAILED:
        lines = [
            f"{name}: the deploy failed. {session.file} has the old values of {names} again, as the hosts should.",
            "What failed stands above. The new values are kept, encrypted.",
            f"Next, when its cause is gone: {session.command('rotate', '--resume')}",
            f"Or give the new values up: {session.command('rotate', '--undo')}",
        ]
        return "\n".join(lines)
    begun = f"{name}: {session.file} has new values of {names}."
    why = "The deploy was stopped: the hosts may have either." if deployed_here else "The hosts do not have them yet."
    lines = [f"{begun} {why}", f"Next: {session.command('rotate', '--resume')}"]
    if not deployed_here:
        lines.append(f"Or, when you have deployed by hand: {session.command('rotate', '--resume', '--no-deploy')}")
    return "\n".join([*lines, f"Or take it back: {session.command('rotate', '--undo')}"])
