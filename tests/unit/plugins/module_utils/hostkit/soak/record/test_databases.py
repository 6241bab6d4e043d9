"""The canary and the figures of real databases, as in their containers. No password is on a command line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.record import canary, databases
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.record.drill import Drills
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.settings import Limits, Settings
from fakes import backup_host

RUN, VALUE = "20270101T000000Z-soak", "0123abcd"
pytestmark = pytest.mark.skipif(bool(backup_host.missing()), reason=f"not here: {backup_host.missing()}")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("canary")
    made = backup_host.BackupHost(folder)
    with backup_host.postgres() as place, backup_host.redis(folder / "redis", "--appendonly", "yes") as port:
        made.add_postgres(place)
        made.add_redis(port)
        made.place, made.port = place, port  # type: ignore[attr-defined]
        yield made
    words = made.commands
    assert "exec --interactive" in words
    assert backup_host.DATA_PASSWORD not in words


def postgres(host: Any, verb: str, value: str = VALUE) -> str:
    return canary.do(verb, "postgres", "db-1", RUN, value, (str(host.docker),))


def redis(host: Any, verb: str, value: str = VALUE) -> str:
    return canary.do(verb, "redis", "cache-1", RUN, value, (str(host.docker),))


def test_a_value_in_postgres_is_found_again_until_it_is_taken_away(host: Any) -> None:
    assert postgres(host, canary.CHECK) == canary.MISSING
    assert postgres(host, canary.WRITE) == canary.OK
    assert postgres(host, canary.WRITE) == canary.OK
    assert postgres(host, canary.CHECK) == canary.OK
    assert postgres(host, canary.CHECK, "another") == canary.WRONG
    backup_host.sql(host.place, "postgres", "DELETE FROM hypercode_soak.canary")
    assert postgres(host, canary.CHECK) == canary.MISSING
    assert postgres(host, canary.REMOVE) == canary.OK
    found = backup_host.sql(
        host.place, "postgres", "SELECT count(*) FROM pg_namespace WHERE nspname = 'hypercode_soak'"
    )
    assert found == "0"
    assert postgres(host, canary.REMOVE) == canary.OK


def test_a_value_in_redis_is_found_again_until_it_is_taken_away(host: Any) -> None:
    assert redis(host, canary.CHECK) == canary.MISSING
    assert redis(host, canary.WRITE) == canary.OK
    assert redis(host, canary.CHECK) == canary.OK
    assert redis(host, canary.CHECK, "another") == canary.WRONG
    backup_host.redis_cli(host.port, "flushall")
    assert redis(host, canary.CHECK) == canary.MISSING
    redis(host, canary.WRITE)
    assert redis(host, canary.REMOVE) == canary.OK
    assert backup_host.redis_cli(host.port, "dbsize") == "0"


def test_a_redis_that_throws_keys_away_keeps_no_canary(host: Any) -> None:
    backup_host.redis_cli(host.port, "config", "set", "maxmemory-policy", "allkeys-lru")
    try:
        assert redis(host, canary.WRITE) == ""
        assert backup_host.redis_cli(host.port, "dbsize") == "0"
    finally:
        backup_host.redis_cli(host.port, "config", "set", "maxmemory-policy", "noeviction")


def test_one_that_does_not_answer_has_lost_nothing(host: Any) -> None:
    away = [host.docker_folder / f"{name}-1.away" for name in ("db", "cache")]
    for path in away:
        path.touch()
    try:
        for verb in (canary.WRITE, canary.CHECK, canary.REMOVE):
            assert postgres(host, verb) == canary.UNREACHABLE
            assert redis(host, verb) == canary.UNREACHABLE
        assert databases.look("postgres", "db-1", (str(host.docker),)) == {}
        assert databases.look("redis", "cache-1", (str(host.docker),)) == {}
    finally:
        for path in away:
            path.unlink()
    wrong = host.docker_folder / "cache-1.env"
    text = wrong.read_text()
    wrong.write_text(text.replace(backup_host.DATA_PASSWORD, "wrong"))
    assert redis(host, canary.CHECK) == canary.UNREACHABLE
    wrong.write_text(text)


def test_databases_tell_of_themselves(host: Any) -> None:
    found = databases.look("postgres", "db-1", (str(host.docker),))
    assert found["connections_max"] == 100
    assert found["connections"] >= 1
    assert (found["archived"], found["archive_failed"], found["deadlocks"]) == (0, 0, 0)
    found = databases.look("redis", "cache-1", (str(host.docker),))
    assert found["memory"] > 100_000
    assert (found["memory_max"], found["evicted"], found["rejected"]) == (0, 0, 0)
    assert (found["save_ok"], found["append_ok"]) == (True, True)


def test_several_servers_are_put_together() -> None:
    first, second = {"memory": 5, "save_ok": True}, {"memory": 7, "save_ok": False, "evicted": 1}
    assert databases.together([first, second]) == {"memory": 12, "save_ok": False, "evicted": 1}
    assert databases.together([]) == {}


# --- the drill --------------------------------------------------------------------------------------------------------


def test_a_day_has_one_drill() -> None:
    started: list[int] = []

    def start() -> CommandResult:
        started.append(1)
        return CommandResult(0)

    state: dict[str, Any] = {}
    drills = Drills(Settings(), 1000.0, state, start)
    backup = {"last_success": 500.0, "last_drill_run": 400.0}
    day = 86400.0
    assert drills.see_to_it(0.5 * day, backup) == ""
    assert drills.see_to_it(0.6 * day, {**backup, "last_success": 0}) == "", "there is nothing to restore yet"
    assert drills.see_to_it(0.6 * day, None) == ""
    assert drills.see_to_it(0.6 * day, backup) == "a drill is started"
    assert drills.see_to_it(0.65 * day, backup) == ""
    # The first one did not come to an end.
    again = Drills(Settings(), 1000.0, state, start)
    assert again.see_to_it(0.7 * day, backup) == "a drill is started"
    assert again.see_to_it(0.9 * day, {**backup, "last_drill_run": 2000.0}) == ""
    assert len(started) == 2
    for settings in (Settings(duration=3600), Settings(limits=Limits(drills=0))):
        assert Drills(settings, 0.0, {}, start).see_to_it(settings.duration, backup) == ""


def test_a_drill_that_cannot_be_started_is_told_of() -> None:
    refused = Drills(Settings(), 1.0, {}, lambda: CommandResult(1, "", "no systemd here"))
    said = refused.see_to_it(86000, {"last_success": 5.0})
    assert said == "a drill cannot be started: no systemd here"
