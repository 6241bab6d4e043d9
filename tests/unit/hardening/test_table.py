"""From a host's answer to the page: parts, Lynis's report, reasons, connection."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hardening import lynis, page, reasons, target
from hardening.checks import POINTS
from hardening.facts import UnreadableError, split
from hardening.points import MET, Judged, State, Verdict, not_applicable, not_met
from testbed.shell import TestbedError

ANSWER = """
@@x os
ID=debian
@@y not a mark

@@x end 0

@@x sshd

@@x end 127
"""


def test_parts() -> None:
    parts = split(ANSWER, "@@x")
    assert parts["os"].text == "ID=debian\n@@y not a mark"
    assert (parts["sshd"].text, parts["sshd"].code) == ("", 127)


@pytest.mark.parametrize("text", ["", "sh: not found", ANSWER[: ANSWER.rindex("@@x end")]])
def test_an_answer_that_was_cut_off_is_refused(text: str) -> None:
    with pytest.raises(UnreadableError):
        split(text, "@@x")


REPORT = """\
# Lynis Report
lynis_version=3.1.4
warning[]=FIRE-4512|No rules|-|-|
suggestion[]=SSH-7408|Harden it|MaxAuthTries (set 6 to 3)|-|
suggestion[]=SSH-7408|Harden it|LogLevel (set INFO to VERBOSE)|-|
suggestion[]=KRNL-6000|Some values differ||Change sysctl value|
suggestion[]=LYNIS|This release is old||
details[]=KRNL-6000|sysctl|desc:Words: and more;field:kernel.kptr_restrict;prefval:2;value:0;|
details[]=KRNL-6000|sysctl|desc:;field:net.ipv4.conf.all.log_martians;prefval:1;value:0;|
tests_executed=SSH-7408|KRNL-6000|FIRE-4512|AUTH-9204|
tests_skipped=BOOT-5122|
hardening_index=67
"""


def test_lynis() -> None:
    report = lynis.read(REPORT)
    assert (report.version, report.index) == ("3.1.4", 67)
    judged = {item.id: item for item in lynis.judge(report, {"SSH-7408": "Ours"}, atboot=None)}
    assert judged["lynis-SSH-7408"].title == "Ours"
    assert judged["lynis-SSH-7408"].verdict == not_met("LogLevel", "MaxAuthTries")
    assert judged["lynis-KRNL-6000"].verdict.where == ("kernel.kptr_restrict", "net.ipv4.conf.all.log_martians")
    assert judged["lynis-FIRE-4512"].title == "No rules"
    assert judged["lynis-AUTH-9204"].verdict is MET
    assert "lynis-LYNIS" not in judged
    assert "lynis-BOOT-5122" not in judged


def test_lynis_on_a_host_that_shares_its_kernel() -> None:
    def named(value: str) -> tuple[str, ...]:
        atboot = {"kernel.kptr_restrict": value, "net.ipv4.conf.all.log_martians": "1"}
        judged = {item.id: item for item in lynis.judge(lynis.read(REPORT), {}, atboot=atboot)}
        return judged["lynis-KRNL-6000"].verdict.where

    assert named("2") == ("net.ipv4.conf.all.log_martians",)
    assert named("1") == ("kernel.kptr_restrict", "net.ipv4.conf.all.log_martians")


@pytest.mark.parametrize("text", ["", "hardening_index=1\n", "tests_executed=A|\n"])
def test_half_a_report_is_refused(text: str) -> None:
    with pytest.raises(TestbedError, match="no list of the tests"):
        lynis.read(text)


def item(name: str, verdict: Verdict) -> Judged:
    return Judged(name, "Group", f"Title of {name}", verdict)


def book(tmp_path: Path, *entries: dict[str, Any]) -> reasons.Book:
    path = tmp_path / "reasons.yml"
    path.write_text(yaml.safe_dump({"lynis": {}, "reasons": list(entries)}), encoding="utf-8")
    return reasons.load(path)


def test_each_point_that_is_not_met_needs_a_reason(tmp_path: Path) -> None:
    known = book(tmp_path, {"points": ["a-1"], "reason": "Because."})
    found = reasons.problems([item("a-1", not_met()), item("a-2", not_met("x", "y")), item("a-3", MET)], known)
    assert found == [
        "a-2 (Title of a-2) is not met, and nothing says why: x, y. "
        "Fix: meet it, or give the reason in tests/hardening/reasons.yml."
    ]


def test_a_reason_that_explains_nothing_is_named(tmp_path: Path) -> None:
    known = book(tmp_path, {"points": ["a-1", "a-2", "a-3"], "reason": "Because."})
    found = reasons.unused([item("a-1", MET), item("a-2", not_applicable("Elsewhere."))], known)
    assert [" ".join(line.split()[5:6]) for line in found] == ["a-1", "a-3,"]


def test_a_reason_can_be_limited(tmp_path: Path) -> None:
    known = book(tmp_path, {"points": ["a-1"], "reason": "Because.", "only": ["redis*", "gone"]})
    judged = [item("a-1", not_met("redis", "redis-2", "postgres"))]
    (open_,) = reasons.problems(judged, known)
    assert "nothing says why: postgres. Fix" in open_
    (unused,) = reasons.unused(judged, known)
    assert "'gone' under only, for a-1, fits nothing" in unused


def test_a_reason_may_be_about_what_not_every_host_has(tmp_path: Path) -> None:
    known = book(tmp_path, {"points": ["a-1"], "reason": "Because.", "also": ["redis*", "gone"]})
    here = [item("a-1", not_met("redis", "postgres"))]
    (open_,) = reasons.problems(here, known)
    assert "nothing says why: postgres. Fix" in open_
    assert reasons.unused(here, known) == []
    assert reasons.unused([item("a-1", MET)], known) == []


def test_a_point_that_could_not_be_judged_is_no_success(tmp_path: Path) -> None:
    found = reasons.problems([item("a-1", Verdict(State.UNKNOWN, note="no answer"))], book(tmp_path))
    assert found == ["a-1 (Title of a-1) could not be judged: no answer."]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"points": ["a-1"]}, "another form"),
        ({"points": ["a-1"], "reason": "", "meet": "x"}, "gives no reason"),
        ({"points": [], "reason": "x"}, "about no point"),
        ({"points": ["a-1"], "reason": "x", "why": "y"}, "another form"),
        ({"points": ["a-1", "a-1"], "reason": "x"}, "two reasons for a-1"),
    ],
)
def test_reasons_of_another_form_are_refused(tmp_path: Path, entry: dict[str, Any], words: str) -> None:
    with pytest.raises(TestbedError, match=words):
        book(tmp_path, entry)


def test_our_own_reasons_are_about_points_that_there_are() -> None:
    ids = {point.id for point in POINTS}
    assert [name for name in reasons.load().reasons if name not in ids and not name.startswith("lynis-")] == []


def test_page(tmp_path: Path) -> None:
    known = book(tmp_path, {"points": ["docker-1"], "reason": "Because | so.", "meet": "Do <it>."})
    judged = [
        item("own-1", MET),
        item("docker-1", not_met("redis")),
        item("debian-1", not_applicable("Elsewhere.")),
        Judged("lynis-AUTH-9204", lynis.GROUP, "x", MET),
        Judged("lynis-AUTH-9208", lynis.GROUP, "x", MET),
    ]
    text = page.render(judged, known)
    assert "| `docker-1` | Title of docker-1 | redis | Because \\| so. *To meet it:* Do &lt;it>. |" in text
    assert "| AUTH | 9204, 9208 |" in text
    assert "| CIS Docker | 0 | 1 | 0 |" in text
    assert text.index("## Not met") < text.index("## Met") < text.index("## Does not apply")
    assert text == page.render(judged, known)


def test_a_reason_is_written_once(tmp_path: Path) -> None:
    known = book(tmp_path, {"points": ["debian-5.1.15", "debian-5.1.5"], "reason": "Because."})
    text = page.render([item("debian-5.1.15", not_met()), item("debian-5.1.5", not_met())], known)
    assert text.count("Because.") == 1
    assert "| `debian-5.1.15` | Title of debian-5.1.15 |  | As `debian-5.1.5`. |" in text


def test_connection() -> None:
    variables = {
        "ansible_host": "198.51.100.7",
        "ansible_user": "deploy",
        "ansible_port": 2222,
        "ansible_ssh_private_key_file": "/keys/id",
        "ansible_ssh_common_args": "-o 'UserKnownHostsFile=/a b'",
    }
    words = target.words("web1", variables)
    assert words[-1] == "deploy@198.51.100.7"
    assert [*words[-7:-1]] == ["-i", "/keys/id", "-p", "2222", "-o", "UserKnownHostsFile=/a b"]
    assert target.words("web1", {})[-1] == "web1"
    assert "does not get in" in target.failure(255, "Connection refused")
    assert "sudo asks for a password" in target.failure(1, "sudo: a password is required")
    with pytest.raises(TestbedError, match="Only hosts behind ssh"):
        target.words("web1", {"ansible_connection": "docker"})


FOLDER = Path(reasons.__file__).parent
ASKED = re.compile(r'\.(?:text|lines|document|setting|_files)\(\s*"([a-z-]+)"')


def test_the_probe_brings_what_the_points_ask_for() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (*FOLDER.glob("*.py"), *FOLDER.glob("checks/*.py")))
    asked = {*ASKED.findall(sources), "world-writable", "unowned"}
    given = re.findall(r"^part ([a-z-]+) ", (FOLDER / "probe.sh").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(asked) > 30
    assert sorted(asked - set(given)) == []
    assert sorted(set(given) - asked) == []
    assert len(given) == len(set(given))


@pytest.mark.parametrize("name", ["probe.sh", "lynis.sh"])
def test_scripts_are_shell(name: str) -> None:
    assert subprocess.run(["sh", "-n", FOLDER / name], check=False).returncode == 0
