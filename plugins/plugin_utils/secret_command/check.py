# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""scripts/secrets check: everything that is wrong with an environment's secrets, at once."""

from __future__ import annotations

import dataclasses
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible import constants
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_command.session import Session
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_rules.across import FileFacts
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_rules.finding import (
    ERROR,
    SecretFinding,
    in_order,
)
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_rules.judge import Request, judge
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store import files
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.ansible_vault import AnsibleVault
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.document import DATES, SECRETS, Document
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.layout import Environment, before_of, shown
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import Problem, StoreError
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.sops import Sops


@dataclasses.dataclass
class Verdict:
    """``findings`` in order; ``not_compared`` are the environments whose files could not be opened."""

    findings: list[SecretFinding]
    checked: list[str] = dataclasses.field(default_factory=list)
    not_compared: list[str] = dataclasses.field(default_factory=list)

    @property
    def valid(self) -> bool:
        return not any(finding.severity == ERROR for finding in self.findings)


def as_findings(problems: Sequence[Problem]) -> list[SecretFinding]:
    """Problems with files, in the form of everything else that a check finds."""
    return [SecretFinding(found.secret, found.rule, ERROR, found.message, found.fix) for found in problems]


def run(session: Session) -> Verdict:
    """Judge all that a deploy would use. Raises StoreError only when there is nothing to judge."""
    findings, plain = _file_findings(session)
    others, not_compared = _others(session)
    facts = _file_facts(session, plain)
    checked: list[str] = []
    seen: list[Mapping[str, Any]] = []
    for host in session.inventory.hosts:
        secrets, problems = session.inventory.secrets(host)
        findings += as_findings(problems)
        if secrets in seen:
            continue
        seen.append(secrets)
        checked += [name for name in secrets if name not in checked]
        # What could not be evaluated has been reported; it is not missing as well.
        unclear = {found.secret for found in problems}
        judged = judge(request(session, host, secrets, others, facts))
        findings += [finding for finding in judged if finding.secret not in unclear]
    return Verdict(in_order(findings), sorted(checked), not_compared)


def request(
    session: Session,
    host: str,
    secrets: Mapping[str, Any],
    others: Mapping[str, Mapping[str, Any]],
    facts: Sequence[FileFacts] = (),
) -> Request:
    """What is to be judged, for one host ("" for the first)."""
    value = session.inventory.value
    dates = value(DATES, host, {})
    related = value("stack_environment", host, {})
    project = value("stack_project", host, "")
    return Request(
        secrets=secrets,
        policy=session.raw_policy,
        environment=value("stack_secrets_environment", host, ""),
        related=related if isinstance(related, Mapping) else {},
        set_on=dates if isinstance(dates, Mapping) else {},
        others=others,
        files=list(facts),
        today=session.today,
        words=[str(word) for word in (project, session.environment.name) if word],
    )


def _file_findings(session: Session) -> tuple[list[SecretFinding], bool]:
    """What is wrong with the files themselves, and whether the file of secrets is plain text."""
    problems: list[Problem] = []
    data = files.read(session.store.path)
    plain = data is not None and not session.store.is_sealed(data)
    if plain:
        problems.append(session.plain_problem())
    if data is not None and isinstance(session.store, Sops):
        session.inventory.overlay(Document(session.plain(data), session.file).variables)
        if not session.inventory.reads_sops():
            message = f"A deploy would not decrypt {session.file}: Ansible has no plugin for it switched on."
            fix = "write into ansible.cfg, below [defaults]: vars_plugins_enabled = host_group_vars,community.sops.sops"
            problems.append(Problem("sops-not-read", message, fix))
    before = before_of(session.store.path)
    if before.exists():
        message = f"A rotation was begun and not finished: {shown(before)} still keeps the values from before."
        problems.append(Problem("rotation-unfinished", message, f"{session.command('rotate', '--resume')} (or --undo)"))
    return as_findings(problems), plain


def _others(session: Session) -> tuple[dict[str, Mapping[str, Any]], list[str]]:
    """The secrets of the environments beside this one, as far as they can be opened without a question."""
    found: dict[str, Mapping[str, Any]] = {}
    closed: list[str] = []
    for other in session.environment.neighbours:
        try:
            values = _secrets_of(other, session)
        except StoreError:
            closed.append(other.name)
        else:
            found[other.name] = values
    return found, closed


def _secrets_of(other: Environment, session: Session) -> Mapping[str, Any]:
    if other.vault.is_file():
        vault = AnsibleVault(other.vault, session.passwords)
        data = files.read(other.vault) or b""
        text = vault.open(data, ask=False) if vault.is_sealed(data) else data
    else:
        sops = Sops(other.sops)
        data = files.read(other.sops) or b""
        text = sops.open(data) if sops.is_sealed(data) else data
    return Document(text, shown(other.vault), SECRETS).values


def _file_facts(session: Session, plain: bool) -> list[FileFacts]:
    """Files that only their owner should be able to read. Encrypted ones may be read by anybody."""
    paths = [session.store.path] if plain else []
    named = [constants.DEFAULT_VAULT_PASSWORD_FILE, *session.passwords.options.files]
    named += [
        slug.rpartition("@")[2] for slug in (*constants.DEFAULT_VAULT_IDENTITY_LIST, *session.passwords.options.ids)
    ]
    for name in named:
        path = Path(name).expanduser() if name and not str(name).startswith("prompt") else None
        # A program that prints the password holds none itself.
        if path is not None and path.is_file() and not path.stat().st_mode & stat.S_IXUSR:
            paths.append(path)
    return [FileFacts(shown(path), stat.S_IMODE(path.stat().st_mode)) for path in dict.fromkeys(paths)]
