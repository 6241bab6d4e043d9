# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which values a rotation changes: the secrets that were named, and the URLs that carry them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote, unquote

from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_command import check
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_command.session import Session
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_rules.finding import ERROR
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_rules.generate import (
    CannotGenerateError,
    can_generate,
    generate,
)
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_rules.judge import judge
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.document import Document
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import Problem, StoreError, refuse

# Shorter texts stand in other values by chance.
_TELLING = 8


def refuse_unfit(session: Session, document: Document, names: Sequence[str], *, force: bool) -> None:
    """Refuse names that nobody knows, and those that the policy protects. Raises StoreError."""
    known = sorted({*session.policy.exact, *document.values})
    problems = []
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            message = f"Neither the policy nor {session.file} knows a secret {name}."
            fix = f"did you mean {near[0]}?" if near else f"choose from: {', '.join(known)}"
            problems.append(Problem("secret-unknown", message, fix, name))
            continue
        plan = session.policy.rule_for(name).rotate
        if plan.get("kind") == "refuse" and not force:
            reason = plan.get("reason") or "the policy says so"
            message = f"{name} is not rotated: {reason.rstrip('.')}."
            fix = f"where that is what you want: {session.command('rotate', name, '--force')}"
            problems.append(Problem("rotation-refused", message, fix, name))
    if problems:
        raise StoreError(*problems)


def new_values(
    session: Session, document: Document, names: Sequence[str], ask: Callable[[str, str], str]
) -> dict[str, str]:
    """A new value for each name, and for the URLs that hold one. ``ask`` gets the name and its description.

    Secrets that may be equal and are stay equal. Nothing is written. Raises StoreError.
    """
    values: dict[str, str] = {}
    for name in names:
        rule = session.policy.rule_for(name)
        twin = next((other for other in rule.same_as if other in values and _equal(document, name, other)), None)
        if twin is not None:
            values[name] = values[twin]
        elif session.policy.names(name) and rule.generate and can_generate(rule.kind):
            try:
                values[name] = generate(rule, name)
            except CannotGenerateError as error:
                message, _fix, fix = str(error).partition(" Fix: ")
                raise refuse("policy-invalid", message, fix, name) from None
        else:
            values[name] = ask(name, rule.description)
    _refuse_left_behind(session, document, values)
    return with_urls(session, document, values)


def with_urls(session: Session, document: Document, values: Mapping[str, str]) -> dict[str, str]:
    """New values, and the URLs of the document that carry them. Raises StoreError.

    A URL among the values that only carries another of them is made again, from what the document says now.
    """
    carried = {name for name in values if set(session.policy.rule_for(name).embeds.values()) & set(values)}
    given = {name: value for name, value in values.items() if name not in carried}
    return {**values, **_urls(session, document, given)}


def _equal(document: Document, name: str, other: str) -> bool:
    return document.has(name) and document.values.get(name) == document.values.get(other)


def _refuse_left_behind(session: Session, document: Document, values: dict[str, str]) -> None:
    """Refuse where another secret is the old value, or holds it and is no URL that can be rewritten."""
    problems = []
    for name in values:
        old = document.values.get(name)
        if not isinstance(old, str) or len(old) < _TELLING:
            continue
        for other, value in document.values.items():
            if other in values or not isinstance(value, str) or "{{" in value:
                continue
            if name in session.policy.rule_for(other).embeds.values():
                continue
            if value == old:
                fix = session.command("rotate", *values, other)
                problems.append(Problem("rotation-incomplete", f"{other} has the same value as {name}.", fix, other))
            elif old in value or quote(old, safe="") in value:
                message = f"{other} holds the value of {name}, and would keep the old one."
                fix = f"say so in stack_secrets_policy: {other}: {{kind: url, embeds: {{password: {name}}}}}"
                problems.append(Problem("rotation-incomplete", message, fix, other))
    if problems:
        raise StoreError(*problems)


def _urls(session: Session, document: Document, values: dict[str, str]) -> dict[str, str]:
    """The URLs whose user name or password changes, with the new one percent-encoded."""
    changed: dict[str, str] = {}
    for url_name, value in document.values.items():
        embeds = session.policy.rule_for(url_name).embeds
        parts = {
            part: (str(document.values.get(name)), values[name]) for part, name in embeds.items() if name in values
        }
        # A template follows by itself.
        if not parts or url_name in values or not isinstance(value, str) or not value or "{{" in value:
            continue
        changed[url_name] = rewritten(value, url_name, parts)
    return changed


def rewritten(url: str, name: str, parts: dict[str, tuple[str, str]]) -> str:
    """A URL with another ``username`` or ``password`` (old and new); all else stays letter by letter.

    Raises StoreError when the old one does not stand where it should: then the URL is cut in the wrong place.
    """
    scheme, mark, rest = url.partition("://")
    end = min((rest.index(sign) for sign in "/?#" if sign in rest), default=len(rest))
    login, at, host = rest[:end].rpartition("@")
    user, colon, password = login.partition(":")
    found = {"username": user, "password": password}
    if not (mark and at and host) or any(unquote(found[part]) != old for part, (old, _new) in parts.items()):
        message = f"{name} does not hold what stack_secrets_policy says it embeds, so it cannot be rewritten."
        fix = f"correct {name} first (scheme://user:password@host/..., percent-encoded): scripts/secrets edit"
        raise refuse("rotation-incomplete", message, fix, name)
    found |= {part: quote(new, safe="") for part, (_old, new) in parts.items()}
    return f"{scheme}{mark}{found['username']}{colon}{found['password']}@{host}{rest[end:]}"


def refuse_bad(session: Session, document: Document, changed: Sequence[str]) -> None:
    """Judge what would be written. Errors about a changed secret refuse it. Raises StoreError."""
    found = judge(check.request(session, "", document.values, {}))
    bad = [item for item in found if item.severity == ERROR and item.secret in changed]
    if bad:
        raise StoreError(*(Problem(item.rule, item.message, item.hint, item.secret) for item in bad))


def differing(before: Document, after: Document) -> list[str]:
    """The names whose values are not the same in both."""
    names = dict.fromkeys([*before.values, *after.values])
    return [name for name in names if before.values.get(name) != after.values.get(name) and after.has(name)]
