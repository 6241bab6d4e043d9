# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""URLs that hold a password: do they parse, are they percent-encoded, do they agree with the secrets they embed?"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .finding import ERROR, SecretFinding
from .guesses import is_template
from .subject import Subject
from .words import parts

TWIN = "_URLENCODED"
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_UNSAFE = re.compile(r"[@:/?#\[\]\s\"<>\\^`{|}]")
_REFERENCE = re.compile(r"\$(?:\{(?P<braced>[A-Za-z_]\w*)(?:[:?+=-][^}]*)?\}|(?P<bare>[A-Za-z_]\w*))")
_LONGEST = 8192
_SAY = "Percent-encode the password in it: @ is %40, : is %3A, / is %2F. {twin} holds it ready."
# Letters of a scheme or a host -> what the name of its secret says.
_ALIASES = {"postgresql": "postgres", "pg": "postgres", "rediss": "redis", "amqp": "rabbitmq", "mongodb": "mongo"}


@dataclass(frozen=True)
class Url:
    """The parts of an URL. ``username`` and ``password`` are still encoded, None when they are not there."""

    scheme: str
    username: str | None
    password: str | None
    host: str
    problem: str = ""


def parse(text: str) -> Url | None:
    """The URL in a text; None when it is none. ``problem`` says what keeps others from reading it as it is meant."""
    match = _URL.fullmatch(text[:_LONGEST])
    if match is None:
        return None
    rest = match["rest"]
    # Whoever reads an URL ends the host at the first of these; a password that holds one breaks it there.
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    stray = "@" in rest[len(authority) :] and ":" in authority and "@" not in authority
    user, at, host = authority.rpartition("@")
    name, colon, password = user.partition(":")
    problem = ""
    if stray or "@" in user or ":" in password or _BAD_ESCAPE.search(user) or re.search(r"[\s\"<>\\^`{|}\[\]]", user):
        problem = "encoding"
    elif not host or any(one.startswith(":") or not one for one in host.split(",")):
        problem = "host"
    elif not _port_fits(host):
        problem = "port"
    return Url(match["scheme"].lower(), name if at else None, password if at and colon else None, host, problem)


def _port_fits(host: str) -> bool:
    for one in host.split(","):
        port = re.sub(r"^\[[^\]]*\]", "", one).partition(":")[2]
        if port and not (port.isdigit() and 0 < int(port[:6]) < 65536):
            return False
    return True


def url(subject: Subject) -> list[SecretFinding]:
    """An URL among the secrets."""
    found = parse(subject.value)
    if found is None:
        known = subject.strength(subject.value, 64.0)
        placeholder = bool(known) and known[0].rule == "secret-placeholder"
        return (
            known if placeholder else [subject.malformed("is no URL, such as scheme://user:password@host:port/name.")]
        )
    if is_template(subject.value):
        return [subject.placeholder()]
    problems = _problem(subject, found)
    return problems or [*_components(subject, found), *_own_password(subject, found)]


def _problem(subject: Subject, found: Url) -> list[SecretFinding]:
    name = subject.rule.embeds.get("password", "")
    if found.problem == "encoding" or _is_raw(subject.around.texts.get(name, ""), subject.value):
        twin = f"{name}{TWIN}" if name else "<NAME>" + TWIN
        problem = "is not percent-encoded: a sign in its user name or password has a meaning in URLs."
        return [subject.finding("secret-url-encoding", problem, _SAY.format(twin=twin))]
    if found.problem == "host":
        return [subject.malformed("is an URL without a host.")]
    if found.problem == "port":
        return [subject.malformed("is an URL with a port that is no number from 1 to 65535.")]
    return []


def _is_raw(secret: str, url: str) -> bool:
    """Whether a secret that needs encoding stands in an URL as it is."""
    return bool(_UNSAFE.search(secret)) and f"{secret}@" in url


