"""What the role base brings to a host: the library of the host command, its settings, and what it finds wrong."""

from __future__ import annotations

import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.hypercode.deploy.plugins.plugin_utils.role_specs import trusted

ROOT = Path(__file__).resolve().parents[3]
HOSTKIT = ROOT / "plugins" / "module_utils" / "hostkit"
LEFT_OUT = yaml.safe_load((ROOT / "roles/base/vars/main.yml").read_text(encoding="utf-8"))["__base_hostkit_left_out"]
# Follows the imports of the host command from file to file, those inside of functions too, and carries each out.
FOLLOW = """
import ast, importlib, pathlib, sys
folder = pathlib.Path(sys.argv[1], "hostkit")
sys.path.insert(0, sys.argv[1])
names, todo = set(), ["cli"]
while todo:
    name = todo.pop()
    path = folder.joinpath(*name.split(".")).with_suffix(".py")
    if name in names or not path.exists():
        continue
    names.add(name)
    importlib.import_module("hostkit." + name)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [*name.split(".")[: -node.level], *filter(None, (node.module or "").split("."))]
            exec(ast.unparse(node), {"__package__": ".".join(["hostkit", *name.split(".")[:-1]])})
            todo += [".".join(base), *(".".join([*base, one.name]) for one in node.names)]
print(len(names))
"""


