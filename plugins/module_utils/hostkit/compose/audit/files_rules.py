# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of what is found while files are read and merged. None of it can be ignored."""

from __future__ import annotations

from .rule import ERROR, AuditRule, Example

_GOOD = Example('services:\n  web:\n    image: "web:1"\n')

RULES = (
    AuditRule(
        "file-missing",
        ERROR,
        "A Compose file is not there, or cannot be read.",
        "Without it nothing can be said of the project.",
        "correct the path in files.",
        bad=Example(_GOOD.compose, options={"files": ["compose.yml"]}),
        good=_GOOD,
    ),
    AuditRule(
        "yaml-syntax",
        ERROR,
        "A file is no valid YAML.",
        "Compose refuses it.",
        "correct the line that the message names; the cause can also be the line above it.",
        bad=Example('services:\n\tweb: {image: "web:1"}\n'),
        good=_GOOD,
    ),
    AuditRule(
        "yaml-duplicate-key",
        ERROR,
        "A key stands twice in one mapping.",
        "Many programs use the last one and say nothing.",
        "keep one of the two.",
        bad=Example('services:\n  web:\n    image: "web:1"\n    image: "web:2"\n'),
        good=_GOOD,
    ),
    AuditRule(
        "yaml-alias",
        ERROR,
        "Aliases hold themselves, or expand to very many values.",
        "A reader would take all memory for them.",
        "remove the alias inside its own anchor, or those that repeat each other.",
        bad=Example('services: &all\n  web:\n    image: "web:1"\n    labels: *all\n'),
        good=Example('x-web: &web {image: "web:1"}\nservices: {web: *web}\n'),
    ),
    AuditRule(
        "yaml-encoding",
        ERROR,
        "A file is no UTF-8 text.",
        "Compose refuses it, or reads other words than those that were meant.",
        "save the file as UTF-8.",
        bad=Example(_GOOD.compose, encoding="utf-16"),
        good=_GOOD,
    ),
    AuditRule(
        "shape",
        ERROR,
        "A value has the wrong kind, such as a text where a list belongs.",
        "Compose refuses the file.",
        "check the indentation and the dashes of the lines that the message names.",
        bad=Example('services: {web: {image: "web:1", ports: "8080:80"}}'),
        good=Example('services: {web: {image: "web:1", ports: ["127.0.0.1:8080:80"]}}'),
    ),
    AuditRule(
        "unknown-key",
        ERROR,
        "A key is not known.",
        "Mostly it is mistyped, and what it should switch on is off.",
        "correct the name, or remove the line.",
        bad=Example('services: {web: {image: "web:1", helthcheck: {test: web-check}}}'),
        good=Example('services: {web: {image: "web:1", healthcheck: {test: web-check}}}'),
    ),
    AuditRule(
        "not-supported",
        ERROR,
        "The file uses a part of Compose that is not supported here.",
        "Leaving it out would change what the file means.",
        "do what the message says instead.",
        bad=Example('services: {web: {image: "web:1", label_file: labels.txt}}'),
        good=Example('services: {web: {image: "web:1", labels: {team: web}}}'),
    ),
    AuditRule(
        "extends",
        ERROR,
        "A service extends something that is not there, or itself.",
        "Compose refuses the file.",
        "correct the name or the file, or take one extends away.",
        bad=Example('services: {web: {image: "web:1", extends: {service: base}}}'),
        good=Example('services: {web: {image: "web:1", extends: {service: base}}, base: {image: "base:1"}}'),
    ),
    AuditRule(
        "include",
        ERROR,
        "An include names no file, itself, or something that is defined twice.",
        "Compose refuses the file.",
        "write include: [file.yaml], and rename what is defined twice.",
        bad=Example(f"include: [compose.yaml]\n{_GOOD.compose}"),
        good=Example(
            f"include: [other.yaml]\n{_GOOD.compose}", files={"other.yaml": 'services: {api: {image: "api:1"}}\n'}
        ),
    ),
)
