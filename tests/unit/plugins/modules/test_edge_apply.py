# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module on a host: Caddy is the real program, systemd is played. What only a real host shows: molecule/tls."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.hypercode.deploy.plugins.action.edge_apply import ActionModule
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult, run_command
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge import layout
from ansible_collections.hypercode.deploy.plugins.modules import edge_apply
from fakes.certificates import DAY, OTHER_KEY, Issued, issue, pem_of

HASH = "$2b$10$" + "a" * 53
SITES = [
    {"name": "app.test", "certificate": "internal", "service": "app", "port": 80, "auth": {"users": {"ops": HASH}}}
]
UNIT = "LoadState=loaded\nActiveState={active}\nSubState=x\nUnitFileState={file}\nNeedDaemonReload=no\nCanReload=yes\n"


class Host:
    """Runs Caddy for real and plays systemd: what was started is active."""

    def __init__(self, root: Path) -> None:
        self.paths = layout.Paths(root)
        self.done: list[str] = []
        self.active: set[str] = set()
        self.enabled: set[str] = set()
        self.port_is_taken = False

    def __call__(self, argv: Sequence[str], **options: Any) -> CommandResult:
        if argv[0] == "systemctl":
            return self.systemctl(list(argv[1:]))
        if argv[0] in ("journalctl", "useradd"):
            return CommandResult(0, "listen tcp :443: bind: address already in use" if self.port_is_taken else "")
        return run_command(argv, **options)

    def systemctl(self, words: list[str]) -> CommandResult:
        names = words[words.index("--") + 1 :] if "--" in words else []
        if words[0] == "show" and not names:
            return CommandResult(0, "0\n")
        if words[0] == "show":
            state = {True: ("active", "enabled"), False: ("inactive", "disabled")}
            texts = [
                UNIT.format(active=state[name in self.active][0], file=state[name in self.enabled][1]) for name in names
            ]
            return CommandResult(0, "\n".join(texts))
        self.done.append(" ".join([words[0], *names]))
        if words[0] in ("start", "restart") and self.port_is_taken and names == ["caddy.service"]:
            return CommandResult(1, "", "Job for caddy.service failed")
        {"start": self.active, "restart": self.active, "enable": self.enabled}.get(words[0], set()).update(names)
        for name in names:
            {"stop": self.active, "disable": self.enabled}.get(words[0], set()).discard(name)
        return CommandResult(0)


