"""Postgres comes back as it was at a moment, whatever was lost; who writes meanwhile notices nothing of it."""

from __future__ import annotations

import datetime
import itertools
import json
import re
import time

import pytest
from checks import ledger
from checks.playbook import play
from checks.stack import containers, root

LOG = "/root/writer.log"
SERVICE = "hypercode-backup-wal"
RELEASE = "/opt/hypercode/current"
COMPOSE = f"docker compose --project-name shop --file {RELEASE}/compose.yaml --env-file {RELEASE}/env"


def hypercode(host, words):
    with host.sudo():
        return host.run(f"hypercode backup {words}")


def row(host, repository="far"):
    """How the log of the database stands in a repository."""
    rows = json.loads(hypercode(host, "status --json").stdout)
    return next(entry for entry in rows if entry.get("service") == "db" and entry["repository"] == repository)


def wait(what, seconds=60.0):
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until, "it took too long"
        time.sleep(0.5)
    return found


def now(host):
    return float(root(host, "date +%s.%N"))


def newest_shipment(host):
    """When the newest shipment to the repository on the host itself began."""
    shell = "RESTIC_REPOSITORY=/var/backups/near RESTIC_PASSWORD_FILE=/etc/hypercode/backup/password restic snapshots"
    found = json.loads(root(host, f"{shell} --json --no-lock --tag hypercode-pitr"))
    return max(datetime.datetime.fromisoformat(entry["time"]).timestamp() for entry in found)


def id_of_db(host):
    return root(host, "docker ps --quiet --no-trunc --filter label=com.docker.compose.service=db").strip()


def db_answers(host):
    """Wait for the database, which may have been started anew; return its container."""

    def look():
        found = id_of_db(host)
        return found if found and ledger.psql(host, found, "SELECT 1", ok=False) == "1" else ""

    return wait(look)


def attached(host, container):
    """Whether the log of this container is received."""
    sql = "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'hypercode-wal' AND state = 'streaming'"
    return ledger.psql(host, container, sql, ok=False) == "1"


def restored(host, words, folder):
    """Restore into a folder of that name; return what was said of it, and the seconds."""
    done = hypercode(host, f"restore --service db --to /root/{folder} {words}")
    assert done.rc == 0, done.stderr
    return done.stdout, float(re.search(r"; (\d+) s", done.stdout)[1])


@pytest.fixture
def opened(host):
    """Start a server on a data directory that came back; what it holds can be looked at."""
    image = containers(host, "shop")["db"]["Config"]["Image"]
    names = []

    def start(folder):
        names.append(f"opened-{folder}")
        place = f"/root/{folder}/postgres/db/data"
        assert "shut down" in root(
            host,
            f"docker run --rm --user 999:999 --volume {place}:/data --entrypoint "
            f"pg_controldata {image} -D /data | grep 'cluster state'",
        )
        options = "--network none --user 999:999 --entrypoint postgres --tmpfs /var/run/postgresql:mode=1777"
        command = "-D /data -c listen_addresses="
        root(host, f"docker run --detach --name {names[-1]} {options} --volume {place}:/data {image} {command}")
        wait(lambda: ledger.psql(host, names[-1], "SELECT 1", ok=False) == "1")
        return names[-1]

    yield start
    root(host, f"docker rm --force --volumes {' '.join(names)}; cd /root && rm -rf at host volume")


@pytest.fixture(scope="module")
def db(host):
    """The database, with a ledger that is written all the time and had its first base before."""
    container = db_answers(host)
    wait(lambda: row(host)["base"])
    ledger.open_ledger(host, container)
    ledger.start_writer(host, container, LOG)
    return container


def test_it_comes_to_a_time_between_two_marks(host, db, opened, figure):
    ledger.mark(host, db, "first")
    time.sleep(1.2)
    moment = root(host, "date -u +%FT%TZ").strip()
    time.sleep(1.2)
    second = ledger.mark(host, db, "second")
    took = time.monotonic()
    wait(lambda: row(host)["newest"] > second + 1)
    figure("from a write to its being in the repository", f"{time.monotonic() - took:.0f} s")
    said, seconds = restored(host, f"--time {moment} --repository far", "at")
    assert f"db is as it was at {moment}" in said
    figure("a small database to a point in time", f"{seconds:.0f} s")
    there = opened("at")
    assert ledger.psql(host, there, "SELECT name FROM mark") == "first"
    found = ledger.look(host, there)
    assert found["wrong"] == 0
    assert found["lines"] > 0
    assert root(host, f"cat {LOG}") == ""
    # Outside of what is kept it says what is.
    done = hypercode(host, "restore --time 2020-01-01T00:00:00Z --service db --to /root/never")
    assert done.rc == 1
    span = re.search(r"any time of db from (\S+) to (\S+)", hypercode(host, "list").stdout)
    assert span[1] in done.stderr
    assert span[1] < moment < span[2]


