# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The text of a file of secrets: read, changed value by value, and written with its comments and other variables."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store import bounded
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import StoreError, refuse

try:
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap
    from ruamel.yaml.error import YAMLError
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString
except ImportError as missing:
    LACKING = missing.name or "ruamel.yaml"
else:
    LACKING = ""

SECRETS = "stack_secrets"
DATES = "stack_secrets_set_on"
_NO_WRAP = 1 << 20
_START = re.compile(r"\A(?:[ \t]*#[^\n]*\n|[ \t\r]*\n)*---[ \t]*(?:#[^\n]*)?\r?\n")


class Document:
    """A YAML file with one mapping of names to texts, ``section``, that this program writes to."""

    def __init__(self, data: bytes, file: str, section: str = SECRETS) -> None:
        """Raises StoreError with all that is wrong with the text."""
        loaded = bounded.load(data, file)
        if loaded.problems:
            raise StoreError(*loaded.problems)
        self.variables: dict[str, Any] = loaded.data
        self.file = file
        self.section = section
        values = loaded.data.get(section)
        if values is not None and not isinstance(values, dict):
            message = f"{file}: {section} must be a mapping of names to values."
            raise refuse("yaml-syntax", message, f"write {section}: and, below it, indented, one NAME: value a line.")
        self._data = data
        self._changed: dict[str, str] = {}
        self._comments: dict[str, str] = {}
        self._values: dict[str, Any] = {str(name): value for name, value in (values or {}).items()}

    @property
    def values(self) -> Mapping[str, Any]:
        """The values by name, with the changes."""
        return self._values

    def has(self, name: str) -> bool:
        """Whether there is a value: a missing name, null and an empty text are none."""
        value = self._values.get(name)
        return value is not None and not (isinstance(value, str) and not value.strip())

    def set(self, name: str, value: str) -> None:
        """Give a name another value."""
        self._values[name] = value
        self._changed[name] = value

    def ask_for(self, name: str, comment: str) -> None:
        """Write a new name without a value, for a person to fill in, with a comment above it."""
        if name not in self._values:
            self.set(name, "")
            self._comments[name] = " ".join(comment.split())

    @property
    def changed(self) -> bool:
        """Whether anything was set."""
        return bool(self._changed)

    def text(self) -> bytes:
        """The file with its changes. Raises StoreError when it cannot be written as it should."""
        if not self._changed:
            return self._data
        source = self._data.decode("utf-8-sig")
        if LACKING:
            message = f"The Python package {LACKING} is missing."
            raise refuse("package-missing", message, "pip install --require-hashes -r requirements.lock")
        yaml = YAML()
        yaml.preserve_quotes = True
        yaml.width = _NO_WRAP
        yaml.indent(mapping=2, sequence=4, offset=2)
        # What stands above the first line of YAML would be lost: it is put back as it is.
        begins = _START.match(source)
        head = begins[0] if begins else "" if source.strip() else "---\n"
        body = source[len(head) :] if begins else source
        stream = io.StringIO()
        stream.write(head)
        try:
            tree = yaml.load(body)
            if tree is None:  # Comments alone: they stay above what is new.
                stream.write(f"{body.rstrip()}\n" if body.strip() else "")
            yaml.dump(self._apply(tree), stream)
        except (YAMLError, ValueError, TypeError, AttributeError, KeyError):
            raise self._unwritable() from None
        result = stream.getvalue().encode()
        self._prove(result)
        return result

    def _apply(self, tree: Any) -> CommentedMap:
        target = CommentedMap() if tree is None else tree
        if not isinstance(target, CommentedMap):
            raise self._unwritable()
        if target.get(self.section) is None:
            target[self.section] = CommentedMap()
        for name, value in self._changed.items():
            target[self.section][name] = DoubleQuotedScalarString(value)
            if comment := self._comments.get(name):
                target[self.section].yaml_set_comment_before_after_key(name, before=comment, indent=2)
        return target

    def _prove(self, result: bytes) -> None:
        """Read back what will be written: every other variable is as it was, every new value as it was given."""
        again = bounded.load(result, self.file)
        others = {name: value for name, value in self.variables.items() if name != self.section}
        found = {name: value for name, value in again.data.items() if name != self.section}
        lines = {line.strip() for line in result.splitlines()}
        comments = {line.strip() for line in self._data.splitlines() if line.lstrip().startswith(b"#")}
        if not comments <= lines:
            raise self._unwritable()
        if again.problems or again.data.get(self.section) != dict(self._values) or found != others:
            raise self._unwritable()

    def _unwritable(self) -> StoreError:
        message = f"{self.file} is written in a way that this program cannot change without harm. Nothing was changed."
        fix = f"write {self.section} as plain lines, NAME: value, without anchors, aliases and tags."
        return refuse("yaml-unwritable", message, fix)
