"""A run goes into the running stack, and when that fails, the old data is there as before."""

from __future__ import annotations

import json
import re
import time

import pytest
from checks.ledger import psql
from checks.playbook import play
from checks.stack import board, containers, root

TABLES = """
CREATE ROLE reader LOGIN PASSWORD 'of then';
CREATE TABLE good AS SELECT n, md5(n::text) AS word FROM generate_series(1, 5000) n;
GRANT SELECT ON good TO reader; GRANT CONNECT ON DATABASE shop TO reader; ALTER DATABASE shop SET work_mem TO '8MB';
"""
# What is saved of this table cannot be restored: its check has become another one since.
DAMAGE = """
DROP TABLE good; DROP OWNED BY reader; DROP ROLE reader;
CREATE FUNCTION fits() RETURNS bool LANGUAGE sql AS 'SELECT true';
CREATE TABLE strict (n int CHECK (fits())); INSERT INTO strict VALUES (1);
CREATE OR REPLACE FUNCTION fits() RETURNS bool LANGUAGE sql AS 'SELECT false';
"""
# Asks again and again, and notes what was no answer.
ASKER = (
    "import os, sys, time, urllib.request\n"
    "asked = failed = 0\n"
    "while True:\n"
    "    try:\n        urllib.request.urlopen(sys.argv[1], timeout=3).read()\n"
    "    except OSError:\n        failed += 1\n"
    "    asked += 1\n"
    "    open('/root/asked.new', 'w').write(f'{asked} {failed}')\n"
    "    os.replace('/root/asked.new', '/root/asked')\n"
    "    time.sleep(0.05)\n"
)
RECORD = "/var/lib/hypercode/backup/restore.json"


def hypercode(host, words):
    with host.sudo():
        return host.run(f"hypercode backup {words}")


def restore(host, words=""):
    return hypercode(host, f"restore --into-stack --yes {words}")


def id_of(host, service):
    return containers(host, "shop")[service]["Id"]


def redis(host, words):
    script = f"export REDISCLI_AUTH=$REDIS_PASSWORD; {words}"
    return root(host, f"docker exec -i {id_of(host, 'cache')} sh -c '{script}'").strip()


def notes(host):
    return root(host, "docker volume inspect shop_notes --format '{{.Mountpoint}}'").strip()


def rows(host, table):
    return psql(host, id_of(host, "db"), f"SELECT count(*) FROM {table}", ok=False)  # noqa: S608  No value is from outside.


def all_well(host):
    found = board(host)
    return all(row["ready"] for row in found.values()) and len(found) == len(containers(host, "shop"))


def tidy(host):
    """Nothing of a restore is left: no record, no folder, no database, no scratch container."""
    assert root(host, f"ls {RECORD} /var/lib/hypercode/backup/restore 2>/dev/null", ok=False) == ""
    assert root(host, "find /var/lib/docker/volumes -maxdepth 2 -name '.hypercode-*'") == ""
    names = psql(host, id_of(host, "db"), "SELECT datname FROM pg_database ORDER BY 1", "template1").split()
    assert not [name for name in names if name.startswith("hypercode")]
    assert root(host, "docker ps --all --quiet --filter label=hypercode.purpose=drill") == ""
    policies = {item["HostConfig"]["RestartPolicy"]["Name"] for item in containers(host, "shop").values()}
    assert "no" not in policies


@pytest.fixture(scope="module")
def run(host):
    """The run that is brought back."""
    psql(host, id_of(host, "db"), TABLES)
    keys = "for i in $(seq 300); do echo set key:$i $i; done | redis-cli >/dev/null; redis-cli dbsize"
    assert redis(host, keys) == "300"
    root(host, f"echo kept > {notes(host)}/note.txt")
    done = hypercode(host, "run --accept-loss")
    assert done.rc == 0, done.stderr
    return json.loads(root(host, "cat /var/lib/hypercode/backup/state.json"))["good"]["id"]


@pytest.fixture(scope="module")
def safety():
    """The id of the run that the first restore saved before it replaced anything."""
    return {}


def test_a_dry_run_says_what_would_be_done(host, run, inventory):
    before = [item["State"]["StartedAt"] for item in containers(host, "shop").values()]
    listed = hypercode(host, "list").stdout
    words = ("--check", "-e", "restore_into_stack=true", "-e", f"restore_run={run}")
    shown = play(*words, playbook="playbooks/restore.yml", inventory=inventory)
    assert shown.code == 0, shown.output
    for words in ("app: needs db", "web: has shop_notes", "cache: its files are exchanged", "Not touched: db, other"):
        assert words in shown.output
    assert [item["State"]["StartedAt"] for item in containers(host, "shop").values()] == before
    assert hypercode(host, "list").stdout.count("Z-") == listed.count("Z-")


