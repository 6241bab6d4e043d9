"""What is saved while others write comes back whole; what is not whole is no backup, and says so."""

from __future__ import annotations

import json
import re
import time

import pytest
from checks.playbook import play
from checks.stack import containers, root

LEDGER = """
CREATE TABLE IF NOT EXISTS account (id int PRIMARY KEY, balance bigint NOT NULL);
INSERT INTO account SELECT n, 0 FROM generate_series(1, 100) n ON CONFLICT DO NOTHING;
CREATE TABLE IF NOT EXISTS line (id bigserial, account int, amount int);
CREATE TABLE IF NOT EXISTS bulk AS SELECT n, md5(n::text) AS word FROM generate_series(1, 200000) n;
"""
# In one transaction money goes from one account to another, and two lines say so: in every moment all sums agree.
WRITER = """
DO $body$ DECLARE a int; b int; BEGIN FOR i IN 1..1000000 LOOP
  a := 1 + i % 100; b := 1 + (i * 7 + 3) % 100;
  UPDATE account SET balance = balance - 5 WHERE id = a; UPDATE account SET balance = balance + 5 WHERE id = b;
  INSERT INTO line (account, amount) VALUES (a, -5), (b, 5); COMMIT; PERFORM pg_sleep(0.002);
END LOOP; END $body$
"""
AGREES = """
SELECT count(*) FROM account LEFT JOIN (SELECT account AS id, sum(amount) AS total FROM line GROUP BY 1) t USING (id)
WHERE balance <> coalesce(total, 0)
"""


def psql(host, container, sql, database="shop"):
    words = f"docker exec -i {container} psql -XAtq -v ON_ERROR_STOP=1 -U shop -d {database} <<'SQL'\n{sql}\nSQL"
    return root(host, words).strip()


def hypercode(host, words):
    with host.sudo():
        return host.run(f"hypercode backup {words}")


@pytest.fixture(scope="module")
def db(host):
    container = containers(host, "shop")["db"]["Id"]
    psql(host, container, LEDGER)
    return container


@pytest.fixture(scope="module")
def cache(host):
    container = containers(host, "shop")["cache"]["Id"]
    words = (
        "export REDISCLI_AUTH=$REDIS_PASSWORD; i=0; while :; do i=$((i+1)); redis-cli set key:$i $i >/dev/null; done"
    )
    root(host, f"docker exec -d {container} sh -c '{words}'")
    return container


def test_what_the_role_wrote(host):
    for path in ("/etc/hypercode/backup.json", "/etc/hypercode/backup/password"):
        assert root(host, f"stat -c '%U %a' {path}").strip() == "root 600"
    assert root(host, "stat -c %a /etc/cron.d/hypercode-backup").strip() == "644"
    assert hypercode(host, "status").stdout.count("none yet") == 2


def test_cron_makes_up_a_missed_run(host):
    """The very line of the file, with no more environment than cron gives."""
    lines = root(host, "cat /etc/cron.d/hypercode-backup").splitlines()
    variables = [line.replace("=", "='", 1) + "'" for line in lines if re.match(r"[A-Z]+=", line)]
    line = next(line for line in lines if "--if-due" in line).split("root ", 1)[1]
    script = "export " + " ".join(variables) + "\n" + line + "\n"
    root(host, f"cat > /root/cron-line <<'EOF'\n{script}EOF\nenv -i HOME=/root LOGNAME=root /bin/sh /root/cron-line")
    assert "the backup is done" in root(host, "journalctl --no-pager -t hypercode-backup")
    assert hypercode(host, "status").rc == 0
    assert "In no backup: shop_scratch" in hypercode(host, "status").stdout


def test_a_restore_point_comes_before_a_change_of_the_database(host, inventory):
    memory = json.dumps({"stack_services": {"db": {"memory": "900M"}}})
    shown = play("--check", "--diff", "--tags", "stack", "--extra-vars", memory, inventory=inventory)
    assert "first a restore point, a backup of all: db changes and has data" in shown.output, shown.output
    done = play("--tags", "stack", "--extra-vars", memory, inventory=inventory)
    assert done.code == 0, done.output
    about = json.loads(root(host, "cat /opt/hypercode/current/release.json"))
    assert about["restore_point_run"] in hypercode(host, "list").stdout
    events = [
        json.loads(line)["event"]
        for line in root(host, f"cat /var/lib/hypercode/rollout/{about['id']}.jsonl").splitlines()
    ]
    assert events.index("restore point") < events.index("bringing up")


