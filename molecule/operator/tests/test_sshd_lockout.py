"""Cutting oneself off: refused where it can be seen, and undone by the host itself where it was tried all the same."""

from __future__ import annotations

import json
import subprocess
import threading
import time

import pytest
from checks import stack
from checks.playbook import play

DROP_IN = "/etc/ssh/sshd_config.d/00-hypercode.conf"
SECONDS = 10


def gets_in(host, user="debian"):
    """Whether a new connection is let in."""
    about = host.backend.get_variables()
    words = ["ssh", *about["ansible_ssh_common_args"].split(), "-i", about["ansible_ssh_private_key_file"]]
    words += ["-o", "ControlPath=none", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5"]
    words += [f"{user}@{about['ansible_host']}", "true"]
    return subprocess.run(words, capture_output=True, check=False, timeout=60).returncode == 0


def apply(inventory, **variables):
    return play("--tags", "base", "-e", json.dumps(variables), inventory=inventory)


def test_what_would_cut_off_is_refused_with_the_fix(host, inventory):
    before = stack.root(host, f"cat {DROP_IN}")
    refused = apply(inventory, base_sshd_allow_users=["alice"])
    assert refused.code != 0
    text = " ".join(refused.output.split())
    assert "logged in to web1 as debian, but AllowUsers has only alice" in text
    assert "Add debian to base_sshd_allow_users" in text
    assert stack.root(host, f"cat {DROP_IN}") == before


@pytest.fixture(params=["a socket of systemd", "a socket of its own"])
def listening(host, request):
    """Both ways to run sshd: Ubuntu's, which these hosts are made with, and Debian's."""
    own = request.param == "a socket of its own"
    if own:
        stack.root(
            host, "systemctl disable --now ssh.socket && systemctl enable ssh.service && systemctl restart ssh.service"
        )
    assert (host.run("systemctl is-active ssh.socket").rc == 0) is not own
    yield
    if own:
        stack.root(host, "systemctl stop ssh.service && systemctl enable --now ssh.socket")


@pytest.mark.usefixtures("listening")
def test_a_real_lockout_is_undone_by_the_host(host, inventory):
    before = stack.root(host, f"cat {DROP_IN}")
    seen: list[tuple[float, bool]] = []
    over = threading.Event()

    def watch():
        while not over.is_set():
            seen.append((time.monotonic(), gets_in(host)))
            time.sleep(0.5)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        tried = apply(
            inventory,
            base_sshd_allow_users=["alice"],
            base_sshd_refuse_lockout=False,
            base_sshd_confirm_timeout=SECONDS,
        )
    finally:
        over.set()
        watcher.join()
    assert tried.code != 0
    assert "has put the old settings of sshd back by itself" in " ".join(tried.output.split())
    shut = [moment for moment, is_in in seen if not is_in]
    assert shut, "nobody was cut off: the test shows nothing"
    assert shut[-1] - shut[0] < SECONDS + 5
    assert gets_in(host)
    assert stack.root(host, f"cat {DROP_IN}") == before
    assert stack.root(host, "find /etc/systemd/system -name 'hypercode-sshd*'") == ""
    # The failures of the proof and of this watcher did not get the operator's address banned.
    assert "Currently banned:\t0" in stack.root(host, "fail2ban-client status sshd")
    again = play("--tags", "base", inventory=inventory)
    assert (again.code, again.changed("web1")) == (0, 0), again.output


@pytest.fixture
def alice(host, tmp_path):
    """Return a user entry with a new key, and take the user away in the end."""
    key = tmp_path / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    yield key, {"name": "alice", "keys": [key.with_suffix(".pub").read_text().strip()], "sudo": "nopasswd"}
    stack.root(host, "userdel --remove alice; rm -f /etc/sudoers.d/hypercode-alice", ok=False)


def test_a_user_of_the_inventory_gets_in_and_up(host, inventory, alice):
    key, entry = alice
    predicted = apply(inventory, base_users=[entry])
    assert predicted.code == 0, predicted.output
    about = host.backend.get_variables()
    words = ["ssh", *about["ansible_ssh_common_args"].split(), "-i", str(key), "-o", "ControlPath=none"]
    done = subprocess.run(
        [*words, "-o", "BatchMode=yes", f"alice@{about['ansible_host']}", "sudo -n id -u"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.strip() == "0", done.stderr
    assert apply(inventory, base_users=[entry]).changed("web1") == 0
    gone = apply(inventory, base_users=[{"name": "alice", "state": "absent"}])
    assert gone.code == 0, gone.output
    assert not stack.root(host, "getent passwd alice", ok=False)
    assert not stack.root(host, "ls /etc/sudoers.d/hypercode-alice", ok=False)
