# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a provider or a name server refused, in words: what, where, and the fix. Never a traceback, never a secret."""

from __future__ import annotations

import re
from collections.abc import Callable

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import Finding

from .providers import KNOWN, RFC2136

_STATUS = re.compile(r"\b(40[0134]|429|5\d\d)\b(?=.*(?:error|client|server|http))", re.IGNORECASE)
_LONGEST = 300


def explain(error: BaseException, zone: str, where: str, package: str, redact: Callable[[str], str]) -> Finding:
    """The finding for what a provider raised."""
    names, text = chain(error)
    plain = " ".join(redact(text).split()).rstrip(".")[:_LONGEST]
    message, fix = _judge(names, text, status_of(error), zone, where, package, plain)
    return Finding("dns-provider", "error", f"dns_zones['{zone}']", redact(message), fix)


def chain(error: BaseException) -> tuple[set[str], str]:
    """The names of all classes of an error and of those that it came from, and all that they say."""
    names: set[str] = set()
    texts: list[str] = []
    seen: BaseException | None = error
    while seen is not None and len(texts) < 6:
        names |= {kind.__name__ for kind in type(seen).__mro__}
        texts.append(str(seen))
        seen = seen.__cause__ or seen.__context__
    return names, " ".join(dict.fromkeys(text for text in texts if text))


def status_of(error: BaseException) -> int:
    """The HTTP status that an error stands for; 0 where there is none."""
    seen: BaseException | None = error
    while seen is not None:
        answer = getattr(seen, "response", None)
        if isinstance(answer, dict):  # boto3
            answer = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
        status = getattr(answer, "status_code", answer)
        if isinstance(status, int):
            return status
        seen = seen.__cause__ or seen.__context__
    match = _STATUS.search(str(error))
    return int(match[1]) if match else 0


def _judge(names: set[str], text: str, status: int, zone: str, where: str, package: str, plain: str) -> tuple[str, str]:
    place = f"dns_zones['{zone}']"
    if names & {"ModuleNotFoundError", "ImportError"}:
        missing = f"The Python package {package} for {where} is missing or broken{_quoted(plain)}."
        return missing, f"Install it again beside Ansible: pip install {package}"
    if package == KNOWN[RFC2136].package:
        found = _name_server(f"{' '.join(sorted(names))} {text}", zone, where, place)
        if found:
            return found
    return _provider(names, text, status, zone, where, plain)


def _name_server(words: str, zone: str, where: str, place: str) -> tuple[str, str] | None:
    """What a name server refuses: the words of the DNS, in the text of the error or the name of its class."""

    def said(*signs: str) -> bool:
        return any(sign in words for sign in signs)

    if said("PeerBadTime", "BADTIME"):
        return (
            f"{where} refused the TSIG signature for {zone}: its clock and that of this machine differ (BADTIME).",
            "Set both clocks (chrony or systemd-timesyncd), then run again.",
        )
    if said("PeerBadSignature", "BADSIG", "BadSignature"):
        return (
            f"{where} refused the TSIG signature for {zone}: the value of the key is not the one it has (BADSIG).",
            f"Correct {place}.key, with the secret as it stands in the configuration of the name server.",
        )
    if said("PeerBadKey", "BADKEY", "UnknownTSIGKey"):
        return (
            f"{where} does not accept the TSIG key for {zone} (BADKEY): it does not know the key by this name and"
            " algorithm, or the key may not do this.",
            f"Compare {place}.key_name and .key_algorithm with the name server; there, the key must be"
            f" allowed to transfer and to update {zone}.",
        )
    if said("NOTAUTH", "NOTZONE"):
        return (
            f"{where} does not have the zone {zone}, or does not give it to this key (NOTAUTH).",
            f"Correct the name of the zone or {place}.server; at the name server, allow the key to transfer and to"
            " update it.",
        )
    if said("REFUSED"):
        return (
            f"{where} refused to transfer or to change {zone} (REFUSED).",
            f"At the name server, allow the key {place}.key_name to transfer and to update {zone}.",
        )
    return None


def _provider(names: set[str], text: str, status: int, zone: str, where: str, plain: str) -> tuple[str, str]:
    """What any provider refuses, by the HTTP status, the names of its errors, or what the network said."""
    place = f"dns_zones['{zone}']"
    kinds = " ".join(sorted(names))
    codes = f"{kinds} {text}"

    def any_of(where_to_look: str, *signs: str) -> bool:
        return any(sign.lower() in where_to_look.lower() for sign in signs)

    if status == 401 or any_of(codes, "unauthorized", "AuthenticationError", "InvalidClientToken", "SignatureDoesNot"):
        return (
            f"{where} does not accept the credentials for {zone}{_quoted(plain)}.",
            f"Correct the token or key in {place}: make a new one at the provider, and put it in with"
            " scripts/secrets edit.",
        )
    if status == 403 or any_of(codes, "forbidden", "AccessDenied", "NotAllowed"):
        return (
            f"The credentials for {zone} have no right to do this at {where}{_quoted(plain)}.",
            f"Give the token of {place} the right to read and to edit the records of {zone}, or make one that has it.",
        )
    if status == 404 or any_of(kinds, "NotFound", "UnknownDomainName") or any_of(text, "zone not found"):
        return not_held(zone, where)
    if status == 429 or any_of(codes, "RateLimit", "Throttling", "TooManyRequests"):
        return f"{where} takes no more requests for now (rate limit).", "Wait for some minutes, then run again."
    if status >= 500 or any_of(kinds, "5xxError"):
        return f"{where} has a fault of its own{_quoted(plain)}.", "Look at the provider's status page, then run again."
    if any_of(codes, "gaierror", "NameResolutionError", "Name or service not known", "name resolution"):
        return (
            f"The name of the server of {where} cannot be resolved from here.",
            f"Correct {place}.server, or this machine's resolver.",
        )
    if any_of(codes, "timeout", "timed out"):
        return (
            f"{where} did not answer in time for {zone}.",
            "See that this machine can reach it (firewalls: port 53 over TCP for a name server, 443 for an API).",
        )
    if any_of(kinds, "ConnectionError", "OSError", "EOFError"):
        return (
            f"{where} cannot be reached for {zone}{_quoted(plain)}.",
            f"See that it runs, and that {place} names it and its port right.",
        )
    if any_of(kinds, "SupportsException"):
        return (
            f"{where} cannot have one of the wanted records{_quoted(plain)}.",
            f"Take that record out of {place}; where it is a CAA, set dns_caa: [].",
        )
    return (
        f"{where} could not be worked with for {zone}{_quoted(plain)}.",
        f"Correct {place} by what it says, then run again.",
    )


def not_held(zone: str, where: str) -> tuple[str, str]:
    """Message and fix for a zone that the provider does not have for us."""
    return (
        f"{where} does not have the zone {zone} for these credentials. No zone is ever made by this role.",
        f"Correct the name in dns_zones, create the zone at the provider, or give the token the right to see {zone}.",
    )


def _quoted(plain: str) -> str:
    return f": {plain}" if plain else ""