def test_it_comes_back_though_others_write(host, db, cache, inventory):
    root(host, f"docker exec -d {db} psql -U shop -d shop -c {WRITER!r}".replace("\\n", " "))
    time.sleep(1)
    before = int(psql(host, db, "SELECT count(*) FROM line"))
    outcome = play(playbook="playbooks/backup.yml", inventory=inventory)
    assert outcome.code == 0, outcome.output
    assert "backup far: last good run" in outcome.output
    after = int(psql(host, db, "SELECT count(*) FROM line"))
    assert after > before > 0
    found = json.loads(hypercode(host, "list --json --repository far").stdout)
    assert found[-1]["good"]
    items = found[-1]["manifest"]["items"]
    assert {"postgres/db/database/shop", "postgres/db/roles", "redis/cache", "volume/shop_notes", "release"} <= set(
        items
    )
    lines = items["postgres/db/database/shop"]["rows"]["public.line"]
    assert before <= lines <= after

    words = ("-e", "restore_to=/root/back", "-e", "restore_repository=far")
    outcome = play(*words, playbook="playbooks/restore.yml", inventory=inventory)
    assert outcome.code == 0, outcome.output
    psql(host, db, "CREATE DATABASE again", "postgres")
    dump = "/root/back/postgres/db/database/shop"
    root(host, f"docker exec -i {db} pg_restore -U shop -d again --exit-on-error < {dump}")
    assert psql(host, db, "SELECT count(*) FROM line", "again") == str(lines)
    assert psql(host, db, AGREES, "again") == "0"
    psql(host, db, "DROP DATABASE again", "postgres")
    image = containers(host, "shop")["cache"]["Config"]["Image"]
    root(host, "mkdir /root/redis && cp /root/back/redis/cache /root/redis/dump.rdb && chmod -R a+rwX /root/redis")
    root(host, f"docker run -d --name scratch --network none -v /root/redis:/data {image} redis-server --dir /data")
    time.sleep(2)
    low, high = items["redis/cache"]["keys"]["0"]
    assert low <= int(root(host, "docker exec scratch redis-cli dbsize")) <= high
    root(host, "docker rm -f scratch")


def test_a_drill_while_others_write(host, db, cache, figure, inventory):
    running = root(host, "docker ps --quiet").split()
    outcome = play("-e", "drill_repository=far", playbook="playbooks/drill.yml", inventory=inventory)
    assert outcome.code == 0, outcome.output
    assert "came back as it was saved" in outcome.output
    metrics = root(host, "cat /var/lib/hypercode/metrics/backup.prom")
    assert "hypercode_backup_drill_success 1" in metrics
    # The stack went on, and nothing of the drill is left.
    assert root(host, "docker ps --all --quiet --filter label=hypercode.purpose=drill").strip() == ""
    assert root(host, "docker ps --quiet").split() == running
    figure(
        "a drill of a small database",
        re.search(r"^hypercode_backup_drill_rto_seconds (\S+)", metrics, re.MULTILINE)[1] + " s",
    )


def test_a_dump_that_is_killed_is_no_backup(host, db):
    good = [run["id"] for run in json.loads(hypercode(host, "list --json").stdout) if run["good"]]
    # The one that dumps with the session's snapshot: pg_dumpall has others.
    find = "for p in $(pgrep -x pg_dump); do grep -q snapshot= /proc/$p/cmdline && kill -KILL $p && exit; done"
    root(host, f"nohup timeout 100 sh -c 'while :; do {find}; sleep 0.01; done' >/dev/null 2>&1 &")
    done = hypercode(host, "run")
    assert done.rc == 1
    assert "pg_dump of" in done.stderr
    assert [run["id"] for run in json.loads(hypercode(host, "list --json").stdout) if run["good"]] == good
    assert hypercode(host, "status").rc == 1
    metrics = root(host, "cat /var/lib/hypercode/metrics/backup.prom")
    assert 'hypercode_backup_last_run_success{repository="near"} 0' in metrics
    done = hypercode(host, "run")
    assert done.rc == 0, done.stderr


def test_a_host_that_is_killed_in_the_middle(host, db):
    """Of the process, nothing is left to tidy up: the next run does it."""
    root(host, "systemd-run --quiet --collect --unit doomed hypercode backup run")
    time.sleep(4)
    root(host, "systemctl is-active doomed && systemctl kill --signal KILL doomed")
    done = hypercode(host, "run")
    assert done.rc == 0, done.stderr


def test_a_flipped_bit_is_found(host):
    assert hypercode(host, "verify").rc == 0
    flip = (
        "import pathlib; packs = [p for p in pathlib.Path('/var/backups/near/data').rglob('*') if p.is_file()]; "
        "pack = max(packs, key=lambda p: p.stat().st_size); data = bytearray(pack.read_bytes()); "
        "data[len(data) // 2] ^= 1; pack.chmod(0o600); pack.write_bytes(data)"
    )
    root(host, f'python3 -c "{flip}"')
    done = hypercode(host, "verify --all")
    assert done.rc == 1
    assert "The repository 'near' is damaged" in done.stderr
    assert "the repository 'far' is sound" in done.stdout
