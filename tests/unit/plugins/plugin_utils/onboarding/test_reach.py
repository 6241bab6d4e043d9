"""What keeps a server from answering is told apart; where a real socket can show it, one does."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding import reach
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.reach import Target
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import Problem, StoreError, refuse


@contextmanager
def listening(greeting: bytes) -> Iterator[int]:
    """A server on loopback that says something and closes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            link, _address = server.accept()
            with link:
                link.sendall(greeting)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join(timeout=5)


def problem(target: Target, opener: Any = socket.create_connection) -> Problem:
    with pytest.raises(StoreError) as caught:
        reach.connect(target, timeout=2, opener=opener)
    (only,) = caught.value.problems
    return only


def failing(*errors: OSError) -> Any:
    """A way to connect that fails for each address with the next error."""
    waiting = list(errors)

    def opener(_address: tuple[str, int], _timeout: float) -> None:
        raise waiting.pop(0)

    return opener


def system(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def test_an_ssh_server_is_good() -> None:
    with listening(b"SSH-2.0-OpenSSH_10.0\r\n") as port:
        reach.connect(Target("127.0.0.1", port, ("127.0.0.1",)), timeout=2)


def test_something_else_is_none() -> None:
    with listening(b"HTTP/1.1 400 Bad Request\r\n") as port:
        assert problem(Target("127.0.0.1", port, ("127.0.0.1",))).rule == "ssh-other"


def test_a_connection_that_is_closed_at_once() -> None:
    with listening(b"") as port:
        found = problem(Target("127.0.0.1", port, ("127.0.0.1",)))
    assert found.rule == "ssh-closed"
    assert "failed logins" in found.fix


def test_a_port_on_which_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    found = problem(Target("127.0.0.1", port, ("127.0.0.1",)))
    assert found.rule == "ssh-refused"
    assert "--port" in found.fix


def test_silence_is_a_firewall() -> None:
    found = problem(Target("192.0.2.1", 22, ("192.0.2.1",)), failing(TimeoutError("timed out")))
    assert found.rule == "ssh-timeout"
    assert "security group" in found.fix


def test_an_ipv6_address_and_no_ipv6_here() -> None:
    target = Target("web.example", 22, ("2001:db8::1",))
    found = problem(target, failing(system(errno.ENETUNREACH)))
    assert found.rule == "ipv6-no-route"
    assert "2001:db8::1" in found.message
    both = Target("web.example", 22, ("192.0.2.1", "2001:db8::1"))
    assert problem(both, failing(system(errno.EHOSTUNREACH), system(errno.ENETUNREACH))).rule == "no-route"


def test_an_answer_says_more_than_silence_and_silence_more_than_no_way() -> None:
    target = Target("web.example", 22, ("192.0.2.1", "2001:db8::1"))
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "refused")
    assert problem(target, failing(TimeoutError(), refused)).rule == "ssh-refused"
    assert problem(target, failing(TimeoutError(), system(errno.ENETUNREACH))).rule == "ssh-timeout"


def test_any_other_reason_is_said() -> None:
    found = problem(Target("192.0.2.1", 22, ("192.0.2.1",)), failing(system(errno.EACCES)))
    assert "permission denied" in found.message


def test_a_name_that_stands_for_nothing() -> None:
    with pytest.raises(StoreError, match="stands for no address"):
        reach.resolve("no-such-server.invalid", 22)
    with pytest.raises(StoreError, match="stands for no address"):
        reach.resolve("a" * 70 + ".example", 22)


@pytest.mark.parametrize(
    ("typed", "normal"),
    [
        ("192.0.2.10 ", "192.0.2.10"),
        ("[2001:DB8:0::1]", "2001:db8::1"),
        ("Web1.Example.COM.", "web1.example.com"),
    ],
)
def test_the_usual_form_of_an_address(typed: str, normal: str) -> None:
    assert reach.normal(typed) == normal


def test_the_name_in_a_file_of_host_keys() -> None:
    assert Target("192.0.2.10", 22).key_name == "192.0.2.10"
    assert Target("2001:db8::1", 2222).key_name == "[2001:db8::1]:2222"


class TestPatience:
    """sshd keeps an address out for a while after refused logins."""

    def test_it_waits_and_tries_again(self) -> None:
        waited: list[float] = []
        said = [refuse("ssh-closed", "closed", "wait"), refuse("ssh-closed", "closed", "wait")]

        def attempt() -> str:
            if said:
                raise said.pop()
            return "in"

        assert reach.patiently(attempt, lambda _error: True, waited.append) == "in"
        assert waited == [6.0, 10.0]

    def test_not_for_ever(self) -> None:
        waited: list[float] = []

        def attempt() -> str:
            raise refuse("ssh-closed", "closed", "wait")

        with pytest.raises(StoreError, match="closed"):
            reach.patiently(attempt, lambda _error: True, waited.append)
        assert 30 < sum(waited) < 90

    def test_not_for_anything_else(self) -> None:
        def attempt() -> str:
            raise refuse("ssh-refused", "refused", "start it")

        with pytest.raises(StoreError, match="refused"):
            reach.patiently(attempt, lambda error: error.problems[0].rule == "ssh-closed", pytest.fail)
