from __future__ import annotations

import itertools
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.order import (
    CycleError,
    cycles,
    levels,
    reverse,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.repair import port_text
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.short import (
    Image,
    parse_image,
    parse_port,
    parse_volume,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.units import (
    cpus_text,
    duration_text,
    parse_cpus,
    parse_duration,
    parse_size,
    seconds,
    size_text,
)
from hypothesis import given
from hypothesis import strategies as st

DIGEST = "sha256:" + "0f" * 32


@pytest.mark.parametrize(
    ("text", "value"),
    [("60s", 60), ("1m30s", 90), ("1h", 3600), ("500ms", 0.5), ("1.5s", 1.5), ("0", 0), ("2h3m4s", 7384)],
)
def test_durations(text: str, value: float) -> None:
    assert parse_duration(text) == value


@pytest.mark.parametrize("text", ["", "60", 60, "s", "1x", "1 s", "-1s", None, "1s2", True])
def test_bad_durations(text: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


def test_duration_text() -> None:
    assert [duration_text(v) for v in (60, 1.5, "1m30s", 0)] == ["60s", "1500ms", "1m30s", "0s"]
    for bad in (True, -1, float("nan"), "soon"):
        with pytest.raises(ValueError, match="duration"):
            duration_text(bad)
    assert (seconds(60.0), seconds(0.5)) == (60, 0.5)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1G", 2**30), ("1.5g", 3 * 2**29), ("512MiB", 2**29), ("1 kb", 1024), ("7", 7), (7, 7), ("1b", 1), ("0", 0)],
)
def test_sizes(text: object, value: int) -> None:
    assert parse_size(text) == value


@pytest.mark.parametrize("text", ["", "G", "1X", "-1", -1, 1.5, True, None, "1..5G"])
def test_bad_sizes(text: object) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_size(text)


def test_size_text_keeps_what_was_written_and_shortens_numbers() -> None:
    assert [size_text(v) for v in ("1.5G", 2**30, "536870912", 1500, 0)] == ["1.5G", "1G", "512M", "1500B", "0B"]


@given(st.integers(0, 2**50))
def test_size_text_is_exact(count: int) -> None:
    assert parse_size(size_text(count)) == count


def test_cpus() -> None:
    assert [cpus_text(v) for v in (1, 1.5, "0.50", "2")] == ["1", "1.5", "0.5", "2"]
    for bad in ("", "many", -1, True, None, "inf"):
        with pytest.raises(ValueError, match="processors"):
            parse_cpus(bad)


@pytest.mark.parametrize(
    ("short", "expected"),
    [
        (80, [{"target": 80, "protocol": "tcp"}]),
        ("8080:80", [{"target": 80, "published": "8080", "protocol": "tcp"}]),
        ("53:53/udp", [{"target": 53, "published": "53", "protocol": "udp"}]),
        ("127.0.0.1:8080:80", [{"host_ip": "127.0.0.1", "target": 80, "published": "8080", "protocol": "tcp"}]),
        ("[::1]:8080:80", [{"host_ip": "::1", "target": 80, "published": "8080", "protocol": "tcp"}]),
        ("127.0.0.1::80", [{"host_ip": "127.0.0.1", "target": 80, "protocol": "tcp"}]),
        ("8000-9000:80", [{"target": 80, "published": "8000-9000", "protocol": "tcp"}]),
    ],
)
def test_ports(short: Any, expected: list[dict[str, Any]]) -> None:
    assert parse_port(short) == expected


def test_port_ranges() -> None:
    ports = parse_port("3000-3002:4000-4002")
    assert [(p["published"], p["target"]) for p in ports] == [("3000", 4000), ("3001", 4001), ("3002", 4002)]


@pytest.mark.parametrize(
    "short", ["", "a", "80:", "0", "70000", "1-3:5-6", "80:80/http", "1.2.3.4", "9-8", True, "22:"]
)
def test_bad_ports(short: Any) -> None:
    with pytest.raises(ValueError, match=r"port|range"):
        parse_port(short)


@pytest.mark.parametrize("short", ["8080:80", "127.0.0.1:8080:80/udp", "[::1]:1:2", "80", "127.0.0.1::80"])
def test_port_text_reads_as_it_was_written(short: str) -> None:
    assert port_text(parse_port(short)[0]) == short


@pytest.mark.parametrize(
    ("short", "expected"),
    [
        ("data:/data", {"type": "volume", "source": "data", "target": "/data"}),
        ("/data", {"type": "volume", "target": "/data"}),
        (
            "./a:/a:ro",
            {"type": "bind", "source": "./a", "target": "/a", "bind": {"create_host_path": True}, "read_only": True},
        ),
        ("data:/data:nocopy", {"type": "volume", "source": "data", "target": "/data", "volume": {"nocopy": True}}),
        (
            "/a:/b:rw,z,rshared",
            {
                "type": "bind",
                "source": "/a",
                "target": "/b",
                "bind": {"create_host_path": True, "selinux": "z", "propagation": "rshared"},
            },
        ),
    ],
)
def test_volumes(short: str, expected: dict[str, Any]) -> None:
    assert parse_volume(short) == expected


@pytest.mark.parametrize("short", ["", "a:b", ":/x", "a:/b:no", "a:/b:ro:x", "data:/data:z"])
def test_bad_volumes(short: str) -> None:
    with pytest.raises(ValueError, match=r"mount|path"):
        parse_volume(short)


@pytest.mark.parametrize(
    ("text", "image", "pinned"),
    [
        ("redis", Image("redis"), False),
        ("redis:latest", Image("redis", "latest"), False),
        ("redis:7.2", Image("redis", "7.2"), True),
        ("host:5000/a/b", Image("host:5000/a/b"), False),
        ("host:5000/a/b:1", Image("host:5000/a/b", "1"), True),
        (f"redis@{DIGEST}", Image("redis", "", DIGEST), True),
        (f"ghcr.io/a/b_c:latest@{DIGEST}", Image("ghcr.io/a/b_c", "latest", DIGEST), True),
        ("[::1]:5000/a:1", Image("[::1]:5000/a", "1"), True),
    ],
)
def test_images(text: str, image: Image, pinned: bool) -> None:
    assert parse_image(text) == image
    assert str(image) == text
    assert image.pinned is pinned


@pytest.mark.parametrize(
    "text", ["", "Redis", "a b", "redis:", "redis:-x", "redis@", "redis@sha256:12", "a//b", "http://x/y"]
)
def test_bad_images(text: str) -> None:
    with pytest.raises(ValueError, match=r"image|tag|digest"):
        parse_image(text)


def test_a_new_tag_drops_the_old_digest() -> None:
    image = parse_image(f"redis:7@{DIGEST}")
    assert str(image.changed(tag="8")) == "redis:8"
    assert str(image.changed(tag="8", digest=DIGEST)) == f"redis:8@{DIGEST}"
    assert str(parse_image("redis:7").changed(digest=DIGEST)) == f"redis:7@{DIGEST}"


def test_levels() -> None:
    graph = {"web": ["api"], "api": ["db", "redis"], "db": [], "redis": [], "job": ["db", "not-there"]}
    assert levels(graph) == [["db", "redis"], ["api", "job"], ["web"]]
    assert reverse(levels(graph)) == [["web"], ["job", "api"], ["redis", "db"]]
    assert levels({}) == []


def test_a_cycle_is_named_with_the_loop() -> None:
    with pytest.raises(CycleError) as caught:
        levels({"a": ["c"], "b": ["a"], "c": ["b"], "d": ["a"], "e": []})
    assert caught.value.cycle == ["a", "c", "b", "a"]
    assert cycles({"a": ["a"], "b": ["c"], "c": ["b"], "d": []}) == [["a", "a"], ["b", "c", "b"]]
    assert cycles({"a": ["b"], "b": []}) == []


@given(st.dictionaries(st.sampled_from("abcdef"), st.sets(st.sampled_from("abcdefg"), max_size=3)))
def test_levels_or_a_real_cycle(graph: dict[str, set[str]]) -> None:
    loops = cycles(graph)
    for loop in loops:
        assert loop[0] == loop[-1]
        assert all(after in graph[before] for before, after in itertools.pairwise(loop))
    if loops:
        with pytest.raises(CycleError):
            levels(graph)
        return
    place = {name: index for index, level in enumerate(levels(graph)) for name in level}
    assert place.keys() == graph.keys()
    assert all(place[d] < place[name] for name, needed in graph.items() for d in needed if d in graph)
