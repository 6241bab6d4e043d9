"""A ledger in a real PostgreSQL: in every moment, and so in whatever is restored of any moment, its sums agree."""

from __future__ import annotations

import json
import shlex
from typing import Any

from .stack import root

TABLES = """
CREATE TABLE IF NOT EXISTS account (id int PRIMARY KEY, balance bigint NOT NULL);
INSERT INTO account SELECT n, 0 FROM generate_series(1, 100) n ON CONFLICT DO NOTHING;
CREATE TABLE IF NOT EXISTS line (id bigserial PRIMARY KEY, account int, amount int,
  at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE TABLE IF NOT EXISTS mark (name text PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp());
"""
# In one transaction money goes from one account to another, and two lines say so. It writes until its table is gone.
_WRITER = """
DO $body$ DECLARE a int; b int; BEGIN FOR i IN 1..10000000 LOOP
  EXIT WHEN to_regclass('stop') IS NOT NULL;
  a := 1 + i % 100; b := 1 + (i * 7 + 3) % 100;
  UPDATE account SET balance = balance - 5 WHERE id = a; UPDATE account SET balance = balance + 5 WHERE id = b;
  INSERT INTO line (account, amount) VALUES (a, -5), (b, 5); COMMIT; PERFORM pg_sleep(0.005);
END LOOP; END $body$
"""
_LOOK = """
SELECT json_build_object('lines', count(*), 'last', extract(epoch FROM max(at)), 'wrong', (
  SELECT count(*) FROM account LEFT JOIN (SELECT account AS id, sum(amount) AS total FROM line GROUP BY 1) t USING (id)
  WHERE balance <> coalesce(total, 0)))
FROM line
"""
_MARK = "INSERT INTO mark (name) VALUES ('{name}') RETURNING extract(epoch FROM at)"


def psql(host: Any, container: str, sql: str, database: str = "shop", *, words: str = "", ok: bool = True) -> str:
    """Run statements in a container; return what psql prints. `words` are further ones for docker exec."""
    command = f"docker exec -i {words} {container} psql -XAtq -v ON_ERROR_STOP=1 -U shop -d {database}"
    return root(host, f"{command} <<'SQL'\n{sql}\nSQL", ok=ok).strip()


def open_ledger(host: Any, container: str) -> None:
    psql(host, container, TABLES)


def start_writer(host: Any, container: str, log: str) -> None:
    """Write until `stop_writer`. What goes wrong is in the file `log` on the host."""
    psql(host, container, "DROP TABLE IF EXISTS stop")
    command = f"docker exec {container} psql -XAtq -v ON_ERROR_STOP=1 -U shop -d shop -c {shlex.quote(_WRITER)}"
    root(host, f"nohup sh -c {shlex.quote(command)} > {log} 2>&1 < /dev/null &")


def stop_writer(host: Any, container: str) -> None:
    psql(host, container, "CREATE TABLE IF NOT EXISTS stop ()")


def look(host: Any, container: str, *, words: str = "") -> dict[str, Any]:
    """Return how many lines there are, when the last one was written (seconds since 1970), and how many sums differ."""
    found: dict[str, Any] = json.loads(psql(host, container, _LOOK, words=words))
    return found


def mark(host: Any, container: str, name: str) -> float:
    """Write a mark; return when, in seconds since 1970 of the database's clock."""
    return float(psql(host, container, _MARK.format(name=name)))
