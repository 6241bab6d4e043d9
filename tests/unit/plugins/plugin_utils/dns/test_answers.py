"""Waiting for name servers, with a clock that is moved by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ansible_collections.hypercode.deploy.plugins.plugin_utils.dns.answers import (
    Answer,
    Expected,
    evidence,
    wait,
)

NEW = Expected("www.example.com", "A", frozenset({b"new"}), ("192.0.2.2",))
GONE = Expected("old.example.com", "A", frozenset())
OLD = Answer(frozenset({b"old"}), ("192.0.2.1",))
RIGHT = Answer(frozenset({b"new"}), ("192.0.2.2",))


class World:
    """Servers whose answers depend on the time, and a clock that only sleeping moves."""

    def __init__(self, answer: Callable[[str, Expected, float], Answer]) -> None:
        self.time, self.answer = 0.0, answer
        self.asked: list[tuple[str, str, float]] = []

    def ask_all(self, questions: Sequence[tuple[str, Expected]]) -> list[Answer]:
        self.asked += [(server, item.name, self.time) for server, item in questions]
        return [self.answer(server, item, self.time) for server, item in questions]

    def sleep(self, seconds: float) -> None:
        self.time += seconds

    def run(self, expected: Sequence[Expected], limit: float) -> list[tuple[str, str, bool]]:
        self.seen = wait(["ns1", "ns2"], expected, self.ask_all, limit, lambda: self.time, self.sleep)
        return [(item.server, item.expected.name, item.right) for item in self.seen]


def test_what_is_right_is_asked_for_once() -> None:
    world = World(lambda server, item, now: RIGHT if server == "ns1" or now >= 3 else OLD)
    assert world.run([NEW], 60) == [("ns1", NEW.name, True), ("ns2", NEW.name, True)]
    assert [server for server, _name, _time in world.asked].count("ns1") == 1
    assert 3 <= world.time < 6


def test_it_ends_when_the_time_is_over_and_says_who_answered_what() -> None:
    world = World(lambda server, item, now: (RIGHT if server == "ns1" else OLD) if item is NEW else Answer())
    assert world.run([NEW, GONE], 10) == [
        ("ns1", NEW.name, True),
        ("ns1", GONE.name, True),
        ("ns2", NEW.name, False),
        ("ns2", GONE.name, True),
    ]
    assert 5 <= world.time <= 10
    text = "ns2 answers 192.0.2.1 for www.example.com A (wanted: 192.0.2.2). Right already: ns1"
    assert evidence(world.seen) == text


def test_the_last_look_is_not_before_its_time() -> None:
    world = World(lambda server, item, now: OLD)
    world.run([NEW], 0.1)
    assert world.time == 0
    assert len(world.asked) == 2


def test_a_record_that_is_to_be_gone() -> None:
    world = World(lambda server, item, now: OLD if now < 1 else Answer())
    assert all(right for _server, _name, right in world.run([GONE], 60))


def test_no_answer_is_never_right() -> None:
    world = World(lambda server, item, now: Answer(problem="does not answer"))
    assert world.run([GONE], 5) == [("ns1", GONE.name, False), ("ns2", GONE.name, False)]
    assert "ns1 does not answer for old.example.com A (wanted: none)" in evidence(world.seen)


def test_evidence_is_bounded() -> None:
    many = [Expected(f"n{number}.example.com", "A", frozenset({b"x"}), ("192.0.2.9",)) for number in range(40)]
    world = World(lambda server, item, now: OLD)
    world.run(many, 0)
    assert "and 74 more answers" in evidence(world.seen)
    assert len(evidence(world.seen)) < 700
