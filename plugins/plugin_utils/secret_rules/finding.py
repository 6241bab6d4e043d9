# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One finding about a secret. It names the secret and the rule; it never holds a value or a part of one."""

from __future__ import annotations

import dataclasses

ERROR = "error"
WARNING = "warning"


@dataclasses.dataclass(frozen=True)
class SecretFinding:
    """``secret`` is the name it is about ("" when it is about none), ``hint`` says what to do."""

    secret: str
    rule: str
    severity: str
    message: str
    hint: str

    def as_dict(self) -> dict[str, str]:
        """The finding as a plain mapping, as a module returns it."""
        return dataclasses.asdict(self)


def in_order(findings: list[SecretFinding]) -> list[SecretFinding]:
    """Errors first, each finding once; else in the order in which they came."""
    once = list(dict.fromkeys(findings))
    return sorted(once, key=lambda finding: finding.severity != ERROR)
