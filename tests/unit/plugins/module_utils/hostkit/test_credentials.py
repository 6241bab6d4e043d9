"""Which credentials are accepted, and how Postgres and Grafana are spoken to."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.credentials import (
    Credential,
    CredentialError,
    read_credentials,
    recorded_credentials,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.credentials_exec import last_line, tell_program
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.credentials_grafana import give_administrator
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.credentials_postgres import (
    PostgresRole,
    identifier,
    literal,
    superuser,
)
from fakes.kept_secrets import ADMIN, ROLE

SECRET = "Canary-5ecret/@:?"
SERVICES = ("db", "web")
SECRETS = {"DB_PASSWORD": SECRET, "LINES": f"{SECRET}\nx", "EMPTY": ""}
BOX: dict[str, Any] = {"Id": "c" * 64, "Config": {"Env": ["A=b", "POSTGRES_USER=boss", "GF_PATHS_HOME=/opt/g"]}}


def test_what_is_accepted() -> None:
    assert read_credentials([ROLE, ADMIN], SERVICES, SECRETS) == [
        Credential("DB_PASSWORD", "postgres_role", "db", "app", "postgres"),
        Credential("DB_PASSWORD", "grafana_admin", "web"),
    ]
    (other,) = read_credentials([{**ROLE, "database": "shop"}], SERVICES, SECRETS)
    assert other.database == "shop"
    assert read_credentials([], SERVICES, SECRETS) == []


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ("x", "credentials is no list"),
        (["x"], "Entry 1 of credentials is no mapping"),
        ([{}], "a kind that is not known. Fix: use one of: postgres_role, grafana_admin"),
        ([ADMIN, {**ROLE, "kind": "mysql"}], "Entry 2 of credentials has a kind that is not known"),
        ([{**ROLE, "kind": ["postgres_role"]}], "a kind that is not known"),
        ([{**ROLE, "rolle": "x"}], "keys that postgres_role does not know: rolle"),
        ([{**ADMIN, "role": "x"}], "keys that grafana_admin does not know: role"),
        ([{"kind": "postgres_role", "secret": "DB_PASSWORD", "service": "db"}], "needs 'role'"),
        ([{**ROLE, "role": ""}], "needs 'role'"),
        ([{**ROLE, "role": 5}], "needs 'role'"),
        ([{**ROLE, "role": "a\nb"}], "needs 'role' as text of one line"),
        ([{**ROLE, "role": "r" * 64}], "'role' is longer than Postgres takes"),
        ([{**ROLE, "database": None}], "needs 'database'"),
        ([{**ROLE, "service": "bd"}], "names a service that is not in the stack. Fix: name one of: db, web"),
        ([{**ROLE, "secret": "OTHER"}], "needs the secret OTHER, which has no value"),
        ([{**ROLE, "secret": "EMPTY"}], "needs the secret EMPTY, which has no value"),
        ([{**ADMIN, "secret": "LINES"}], "LINES has several lines"),
        ([ROLE, {**ROLE, "secret": "LINES"}], "Entry 2 of credentials (postgres_role for db) is there twice"),
    ],
)
def test_what_is_refused(entries: Any, words: str) -> None:
    with pytest.raises(CredentialError) as caught:
        read_credentials(entries, SERVICES, SECRETS)
    assert words in str(caught.value)
    assert " Fix: " in str(caught.value)
    assert "Canary" not in str(caught.value)


@pytest.mark.parametrize("entries", [None, "x", {}, [None, {"kind": "future"}]])
def test_a_record_that_this_version_cannot_read(entries: Any) -> None:
    assert recorded_credentials(entries) == []
    assert [found.kind for found in recorded_credentials([None, ROLE])] == ["postgres_role"]


# ---- Postgres ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["app", 'a"b', "a'b", "a\\b", "a; DROP ROLE b; --", "ünï"])
def test_names_are_quoted(name: str) -> None:
    assert identifier(name)[1:-1].replace('""', '"') == name
    assert literal(name)[1:-1].replace("''", "'") == name
    assert '"' not in identifier(name)[1:-1].replace('""', "")
    assert "'" not in literal(name)[1:-1].replace("''", "")


@pytest.mark.parametrize(
    ("env", "user"),
    [(["POSTGRES_USER=boss"], "boss"), ([], "postgres"), (None, "postgres"), (["POSTGRES_USER="], "postgres")],
)
def test_the_superuser(env: Any, user: str) -> None:
    assert superuser({"Config": {"Env": env}}) == user


def role_with(answer: CommandResult) -> tuple[PostgresRole, list[tuple[list[str], str]]]:
    calls: list[tuple[list[str], str]] = []

    def tell(argv: Any, text: str) -> CommandResult:
        calls.append((list(argv), text))
        return answer

    return PostgresRole(Credential("S", "postgres_role", "db", "app", "shop"), BOX, tell), calls


def test_what_psql_is_told() -> None:
    role, calls = role_with(CommandResult(0, "hypercode-role|150019|\n"))
    assert not role.has(SECRET)
    argv, text = calls[0]
    assert argv[:5] == ["docker", "exec", "--interactive", "c" * 64, "psql"]
    assert {"--username=boss", "--dbname=shop", "--no-password", "--no-psqlrc"} <= set(argv)
    assert "rolname = 'app'" in text
    with pytest.raises(CredentialError, match="something else sets it too"):
        role.give(SECRET)
    argv, text = calls[1]
    assert 'ALTER ROLE "app" PASSWORD \'SCRAM-SHA-256$4096:' in text
    # Not in the log of a server that logs statements, nor in that of one that logs errors.
    assert text.index("log_statement = 'none'") < text.index("ALTER ROLE")
    assert text.index("log_min_error_statement = 'panic'") < text.index("ALTER ROLE")
    assert SECRET not in str(calls)


@pytest.mark.parametrize(
    ("answer", "words", "passing"),
    [
        (
            CommandResult(2, "", "psql: error: the database system is starting up\n"),
            "is starting up. Fix: its super",
            True,
        ),
        (CommandResult(127, "", "exec: psql: executable file not found\n"), "an image of Postgres with psql", False),
        (CommandResult(126, "", "exec: psql: executable file not found\n"), "an image of Postgres with psql", False),
        (
            CommandResult(3, "", "ERROR:  permission denied\n"),
            "permission denied. Fix: see docker logs cccccccccccc",
            False,
        ),
        (CommandResult(124, "", "docker did not end within 60 s"), "did not end within 60 s", False),
        (CommandResult(0, ""), "There is no role app in the Postgres of db", True),
        (CommandResult(0, "hypercode-role|150019\n"), "There is no role app", True),
        (CommandResult(0, "hypercode-role|90624|md5x\n"), "older than version 10", False),
    ],
)
def test_what_goes_wrong_is_said(answer: CommandResult, words: str, passing: bool) -> None:
    for call in ("has", "give"):
        role, _ = role_with(answer)
        with pytest.raises(CredentialError) as caught:
            getattr(role, call)(SECRET)
        assert words in str(caught.value)
        assert "Fix: " in str(caught.value)
        assert caught.value.passing is passing
        assert "Canary" not in str(caught.value)


def test_a_verifier_that_psql_quotes_is_not_repeated() -> None:
    def tell(_argv: Any, text: str) -> CommandResult:
        return CommandResult(3, "", f"ERROR:  no: {text.split(chr(39))[-4]}\n" if "ALTER" in text else "")

    with pytest.raises(CredentialError) as caught:
        PostgresRole(Credential("S", "postgres_role", "db", "app"), BOX, tell).give(SECRET)
    assert "SCRAM" not in str(caught.value)


# ---- Grafana ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("box", "home"), [(BOX, "/opt/g"), ({"Id": "d", "Config": {}}, "/usr/share/grafana")])
def test_what_grafana_is_told(box: Mapping[str, Any], home: str) -> None:
    calls = []

    def tell(argv: Any, text: str) -> CommandResult:
        calls.append((list(argv)[4:], text))
        return CommandResult(0)

    give_administrator(Credential("S", "grafana_admin", "web"), box, SECRET, tell)
    words = f"grafana cli --homepath {home} admin reset-admin-password --password-from-stdin".split()
    assert calls == [(words, f"{SECRET}\n")]


@pytest.mark.parametrize(
    ("code", "words", "passing"),
    [(1, "too short: ***. Fix: see docker logs cccccccccccc", True), (127, "has to be an image of Grafana", False)],
)
def test_what_grafana_refuses(code: int, words: str, passing: bool) -> None:
    with pytest.raises(CredentialError) as caught:
        give_administrator(
            Credential("S", "grafana_admin", "web"),
            BOX,
            SECRET,
            lambda _a, _t: CommandResult(code, "", f"too short: {SECRET}\n"),
        )
    assert words in str(caught.value)
    assert caught.value.passing is passing
    assert "Canary" not in str(caught.value)


# ---- talking to a program ---------------------------------------------------------------------------------------


def test_a_program_gets_what_is_said_on_its_standard_input() -> None:
    code = "import sys; print(sys.stdin.read()[::-1]); print('x', file=sys.stderr); sys.exit(3)"
    assert tell_program([sys.executable, "-c", code], "añb") == CommandResult(3, "bña\n", "x\n")
    assert tell_program(["/no/such"], "").code == 127
    assert tell_program(["/etc"], "").code == 126
    assert tell_program(["sleep", "9"], "", timeout=0.1) == CommandResult(124, "", "sleep did not end within 0 s")


def test_the_last_line() -> None:
    assert last_line(CommandResult(1, "out", "a\nb.\n")) == "b"
    assert last_line(CommandResult(1, "out\n")) == "out"
    assert last_line(CommandResult(7)) == "exit code 7"
