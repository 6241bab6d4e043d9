# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Why a release cannot be brought up."""

from __future__ import annotations


class RolloutError(Exception):
    """The release cannot be brought up. Carries what the user needs: what, where, fix, and the evidence folder."""

    def __init__(self, message: str, *, service: str = "", evidence: str = "") -> None:
        super().__init__(message)
        self.service = service
        self.evidence = evidence
