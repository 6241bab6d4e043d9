# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The text format of Prometheus, for node_exporter's textfile collector."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_SAMPLE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')
_PLAIN = {"\\n": "\n", '\\"': '"', "\\\\": "\\"}


def head(metric: str, text: str, kind: str = "gauge") -> list[str]:
    """The lines before the samples of a gauge, or of another kind."""
    return [f"# HELP {metric} {text}", f"# TYPE {metric} {kind}"]


def escaped(text: str) -> str:
    """A text as the value of a label, between its quotes."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def labels_of(pairs: Mapping[str, str]) -> str:
    """Labels as they stand between the braces of a sample."""
    return ",".join(f'{name}="{escaped(value)}"' for name, value in pairs.items())


def samples_in(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """The samples of a text as we write them: name, labels and value. Lines that are none are left out."""
    # Not splitlines(): a name may hold characters that Python takes for ends of lines, and the format does not.
    for line in text.split("\n"):
        found = None if line.startswith("#") else _SAMPLE.fullmatch(line)
        if found is None:
            continue
        labels = {
            name: re.sub(r"\\.", lambda match: _PLAIN.get(match[0], match[0]), value)
            for name, value in _LABEL.findall(found[2] or "")
        }
        try:
            yield found[1], labels, float(found[3])
        except ValueError:
            continue
