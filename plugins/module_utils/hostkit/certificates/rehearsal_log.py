# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads from Caddy's log how far each name came, and says what to do about it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..board_text import one_line

REACH, ORDER, CHALLENGE, ISSUE, DONE = "reach the CA", "order", "challenge", "issue", "done"
_LONGEST = 400
_NOISE = re.compile(r" \((?:ca|order)=[^)]*\)|\[\S+\] (?=Obtain:|solving|authorization)|Obtain: ")
_PROBLEM = re.compile(r"urn:ietf:params:acme:error:(\w+)")

_RECORDS = "Check the A and AAAA records of {name}"
# What a CA's answer means (RFC 8555, 6.7).
_BY_PROBLEM = {
    "connection": f"{_RECORDS}, and that port 80 is open to all: firewall_open_ports, the provider's firewall.",
    "dns": f"{_RECORDS}: the CA could not look them up.",
    "unauthorized": f"{_RECORDS}: another server answers there, or, for DNS, the wrong record is found.",
    "incorrectResponse": f"{_RECORDS}: another server answers there.",
    "tls": f"{_RECORDS}: another server answers there on port 443.",
    "caa": "A CAA record of {name} or of a domain above it forbids this CA: add it there.",
    "rateLimited": "The CA's limit is used up: wait as long as it says. The certificate in use is not touched.",
    "rejectedIdentifier": "This CA gives none for such a name: use another CA (edge_acme_ca) or another name.",
    "externalAccountRequired": "This CA wants an account made with it beforehand: use another CA (edge_acme_ca).",
    "serverInternal": "The CA has a fault of its own: try again later.",
    "badNonce": "Try again: the CA forgot who asks.",
}
# What else stands in an error, the first one that is found counts: text, step, fix.
_BY_TEXT = (
    ("certificate has expired or is not yet valid", REACH, "Compare the clock of this host: timedatectl."),
    (
        "unknown authority",
        REACH,
        "This host does not trust the certificate of {ca}: set edge_acme_ca_root to its root.",
    ),
    ("presenting for challenge", CHALLENGE, "The DNS server does not take the record: check edge_dns_challenge."),
    ("propagation", CHALLENGE, "The record was set, but is not seen: check the name servers of the zone."),
    ("no solvers available", CHALLENGE, "A wildcard needs certificate: acme_dns with edge_dns_challenge."),
    ("provisioning client", REACH, "See from this host whether it answers: curl -sS {ca}"),
    ("registering account", REACH, "See from this host whether it answers: curl -sS {ca}"),
    ("creating new order", ORDER, "Read what the CA says."),
    ("solving challenge", CHALLENGE, f"{_RECORDS}, and that port 80 is open from everywhere."),
    ("finalizing order", ISSUE, "Try again later; the challenge itself went well."),
)


@dataclass(frozen=True)
class Rehearsed:
    """How it went for one name: whether it passed, else in which step it ended, why, and the fix."""

    name: str
    passed: bool
    step: str
    message: str = ""
    fix: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def render_rehearsal(results: Sequence[Rehearsed], headline: str = "renewal rehearsed", word: str = "passed") -> str:
    """A headline and a line for each name; why it failed, and the fix, below it."""
    good = sum(result.passed for result in results)
    lines = [f"{headline}: {good} of {len(results)} {word}"]
    for result in results:
        lines.append(f"{word if result.passed else 'FAILED'}  {result.name}")
        if not result.passed:
            lines += [f"    step: {result.step}", f"    {result.message}", f"    Fix: {result.fix}"]
    return "\n".join(lines)


def fix_of(error: str, name: str, ca: str) -> str | None:
    """What to do about an error of a CA; None when it names none."""
    problem = _PROBLEM.search(error)
    fix = _BY_PROBLEM.get(problem[1]) if problem else None
    return fix and fix.format(name=name, ca=ca)


class LogReader:
    """Takes the lines of one Caddy that asks for `names` at the directories `cas`."""

    def __init__(self, names: Sequence[str], cas: Sequence[str], timeout: float) -> None:
        self._names = list(names)
        self._ca = ", ".join(dict.fromkeys(cas))
        self._timeout = timeout
        self._results: dict[str, Rehearsed] = {}
        self._steps: dict[str, str] = {}
        self._last = ""
        self._has_ended = False

    @property
    def is_done(self) -> bool:
        return set(self._names) <= set(self._results)

    def feed(self, line: str) -> None:
        """Take one line. What is no JSON is what Caddy says before it logs, or when it gives up."""
        try:
            entry = json.loads(line)
        except ValueError:
            self._last = one_line(line) or self._last
            return
        if not isinstance(entry, dict):
            return
        name, text, error = str(entry.get("identifier", "")), str(entry.get("msg", "")), str(entry.get("error", ""))
        if text == "trying to solve challenge":
            self._steps[name] = CHALLENGE
        elif text == "certificate obtained successfully":
            self._results[name] = Rehearsed(name, True, DONE)
        elif text == "will retry":
            for one in self._names:
                if error.startswith(f"[{one}]"):
                    self._results.setdefault(one, self._failed(one, error))
        elif entry.get("level") == "error":
            self._last = one_line(error) or self._last

    def ended(self) -> None:
        """Caddy has ended by itself."""
        self._has_ended = True

    def results(self) -> list[Rehearsed]:
        """How it went for every name."""
        return [self._results.get(name) or self._open(name) for name in self._names]

    def _open(self, name: str) -> Rehearsed:
        if self._has_ended:
            text = f"The second Caddy ended at once: {self._last[-_LONGEST:] or 'it said nothing'}"
            return Rehearsed(name, False, "begin", text, "Compare with what the running one says: journalctl -u caddy.")
        step = self._steps.get(name, REACH)
        text = f"It was not through after {self._timeout:.0f} s."
        return Rehearsed(name, False, step, text, f"Try again with a longer --timeout; see whether {self._ca} answers.")

    def _failed(self, name: str, error: str) -> Rehearsed:
        problem = _PROBLEM.search(error)
        step, fix = next(
            ((step, fix) for text, step, fix in _BY_TEXT if text in error),
            (self._steps.get(name, ORDER), "Read what the CA says."),
        )
        if problem and step == REACH and problem[1] in ("rateLimited", "rejectedIdentifier"):
            step = ORDER
        fix = fix_of(error, name, self._ca) or fix.format(name=name, ca=self._ca)
        message = one_line(_NOISE.sub("", error))
        return Rehearsed(name, False, step, message[:_LONGEST], fix)