def test_postgres_is_killed(host, db):
    base = row(host)["base"]
    before = ledger.mark(host, db, "before the kill")
    began = f"docker inspect --format '{{{{.State.StartedAt}}}}' {db}"
    started = root(host, began)
    root(host, f"kill -KILL $(docker inspect --format '{{{{.State.Pid}}}}' {db})")
    wait(lambda: root(host, began) != started)
    assert db_answers(host) == db
    assert "before the kill" in ledger.psql(host, db, "SELECT name FROM mark")
    wait(lambda: attached(host, db))
    assert row(host)["base"] == base
    wait(lambda: row(host)["newest"] >= before)
    ledger.start_writer(host, db, LOG)


def test_redis_is_killed(host, figure):
    """Its append-only file is on the disk of the same host: at most a second is lost."""
    cache = containers(host, "shop")["cache"]["Id"]
    loop = (
        "export REDISCLI_AUTH=$REDIS_PASSWORD; i=0; while :; do i=$((i+1)); "
        '[ "$(redis-cli set last $i)" = OK ] && echo $i $(date +%s.%N); done'
    )
    root(host, f"cat > /root/redis-writer <<'EOF'\ndocker exec -i {cache} sh -c '{loop}' > /root/redis.log\nEOF")
    root(host, "systemd-run --quiet --collect --unit redis-writer sh /root/redis-writer")
    time.sleep(4)
    root(host, f"kill -KILL $(docker inspect --format '{{{{.State.Pid}}}}' {cache})")
    ask = f"docker exec {cache} sh -c 'export REDISCLI_AUTH=$REDIS_PASSWORD; redis-cli --raw get last'"
    there = int(wait(lambda: found if (found := root(host, ask, ok=False).strip()).isdecimal() else ""))
    acknowledged = [line.split() for line in root(host, "cat /root/redis.log").splitlines()]
    last, at = int(acknowledged[-1][0]), float(acknowledged[-1][1])
    assert last > 100
    # What was written without an answer may be there too.
    kept = max(float(moment) for number, moment in acknowledged if int(number) <= there)
    figure("writes of Redis lost with its process", f"{max(0, last - there)} of {last}, {max(0.0, at - kept):.2f} s")
    assert at - kept <= 1


def test_the_container_is_replaced(host, db):
    base = row(host)["base"]
    root(host, f"{COMPOSE} up --detach --force-recreate --no-deps db")
    container = db_answers(host)
    assert container != db
    wait(lambda: attached(host, container))
    assert row(host)["base"] == base
    assert root(host, "docker ps --quiet --filter label=hypercode.purpose=wal").count("\n") == 1
    ledger.start_writer(host, container, LOG)


def test_the_host_is_lost(host, opened, figure):
    """Nothing but the far repository is left; the base in it is older than a minute."""
    container = db_answers(host)
    assert now(host) - row(host)["newest"] < 60
    time.sleep(5)
    ledger.stop_writer(host, container)
    # At no time since they write was more than a minute not there.
    since = float(ledger.psql(host, container, "SELECT extract(epoch FROM min(at)) FROM line"))
    shell = "RESTIC_REPOSITORY=/srv/far RESTIC_PASSWORD_FILE=/etc/hypercode/backup/password restic snapshots"
    tags = re.findall(r"until=(\d+)", root(host, f"{shell} --json --no-lock --tag hypercode-pitr"))
    times = sorted({since, *(int(tag) for tag in tags if int(tag) > since), now(host)})
    gaps = [after - before for before, after in itertools.pairwise(times)]
    figure("at most between two shipments", f"{max(gaps):.0f} s")
    assert max(gaps) <= 60
    lost = ledger.look(host, container)["last"]
    root(host, f"systemctl kill --signal KILL {SERVICE}; systemctl stop {SERVICE}")
    root(host, "mv /var/lib/hypercode/backup /root/state; mv /var/backups/near /root/near")
    try:
        _said, seconds = restored(host, "--time newest --repository far --host web1", "host")
        there = opened("host")
        found = ledger.look(host, there)
        assert found["wrong"] == 0
        assert lost - 60 < found["last"] <= lost
        assert "before the kill" in ledger.psql(host, there, "SELECT name FROM mark")
        assert root(host, f"docker exec {there} pg_amcheck -U shop --all --install-missing --heapallindexed") == ""
        figure("lost with the host", f"{lost - found['last']:.1f} s")
        figure("the database of a host that is lost", f"{seconds:.0f} s")
    finally:
        root(host, "rm -rf /var/lib/hypercode/backup; mv /root/state /var/lib/hypercode/backup")
        root(host, f"mv /root/near /var/backups/near; systemctl start {SERVICE}")