def test_the_host_command_needs_nothing_that_is_left_out(tmp_path: Path) -> None:
    """Every module that a verb can reach is imported from a copy as a host gets it."""

    def leave_out(_folder: str, names: list[str]) -> set[str]:
        return {name for name in names if any(fnmatch(name, glob) for glob in LEFT_OUT)}

    shutil.copytree(HOSTKIT, tmp_path / "hostkit", ignore=leave_out)
    assert not (tmp_path / "hostkit" / "compose" / "audit").exists()
    done = subprocess.run(
        [sys.executable, "-I", "-c", FOLLOW, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 30


# --- what the templates and variables become ------------------------------------------------------------------------

TREE = ROOT / "roles/base/templates/tree"


def load(path: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def evaluate(text: str, **variables: Any) -> Any:
    """Evaluate a template with the role's variables, as Ansible does."""
    own = {**load("roles/base/defaults/main.yml"), **load("roles/base/vars/main.yml"), "ansible_check_mode": False}
    return Templar(loader=DataLoader(), variables=trusted({**own, **variables})).template(trusted(text))


def rendered(path: str, **variables: Any) -> str:
    name = f"{path}.j2" if (TREE / f"{path}.j2").exists() else path
    text = (TREE / name).read_text(encoding="utf-8")
    return str(evaluate(text, **variables)) if name.endswith(".j2") else text


def host(**facts: Any) -> dict[str, Any]:
    return {"preflight_check": {"host": {"virtualization": "none", "packages": {}, **facts}}}


def test_apt_reads_the_settings_of_updates(tmp_path: Path) -> None:
    file = tmp_path / "52hypercode-upgrades"
    file.write_text(
        'Unattended-Upgrade::Origins-Pattern { "origin=Debian"; };\n'
        + rendered("etc/apt/apt.conf.d/52hypercode-upgrades", base_upgrades_reboot="03:30")
    )
    done = subprocess.run(
        ["apt-config", "dump"],
        env={"APT_CONFIG": str(file), "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert 'Unattended-Upgrade::Automatic-Reboot-Time "03:30";' in done.stdout
    assert 'Unattended-Upgrade::Package-Blacklist:: "containerd";' in done.stdout
    origins = [line for line in done.stdout.splitlines() if line.startswith("Unattended-Upgrade::Origins-Pattern::")]
    assert origins
    assert all("security" in line for line in origins)
    assert 'Automatic-Reboot "false"' in rendered("etc/apt/apt.conf.d/52hypercode-upgrades")


def test_perl_reads_the_settings_of_needrestart() -> None:
    script = (
        "our %nrconf = (override_rc => {}); do $ARGV[0]; die $@ if $@; print join qq(\\n), %{$nrconf{override_rc}};"
    )
    path = str(TREE / "etc/needrestart/conf.d/60-hypercode.conf")
    done = subprocess.run(["perl", "-e", script, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "docker" in done.stdout
    assert "ssh" in done.stdout


def test_kernel_settings_of_a_container_are_those_of_its_network() -> None:
    machine = rendered("etc/sysctl.d/60-hypercode.conf", **host())
    assert "\nvm.overcommit_memory = 1\n" in machine
    assert "\nkernel.core_pattern = |/bin/false\n" in machine
    assert "\n-net.ipv6.conf.all.accept_redirects = 0\n" in machine
    container = rendered("etc/sysctl.d/60-hypercode.conf", **host(virtualization="container"))
    settings = [line for line in container.splitlines() if "=" in line]
    assert settings
    assert all(line.startswith("-net.") for line in settings)


def test_a_list_for_each_file() -> None:
    assert "install sctp /bin/false" in rendered("etc/modprobe.d/60-hypercode.conf").splitlines()
    jail = rendered("etc/fail2ban/jail.d/hypercode.local", base_fail2ban_ignore=["198.51.100.0/24"])
    assert "ignoreip = 127.0.0.1/8 ::1 198.51.100.0/24" in jail
    assert "port = ssh" in jail
    applied = {"__base_sshd_applied": {"effective": {"port": ["22", "2222"]}}}
    assert "port = 22,2222" in rendered("etc/fail2ban/jail.d/hypercode.local", **applied)


def test_no_hard_limit_is_raised() -> None:
    """Raising one fails where that is not allowed, and then nobody logs in."""
    lines = rendered("etc/security/limits.d/60-hypercode.conf").splitlines()
    assert [line for line in lines if " hard " in line and not line.startswith("#")] == [
        "* hard core 0",
        "root hard core 0",
    ]


@pytest.mark.parametrize(
    ("installed", "daemon"), [({}, "systemd-timesyncd"), ({"chrony": "4"}, "chrony"), ({"openntpd": "6"}, "openntpd")]
)
def test_the_clock_is_kept_by_what_is_there(installed: dict[str, str], daemon: str) -> None:
    facts = host(packages=installed)
    assert evaluate("{{ __base_time_daemon }}", **facts) == daemon
    assert daemon in evaluate("{{ __base_packages_wanted }}", **facts)
    units = {unit["name"]: unit for unit in evaluate("{{ __base_units_on }}", **facts)}
    assert units[f"{daemon}.service"]["state"] == "started"


def test_a_container_has_neither_clock_nor_swap_of_its_own() -> None:
    facts = host(virtualization="container")
    units = {unit["name"]: unit for unit in evaluate("{{ __base_units_on }}", **facts, base_swap_size="2G")}
    assert "state" not in units["systemd-timesyncd.service"]
    assert units["hypercode-swap.service"]["state"] == "stopped"
    machine = {unit["name"]: unit for unit in evaluate("{{ __base_units_on }}", **host(), base_swap_size="2G")}
    assert machine["hypercode-swap.service"]["state"] == "started"


def test_without_preflight_nothing_is_guessed() -> None:
    assert "systemd-timesyncd" not in evaluate("{{ __base_packages_wanted }}")
    assert not [unit for unit in evaluate("{{ __base_units_on }}") if "timesync" in unit["name"]]


def test_services_that_are_off_and_allowed_again() -> None:
    off = evaluate("{{ __base_units_off }}", base_services_off=["a.socket"])
    assert off == [{"name": "a.socket", "state": "stopped", "masked": True, "if_present": True}]
    allowed = evaluate("{{ __base_units_allowed }}", base_services_off=["a.socket"])
    assert allowed[1:] == [{"name": "a.socket", "masked": False, "if_present": True}]


def findings(**variables: Any) -> list[str]:
    """The names of the settings that validate.yml finds wrong."""
    (task,) = [
        task
        for task in yaml.safe_load((ROOT / "roles/base/tasks/validate.yml").read_text(encoding="utf-8"))
        if "hypercode.deploy.settings_check" in task
    ]
    facts = {"inventory_hostname": "web1", "ansible_user": "deploy", **variables}
    rules = task["hypercode.deploy.settings_check"]["rules"]
    return [rule["name"] for rule in rules if evaluate(rule["that"], **facts) is not True]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("base_swap_size", "2 GB"),
        ("base_upgrades_reboot", "3:30"),
        ("base_upgrades_hold", ['a"b']),
        ("base_fail2ban_ban_time", "forever"),
        ("base_fail2ban_max_retry", 0),
        ("base_fail2ban_ignore", ["office"]),
        ("base_modules_off", ["../x"]),
        ("base_modules_off", ["overlay"]),
        ("base_services_off", ["ssh.service"]),
        ("base_nofile", 10),
    ],
)
def test_a_wrong_setting_is_found(name: str, value: Any) -> None:
    assert findings() == []
    assert findings(**{name: value}) == [name]


def test_ansible_as_root_is_found_before_any_host_is_asked() -> None:
    root = {"ansible_user": "root"}
    assert findings(**root) == ["base_sshd_root_login"]
    assert findings(**root, base_sshd_root_login="prohibit-password") == []
    assert findings(**root, base_sshd_enabled=False) == []
    assert findings(**root, ansible_connection="local") == []