def test_all_of_it_while_others_go_on(host, run, safety, figure):
    address = next(iter(containers(host, "shop")["other"]["NetworkSettings"]["Networks"].values()))["IPAddress"]
    root(host, f"cat > /root/asker.py <<'PY'\n{ASKER}\nPY")
    root(host, f"systemd-run --quiet --collect --unit asker python3 /root/asker.py http://{address}:8000/")
    psql(host, id_of(host, "db"), DAMAGE)
    assert redis(host, "redis-cli flushall") == "OK"
    root(host, f"rm {notes(host)}/note.txt; echo new > {notes(host)}/new.txt")
    before = {name: item["State"]["StartedAt"] for name, item in containers(host, "shop").items()}

    began = time.monotonic()
    done = restore(host, f"--run {run}")
    figure("all of a small stack restored into it", f"{time.monotonic() - began:.0f} s")
    assert done.rc == 0, done.stdout + done.stderr
    assert "5 of 5 services healthy" in done.stdout
    safety["run"] = re.search(r"--into-stack --run (\S+)", done.stdout)[1]

    root(host, "systemctl stop asker")
    asked, failed = map(int, root(host, "cat /root/asked").split())
    assert asked > 50
    assert failed == 0
    figure("requests to a service beside, meanwhile", f"{asked}, {failed} failed")
    after = {name: item["State"]["StartedAt"] for name, item in containers(host, "shop").items()}
    assert {name for name in after if after[name] == before[name]} == {"db", "other"}
    assert rows(host, "good") == "5000"
    db = id_of(host, "db")
    # Settings and privileges of the database itself, and the role that was gone.
    assert psql(host, db, "SHOW work_mem") == "8MB"
    assert psql(host, db, "SELECT has_database_privilege('reader', 'shop', 'CONNECT')") == "t"
    assert psql(host, db, "SELECT has_table_privilege('reader', 'good', 'SELECT')") == "t"
    assert root(host, f"ls {notes(host)}").split() == ["note.txt"]
    assert all_well(host)
    tidy(host)


def test_redis_holds_its_keys_after_a_further_start(host, run):
    """With the append-only file on, a server reads no dump.rdb."""
    assert redis(host, "redis-cli config get appendonly").split()[1] == "yes"
    assert redis(host, "redis-cli dbsize") == "300"
    root(host, f"docker restart {id_of(host, 'cache')}")
    assert redis(host, "until redis-cli ping | grep -q PONG; do sleep 0.1; done; redis-cli dbsize") == "300"


def test_one_item_is_taken_back(host, run, safety, figure):
    """What the restore has replaced is a run of its own, and no other one."""
    listed = {entry["id"]: entry for entry in json.loads(hypercode(host, "list --json").stdout)}
    assert "before a restore" in hypercode(host, "list").stdout
    assert listed[safety["run"]]["manifest"]["before_restore_of"] == run
    plan = hypercode(host, "restore --into-stack --plan")
    assert f"The run {run} of" in plan.stdout
    began = time.monotonic()
    done = restore(host, f"--run {safety['run']} --item volume")
    figure("one small volume restored into the stack", f"{time.monotonic() - began:.0f} s")
    assert done.rc == 0, done.stdout + done.stderr
    assert root(host, f"ls {notes(host)}").split() == ["new.txt"]
    assert rows(host, "good") == "5000"
    assert redis(host, "redis-cli dbsize") == "300"


def test_a_dump_that_restores_with_errors_changes_nothing(host, run, safety):
    done = restore(host, f"--run {safety['run']} --item postgres/db/database/shop")
    assert done.rc == 1
    assert "violates check constraint" in done.stderr
    assert "The old data was put back" in done.stderr
    assert rows(host, "good") == "5000"
    assert all_well(host)
    tidy(host)


