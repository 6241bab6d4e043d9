# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Addresses of containers become files; Caddy is told when they change, and only then."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import NOT_FOUND, CommandResult
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge import challenge, command, layout
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.bridge import (
    build,
    first_certificate,
    folders,
    planks,
    wait,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.caddy import Caddy, EdgeError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.follow import Follower
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.read import read_settings
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.sync import Synced, sync
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.upstreams import (
    NOBODY,
    addresses,
    upstream_files,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.engine import EngineError
from fakes.certificates import DAY, NOW, issue


def container(service: str, address: str, status: str = "running", health: str = "", **more: Any) -> dict[str, Any]:
    return {
        "Config": {"Labels": {"hypercode.service": service, **more}},
        "State": {"Status": status, **({"Health": {"Status": health}} if health else {})},
        "NetworkSettings": {
            "Networks": {"b": {"IPAddress": address}, "c": {"IPAddress": "10.0.0.9"}, "a": {"IPAddress": ""}}
        },
    }


def test_healthy_containers_are_preferred_and_others_better_than_none() -> None:
    found = addresses(
        [
            container("app", "10.0.0.2", health="starting"),
            container("app", "10.0.0.1", health="healthy"),
            container("slow", "10.0.0.3", health="starting"),
            container("plain", "10.0.0.5"),
            container("plain", "10.0.0.4"),
            container("gone", "10.0.0.6", status="exited"),
            container("job", "10.0.0.7", **{"com.docker.compose.oneoff": "True"}),
        ]
    )
    assert found == {"app": ["10.0.0.1"], "slow": ["10.0.0.3"], "plain": ["10.0.0.4", "10.0.0.5"]}


def test_those_that_are_pinned_get_all_requests_as_long_as_one_of_them_runs() -> None:
    found = [
        {"Id": "old", **container("app", "10.0.0.1", health="healthy")},
        {"Id": "new", **container("app", "10.0.0.2", health="healthy")},
    ]
    assert addresses(found, {"app": ["old"]}) == {"app": ["10.0.0.1"]}
    assert addresses(found, {"app": ["gone"]}) == {"app": ["10.0.0.1", "10.0.0.2"]}
    assert addresses(found, {"other": ["old"]}) == {"app": ["10.0.0.1", "10.0.0.2"]}


def test_a_container_in_the_hosts_network_is_at_the_host() -> None:
    assert addresses([{**container("app", ""), "HostConfig": {"NetworkMode": "host"}}]) == {"app": ["127.0.0.1"]}


def test_a_service_without_a_container_leads_nowhere() -> None:
    assert "\tto " not in upstream_files({"app": [80]}, {}, live=False)["app.caddy"]
    found = upstream_files({"app": [80]}, {}, live=True)
    assert (found["app.0"], found["app.1"]) == (NOBODY, NOBODY)


def test_an_old_caddy_is_given_addresses_and_a_new_one_files() -> None:
    places = {"app": ["10.0.0.1", "10.0.0.2"]}
    assert "\tto 10.0.0.1:80 10.0.0.2:80\n" in upstream_files({"app": [80]}, places, live=False)["app.caddy"]
    found = upstream_files({"app": [80]}, places, live=True)
    folder = layout.UPSTREAMS
    assert f"\tto {{file.{folder}/app.0}}:80 {{file.{folder}/app.1}}:80\n" in found["app.caddy"]
    assert (found["app.0"], found["app.1"]) == ("10.0.0.1", "10.0.0.2")


def test_one_two_or_no_container_are_the_same_to_a_new_caddy() -> None:
    """What Caddy has loaded does not change: no reload."""
    some = [upstream_files({"app": [80]}, {"app": places}, live=True) for places in ([], ["a"], ["b"], ["a", "b"])]
    assert len({found["app.caddy"] for found in some}) == 1
    assert [found["app.1"] for found in some] == [NOBODY, "a", "b", "b"]
    more = upstream_files({"app": [80]}, {"app": ["a", "b", "c"]}, live=True)
    assert [more[f"app.{number}"] for number in range(3)] == ["a", "b", "c"]


class Engine:
    """Containers that a test puts there."""

    def __init__(self) -> None:
        self.found = [container("app", "10.0.0.1")]

    def containers(self, project: str) -> list[dict[str, Any]]:
        assert project == "shop"
        return self.found


class Told(Caddy):
    """A Caddy that counts what it is told."""

    told = 0

    def settle(self, *, force: bool = False) -> bool:
        self.told += 1
        return True


@pytest.fixture
def paths(tmp_path: Path) -> layout.Paths:
    found = layout.Paths(tmp_path)
    about = {"binary": "caddy", "project": "shop", "live": True, "upstreams": {"app": [80], "lost": [81]}}
    found.at(layout.MANIFEST).parent.mkdir(parents=True)
    found.at(layout.MANIFEST).write_text(json.dumps(about), encoding="utf-8")
    return found


def test_only_what_differs_is_written(paths: layout.Paths) -> None:
    engine, caddy = Engine(), Told("caddy")
    assert sync(engine, paths, caddy) == Synced(("app", "lost"), ("lost",), reloaded=True)  # type: ignore[arg-type]
    (paths.at(layout.UPSTREAMS) / "old.caddy").write_text("", encoding="utf-8")
    engine.found = [container("app", "10.0.0.8")]
    done = sync(engine, paths, caddy)  # type: ignore[arg-type]
    assert done is not None
    assert done.changed == ("app", "old")
    assert (paths.at(layout.UPSTREAMS) / "app.1").read_text(encoding="utf-8") == "10.0.0.8"
    names = sorted(path.name for path in paths.at(layout.UPSTREAMS).iterdir())
    assert names == ["app.0", "app.1", "app.caddy", "lost.0", "lost.1", "lost.caddy"]


def test_a_file_is_there_before_caddy_looks_and_until_it_does_not_any_more(paths: layout.Paths) -> None:
    """Caddy would take a file that is not there for this host itself."""
    seen: list[list[str]] = []

    class Looking(Caddy):
        def settle(self, *, force: bool = False) -> bool:
            seen.append(sorted(path.name for path in paths.at(layout.UPSTREAMS).glob("app*")))
            return True

    engine = Engine()
    engine.found = [container("app", f"10.0.0.{number}") for number in (1, 2, 3)]
    sync(engine, paths, Looking("caddy"))  # type: ignore[arg-type]
    engine.found.pop()
    sync(engine, paths, Looking("caddy"))  # type: ignore[arg-type]
    assert seen == [["app.0", "app.1", "app.2", "app.caddy"]] * 2
    assert not (paths.at(layout.UPSTREAMS) / "app.2").exists()


def test_a_host_without_an_edge_is_left_alone(tmp_path: Path) -> None:
    assert sync(Engine(), layout.Paths(tmp_path)) is None  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_manifest_says_what_to_do(paths: layout.Paths) -> None:
    paths.at(layout.MANIFEST).write_text("{", encoding="utf-8")
    with pytest.raises(EdgeError, match="apply the role edge again"):
        sync(Engine(), paths)  # type: ignore[arg-type]


def test_a_rollout_does_not_fail_for_the_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_engine: object, _paths: object) -> None:
        raise EdgeError("Caddy is ill")

    monkeypatch.setattr(command, "sync", fails)
    assert command.sync_after_rollout(Engine()) == "Caddy is ill"  # type: ignore[arg-type]


def test_caddy_is_told_only_what_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def run(argv: list[str], **_options: object) -> CommandResult:
        ran.append(argv[1])
        return CommandResult(0, '{"a": 1}')

    caddy = Caddy("caddy", run=run)
    for running, told in (({"a": 1}, False), ({"a": 2}, True), (None, False)):
        monkeypatch.setattr(caddy, "running", lambda running=running: running)
        ran.clear()
        assert caddy.settle() is told
        assert ("reload" in ran) is told
    monkeypatch.setattr(caddy, "running", lambda: {"a": 1})
    assert caddy.settle(force=True)


def test_names_in_another_order_are_the_same_to_caddy_and_routes_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Caddy 2.6 tells the names of a site in another order each time."""
    routes = [{"host": ["x"]}, {"host": ["y"]}]
    told = {"policies": [{"match": {"sni": ["b.test", "a.test"]}}], "routes": routes}
    caddy = Caddy("caddy", run=lambda _argv, **_options: CommandResult(0, json.dumps(told)))
    same = {"policies": [{"match": {"sni": ["a.test", "b.test"]}}], "routes": routes}
    monkeypatch.setattr(caddy, "running", lambda: same)
    assert not caddy.settle()
    monkeypatch.setattr(caddy, "running", lambda: {**same, "routes": routes[::-1]})
    assert caddy.settle()


def test_what_caddy_refuses_is_in_its_words() -> None:
    said = '{"level":"error","msg":"x"}\nError: sending configuration to instance: no such key\n'
    caddy = Caddy("caddy", run=lambda _argv, **_options: CommandResult(1, "", said))
    with pytest.raises(
        EdgeError, match=r"goes on with the old one: sending configuration to instance: no such key\. Fix"
    ):
        caddy.reload()


def test_a_caddy_that_is_not_there_has_no_version() -> None:
    assert Caddy("caddy", run=lambda _argv, **_options: CommandResult(NOT_FOUND)).version() is None
    assert Caddy("caddy", run=lambda _argv, **_options: CommandResult(0, "v2.11.7 h1:x\n")).version() == (2, 11)
    assert Caddy("caddy", run=lambda _argv, **_options: CommandResult(0, "2.6.2\n")).version() == (2, 6)


# --- following ------------------------------------------------------------------------------------------------------


def test_each_event_is_followed_by_a_look_and_trouble_by_another_try() -> None:
    looks: list[str] = []
    said: list[str] = []
    naps: list[float] = []

    def look() -> Synced:
        looks.append("look")
        return Synced(("app",), reloaded=True)

    def events() -> Iterator[bool]:
        looks.append("listen")
        if len(looks) > 4:
            raise EngineError("Docker is not running here")
        return iter([True, True])

    Follower(look, events, said.append, naps.append, lambda: 0.0).run(rounds=2)
    assert looks == ["listen", "look", "look", "look", "listen"]
    assert said[-1] == "hypercode edge: Docker is not running here"
    # What takes a reload over and over is followed ever more slowly.
    assert naps[0] < naps[1] <= 10


def test_what_takes_no_reload_is_followed_at_once_however_often() -> None:
    naps: list[float] = []
    Follower(lambda: Synced(("app",)), lambda: iter([True] * 9), lambda _text: None, naps.append, lambda: 0.0).run(
        rounds=1
    )
    assert set(naps) == {naps[0]}
    assert naps[0] <= 0.1


def test_the_same_trouble_is_told_once() -> None:
    said: list[str] = []
    Follower(lambda: Synced(missing=("app",)), lambda: iter([True, True]), said.append, lambda _seconds: None).run(
        rounds=2
    )
    assert said == ["hypercode edge: no container runs for app"]


# --- bridges --------------------------------------------------------------------------------------------------------


PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def test_what_is_served_goes_on_until_the_new_certificate_is_there(tmp_path: Path) -> None:
    paths = layout.Paths(tmp_path)
    site = {"name": "app.example.com", "aliases": ["www.example.com"], "service": "a", "port": 1}
    settings = read_settings({"sites": [site]})[0]
    old = paths.stored("local", "app.example.com")
    old[0].parent.mkdir(parents=True)
    old[0].write_text(PEM, encoding="ascii")
    old[1].write_text("KEY\n", encoding="ascii")
    now = first_certificate(old[0])
    # The alias is not served today: nothing has to go on there.
    found = planks(settings, [], paths, lambda name: now if name == "app.example.com" else None)
    assert [plank.name for plank in found] == ["app.example.com"]
    assert folders(found) == {"app.example.com": "/var/lib/caddy/bridge/app.example.com"}
    build(found, paths)
    bundle = paths.at("/var/lib/caddy/bridge/app.example.com/app.example.com.pem")
    assert bundle.read_text(encoding="ascii") == PEM + PEM + "KEY\n"
    assert bundle.stat().st_mode & 0o777 == 0o600
    clock = [0.0]
    assert wait(found, 3, lambda: clock[0], lambda seconds: clock.__setitem__(0, clock[0] + seconds)) == found
    new = paths.stored("acme-v02.api.letsencrypt.org-directory", "app.example.com")[0]
    new.parent.mkdir(parents=True)
    new.write_text(PEM, encoding="ascii")
    assert wait(found, 3) == []
    assert planks(settings, [], paths, lambda _name: now) == []


# --- through DNS ----------------------------------------------------------------------------------------------------


def test_lego_gets_what_is_missing_and_its_words_hold_no_secret(tmp_path: Path) -> None:
    paths = layout.Paths(tmp_path)
    paths.at(layout.DNS_ENV).parent.mkdir(parents=True)
    paths.at(layout.DNS_ENV).write_text("RFC2136_TSIG_SECRET=canary-secret=\n", encoding="utf-8")
    about = {
        "dns": [["*.example.com", "example.com"]],
        "dns_provider": "rfc2136",
        "acme_ca": "https://ca",
        "acme_email": "",
    }
    seen: list[list[str]] = []

    def run(argv: list[str], *, timeout: float, environment: dict[str, str] | None = None) -> CommandResult:
        seen.append(list(argv))
        assert environment is not None
        assert environment["RFC2136_TSIG_SECRET"] == "canary-secret="
        assert timeout > 60
        return CommandResult(1, "", "bad key canary-secret=\n")

    with pytest.raises(EdgeError, match=r"No certificate for \*.example.com, example.com") as error:
        challenge.obtain(about, paths, run)
    assert "canary" not in str(error.value) + json.dumps(seen)
    certificate = paths.from_lego("*.example.com")[0]
    certificate.parent.mkdir(parents=True)
    certificate.write_text(PEM, encoding="ascii")
    seen.clear()
    assert challenge.obtain(about, paths, run) == []
    assert seen == []


def test_renewal_comes_when_a_third_is_left(tmp_path: Path) -> None:
    certificate = tmp_path / "a.crt"
    certificate.write_text(issue(begin=NOW, end=NOW + 45 * DAY).pem, encoding="ascii")
    assert challenge.days_left_to_renew(certificate) == 15
    assert challenge.days_left_to_renew(tmp_path) == 30


def test_lego_does_not_sleep_and_is_made_to_renew_what_is_asked_for(tmp_path: Path) -> None:
    paths = layout.Paths(tmp_path)
    sites = [["*.example.com", "example.com"], ["other.example.com"]]
    about = {"dns": sites, "dns_provider": "rfc2136", "acme_ca": "https://ca", "acme_email": "a@example.com"}
    for site in sites:
        certificate = paths.from_lego(site[0])[0]
        certificate.parent.mkdir(parents=True, exist_ok=True)
        certificate.write_text(issue(begin=NOW, end=NOW + 90 * DAY).pem, encoding="ascii")
    seen: list[list[str]] = []

    def run(argv: list[str], **_more: object) -> CommandResult:
        seen.append(list(argv))
        path = paths.from_lego(argv[argv.index("--domains") + 1])[0]
        path.write_text(PEM, encoding="ascii")
        return CommandResult(0)

    assert challenge.renew(about, paths, run, only=["example.com"]) == ["*.example.com"]
    (words,) = seen
    assert "--no-random-sleep" in words
    assert int(words[words.index("--days") + 1]) > 398
    seen.clear()
    challenge.renew(about, paths, run)
    assert [words[words.index("--days") + 1] for words in seen] == ["30", "30"]
    assert all("--no-random-sleep" in words for words in seen)
