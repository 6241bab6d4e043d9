"""Who is asked, and where."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.record.config import (
    Config,
    Site,
    read_config,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.record.targets import (
    Doors,
    Place,
    Resolver,
    own_check,
    targets_of,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.settings import SoakError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.watch.roster import Facts

WEB = Facts(
    id="a" * 64,
    project="demo",
    service="web",
    name="demo-web-1",
    state="running",
    health="healthy",
    restarts=0,
    exit_code=0,
    oom_killed=False,
    started=5.0,
    memory_limit=0,
    cpu_limit=0,
    processes_limit=0,
    stop_timeout=10,
    keeps_data=False,
    heal_allowed=True,
    places=None,
    pid=7,
    address="172.18.0.2",
    image="registry.test/web:1",
)
CONFIG = Config("demo")
CURL = ("CMD-SHELL", "curl -fsS http://localhost:8001/health?full=1 || exit 1")


def only(config: Config, *containers: Facts, wanted: str = "web", doors: Any = None) -> Any:
    found = targets_of(config, [wanted], containers, doors or {})
    return found[0] if found else None


def test_what_was_declared_counts_most() -> None:
    facts = replace(WEB, check=CURL)
    target = only(replace(CONFIG, probes={"web": "http://web:8080/ready?deep=1"}), facts)
    assert (target.kind, target.port, target.host, target.path) == ("http", 8080, "web:8080", "/ready?deep=1")
    assert target.places == (Place("172.18.0.2", "a" * 64, 5.0),)
    assert (target.declared, target.key) == (True, ("web", "service"))
    assert only(replace(CONFIG, probes={"web": "https://web/"}), facts).port == 443


def test_a_service_that_is_declared_and_not_there_has_no_place() -> None:
    assert only(replace(CONFIG, probes={"web": "http://web:1/"})).places == ()
    stopped = replace(WEB, state="exited", address="", pid=0)
    assert only(replace(CONFIG, probes={"web": "http://web:1/"}), stopped).places == ()


def test_otherwise_its_health_check_says_what_to_ask() -> None:
    target = only(CONFIG, replace(WEB, check=CURL))
    assert (target.kind, target.port, target.host, target.path) == (
        "http",
        8001,
        "localhost:8001",
        "/health?full=1",
    )
    assert not target.declared


@pytest.mark.parametrize(
    ("command", "asked"),
    [
        (("CMD", "wget", "-q", "http://127.0.0.1/"), ("http", 80, "/")),
        (("CMD", "python", "-c", "urlopen('https://localhost:8443/a')"), ("https", 8443, "/a")),
        (("CMD-SHELL", "wget --spider http://[::1]:9090/-/healthy"), ("http", 9090, "/-/healthy")),
        (("CMD-SHELL", "redis-cli ping"), None),
        (("CMD", "curl", "http://elsewhere.example.com/"), None),
        (("NONE",), None),
        ((), None),
    ],
)
def test_health_checks_are_read(command: tuple[str, ...], asked: Any) -> None:
    assert own_check(command) == asked


def test_then_the_ways_of_the_edge(tmp_path: Path) -> None:
    manifest = tmp_path / "etc/hypercode/edge/edge.json"
    doors = Doors(tmp_path)
    assert doors.read() == {}
    manifest.parent.mkdir(parents=True)
    manifest.write_text(json.dumps({"doors": {"web": [[8000, "*.example.com", "/api"]]}}))
    target = only(CONFIG, WEB, doors=doors.read())
    assert (target.port, target.host, target.path) == (8000, "www.example.com", "/api")
    manifest.write_text("{")
    assert doors.read() == {"web": [(8000, "*.example.com", "/api")]}


def test_databases_are_asked_in_their_own_words() -> None:
    redis = replace(WEB, image="docker.io/library/redis:7@sha256:00", check=("CMD", "redis-cli", "ping"))
    assert (only(CONFIG, redis).kind, only(CONFIG, redis).port) == ("redis", 6379)
    postgres = replace(WEB, image="pgvector/pgvector:pg16")
    assert (only(CONFIG, postgres).kind, only(CONFIG, postgres).port) == ("postgres", 5432)


def test_nobody_says_what_it_answers() -> None:
    assert only(CONFIG, WEB) is None
    assert only(CONFIG, replace(WEB, project="other", check=CURL)) is None


def test_of_several_containers_those_are_asked_that_are_well() -> None:
    config = replace(CONFIG, probes={"web": "http://web:1/"})
    second = replace(WEB, id="b" * 64, address="172.18.0.3", health="starting")
    assert [place.address for place in only(config, WEB, second).places] == ["172.18.0.2"]
    both = only(config, replace(WEB, health="unhealthy"), second).places
    assert [place.address for place in both] == ["172.18.0.2", "172.18.0.3"]
    other = replace(WEB, address="[fd00::2]", health="none")
    assert only(config, other).places[0].address == "fd00::2"


def test_sites_are_asked_through_the_edge_of_each_host() -> None:
    sites = (Site("app.example.com"), Site("app.example.com", "192.0.2.7", "web2", path="/health"))
    own, other = targets_of(replace(CONFIG, sites=sites), [], [], {})
    assert (own.key, own.kind, own.host, own.places) == (
        ("app.example.com", "edge"),
        "https",
        "app.example.com",
        (Place("127.0.0.1"),),
    )
    assert (other.key, other.path, other.places[0].address) == (
        ("app.example.com (web2)", "remote"),
        "/health",
        "192.0.2.7",
    )


def test_what_the_role_writes_is_read(tmp_path: Path) -> None:
    file = tmp_path / "soak.json"
    file.write_text(json.dumps({"probes": {"web": "http://web:1/", "off": ""}, "sites": [{"name": "a.example.com"}]}))
    assert read_config(file) == Config(probes={"web": "http://web:1/"}, sites=(Site("a.example.com"),))
    file.write_text("{}")
    assert read_config(file) == Config()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is no JSON"),
        ("[]", "makes no sense"),
        ('{"timeout": 0}', "from 0.1 to 60"),
        ('{"timeout": "soon"}', "makes no sense"),
        ('{"sites": [{"address": "x"}]}', "makes no sense"),
        ('{"probes": ["x"]}', "makes no sense"),
    ],
)
def test_what_makes_no_sense_is_named(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "soak.json"
    file.write_text(text)
    with pytest.raises(SoakError, match=words) as caught:
        read_config(file)
    assert "Fix: " in str(caught.value)
    with pytest.raises(SoakError, match="cannot be read"):
        read_config(tmp_path / "nowhere")


def test_names_are_looked_up_and_kept_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now, asked, answers = [0.0], [], ["192.0.2.1", "192.0.2.2"]

    def look_up(name: str, _port: object, **_options: object) -> Any:
        asked.append(name)
        if not answers:
            raise OSError("no such name")
        return [(2, 1, 6, "", (answers.pop(0), 0))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    resolve = Resolver(lambda: now[0])
    assert (resolve("198.51.100.1"), resolve("[fd00::1]"), asked) == ("198.51.100.1", "fd00::1", [])
    sites = (Site("a.example.com", "web2.example.com", "web2"),)
    for expected in ("192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.2"):
        (target,) = targets_of(replace(CONFIG, sites=sites), [], [], {}, resolve)
        assert target.places == (Place(expected),)
        now[0] += 200
    # It is no more to be found: the last address is as good as any.
    assert resolve("web2.example.com") == "192.0.2.2"
    assert resolve("never.example.com") == ""
    unknown = (Site("a.example.com", "never.example.com", "web3"),)
    assert targets_of(replace(CONFIG, sites=unknown), [], [], {}, resolve)[0].places == ()
