"""A secret is rotated: Postgres learns it, only who uses it is restarted, and a failure puts everything back."""

from __future__ import annotations

import json

import pytest
from checks import stack
from checks.operator import command, secrets_of, site

pytestmark = pytest.mark.usefixtures("deployed")
QUERY = (
    "import os, psycopg2\n"
    "link = psycopg2.connect(host='postgres', user='hypercode', dbname='hypercode', password=os.environ['TRY'])\n"
    "link.autocommit = True\n"
    "cursor = link.cursor()\n"
    "cursor.execute(os.environ['SQL'])\n"
    "print(cursor.fetchall() if cursor.description else 'done')\n"
)


def ask(host, password, sql="SELECT 1"):
    """Ask Postgres over the network with a password; return what came, or the refusal."""
    container = stack.containers(host)["database-architect"]["Id"]
    stack.root(host, f"printf 'TRY=%s\\nSQL=%s\\n' '{password}' \"{sql}\" > /run/try.env")
    with host.sudo():
        done = host.run(f'docker exec --env-file /run/try.env {container} python3 -c "{QUERY}"')
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def changed(before, after):
    return {service for service in after if after[service] != before.get(service)}


def test_the_password_of_postgres(host, world):
    old = secrets_of(world)["POSTGRES_PASSWORD"]
    assert ask(host, old, "CREATE TABLE kept AS SELECT 42 AS answer") == "done"
    before = stack.ids(host)
    done = command(world, "rotate", world.inventory, "POSTGRES_PASSWORD")
    assert done.code == 0, done.output
    new = secrets_of(world)["POSTGRES_PASSWORD"]
    assert new != old
    assert new not in done.output
    assert old not in done.output
    assert changed(before, stack.ids(host)) == {"postgres", "hypercode-core", "celery-worker", "database-architect"}
    assert stack.all_healthy(host)
    assert "password authentication failed" in ask(host, old)
    assert ask(host, new, "SELECT answer FROM kept") == "[(42,)]"
    # The server got a verifier, never the value.
    log = stack.root(host, "docker logs hypercode-postgres-1 2>&1")
    assert new not in log
    assert site(world).changed("web1") == 0


def test_the_password_of_grafana(host, world):
    before = stack.ids(host)
    done = command(world, "rotate", world.inventory, "GRAFANA_ADMIN_PASSWORD")
    assert done.code == 0, done.output
    assert changed(before, stack.ids(host)) == {"grafana"}
    # Where the stand-in keeps what `grafana cli` was told on its standard input.
    kept = stack.root(host, "docker exec hypercode-grafana-1 cat /var/lib/grafana/stand-in-password")
    assert kept == secrets_of(world)["GRAFANA_ADMIN_PASSWORD"]


def test_a_password_that_somebody_changed_by_hand(host, world):
    sql = "ALTER ROLE hypercode PASSWORD 'somebody-was-here'"
    stack.root(host, f'docker exec hypercode-postgres-1 psql -U hypercode -d hypercode -c "{sql}"')
    assert ask(host, "somebody-was-here") == "[(1,)]"
    predicted = site(world, "--check", "--diff")
    assert "set the password of role hypercode" in predicted.output
    assert predicted.changed("web1") == 1
    repaired = site(world)
    assert repaired.code == 0, repaired.output
    assert ask(host, secrets_of(world)["POSTGRES_PASSWORD"]) == "[(1,)]"
    assert site(world).changed("web1") == 0


def test_a_rotation_that_fails_is_put_back(host, world):
    """The new release cannot get healthy: the old one runs with the old password, in the vault and in Postgres."""
    old = secrets_of(world)
    broken = world.inventory / "group_vars/hypercode/zz_broken.yml"
    broken.write_text(
        json.dumps(
            {
                "stack_services": {"qa-engineer": {"environment": {"REDIS_URL": "redis://nowhere:6379"}}},
                "stack_ready_timeout": 15,
            }
        ),
        encoding="utf-8",
    )
    done = command(world, "rotate", world.inventory, "POSTGRES_PASSWORD", "REDIS_PASSWORD")
    broken.unlink()
    assert done.code != 0, done.output
    assert "qa-engineer" in done.output
    assert secrets_of(world) == old
    assert stack.all_healthy(host)
    assert ask(host, old["POSTGRES_PASSWORD"]) == "[(1,)]"
    assert site(world).changed("web1") == 0


def test_a_name_that_is_no_secret(host, world):
    before = world.vault.read_bytes()
    done = command(world, "rotate", world.inventory, "POSTGRES_PASWORD")
    assert done.code != 0
    assert "POSTGRES_PASSWORD" in done.output
    assert world.vault.read_bytes() == before
