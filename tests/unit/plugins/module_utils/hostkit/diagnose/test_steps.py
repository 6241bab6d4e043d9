"""What single steps make of what programs tell."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.diagnose import (
    docker_steps,
    host_steps,
    stack_steps,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.diagnose.bounded import Output
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.diagnose.context import Container, Context
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.diagnose.entries import Absent, File, Problem
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.diagnose.known_secrets import read_secrets
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.diagnose.mask import Mask
from fakes.diagnosed_host import CANARIES, KEY, RELEASE, DiagnosedHost
from fakes.small_stack import SmallStack, make_wanted
from hypothesis import given
from hypothesis import strategies as st

STAMP = "2027-01-15T08:00:05.000000000Z "
PIECE = 16 * 1024


class Programs:
    """Stands in for programs: what is run, and what that prints."""

    def __init__(self, **told: Output) -> None:
        self.told, self.ran = told, []  # type: ignore[var-annotated]

    def __call__(self, argv: list[str], **_options: Any) -> Output:
        self.ran.append(list(argv))
        return self.told.get(argv[0], Output(127, "", f"{argv[0]}: command not found"))


# ---- the output of containers ------------------------------------------------------------------------------------


def pieces_of(line: str) -> str:
    """A line as `docker logs --timestamps` prints it: in pieces, with the time before each."""
    return "".join(STAMP + line[at : at + PIECE] for at in range(0, max(1, len(line)), PIECE)) + "\n"


@given(st.integers(0, 3 * PIECE), st.integers(0, 3 * PIECE))
def test_a_secret_in_two_pieces_of_a_line_is_found(before: int, after: int) -> None:
    secret = "secret-in-two-pieces"
    line = "x" * before + secret + "y" * after
    (whole,) = docker_steps.whole_lines(pieces_of(line), 5000)
    assert whole == STAMP + line
    assert secret not in Mask([("", secret)])(whole)


def test_a_time_in_a_line_stays() -> None:
    line = f"{STAMP}job began at {STAMP}and ended"
    assert docker_steps.whole_lines(f"{line}\n", 5000) == [line]


def test_where_the_number_of_pieces_is_used_up_the_first_may_be_half_a_line() -> None:
    text = f"{STAMP}-second-half-of-a-secret\n{STAMP}whole\n"
    assert docker_steps.whole_lines(text, 2) == [f"{STAMP}whole"]
    assert len(docker_steps.whole_lines(text, 3)) == 2


def test_both_outputs_are_in_order_of_time(stack: SmallStack) -> None:
    times = [STAMP.replace("05", f"{second:02}") for second in (1, 2, 3)]
    docker = Output(0, f"{times[0]}a\n{times[2]}c\n", f"{times[1]}b\n")
    context = Context(host_of(stack), 0, 1000, Programs(docker=docker))
    (found,) = docker_steps.logs_of(context, Container("1", "web"))
    assert found == File("logs/web.log", f"{times[0]}a\n{times[1]}b\n{times[2]}c\n")


def host_of(stack: SmallStack) -> Any:
    class Host:
        store = stack.store

    return Host()


# ---- inspect -----------------------------------------------------------------------------------------------------


def test_of_environments_only_names_stay() -> None:
    config = {"Env": ["A=1", "B=two=3", "C"], "Cmd": ["serve", "--auth-token", "abc", "--port", "80"]}
    check = {"Test": ["CMD", "redis-cli", "--pass", "abc", "ping"], "Interval": 5}
    found = docker_steps.without_values(
        {"Id": "1", "Config": {**config, "Healthcheck": check}, "Args": ["-password", "abc"]}
    )
    assert found["Config"]["Env"] == ["A=***", "B=***", "C=***"]
    assert found["Config"]["Cmd"] == ["serve", "--auth-token", "***", "--port", "80"]
    assert found["Config"]["Healthcheck"] == {"Test": ["CMD", "redis-cli", "--pass", "***", "ping"], "Interval": 5}
    assert found["Args"] == ["-password", "***"]


def test_an_entrypoint_that_is_one_string_or_none() -> None:
    assert docker_steps.without_values({"Config": {"Entrypoint": None, "Cmd": "serve"}})["Config"]["Cmd"] == ["serve"]


def test_only_containers_of_the_stack_are_looked_at_and_secrets_of_all_are_known() -> None:
    def container(number: int, project: str) -> dict[str, Any]:
        config = {"Env": [f"TOKEN=a-secret-{number}", "MODE=x"], "Labels": {docker_steps.PROJECT: project}}
        return {"Id": str(number), "Name": f"/c{number}", "Config": config}

    def run(argv: list[str], **_options: Any) -> Output:
        return Output(0, "1\n2\n" if argv[1] == "ps" else json.dumps([container(1, "demo"), container(2, "other")]))

    why, found, secrets = docker_steps.find_containers(Context(None, 0, 0, run), ["demo"])
    assert (why, found) == ("", [Container("1", "c1")])
    assert secrets == [("TOKEN", "a-secret-1"), ("TOKEN", "a-secret-2")]


# ---- the host ----------------------------------------------------------------------------------------------------


def test_a_message_that_journald_may_have_cut_is_cut_further() -> None:
    lines = ["one\n", "b " * 30_000 + "half-of-a-sec\n", "ret and more\n", "two\n"]
    text = "".join(host_steps.without_long_lines(lines))
    assert "half-of-a-sec" not in text
    assert "ret and more" not in text
    assert text.startswith("one\nb b b")
    assert text.endswith("\ntwo\n")


def test_processes_are_asked_for_without_their_words() -> None:
    run = Programs(ps=Output(0, "PID COMMAND\n1 init\n"))
    assert len(list(host_steps.processes(Context(None, 0, 0, run)))) == 2
    for argv in run.ran:
        assert not {"args", "cmd", "command"} & set(",".join(argv).split(","))


def test_a_journal_that_has_no_such_unit_yet_is_no_fault() -> None:
    run = Programs(journalctl=Output(1, "", "Failed to add filter for units: No data available\n"))
    assert list(host_steps.journals(Context(None, 0, 1000, run))) == []
    run = Programs(journalctl=Output(1, "", "Failed to open the journal: Input/output error\n"))
    assert len(list(host_steps.journals(Context(None, 0, 1000, run)))) == 4


def test_journals_leave_sshd_out_and_none_is_no_fault() -> None:
    run = Programs(journalctl=Output(1, "-- No entries --\n"))
    found = list(host_steps.journals(Context(None, 0, 1000, run)))
    assert [entry.name for entry in found if isinstance(entry, File)] == [
        f"journal/{name}.log" for name in ("hypercode", "docker", "caddy", "kernel")
    ]
    assert not [entry for entry in found if isinstance(entry, Problem)]
    assert all("@1000" in argv for argv in run.ran)
    assert not [word for argv in run.ran for word in argv if "ssh" in word]


def test_a_program_that_is_not_installed_is_no_fault(stack: SmallStack) -> None:
    context = Context(host_of(stack), 0, 0, Programs(nft=Output(1, "", "Operation not permitted\n")))
    assert list(host_steps.clock(context)) == [Absent("timedatectl: not installed")]
    (failed,) = host_steps.firewall(context)
    assert failed == Problem("nft list ruleset ended with code 1: Operation not permitted")


# ---- our own records ---------------------------------------------------------------------------------------------


def test_settings_have_hashes_but_for_what_is_closed(stack: SmallStack) -> None:
    folder = stack.store.paths.root / "etc/hypercode"
    for path, mode in (("watch.json", 0o644), ("edge/dns.env", 0o640), ("x/secrets/open", 0o644), ("a/token", 0o644)):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("x")
        (folder / path).chmod(mode)
    (found,) = stack_steps.settings(Context(host_of(stack), 0, 0))
    assert isinstance(found, File)
    lines = {line.split()[-1]: line for line in found.text.splitlines()}
    assert "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881" in lines["watch.json"]
    assert all("(closed)" in lines[path] for path in ("edge/dns.env", "x/secrets/open", "a/token"))


def test_the_watch_from_then_on(stack: SmallStack) -> None:
    folder = stack.store.paths.root / "var/lib/hypercode/watch"
    folder.mkdir(parents=True)
    (folder / "journal-19700101.jsonl").write_text('{"time": 5}\n')
    (folder / "journal-19700102.jsonl").write_text('{"time": 90000}\n{"time": 99000}\n{"torn\n')
    found = next(stack_steps.watch(Context(host_of(stack), 99999, 95000)))
    assert found == File("watch/journal.jsonl", '{"time": 99000}\n{"torn\n')


def test_the_newest_evidence_first(stack: SmallStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_steps, "_EVIDENCE_MOST", 2)
    folder: Path = stack.store.paths.evidence / "x"
    folder.mkdir(parents=True)
    for number in range(3):
        (folder / f"{number}.log").write_text("said")
        os.utime(folder / f"{number}.log", (number, number))
    found = list(stack_steps.evidence(Context(host_of(stack), 0, 0)))
    assert [entry.name for entry in found if isinstance(entry, File)] == ["evidence/x/2.log", "evidence/x/1.log"]
    assert found[-1] == Absent("evidence: 1 older files are left out")


# ---- the secrets -------------------------------------------------------------------------------------------------


def test_every_secret_of_the_host_is_known(tmp_path: Path) -> None:
    host = DiagnosedHost(tmp_path)
    found = read_secrets(host.root)
    values = {value for _, value in found.secrets}
    # Those in environments of containers come from Docker.
    assert {value for name, value in CANARIES.items() if name != "environment"} <= values
    assert KEY.splitlines()[1] in values
    assert "HookCanary4711xyz" in values
    assert ("SHORT", "x7q") in found.secrets
    assert (found.unread, found.projects) == ([], {"demo"})
    # Nothing that would make holes in ordinary text.
    assert not {"demo", "far", "robot", "web", "demo/web:1"} & {value for value in values if value not in found.words}


def test_a_deployed_release_is_known(stack: SmallStack) -> None:
    stack.deploy(make_wanted(secret="a-real-one"))
    found = read_secrets(stack.store.paths.root)
    assert {("DB_PASSWORD", "a-real-one")} <= found.secrets
    assert found.words >= {"web", "db", "worker", "demo"}


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        (f"/opt/hypercode/releases/{RELEASE}/env", "A='torn-secret-value", "torn-secret-value"),
        (f"/opt/hypercode/releases/.{RELEASE}.partial/env", "A='being-written'", "being-written"),
        (
            "/etc/hypercode/backup.json",
            '{"repositories": [{"url": "x", "environment": {"K": "torn-key-77"}',
            "torn-key-77",
        ),
        ("/etc/hypercode/docker/config.json", '{"auths": {"r": {"auth": "dG9ybjpzZWNyZXQ="}', "dG9ybjpzZWNyZXQ="),
        (f"/opt/hypercode/releases/{RELEASE}/env", "U='redis://:in%40side-7@redis:6379'", "in@side-7"),
        ("/etc/hypercode/edge/users.caddy", "bob $2y$10$abcdefghijklmnopqrstuv", "$2y$10$abcdefghijklmnopqrstuv"),
    ],
)
def test_files_that_are_torn_or_unusual(tmp_path: Path, path: str, text: str, value: str) -> None:
    place = tmp_path / path.lstrip("/")
    place.parent.mkdir(parents=True)
    place.write_text(text)
    assert value in {found for _, found in read_secrets(tmp_path).secrets}


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / f"opt/hypercode/releases/{RELEASE}/env").mkdir(parents=True)
    (unread,) = read_secrets(tmp_path).unread
    assert f"{RELEASE}/env" in unread
