"""Requests all the time, to real servers."""

from __future__ import annotations

import math
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.record.probe import (
    EACH,
    Prober,
    bucket_of,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.record.targets import Place, Target
from fakes.soak_bench import Answering, Raw
from fakes.watch_bench import until


def http(
    port: int,
    name: str = "web",
    kind: str = "http",
    places: tuple[Place, ...] = (Place("127.0.0.1", "c1"),),
    declared: bool = True,
) -> Target:
    return Target(name, "service", kind, port, "web", "/health", places, declared)


def slowly(_handler: object) -> bool:
    time.sleep(0.1)
    return False


@pytest.fixture
def prober() -> Iterator[Prober]:
    made = Prober(0.05, 0.5)
    made.start()
    yield made
    made.stop()
    assert not made.alive


def raw(answer: Callable[[socket.socket], None]) -> Raw:
    return Raw(answer)


def counted(prober: Prober, least: int, name: str = "web") -> Any:
    """All that came for one, once there were so many requests."""
    total: dict[str, Any] = {"requests": 0, "failures": 0, "latency": {}}

    def enough() -> bool:
        prober.count_failures(prober.failures())
        count = prober.take().get((name, "service"))
        if count is not None:
            total["requests"] += count.requests
            total["failures"] += count.failures
            for bucket, number in count.latency.items():
                total["latency"][bucket] = total["latency"].get(bucket, 0) + number
        return int(total["requests"]) >= least

    until(enough)
    return total


def test_good_answers_are_counted_with_their_latency(prober: Prober, server: Answering) -> None:
    prober.set_targets([http(server.port)])
    found = counted(prober, 5)
    assert found["failures"] == 0
    assert sum(found["latency"].values()) == found["requests"]
    assert set(server.asked) == {("/health", "web")}
    # Slow by 100 ms: the number stands for at most 1.1 ** i milliseconds.
    server.act = slowly
    counted(prober, 3)
    slow = counted(prober, 5)["latency"]
    assert 90 <= min(1.1**bucket for bucket in slow) <= 200


@pytest.mark.parametrize(("status", "good"), [(200, True), (301, True), (404, True), (500, False), (503, False)])
def test_a_status_below_500_is_an_answer(prober: Prober, server: Answering, status: int, good: bool) -> None:
    server.status = status
    prober.set_targets([http(server.port)])
    found = counted(prober, 3)
    assert (found["failures"] == 0) is good


def test_a_slow_one_delays_nobody(prober: Prober, server: Answering) -> None:
    silent = raw(lambda connection: time.sleep(1))
    prober.set_targets([http(silent.port, "silent"), http(server.port)])
    began = time.monotonic()
    found = counted(prober, 20)
    assert found["failures"] == 0
    assert max(1.1**bucket for bucket in found["latency"]) < 300
    until(lambda: any("no answer within 0.5 s" in failure.why for failure in prober.failures()))
    assert time.monotonic() - began < 5
    assert len(prober._asks) <= EACH + 1
    silent.close()


def test_refused_and_cut_off_and_nonsense_are_failures(prober: Prober) -> None:
    free = socket.create_server(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    cut = raw(lambda connection: connection.close())
    odd = raw(lambda connection: connection.sendall(b"220 mail ESMTP\r\n\r\n"))
    prober.set_targets(
        [http(port, "refused"), http(cut.port, "cut"), http(odd.port, "odd"), http(1, "none", places=())]
    )
    seen: dict[str, str] = {}

    def all_failed() -> bool:
        seen.update({failure.target.name: failure.why for failure in prober.failures()})
        return len(seen) == 4

    until(all_failed)
    assert "refused" in seen["refused"].lower()
    assert seen["none"] == "nobody is there"
    assert prober.wake.is_set()
    assert not prober.take(), "a failure counts only when somebody says so"
    for server in (cut, odd):
        server.close()


def test_one_that_nobody_declared_counts_from_its_first_good_answer_on(prober: Prober, server: Answering) -> None:
    server.status = 500
    prober.set_targets([http(server.port, declared=False)])
    until(lambda: len(server.asked) > 3)
    assert prober.failures() == []
    server.status = 200
    counted(prober, 1)
    assert prober.proven == {("web", "service")}
    server.status = 500
    until(prober.failures)


def test_several_containers_take_turns(prober: Prober, server: Answering) -> None:
    places = (Place("127.0.0.1", "a"), Place("127.0.0.2", "b"))
    prober.set_targets([http(server.port, places=places)])
    # Nobody listens at the second.
    found = counted(prober, 10)
    assert found["failures"] in range(found["requests"] // 2 - 1, found["requests"] // 2 + 2)


def test_redis_and_postgres_are_asked_without_a_password(prober: Prober) -> None:
    heard: dict[str, bytes] = {}

    def redis(connection: socket.socket) -> None:
        heard["redis"] = connection.recv(100)
        connection.sendall(b"-NOAUTH Authentication required.\r\n")

    def postgres(connection: socket.socket) -> None:
        heard["postgres"] = connection.recv(100)
        connection.sendall(b"N")

    def wrong(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 400\r\n\r\n")

    servers = [raw(redis), raw(postgres), raw(wrong)]
    targets = [
        http(servers[0].port, "redis", kind="redis"),
        http(servers[1].port, "postgres", kind="postgres"),
        http(servers[2].port, "wrong", kind="redis"),
    ]
    prober.set_targets(targets)
    for name in ("redis", "postgres"):
        assert counted(prober, 3, name)["failures"] == 0
    until(lambda: any(failure.target.name == "wrong" for failure in prober.failures()))
    assert heard == {"redis": b"PING\r\n", "postgres": b"\0\0\0\x08\x04\xd2\x16\x2f"}
    for server in servers:
        server.close()


@pytest.mark.skipif(not shutil.which("openssl"), reason="there is nobody to make a certificate")
def test_a_site_is_asked_over_tls_by_its_name(prober: Prober, server: Answering, tmp_path: Path) -> None:
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=other".split()
    files = ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "crt")]
    subprocess.run(["openssl", *words, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    names: list[str] = []
    context.sni_callback = lambda _socket, name, _context: names.append(str(name))
    server.server.socket = context.wrap_socket(server.server.socket, server_side=True)
    place = (Place("127.0.0.1"),)
    target = Target("app.example.com", "edge", "https", server.port, "app.example.com", "/", place)
    prober.set_targets([target])
    found: list[Any] = []

    def enough() -> bool:
        found.extend(prober.take().values())
        return bool(sum(count.requests for count in found) >= 5)

    until(enough)
    assert not any(count.failures for count in found)
    assert set(names) == {"app.example.com"}
    assert set(server.asked) == {("/", "app.example.com")}


def test_a_name_that_cannot_be_is_a_failure_and_no_end(prober: Prober, server: Answering) -> None:
    odd = Target(".example.com", "edge", "https", server.port, ".example.com", "/", (Place("127.0.0.1"),))
    nowhere = http(server.port, "nowhere", places=(Place("not an address"),))
    prober.set_targets([odd, nowhere, http(server.port)])
    seen: set[str] = set()

    def both() -> bool:
        seen.update(failure.target.name for failure in prober.failures())
        return seen == {".example.com", "nowhere"}

    until(both)
    assert counted(prober, 3)["failures"] >= 0
    assert prober.alive


def test_a_target_that_is_taken_away_is_asked_no_more(prober: Prober, server: Answering) -> None:
    prober.set_targets([http(server.port)])
    counted(prober, 2)
    prober.set_targets([])
    time.sleep(0.1)
    server.asked.clear()
    time.sleep(0.3)
    assert server.asked == []
    prober.set_targets([http(server.port)])
    counted(prober, 2)


def test_buckets_hold_what_they_say() -> None:
    for milliseconds in (0.0001, 0.4, 1, 1.05, 10, 199.9, 200.1, 9999):
        bucket = bucket_of(milliseconds / 1000)
        upper = 1.1**bucket
        assert upper >= max(milliseconds, 0.001) * (1 - 1e-9)
        assert upper / 1.1 < max(milliseconds, 0.001) * (1 + 1e-9)
    assert bucket_of(0.001) == 0
    assert not math.isnan(bucket_of(0.0))
