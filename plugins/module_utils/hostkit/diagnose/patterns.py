# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What looks like a secret, though nobody told that it is one: headers, passwords by their name, keys, tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..redact import MASK

# What a secret is called. What stands behind it, as in PASSWORD_2, may be more of the name.
_NAMES = (
    r"p(?:assw(?:or)?d|assphrase|wd)|secret|token|credential"
    r"|(?:api|access|private|secret|encryption|signing|auth)[_-]?key|webhook[_-]?url"
)
_VALUE = r"""("(?:[^"\\\n]|\\.)*"?|(?P<quote>\\+["'])[^\n]*?(?P=quote)|'[^'\n]*'?|[^\s"'&]+)"""
_IS = r"""(\\*["']?[ \t]{0,4}(?::=|=>|[:=])[ \t]{0,4})"""
_ASSIGNED = re.compile(rf"({_NAMES})([\w.-]{{0,40}}){_IS}{_VALUE}", re.IGNORECASE)
_UPPER_KEY = re.compile(rf"\b([A-Z][A-Z0-9]{{0,40}}(?:_[A-Z0-9]{{1,40}}){{0,8}}_KEY)(){_IS}{_VALUE}")
_SECRET_NAME = re.compile(rf"(?:{_NAMES})s?[\w.-]{{0,40}}$|(?<!PUBLIC)_KEY$", re.IGNORECASE)
# With this behind it, it is not the secret itself: where it is, how old it is, how many there are.
_HARMLESS_REST = re.compile(
    r"(?:s?[_.-]?(?:files?|paths?|dirs?|folders?|names?|ids?|types?|counts?|total|seconds|bytes|days|age|ttl"
    r"|expir\w*|policy|length|required|limit|max|min)|iz\w+)$",
    re.IGNORECASE,
)
_HARMLESS = frozenset(
    ("", MASK, "true", "false", "null", "none", "nil", "~", "yes", "no", "{", "[", "{}", "[]", "|", ">")
)
_REFERENCE = re.compile(r"\$\{[^}]*\}|\$\$?\w+")
_FLAG = re.compile(
    r"""((?:(?<![\w-])--?[\w-]{0,40}(?:password|passwd|passphrase|requirepass|masterauth|secret|token|api-?key|-pass)"""
    r"""|\brequirepass|\bmasterauth)(?:["']?,?\s{1,20}(?:-\s{1,4})?["']?|=["']?))([^\s"',-][^\s"',]*)""",
    re.IGNORECASE,
)
_SQL = re.compile(r"(\bpassword\s{1,20})'(?:[^'\n]|'')*'", re.IGNORECASE)
_HEADER = re.compile(
    r"""\b((?:proxy-)?authorization|x-(?:api-key|auth-token|vault-token|amz-security-token)|(?:set-)?cookie)"""
    r"""(\\*["']?[ \t]*[:=][ \t]*(?:\[[ \t]*)?\\*["']?)([^\r\n"'\\]+)""",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"\b(Bearer|Basic|Digest|Negotiate)([ \t]+|%20)([A-Za-z0-9._~+/=-]{8,})", re.IGNORECASE)
