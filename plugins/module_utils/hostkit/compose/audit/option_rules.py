# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of what is wrong with the options that the caller gives."""

from __future__ import annotations

from .rule import ERROR, WARNING, AuditRule, Example

_WEB = 'services: {web: {image: "web:1"}}'

RULES = (
    AuditRule(
        "option",
        ERROR,
        "An option has an unknown name or an unusable value, or an entry of ignore gives no reason.",
        "The audit would look at something else than was meant.",
        "do what the message says.",
        bad=Example(_WEB, options={"ignore": [{"rule": "limits-missing", "service": "web"}]}),
        good=Example(_WEB, options={"ignore": [{"rule": "limits-missing", "service": "web", "reason": "Runs alone."}]}),
    ),
    AuditRule(
        "option-unused",
        WARNING,
        "A pattern in an option fits no service.",
        "A service was renamed or removed, or the pattern is mistyped.",
        "correct the pattern, or remove it.",
        bad=Example(_WEB, options={"settings": {"classes": {"api-*": "app"}}}),
        good=Example(_WEB, options={"settings": {"classes": {"we*": "app"}}}),
    ),
    AuditRule(
        "class-missing",
        WARNING,
        "A service has no class.",
        "No limits, restart policy or healthcheck timing are applied to it.",
        "name it in classes, or set default_class.",
        bad=Example(_WEB, options={"settings": {"default_class": None}}),
        good=Example(_WEB, options={"settings": {"default_class": None, "classes": {"web": "app"}}}),
    ),
    AuditRule(
        "ignore-unused",
        WARNING,
        "An entry of ignore sets nothing aside.",
        "What it was for is mended or renamed; left standing, it would hide the next fault.",
        "remove the entry, or correct its names.",
        bad=Example(
            _WEB, options={"ignore": [{"rule": "privileged", "service": "web", "reason": "It needs a device."}]}
        ),
        good=Example(_WEB, options={"ignore": [{"rule": "limits-missing", "service": "web", "reason": "Runs alone."}]}),
    ),
)
