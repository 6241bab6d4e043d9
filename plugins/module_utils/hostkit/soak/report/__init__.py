# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report of a soak for people and for CI: text, Markdown, JUnit, and one page of HTML."""

from __future__ import annotations

from .write import write

__all__ = ["write"]
