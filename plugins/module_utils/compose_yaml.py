# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Loads Compose files on the controller, with line numbers, bounded, and with errors a person can act on.

Values are read as Compose reads them (YAML 1.2): ``no`` and ``on`` are text, ``22:22`` is text, ``0440`` is octal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.findings import (
    Document,
    Finding,
)

try:
    import yaml
except ImportError:  # Only the controller loads YAML, and Ansible brings it there; elsewhere this file is idle.
    yaml = None  # type: ignore[assignment]

MAX_BYTES = 2 * 1024 * 1024
MAX_NODES = 100_000
MAX_DEPTH = 60

_LOADER: Any = getattr(yaml, "CSafeLoader", None) or getattr(yaml, "SafeLoader", None)
_RESOLVER: Any = yaml.resolver.Resolver() if yaml else None
_MERGE_TAGS = {"!reset": "reset", "!override": "override"}
_STANDARD = "tag:yaml.org,2002:"

_NULLS = ("", "~", "null", "Null", "NULL")
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o?[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_CONTROL = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|\ufeff")
_KEY_VALUE = re.compile(r"^(?P<head>\s*-?\s*[\"']?(?P<key>[\w.-]+)[\"']?\s*[:=]\s*)\S.*$")
_SENSITIVE = re.compile(r"pass|secret|token|key|credential|auth", re.IGNORECASE)

# What PyYAML or libyaml says, what it means, and what to do; the first that fits counts.
_ADVICE = (
    (r"undefined alias", "this alias (*name) has no anchor", "define &name above this line, or correct the name."),
    (
        r"mapping values are not allowed",
        "a second ': ' stands where only a value fits",
        "quote the value if it holds ': '; else correct the indentation, or the missing colon of the line above.",
    ),
    (r"could not find expected ':'", "this key has no colon", "write key: value, and indent it like its neighbours."),
    (r"escape", "this backslash begins no escape that YAML knows", "use single quotes, or double the backslash."),
    (r"quoted scalar", "the quote that opens here is never closed", "close the quote."),
    (r"flow (sequence|mapping)|'[]}]'|node content", "a bracket here is not closed", "close it, or put in a comma."),
    (r"block|expected key", "this line is indented unlike its neighbours", "align it with them, with spaces."),
    (r"another document", "a second document begins here", "keep one document in the file: remove the line ---."),
)
_DEFAULT_ADVICE = "correct this line; the cause can also be the line above it."


class FileReader:
    """Reads Compose files and env files from the controller's disk (see ``hostkit.compose.loader.Reader``)."""

    def document(self, path: str) -> Document:
        """A Compose file; why it cannot be read is in the document's findings."""
        try:
            data = Path(path).read_bytes()
        except OSError as exc:
            problem = (exc.strerror or "cannot be read").lower()
            finding = Finding("file-missing", "error", None, f"{path}: {problem}.", "correct the path.", "", None, path)
            return Document(path, findings=[finding])
        return load(data, path)

    def text(self, path: str) -> str | None:
        """A text file; None when there is none. Raises ValueError when it cannot be read as UTF-8 text."""
        try:
            return Path(path).read_bytes().decode("utf-8-sig")
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise ValueError((exc.strerror or "cannot be read").lower()) from exc
        except UnicodeDecodeError as exc:
            raise ValueError(f"byte {exc.start + 1} is no UTF-8 text") from exc


def load(data: bytes, file: str) -> Document:
    """A Compose document. Bad content never raises: the document then carries findings."""
    document = Document(file)
    if len(data) > MAX_BYTES:
        message = f"{file} has {len(data)} bytes, more than {MAX_BYTES}."
        document.findings.append(_finding("yaml-syntax", file, message, "a Compose file is small: check the path."))
        return document
    text = _decode(data, document)
    if text is None:
        return document
    try:
        node = _compose(text, file)
        if node is None:
            document.findings.append(_finding("yaml-syntax", file, f"{file} is empty.", "add services:."))
        elif not isinstance(node, yaml.MappingNode):
            message = f"{file} holds no mapping at its top."
            document.findings.append(_finding("yaml-syntax", file, message, "begin it with services:.", 1))
        else:
            document.data = _Builder(document).root(node)
    except yaml.MarkedYAMLError as exc:
        document.findings.append(_syntax_finding(exc, text, file))
    except yaml.YAMLError as exc:
        document.findings.append(_reader_finding(exc, text, file))
    except _LimitError as exc:
        document.findings.append(exc.finding)
    if any(f.rule != "yaml-duplicate-key" for f in document.findings):
        document.data = {}
    return document


def _decode(data: bytes, document: Document) -> str | None:
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            message = f"{document.file} is {encoding.upper()} text."
            fix = "save it as UTF-8."
            document.findings.append(_finding("yaml-encoding", document.file, message, fix))
            return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        message = f"{document.file}, line {line}: this is no UTF-8 text."
        document.findings.append(_finding("yaml-encoding", document.file, message, "save the file as UTF-8.", line))
        return None


def _compose(text: str, file: str) -> Any:
    # The composer calls itself for each level, in C: unbounded depth would end the process, not raise.
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise _LimitError(_too_deep(file, event.start_mark.line + 1 if event.start_mark else 1))
    loader = _LOADER(text)
    try:
        return loader.get_single_node()
    finally:
        loader.dispose()


class _LimitError(Exception):
    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


class _Builder:
    """Turns the node graph into plain data: an alias becomes a copy, counted and bounded."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.count = 0
        self.open: list[int] = []

    def root(self, node: Any) -> dict[str, Any]:
        data: dict[str, Any] = self.build(node, "")
        return data

    def build(self, node: Any, path: str) -> Any:
        self.count += 1
        line = node.start_mark.line + 1
        if self.count > MAX_NODES:
            message = f"the aliases in {self.document.file} expand to more than {MAX_NODES} values."
            fix = "remove the aliases that repeat each other."
            raise _LimitError(_finding("yaml-alias", self.document.file, message, fix, line))
        if id(node) in self.open:
            message = f"{self.document.file}, line {line}: an anchor holds an alias to itself."
            fix = "remove the alias inside its own anchor."
            raise _LimitError(_finding("yaml-alias", self.document.file, message, fix, line))
        if len(self.open) > MAX_DEPTH:
            raise _LimitError(_too_deep(self.document.file, line))
        self.document.lines.setdefault(path, line)
        tag = _MERGE_TAGS.get(node.tag)
        if tag is not None:
            self._merge_tag(path, tag, line)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, line)
        self.open.append(id(node))
        try:
            return self._mapping(node, path) if isinstance(node, yaml.MappingNode) else self._sequence(node, path)
        finally:
            self.open.pop()

    def _merge_tag(self, path: str, tag: str, line: int) -> None:
        if path.endswith("]"):
            message = f"{self.document.file}, line {line}: !{tag} on an item of a list is not supported."
            fix = f"put !{tag} behind the key of the whole list."
            raise _LimitError(_finding("not-supported", self.document.file, message, fix, line))
        self.document.tags[path] = tag

    def _sequence(self, node: Any, path: str) -> list[Any]:
        return [self.build(item, f"{path}[{index}]") for index, item in enumerate(node.value)]

    def _mapping(self, node: Any, path: str) -> dict[str, Any]:
        result: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            if key == "<<" and not key_node.style:
                for entry in self._merge_sources(value_node):
                    built = self.build(entry, path)
                    merged = {**built, **merged}
                continue
            where = f"{path}.{key}" if path else key
            if key in result:
                line = key_node.start_mark.line + 1
                first = self.document.lines.get(where)
                message = f"{self.document.file}, line {line}: the key {key!r} stands here a second time"
                message += f" (first in line {first})." if first else "."
                fix = "keep one of the two: YAML would silently use the last one."
                self.document.findings.append(_finding("yaml-duplicate-key", self.document.file, message, fix, line))
                continue
            # A merged-in key of the same name must not lend its line to this one.
            self.document.lines[where] = key_node.start_mark.line + 1
            result[key] = self.build(value_node, where)
        return {**{k: v for k, v in merged.items() if k not in result}, **result}

    def _merge_sources(self, node: Any) -> Iterator[Any]:
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for source in sources:
            if not isinstance(source, yaml.MappingNode):
                line = source.start_mark.line + 1
                message = f"{self.document.file}, line {line}: << takes an alias of a mapping."
                fix = "write <<: *name, where &name marks a mapping."
                raise _LimitError(_finding("yaml-syntax", self.document.file, message, fix, line))
            yield source

    def _key(self, node: Any) -> str:
        if not isinstance(node, yaml.ScalarNode):
            line = node.start_mark.line + 1
            message = f"{self.document.file}, line {line}: a key must be one word, not a list or a mapping."
            fix = "put the value in quotes if it begins with { or [."
            raise _LimitError(_finding("yaml-syntax", self.document.file, message, fix, line))
        return str(node.value)

    def _scalar(self, node: Any, line: int) -> Any:
        explicit = node.tag.removeprefix(_STANDARD)
        if node.tag.startswith("!") and node.tag not in ("!", *_MERGE_TAGS):
            message = f"{self.document.file}, line {line}: the tag {node.tag} is not known."
            fix = "remove it: Compose knows !reset and !override only."
            raise _LimitError(_finding("not-supported", self.document.file, message, fix, line))
        text = str(node.value)
        if node.style:  # Quoted, or a block.
            return text
        value = resolve(text)
        # PyYAML calls it text where its own rules would not: the file says !!str.
        if explicit == "str" and not isinstance(value, str) and _tag_of(text) != node.tag:
            return text
        return value


def _tag_of(value: str) -> str:
    """The tag that PyYAML gives an untagged plain scalar."""
    return str(_RESOLVER.resolve(yaml.ScalarNode, value, (True, False)))


def resolve(value: str) -> Any:
    """A plain scalar as Compose understands it."""
    if value in _NULLS:
        return None
    if value in _BOOLEANS:
        return _BOOLEANS[value]
    if _OCTAL.fullmatch(value) and value != "0":
        return int(value.replace("o", ""), 8)
    if _INTEGER.fullmatch(value) and len(value) <= 20:
        return int(value)
    if _HEXADECIMAL.fullmatch(value):
        return int(value, 16)
    return float(value) if _FLOAT.fullmatch(value) and len(value) < 40 and not _INTEGER.fullmatch(value) else value


def _finding(rule: str, file: str, message: str, fix: str, line: int | None = None) -> Finding:
    return Finding(rule, "error", None, message, fix, "", line, file)


def _too_deep(file: str, line: int) -> Finding:
    message = f"{file}, line {line}: more than {MAX_DEPTH} levels inside each other."
    return _finding("yaml-syntax", file, message, "close the brackets, or flatten the values.", line)


def _syntax_finding(exc: yaml.MarkedYAMLError, text: str, file: str) -> Finding:
    said = f"{exc.problem or ''} {exc.context or ''}"
    mark = exc.problem_mark or exc.context_mark
    # An open quote is noticed far below; where it opens is what helps.
    if exc.context_mark and "quoted scalar" in said and "escape" not in said:
        mark = exc.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    rows = text.split("\n")
    row = rows[line] if line < len(rows) else ""
    problem, fix = _explain(said, row[column : column + 1])
    shown = f' The line is "{mask(row).strip()}".' if row.strip() else ""
    message = f"{file}, line {line + 1}, column {column + 1}: {problem}.{shown}"
    return _finding("yaml-syntax", file, message, fix, line + 1)


def _reader_finding(exc: yaml.YAMLError, text: str, file: str) -> Finding:
    match = _CONTROL.search(text)
    if match is None:
        return _finding("yaml-syntax", file, f"{file}: {_plain(str(exc))}.", _DEFAULT_ADVICE)
    line = text.count("\n", 0, match.start()) + 1
    message = (
        f"{file}, line {line}: the character {ord(match.group()):#x} stands here; YAML allows no control characters."
    )
    return _finding("yaml-syntax", file, message, "remove it, or write it as an escape in double quotes.", line)


def _explain(said: str, char: str) -> tuple[str, str]:
    """The problem in plain words, and the fix."""
    if "cannot start any token" in said:
        if char == "\t":
            return "a tab stands here", "YAML is never indented with tabs: replace the tab by spaces."
        return f"no value can begin with {char or 'this character'}", "put the value in quotes."
    for pattern, problem, fix in _ADVICE:
        if re.search(pattern, said):
            return problem, fix
    return _plain(said), _DEFAULT_ADVICE


def mask(row: str) -> str:
    """A line of a file for a message: the value of what sounds like a secret is left out."""
    match = _KEY_VALUE.match(row)
    return f"{match['head']}…" if match and _SENSITIVE.search(match["key"]) else row[:200]


def _plain(problem: str) -> str:
    return " ".join(problem.split())
