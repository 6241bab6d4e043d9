"""An inventory whose secrets scripts/secrets made, deployed once by ansible-runner while somebody watches."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from checks import stack
from checks.operator import command, run
from checks.playbook import ROOT

WATCHER = """\
import os, sys, time
seen = set()
end = time.monotonic() + 400
while time.monotonic() < end and not os.path.exists("/run/watch/stop"):
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for name in ("cmdline", "environ"):
            try:
                data = open("/proc/" + pid + "/" + name, "rb").read()
            except OSError:
                continue
            for part in data.split(b"\\0"):
                if part not in seen:
                    seen.add(part)
                    sys.stdout.buffer.write(name.encode() + b" " + pid.encode() + b" " + part + b"\\n")
    sys.stdout.flush()
    time.sleep(0.02)
"""


@pytest.fixture(scope="session")
def world(tmp_path_factory, request):
    """Return the operator's side: an inventory folder without secrets, and a file with the vault's password."""
    folder = tmp_path_factory.mktemp("operator")
    scenario = Path(__file__).resolve().parents[1]
    environment_folder = folder / "inventories" / "production"
    shutil.copytree(scenario / "inventory", environment_folder)
    made = environment_folder / "group_vars/hypercode/testbed_secrets.yml"
    given = yaml.safe_load(made.read_text(encoding="utf-8"))
    # The registry's login is not of the stack; the provider's key is what a person fills in.
    key = given.pop("stack_secrets")["ANTHROPIC_API_KEY"]
    made.write_text(yaml.safe_dump(given), encoding="utf-8")
    made.chmod(0o600)
    password = folder / "vault-password"
    password.write_text("a-password-for-this-test-only\n", encoding="utf-8")
    password.chmod(0o600)
    editor = folder / "editor"
    editor.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, re, sys\n"
        "path = pathlib.Path(sys.argv[-1])\n"
        f"key = pathlib.Path({str(folder / 'key')!r}).read_text()\n"
        "text = path.read_text()\n"
        "assert 'ANTHROPIC_API_KEY' in text, 'nothing to fill in'\n"
        "path.write_text(re.sub(r'(?m)^(\\s*ANTHROPIC_API_KEY:).*$', lambda m: m[1] + ' ' + key, text))\n",
        encoding="utf-8",
    )
    editor.chmod(0o700)
    (folder / "key").write_text(key, encoding="utf-8")
    (folder / "key").chmod(0o600)
    return SimpleNamespace(
        folder=folder,
        inventory=environment_folder,
        password=password,
        variables={"ANSIBLE_VAULT_PASSWORD_FILE": str(password), "EDITOR": str(editor)},
        vault=environment_folder / "group_vars/hypercode/vault.yml",
    )


@pytest.fixture(scope="session")
def made(world):
    """The secrets are made, and the one that only a person has is filled in."""
    first = command(world, "init", world.inventory)
    assert first.code == 0, first.output
    edited = command(world, "edit", world.inventory)
    assert edited.code == 0, edited.output
    return SimpleNamespace(first=first, edited=edited)


@pytest.fixture(scope="module")
def deployed(host, world, made):
    """The first deploy, at -vvvv and by ansible-runner, while a watcher reads every process of the host."""
    # The fixture `host` is made anew for each module; the deploy is done once.
    if hasattr(world, "deployed"):
        return world.deployed
    stack.root(host, "mkdir -p /run/watch")
    script = WATCHER.replace("'", "'\\''")
    stack.root(host, f"printf '%s' '{script}' > /run/watch/watch.py")
    stack.root(host, "systemd-run --unit=watch -p StandardOutput=file:/run/watch/seen python3 /run/watch/watch.py")
    artifacts = world.folder / "artifacts"
    runner = Path(sys.executable).parent / "ansible-runner"
    (world.folder / "env").mkdir()
    (world.folder / "env" / "envvars").write_text(json.dumps(world.variables), encoding="utf-8")
    done = run(
        *(runner, "run", world.folder, "--project-dir", ROOT, "--playbook", "site.yml", "--artifact-dir", artifacts),
        *("--inventory", world.inventory, "-vvvv"),
        ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"),
        ANSIBLE_LOG_PATH=str(world.folder / "ansible.log"),
    )
    stack.root(host, "touch /run/watch/stop; sleep 1; systemctl stop watch 2>/dev/null || true")
    assert done.code == 0, done.output[-6000:]
    world.deployed = SimpleNamespace(output=done.output, artifacts=artifacts)
    return world.deployed