@pytest.fixture
def caddy() -> str:
    program = shutil.which("caddy", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("caddy is not installed: scripts/test makes an environment that has it")
    return program


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    found = Host(tmp_path)
    for folder in ("etc/systemd/system", "var/lib", "var/log", "run"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.setattr(edge_apply, "PATHS", found.paths)
    monkeypatch.setattr(edge_apply, "_run", found)
    # There is a user of that name on every machine.
    monkeypatch.setattr(layout, "USER", "root")
    return found


def run(capsys: pytest.CaptureFixture[str], **arguments: Any) -> dict[str, Any]:
    with patch_module_args(arguments), pytest.raises(SystemExit):
        edge_apply.main()
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_check_mode_predicts_on_a_bare_host_and_touches_nothing(
    host: Host, caddy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.rglob("*"))
    predicted = run(capsys, sites=SITES, binary="/no/caddy", _ansible_check_mode=True, _ansible_diff=True)
    assert predicted["changed"], predicted
    assert f"write {layout.CADDYFILE}" in predicted["actions"]
    assert "start caddy.service" in predicted["actions"]
    assert HASH not in json.dumps(predicted)
    assert sorted(tmp_path.rglob("*")) == before
    assert host.done == []


def test_it_is_applied_once_and_taken_away(host: Host, caddy: str, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, sites=SITES, binary=caddy)
    assert done["changed"], done
    assert {"caddy.service", "hypercode-edge.service", "hypercode-certificates.timer"} == host.active == host.enabled
    assert HASH in host.paths.at(layout.USERS).read_text(encoding="utf-8")
    assert (host.paths.at(layout.UPSTREAMS) / "app.caddy").is_file()
    again = run(capsys, sites=SITES, binary=caddy)
    assert (again["changed"], again["actions"]) == (False, [])
    predicted = run(capsys, state="absent", _ansible_check_mode=True)
    removed = run(capsys, state="absent")
    assert removed["actions"] == predicted["actions"]
    assert not host.paths.at(layout.FOLDER).exists()
    assert host.active == set()
    assert run(capsys, state="absent")["changed"] is False


def test_what_caddy_does_not_take_is_not_written(host: Host, caddy: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, sites=SITES, binary=caddy)
    before = host.paths.at(layout.CADDYFILE).read_bytes()
    files = {"certificate": "files", "certificate_file": "/no.crt", "key_file": "/no.key"}
    refused = run(capsys, sites=[{**SITES[0], **files}], binary=caddy)
    assert refused["failed"]
    assert "/no.crt" in refused["msg"]
    assert host.paths.at(layout.CADDYFILE).read_bytes() == before


def test_given_certificates_that_do_not_work_are_not_served(
    host: Host, caddy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now = time.time()
    names = ("app.test", "www.app.test")
    good = issue(names, begin=now - DAY, end=now + 90 * DAY)
    # Caddy looks for them where they are named, on this machine.
    certificate, key = (tmp_path / "given.crt"), (tmp_path / "given.key")
    place = {"certificate_file": str(certificate), "key_file": str(key)}
    (tmp_path / str(tmp_path)[1:]).parent.mkdir(parents=True)
    (tmp_path / str(tmp_path)[1:]).symlink_to(tmp_path)
    sites = [{**SITES[0], "aliases": ["www.app.test"], "certificate": "files", **place}]

    def give(issued: Issued, key_pem: str = good.key_pem) -> dict[str, Any]:
        certificate.write_text(issued.pem)
        key.write_text(key_pem)
        key.chmod(0o640)
        return run(capsys, sites=sites, binary=caddy)

    done = give(good)
    assert done["changed"], done
    before = {path: path.read_bytes() for path in host.paths.at(layout.FOLDER).rglob("*") if path.is_file()}
    host.done.clear()
    for issued, key_pem, rules in (
        (issue(names, begin=now - 9 * DAY, end=now - DAY), good.key_pem, ["certificate-expired"]),
        (issue(names, begin=now + DAY, end=now + 9 * DAY), good.key_pem, ["certificate-not-yet-valid"]),
        (issue(names[1:], begin=now - DAY, end=now + 9 * DAY), good.key_pem, ["certificate-names"]),
        (good, pem_of(OTHER_KEY), ["certificate-key-mismatch"]),
        (issue(names[1:], begin=now - 9 * DAY, end=now - DAY), "x", ["key-invalid", "names", "expired"]),
    ):
        refused = give(issued, key_pem)
        assert [finding["rule"].removeprefix("certificate-") for finding in refused["findings"]] == [
            rule.removeprefix("certificate-") for rule in rules
        ]
        assert refused["failed"]
        assert refused["msg"].startswith("The edge of ")
        assert "Fix: " in refused["msg"]
        assert good.key_pem.splitlines()[1] not in json.dumps(refused)
    assert host.done == []
    assert {path: path.read_bytes() for path in before} == before
    assert "failed" not in give(good)


def test_a_port_that_is_taken_is_named(host: Host, caddy: str, capsys: pytest.CaptureFixture[str]) -> None:
    host.port_is_taken = True
    refused = run(capsys, sites=SITES, binary=caddy)
    assert refused["failed"]
    assert "bind: address already in use" in refused["msg"]


def test_without_the_program_the_fix_is_named(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    refused = run(capsys, sites=SITES, binary="/no/caddy")
    assert "edge_source" in refused["msg"]
    assert host.done == []


def test_wrong_settings_are_findings(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = [{**SITES[0], "port": 0}, {**SITES[0], "auth": {"users": {"ops": "canary-word"}}}]
    judged = run(capsys, state="validated", sites=wrong)
    refused = run(capsys, sites=wrong, binary="/no/caddy")
    assert len(judged["findings"]) == 2
    assert judged["changed"] is False
    assert "2 problems" in refused["msg"]
    assert "canary" not in json.dumps([judged, refused])


# --- on the controller ------------------------------------------------------------------------------------------------


def action(**args: Any) -> Any:
    task = MagicMock(args=args, async_val=0, check_mode=False, diff=False)
    made = ActionModule(
        task, MagicMock(transport="ssh"), MagicMock(), DataLoader(), Templar(loader=DataLoader()), MagicMock()
    )
    made._execute_module = MagicMock(side_effect=AssertionError)
    return made


def test_the_controller_judges_before_the_host_is_asked() -> None:
    refused = action(sites=[{**SITES[0], "port": 0}]).run(task_vars={"inventory_hostname": "web1"})
    assert refused["failed"]
    assert refused["msg"].startswith("The edge of web1 was not changed: 1 problem.")
    judged = action(state="validated", sites=[{**SITES[0], "port": 0}]).run(task_vars={})
    assert [finding["name"] for finding in judged["findings"]] == ["edge_sites[app.test].port"]


def test_the_host_gets_names_as_dns_has_them() -> None:
    """As the role dns makes their records: IDNA 2008, which Python's own reader does not know."""
    made = action(sites=[{**SITES[0], "name": "Straße.de", "aliases": ["a.de"]}])
    made._execute_module = MagicMock(return_value={"changed": False})
    assert "failed" not in made.run(task_vars={})
    (sites,) = [call.kwargs["module_args"]["sites"] for call in made._execute_module.call_args_list]
    assert (sites[0]["name"], sites[0]["aliases"]) == ("xn--strae-oqa.de", ["a.de"])
    refused = action(sites=[{**SITES[0], "name": "☃.net"}]).run(task_vars={})
    assert "edge_sites[☃.net].name is '☃.net': its part '☃' is no IDN name" in refused["msg"]


def test_the_root_certificate_is_kept_on_the_controller(tmp_path: Path) -> None:
    kept = tmp_path / "roots" / "web1.crt"
    for changed in (True, False):
        made = action(sites=SITES, internal_root_file=str(kept))
        made._execute_module = MagicMock(return_value={"changed": False, "root_certificate": "PEM\n", "actions": []})
        assert made.run(task_vars={})["changed"] is changed
    assert kept.read_text(encoding="utf-8") == "PEM\n"
