"""The module shell: parameters in, findings and facts out, in check mode too."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import host_reader
from ansible_collections.hypercode.deploy.plugins.modules import host_check


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    files = {
        "etc/os-release": 'ID=debian\nVERSION_ID="13"\nVERSION_CODENAME=trixie\n',
        "proc/meminfo": "MemTotal: 4000000 kB\nMemAvailable: 3000000 kB\n",
        "sys/devices/system/cpu/online": "0-1\n",
        "proc/1/comm": "systemd\n",
        "var/lib/dpkg/status": "Package: caddy\nStatus: install ok installed\nVersion: 2.6.2-12\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    monkeypatch.setattr(host_check, "ROOT", tmp_path)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], **params: Any) -> dict[str, Any]:
    with patch_module_args(params), pytest.raises(SystemExit) as ended:
        host_check.main()
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert bool(result.get("failed")) is (ended.value.code == 1)
    return result


def snapshot(root: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in root.rglob("*")}


@pytest.mark.parametrize("check_mode", [False, True])
def test_good_host(root: Path, capsys: pytest.CaptureFixture[str], check_mode: bool) -> None:
    before = snapshot(root)
    result = run(
        capsys,
        name="web1",
        os_supported=[{"distribution": "debian", "version": 13}],
        memory_min_bytes=1000,
        disk_paths=["/var/lib/docker"],
        disk_min_bytes=1,
        cpus_min=2,
        packages=["caddy", "nope"],
        controller_time=time.time() - 2,
        _ansible_check_mode=check_mode,
    )
    assert (result["changed"], result["findings"], result["msg"]) == (False, [], "web1: no problems.")
    assert result["host"]["packages"] == {"caddy": "2.6.2-12"}
    assert result["host"]["distribution"] == "debian"
    assert snapshot(root) == before


@pytest.mark.parametrize("check_mode", [False, True])
def test_findings_fail_and_facts_come_all_the_same(
    root: Path, capsys: pytest.CaptureFixture[str], check_mode: bool
) -> None:
    result = run(capsys, name="web1", memory_min_bytes=1 << 40, cpus_min=64, _ansible_check_mode=check_mode)
    assert result["failed"] is True
    assert [finding["rule"] for finding in result["findings"]] == ["memory-too-small", "cpus-too-few"]
    assert set(result["findings"][0]) == {"rule", "severity", "name", "message", "fix"}
    assert result["msg"] == "web1: 2 problems. Nothing was changed."
    assert result["host"]["cpus"] == 2


def test_without_failing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(capsys, cpus_min=64, fail_on_findings=False)
    assert "failed" not in result
    assert result["findings"][0]["rule"] == "cpus-too-few"
    assert "warnings" not in result


def test_warning_does_not_fail_but_is_said(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda _module, text: said.append(text))
    result = run(capsys, memory_limits_bytes=1 << 40)
    assert "failed" not in result
    assert len(said) == 1
    assert "memory limits of all services" in said[0]


def test_earlier_findings_are_reported_together(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    earlier = {"rule": "variable-unknown", "severity": "error", "name": "x", "message": "No x.", "fix": "Remove x."}
    result = run(capsys, name="web1", findings=[earlier], cpus_min=64)
    assert [finding["rule"] for finding in result["findings"]] == ["variable-unknown", "cpus-too-few"]
    assert result["findings"][0] == earlier


def test_earlier_findings_that_are_none(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(capsys, findings=[{"rule": "variable-unknown", "text": "It is broken."}])
    assert result["failed"] is True
    assert result["msg"] == "findings: entry 1 has text; it may have rule, severity, name, message, fix, file, line."


def test_clock_is_compared_with_the_controller(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(capsys, controller_time=time.time() - 4000)
    assert [finding["rule"] for finding in result["findings"]] == ["clock-skew"]


def test_port_of_a_foreign_process(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fields = "0: 00000000:0050 00000000:0000 0A 0:0 0:0 0 0 0 99 1 0"
    (root / "proc/net").mkdir()
    (root / "proc/net/tcp").write_text(f"header\n{fields}\n")
    result = run(capsys, ports=[{"port": 80, "owner": ["caddy"], "setting": "edge_http_port"}])
    assert result["findings"][0]["name"] == "port 80/tcp"
    assert "edge_http_port" in result["findings"][0]["fix"]


def test_ordinary_user_is_told_how_to_become_root(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 3_999_999)
    result = run(capsys)
    assert result["findings"][0]["rule"] == "not-root"
    assert "ansible_become" in result["findings"][0]["fix"]


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"python_min": "new"}, "python_min: 'new' is not a version"),
        ({"ports": [{"port": "http"}]}, "port"),
        ({"ports": [{"port": 80, "proto": "sctp"}]}, "proto"),
        ({"os_supported": [{"version": "13"}]}, "distribution"),
        ({"memory_min_bytes": "much"}, "memory_min_bytes"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_bad_parameters_are_named(
    root: Path, capsys: pytest.CaptureFixture[str], params: dict[str, Any], text: str
) -> None:
    result = run(capsys, **params)
    assert result["failed"] is True
    assert text in result["msg"]


def test_unreadable_disk_is_a_message(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stale(*_arguments: Any, **_named: Any) -> None:
        raise OSError(116, "Stale file handle", "/srv")

    monkeypatch.setattr(host_reader, "read_host", stale)
    result = run(capsys)
    assert result["msg"] == "The host could not be examined: Stale file handle (/srv)."


def test_documentation_and_arguments_agree() -> None:
    def shape(options: dict[str, Any]) -> dict[str, Any]:
        return {
            name: {
                key: shape(value) if key in ("options", "suboptions") else value
                for key, value in option.items()
                if key in ("type", "elements", "default", "required", "choices", "options", "suboptions")
            }
            for name, option in options.items()
        }

    documented = yaml.safe_load(host_check.DOCUMENTATION)["options"]
    text = json.dumps(shape(documented), sort_keys=True).replace('"suboptions"', '"options"')
    assert json.loads(text) == shape(host_check.argument_spec())