# A password in a URL. A port and a path with an @ in it are none.
_USERINFO = re.compile(r"""(://[^\s/@:?#"'<>\[]{0,200}:)(?!\d{1,5}[/?#])([^\s"'<>]{0,1000})@""")
_USER = re.compile(r"""(://)([^\s/?#@:"'<>]{1,1000})@""")
# Tokens by their form, each with what has to be in the text for a look to be worth it.
_KNOWN = tuple(
    (begin, re.compile(form))
    for begin, form in (
        ("sk-ant-", r"sk-ant-[\w-]{8,}"),
        ("sk-", r"\bsk-[\w-]{20,}"),
        ("sk_", r"\bsk_(?:live|test)_\w{10,}"),
        ("gh", r"\bgh[pousr]_\w{20,}"),
        ("github_pat_", r"\bgithub_pat_\w{20,}"),
        ("glpat-", r"\bglpat-[\w-]{16,}"),
        ("dckr_", r"\bdckr_(?:pat|oat)_[\w-]{16,}"),
        ("xox", r"\bxox[a-z]-[\w-]{10,}"),
        ("xapp-", r"\bxapp-[\w-]{10,}"),
        ("AKIA", r"\bAKIA[0-9A-Z]{16}\b"),
        ("AIza", r"\bAIza[\w-]{30,}"),
        ("npm_", r"\bnpm_\w{30,}"),
        ("hf_", r"\bhf_[A-Za-z]\w{25,}"),
        ("SG.", r"\bSG\.[\w-]{16,}\.[\w-]{16,}"),
        ("AGE-SECRET-KEY-1", r"AGE-SECRET-KEY-1\w{40,}"),
        ("eyJ", r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"),
        ("$", r"\$(?:2[abxy]|argon2\w{0,2}|[1567y]|scrypt)\$[\w./+=,$-]{16,}"),
        ("SCRAM-SHA-256$", r"SCRAM-SHA-256\$\d+:[\w+/=:$]{20,}"),
    )
)
_HOOK = re.compile(r"(hooks\.slack\.com/(?:services|workflows|triggers)/|discord(?:app)?\.com/api/webhooks/)[\w/-]+")
_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:(?!-----END)[\s\S]){0,20000}"
    r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?"
)
_PEM_END = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_PEM_LINE = re.compile(r"[A-Za-z0-9+/=]{16,}\s*$")


def mask_patterns(text: str) -> str:
    """Replace what looks like a secret by ``***``."""
    if "PRIVATE KEY" in text:
        text = _cut_keys(_PEM.sub(f"[private key: {MASK}]", text))
    text = _HEADER.sub(rf"\1\2{MASK}", text)
    text = _SCHEME.sub(_scheme, text)
    text = _USER.sub(rf"\1{MASK}@", _USERINFO.sub(rf"\1{MASK}@", text))
    for begin, known in _KNOWN:
        text = known.sub(MASK, text) if begin in text else text
    text = _HOOK.sub(rf"\1{MASK}", text)
    for pattern in (_ASSIGNED, _UPPER_KEY):
        text = pattern.sub(_assigned, text)
    return _SQL.sub(rf"\1'{MASK}'", _FLAG.sub(rf"\1{MASK}", text))


def is_secret_name(name: str) -> bool:
    """Whether a variable of this name is taken to hold a secret."""
    return _SECRET_NAME.search(name) is not None and not _HARMLESS_REST.search(name)


def values_in(text: str) -> Iterator[tuple[str, str]]:
    """What in a file of settings looks like a secret, with its name."""
    for pattern in (_ASSIGNED, _UPPER_KEY):
        for match in pattern.finditer(text):
            value = _bare(match[4])
            if not _is_harmless(match[2], value):
                yield match[1] + match[2], value
    for match in _USERINFO.finditer(text):
        if not _is_harmless("", match[2]):
            yield "", match[2]


def _bare(value: str) -> str:
    return value.strip("\\").strip("\"'").rstrip("\\")


def _is_harmless(rest: str, value: str) -> bool:
    value = value.lower().rstrip(",;")
    counted = rest.lower() == "s" and value.isdigit()
    return bool(counted or value in _HARMLESS or _REFERENCE.fullmatch(value) or _HARMLESS_REST.match(rest))


def _assigned(match: re.Match[str]) -> str:
    value, bare = match[4], _bare(match[4])
    # PWD is where a shell is.
    if _is_harmless(match[2], bare) or (match[1].lower() == "pwd" and bare.startswith("/")):
        return match[0]
    quote = match["quote"] or (value[0] if value[0] in "\"'" else "")
    return f"{match[1]}{match[2]}{match[3]}{quote}{MASK}{quote}"


def _scheme(match: re.Match[str]) -> str:
    # "basic authentication" is no login.
    return match[0] if match[3].isalpha() and match[3].islower() else f"{match[1]}{match[2]}{MASK}"


def _cut_keys(text: str) -> str:
    """Mask the end of a private key whose beginning was cut off: the lines of base64 before it."""
    done: list[str] = []
    while found := _PEM_END.search(text):
        *lines, _last = text[: found.start()].split("\n")
        while lines and _PEM_LINE.search(lines[-1]):
            lines.pop()
        done += [*(line + "\n" for line in lines), f"[private key: {MASK}]"]
        text = text[found.end() :]
    return "".join([*done, text])