def test_a_gap_is_noticed_and_a_new_base_made(host, figure):
    """The slot is dropped while nobody listens, and the log goes on: what is missing here is nowhere any more."""
    container = db_answers(host)
    wait(lambda: attached(host, container))
    base = row(host)["base"]
    root(host, f"systemctl stop {SERVICE}")
    ledger.start_writer(host, container, LOG)
    recycled = "SELECT pg_drop_replication_slot('hypercode_wal');\n" + "SELECT pg_switch_wal();\nCHECKPOINT;\n" * 4
    ledger.psql(host, container, f"SET client_min_messages = error;\n{recycled}")
    began = time.monotonic()
    root(host, f"systemctl start {SERVICE}")
    wait(lambda: (found := row(host))["base"] not in (None, base) and found["good"])
    figure("from a gap to a new base of a small database", f"{time.monotonic() - began:.0f} s")
    assert "the server no longer has what is missing here" in root(host, f"journalctl --unit {SERVICE} --no-pager")
    assert hypercode(host, "list").stdout.count("any time of db") == 2
    # It was made while others wrote.
    ledger.stop_writer(host, container)
    assert root(host, f"cat {LOG}") == ""


def test_the_volume_is_lost(host, opened, figure):
    """Container and volume are gone at once. All that was written is back in the stack."""
    container = db_answers(host)
    wait(lambda: attached(host, container))
    ledger.start_writer(host, container, LOG)
    time.sleep(3)
    last = ledger.look(host, container)["last"]
    # What has come until it is gone is sent at once. How far that is nobody can tell, so no time is promised.
    gone = now(host)
    root(host, f"docker rm --force {container}; docker volume rm shop_db")
    wait(lambda: newest_shipment(host) > gone)
    _said, seconds = restored(host, "--time newest", "volume")
    found = ledger.look(host, opened("volume"))
    assert found["wrong"] == 0
    assert found["last"] >= last
    figure("the database whose volume is lost", f"{seconds:.0f} s")
    root(host, "docker rm --force --volumes opened-volume")
    began = time.monotonic()
    done = hypercode(host, "restore --time newest --service db --into-stack --yes")
    assert done.rc == 0, done.stdout + done.stderr
    figure("the same into the stack", f"{time.monotonic() - began:.0f} s")
    container = db_answers(host)
    assert ledger.look(host, container) == found
    assert root(host, "ls /var/lib/hypercode/backup/work 2>/dev/null", ok=False) == ""
    # It is another line of history from here on, which needs a base of its own.
    base = row(host)["base"]
    wait(lambda: row(host)["base"] not in (None, base))
    assert row(host)["good"]
    # Nobody but us knows that this is what was wanted: it could be a server that began with nothing.
    wait(lambda: row(host)["newest"])
    asked = hypercode(host, "restore --time newest --repository far --service db --to /root/never")
    assert asked.rc == 1
    times = re.findall(r"--time (\S+) for", asked.stderr)
    assert len(times) == 2
    assert times[0] < times[1]


def test_it_goes_back_in_the_running_stack(host, inventory, figure):
    """The whole server, while others write; what was written since is saved first."""
    container = db_answers(host)
    wait(lambda: attached(host, container))
    ledger.start_writer(host, container, LOG)
    ledger.mark(host, container, "to be kept")
    time.sleep(1.2)
    moment = root(host, "date -u +%FT%TZ").strip()
    time.sleep(1.2)
    wrong = ledger.mark(host, container, "a mistake")
    wait(lambda: row(host, "near")["newest"] > wrong + 1)
    words = ("-e", "restore_into_stack=true", "-e", f"restore_time={moment}", "-e", "restore_service=db")
    predicted = play("--check", *words, playbook="playbooks/restore.yml", inventory=inventory)
    assert predicted.code == 0, predicted.output
    assert f"db: the state of {moment} of web1 goes into the running stack" in predicted.output
    began = time.monotonic()
    done = play(*words, playbook="playbooks/restore.yml", inventory=inventory)
    assert done.code == 0, done.output
    figure("a small database back to a time, in the stack", f"{time.monotonic() - began:.0f} s")
    container = db_answers(host)
    marks = ledger.psql(host, container, "SELECT name FROM mark")
    assert "to be kept" in marks
    assert "a mistake" not in marks
    found = ledger.look(host, container)
    assert found["wrong"] == 0
    assert found["last"] <= wrong
    safety = re.search(r"--into-stack --run (\S+)", done.output)[1]
    root(host, f"hypercode backup restore --run {safety} --item postgres/db/database/shop --to /root/safety")
    dump = "/root/safety/postgres/db/database/shop"
    held = root(host, f"docker exec -i {container} pg_restore --data-only --table mark --file - < {dump}")
    assert "a mistake" in held
    root(host, "rm -rf /root/safety")
