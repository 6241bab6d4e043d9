# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is in the rows of some tables, as one number each: rows that are counted may still hold something else.

A few small tables in each run, others the next time. The order of the rows does not count, since a restore may change
it; nor does how a session shows dates and numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

# So many tables in each run, none of them larger: what this costs is bounded, and over the days all small ones are met.
TABLES = 5
LARGEST = 64 << 20
# What a text of a row depends on besides the row. In a transaction, and for it alone.
_FIXED = (
    "SET LOCAL search_path = pg_catalog; SET LOCAL datestyle = 'ISO, MDY'; SET LOCAL intervalstyle = postgres;\n"
    "SET LOCAL timezone = 'UTC'; SET LOCAL extra_float_digits = 1; SET LOCAL bytea_output = hex;\n"
    "SET LOCAL lc_monetary = 'C'; SET LOCAL standard_conforming_strings = on;\n"
)
# The alias is one that no column has: a column's name would win over it.
_SUM = """
SELECT format('SELECT json_build_array(%L, coalesce(sum((''x'' || substr(md5("the whole row"::text), 1, 15))::bit(60)'
  '::bigint), 0)::text) FROM ONLY %I.%I AS "the whole row"', nspname || '.' || relname, nspname, relname)
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relkind = 'r' AND relpersistence <> 't' AND nspname <> 'information_schema' AND nspname !~ '^pg_' AND
"""


def sums_of_some(salt: str) -> str:
    """The statements that sum up a few tables, which of them the salt decides. A line of JSON for each: name, sum."""
    return (
        f"{_FIXED}{_SUM} pg_table_size(pg_class.oid) BETWEEN 1 AND {LARGEST}\n"
        f"ORDER BY md5(nspname || '.' || relname || {_literal(salt)}) LIMIT {TABLES}\n\\gexec\n"
    )


def sums_of(tables: Iterable[str]) -> str:
    """The statements that sum up these tables, in a transaction of their own."""
    names = ", ".join(_literal(name) for name in tables) or "NULL"
    return f"BEGIN READ ONLY;\n{_FIXED}{_SUM} nspname || '.' || relname IN ({names})\n\\gexec\nCOMMIT;\n"


def read_sums(lines: Iterable[str]) -> dict[str, str]:
    """What psql printed for these statements, by table."""
    return {str(name): str(total) for name, total in (json.loads(line) for line in lines if line)}


def _literal(text: str) -> str:
    """A text in SQL, whatever is in it. Where strings conform to the standard, a backslash is just one."""
    return "'" + text.replace("'", "''") + "'"