def test_one_that_is_killed_in_the_middle_is_undone(host, run, figure):
    psql(host, id_of(host, "db"), "CREATE TABLE since AS SELECT 1 AS n")
    items = "--item postgres/db/database/shop --item volume"
    words = f"hypercode backup restore --into-stack --yes --run {run} {items}"
    root(host, f"systemd-run --quiet --collect --unit doomed {words}")
    # The database is just being exchanged; the folder comes next.
    reached = f'until grep -q \'"state": "exchanging"\' {RECORD} 2>/dev/null; do sleep 0.02; done'
    root(host, f"{reached}; systemctl kill --signal KILL doomed")
    assert json.loads(root(host, f"cat {RECORD}"))["phase"] == "working"
    assert containers(host, "shop")["app"]["State"]["Status"] == "exited"
    # Half restored data becomes no backup, and the board says how things stand.
    assert "restore --undo" in hypercode(host, "run").stderr
    assert "A restore into the stack was cut off" in root(host, "hypercode status", ok=False)
    began = time.monotonic()
    # As a boot does. By hand: hypercode backup restore --undo.
    root(host, "systemctl start hypercode-stack")
    figure("a restore that was killed, undone", f"{time.monotonic() - began:.0f} s")
    assert rows(host, "since") == "1"
    assert root(host, f"ls {notes(host)}").split() == ["new.txt"]
    assert "nothing to undo" in hypercode(host, "restore --undo").stdout
    assert all_well(host)
    tidy(host)


def test_one_that_is_killed_while_services_start_comes_to_its_end(host, run):
    """They may have written into the new data already."""
    words = f"hypercode backup restore --into-stack --yes --run {run} --item postgres/db/database/shop --item volume"
    root(host, f"systemd-run --quiet --collect --unit doomed {words}")
    reached = f'until grep -q \'"phase": "starting"\' {RECORD} 2>/dev/null; do sleep 0.02; done'
    root(host, f"{reached}; systemctl kill --signal KILL doomed")
    assert json.loads(root(host, f"cat {RECORD}"))["phase"] == "starting"
    assert "its data is in place" in root(host, "hypercode status", ok=False)
    root(host, "systemctl restart hypercode-stack")
    assert rows(host, "good") == "5000"
    assert root(host, f"ls {notes(host)}").split() == ["note.txt"]
    assert all_well(host)
    tidy(host)


def test_files_that_no_server_can_read_are_kept(host, run, safety):
    """A database that does not start is not dumped: its files are what is saved of it."""
    db = id_of(host, "db")
    root(host, f"docker stop {db} && rm /var/lib/docker/volumes/shop_db/_data/pgdata/global/pg_control")
    done = restore(host, f"--run {run} --item postgres")
    assert done.rc == 0, done.stdout + done.stderr
    assert "db cannot be started" in done.stdout
    assert rows(host, "good") == "5000"
    kept = re.search(r"--into-stack --run (\S+)", done.stdout)[1]
    listed = {entry["id"]: entry for entry in json.loads(hypercode(host, "list --json").stdout)}
    assert set(listed[kept]["manifest"]["items"]) == {"volume/shop_db"}
    assert all_well(host)
    tidy(host)


def test_what_another_host_saved_comes_onto_a_new_one(host, run, inventory, figure):
    """It has another name, an empty volume in the place of the database's, and knows of no run."""
    root(host, "cp -a /etc/hypercode/backup.json /root/backup.json && mv /var/lib/hypercode/backup/state.json /root/")
    program = (
        "import json; p = '/etc/hypercode/backup.json'; d = json.load(open(p)); d['host'] = 'web9'; "
        "d['repositories'] = [r for r in d['repositories'] if r['name'] == 'far']; json.dump(d, open(p, 'w'))"
    )
    root(host, f'python3 -c "{program}" && rm -r /var/lib/hypercode/backup/manifests')
    root(host, f"docker rm --force {id_of(host, 'db')} && docker volume rm shop_db && rm -r {notes(host)}")
    assert redis(host, "redis-cli flushall") == "OK"
    words = ("-e", "restore_into_stack=true", "-e", "restore_from=web1", "-e", f"restore_run={run}", "--limit", "web1")
    began = time.monotonic()
    done = play(*words, playbook="playbooks/restore.yml", inventory=inventory)
    figure("all of a small stack restored onto a new host, by playbook", f"{time.monotonic() - began:.0f} s")
    assert done.code == 0, done.output
    assert f"The run {run} of web1 goes into the running stack, from 'far'" in done.output
    assert rows(host, "good") == "5000"
    assert redis(host, "redis-cli dbsize") == "300"
    assert root(host, f"ls {notes(host)}").split() == ["note.txt"]
    assert all_well(host)
    tidy(host)
    # Its own first run needs no word about loss.
    done = hypercode(host, "run")
    root(host, "mv /root/backup.json /etc/hypercode/ && mv /root/state.json /var/lib/hypercode/backup/")
    assert done.rc == 0, done.stderr
