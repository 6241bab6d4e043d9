# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a rule is: its words for people, a bad and a good example, and the check, if it has one of its own."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .view import View

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True)
class Hit:
    """One place where a rule is broken: ``service`` (None for the project), what, and the path in the document.

    ``fix`` is for this place; without it the rule's own words are used.
    """

    service: str | None
    message: str
    path: str
    fix: str = ""


@dataclass(frozen=True)
class Example:
    """A small project: ``compose`` is ``compose.yaml``, ``files`` lie beside it (one ending in / is a folder).

    ``options`` are those of an audit, such as ``secret_names``. ``encoding`` is that of ``compose.yaml``.
    """

    compose: str
    files: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    encoding: str = "utf-8"

    def text(self) -> str:
        """The Compose file, not indented, ending in a newline."""
        return textwrap.dedent(self.compose).strip("\n") + "\n"


Check = Callable[[View], Iterable[Hit]]


@dataclass(frozen=True)
class AuditRule:
    """A rule. ``check`` is None for what other parts of the package find: reading, merging, the caller's options.

    ``title`` is a sentence that says what is wrong, ``why`` what comes of it, ``fix`` what to do. ``settled`` marks
    what a release settles by itself after rendering, so that compose_render does not repeat it at each deploy.
    """

    id: str
    severity: str
    title: str
    why: str
    fix: str
    bad: Example
    good: Example
    check: Check | None = None
    settled: bool = False