def _components(subject: Subject, found: Url) -> Iterator[SecretFinding]:
    for part, name in subject.rule.embeds.items():
        raw = found.password if part == "password" else found.username
        wanted = subject.around.texts.get(name, subject.around.related.get(name))
        hint = f"Write the {part} of {subject.name} from {name}, percent-encoded: use {name}{TWIN}."
        if wanted is None:
            problem = f"should hold {name} as its {part}, which is not there."
            yield subject.finding("secret-url-mismatch", problem, f"Add {name}, or correct embeds in the policy.")
        elif raw is None:
            yield subject.finding("secret-url-mismatch", f"has no {part}; it should hold that of {name}.", hint)
        elif urllib.parse.unquote(raw) != wanted:
            encoded = urllib.parse.unquote_plus(raw) == wanted
            plus = " A + in it stands for itself, not for a space." if encoded else ""
            yield subject.finding("secret-url-mismatch", f"has another {part} than {name}.{plus}", hint)


def _own_password(subject: Subject, found: Url) -> list[SecretFinding]:
    """The password in an URL is judged like a token, unless it is one of the secrets and is judged there."""
    if not found.password:
        return []
    password = urllib.parse.unquote(found.password)
    if password in (value for name, value in subject.around.texts.items() if name != subject.name):
        return []
    return subject.strength(password, 128.0, "password")


def related(name: str, value: str, texts: Mapping[str, str], embeds: Mapping[str, str]) -> list[SecretFinding]:
    """Findings about an URL beside the secrets: it must embed what the secrets say."""
    found = parse(value)
    if found is None or (found.password is None and "password" not in embeds):
        return []
    references = [match["braced"] or match["bare"] for match in _REFERENCE.finditer(found.password or "")]
    if references:
        return [finding for one in references for finding in _reference(name, one, texts)]
    if found.problem == "encoding" or any(_is_raw(text, value) for text in texts.values()):
        twin = embeds.get("password", "<NAME>") + TWIN
        problem = f"{name} is not percent-encoded: a sign in its user name or password has a meaning in URLs."
        return [SecretFinding(name, "secret-url-encoding", ERROR, problem, _SAY.format(twin=twin))]
    password = urllib.parse.unquote(found.password or "")
    secret = embeds.get("password") or _secret_of(name, found, texts)
    fits = password in texts.values() if secret is None else texts.get(secret) == password
    if fits or (secret is None and not password):
        return []
    which = secret or "each of the secrets"
    hint = f"Write it with a reference: ${{{secret or '<NAME>'}{TWIN}}}. A secret does not belong into plain settings."
    return [SecretFinding(name, "secret-url-mismatch", ERROR, f"{name} holds another password than {which}.", hint)]


def _reference(name: str, secret: str, texts: Mapping[str, str]) -> list[SecretFinding]:
    """A reference to a secret in an URL: the secret must be there, and need no encoding unless it is the twin."""
    plain = secret.removesuffix(TWIN)
    if secret not in texts and plain not in texts:
        problem = f"{name} refers to {secret}, which is none of the secrets."
        return [
            SecretFinding(name, "secret-url-mismatch", ERROR, problem, f"Add {plain}, or correct the name in {name}.")
        ]
    value = texts.get(secret, "")
    if not secret.endswith(TWIN) and (_UNSAFE.search(value) or "%" in value):
        problem = f"{name} embeds {secret} as it stands, but {secret} holds a sign that has a meaning in URLs."
        return [SecretFinding(name, "secret-url-encoding", ERROR, problem, f"Write {secret}{TWIN} in {name}.")]
    return []


def _secret_of(name: str, found: Url, texts: Mapping[str, str]) -> str | None:
    """The secret that the password of an URL should be, by its name, scheme and host; None when that is not clear."""
    said = {found.scheme.split("+")[0], *parts(name), *parts(found.host)}
    said |= {_ALIASES[word] for word in said if word in _ALIASES}
    fitting = [
        secret
        for secret in texts
        if not secret.endswith(TWIN)
        and {"password", "pass", "passwd"} & set(parts(secret))
        and said & (set(parts(secret)) - {"password", "pass", "passwd", "admin", "url", "db"})
        and not is_template(texts[secret])
    ]
    return fitting[0] if len(fitting) == 1 else None
