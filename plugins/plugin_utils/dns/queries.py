# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Asks name servers, with dnspython: which ones a zone has, and what each of them answers."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import ipaddress
from collections.abc import Iterable, Sequence

from .answers import Answer, Expected
from .records import RecordSet
from .servers import PORT, shown

try:
    import dns.exception
    import dns.flags
    import dns.message
    import dns.query
    import dns.rcode
    import dns.rdata
    import dns.rdataclass
    import dns.rdatatype
    import dns.resolver
    import dns.rrset
except ImportError:
    dns = None  # type: ignore[assignment]

TIMEOUT = 3.0  # seconds for one question
_AT_A_TIME = 16
# What providers answer under another type.
NOT_ASKED = ("ALIAS",)
Server = tuple[str, int]


class NoServers(Exception):
    """The name servers of a zone cannot be found; the text says why."""


def expected_of(record: RecordSet, *, absent: bool = False) -> Expected:
    """What a server is to answer for a record, or that it has none."""
    if absent:
        return Expected(record.name, record.type, frozenset())
    kind = dns.rdatatype.from_text(record.type)
    values = [dns.rdata.from_text(dns.rdataclass.IN, kind, value, relativize=False) for value in record.values]
    return Expected(record.name, record.type, frozenset(map(_comparable, values)), record.values)


def _comparable(rdata: dns.rdata.Rdata) -> bytes:
    """A value without what may differ and means the same: the case of names, where a text was cut."""
    strings = getattr(rdata, "strings", None)
    return b"".join(strings) if strings is not None else rdata.to_digestable()


@dataclasses.dataclass(frozen=True)
class Asker:
    """Asks the servers that it knows by what people call them. ``recursive`` for resolvers."""

    servers: dict[str, Server]
    recursive: bool = False

    def all(self, questions: Sequence[tuple[str, Expected]]) -> list[Answer]:
        """The answers to many questions, in their order."""
        with concurrent.futures.ThreadPoolExecutor(_AT_A_TIME) as pool:
            return list(pool.map(lambda question: self.one(question[0], question[1]), questions))

    def one(self, name: str, expected: Expected) -> Answer:
        """Ask one server one question. Whatever goes wrong is in the answer."""
        query = dns.message.make_query(expected.name + ".", expected.type)
        if not self.recursive:
            query.flags &= ~dns.flags.RD
        try:
            answer = ask(self.servers[name], query)
        except dns.exception.Timeout:
            return Answer(problem="does not answer")
        except (dns.exception.DNSException, OSError, EOFError) as error:
            return Answer(problem=f"cannot be asked ({getattr(error, 'strerror', None) or error})")
        return self._read(answer, expected)

    def _read(self, answer: dns.message.Message, expected: Expected) -> Answer:
        code = answer.rcode()
        if code not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            return Answer(problem=f"answers {dns.rcode.to_text(code)}")
        kind = dns.rdatatype.from_text(expected.type)
        sections = [*answer.answer]
        if kind == dns.rdatatype.NS and not answer.flags & dns.flags.AA:
            # Of a name that is given to other servers it can only tell who these are.
            sections += [rrset for rrset in answer.authority if rrset.name == answer.question[0].name]
        elif not self.recursive and not answer.flags & dns.flags.AA:
            return Answer(problem="does not have the zone (its answer is not authoritative)")
        found = [rdata for rrset in sections if rrset.rdtype == kind for rdata in rrset]
        return Answer(frozenset(map(_comparable, found)), tuple(sorted(rdata.to_text() for rdata in found)))


def ask(server: Server, query: dns.message.Message) -> dns.message.Message:
    """Over UDP; over TCP where the answer was too long for that."""
    answer, _by_tcp = dns.query.udp_with_fallback(query, server[0], timeout=TIMEOUT, port=server[1])
    return answer


def servers_of(zone: str, given: Sequence[Server], ask_first: Iterable[Server]) -> dict[str, Server]:
    """The name servers of a zone by what people call them. Raises NoServers.

    ``given`` ones are taken as they are; else its NS are asked for at ``ask_first``, then at this machine's resolver.
    """
    if given:
        return {shown(server): server for server in given}
    first = list(ask_first)
    hosts = _lookup(zone, "NS", first)
    if not hosts:
        asked = ", ".join(map(shown, first)) or "this machine's resolver"
        raise NoServers(f"no name servers of {zone} were found ({asked} was asked)")
    found = {}
    for host in sorted(hosts):
        name = host.removesuffix(".")
        # One address is enough: a server is asked for what it says, not by each way that leads to it.
        addresses = _lookup(name, "A", first) or _lookup(name, "AAAA", first)
        if not addresses:
            raise NoServers(f"the name server {name} of {zone} has no address")
        found[name] = (min(addresses, key=ipaddress.ip_address), PORT)
    return found


def _lookup(name: str, kind: str, first: Sequence[Server]) -> list[str]:
    for server in first:
        query = dns.message.make_query(f"{name}.", kind)
        try:
            answer = ask(server, query)
        except (dns.exception.DNSException, OSError, EOFError):
            continue
        wanted = dns.rdatatype.from_text(kind)
        found = [rdata.to_text() for rrset in answer.answer if rrset.rdtype == wanted for rdata in rrset]
        if found:
            return found
    try:
        resolver = dns.resolver.Resolver()
        resolver.lifetime = TIMEOUT
        return [rdata.to_text() for rdata in resolver.resolve(f"{name}.", kind)]
    except (dns.exception.DNSException, OSError):
        return []
