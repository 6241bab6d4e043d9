"""The way over SSH, with a program in place of ssh that carries a port as it does."""

from __future__ import annotations

import sys
import urllib.request
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.plugin_utils.load_test.tunnel import Login, TunnelError, tunnel

from .conftest import Orchestrator

CARRY = """
import socket, sys, threading, pathlib
pathlib.Path(sys.argv[0] + ".words").write_text("\\n".join([str(__import__("os").getpid()), *sys.argv[1:]]))
address, local, target, port = sys.argv[sys.argv.index("-L") + 1].split(":")
listener = socket.create_server((address, int(local)))
def carry(a, b):
    while data := a.recv(65536):
        b.sendall(data)
while True:
    one = listener.accept()[0]
    other = socket.create_connection((target, int(port)))
    threading.Thread(target=carry, args=(one, other), daemon=True).start()
    threading.Thread(target=carry, args=(other, one), daemon=True).start()
"""


def program(folder: Path, body: str) -> Path:
    path = folder / "ssh"
    path.write_text(f"#!{sys.executable}\n{body}")
    path.chmod(0o755)
    return path


def test_a_port_of_this_machine_leads_to_the_service(tmp_path: Path, orchestrator: Orchestrator) -> None:
    ssh = program(tmp_path, CARRY)
    login = Login("web1", "ops", 2222, "/keys/id", "-o ControlMaster=auto -o 'UserKnownHostsFile=/a b'", str(ssh))
    with tunnel(login, orchestrator.url.removeprefix("http://")) as port:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            assert answer.status == 200
        pid, *words = (tmp_path / "ssh.words").read_text().splitlines()
        # The first word counts with ssh: nothing of Ansible's own connection is used.
        assert words.index("ControlMaster=no") < words.index("ControlMaster=auto")
        assert "UserKnownHostsFile=/a b" in words
        assert words[words.index("-l") + 1] == "ops"
        assert words[words.index("-p") + 1] == "2222"
        assert words[-1] == "web1"
    # The context waits for the end of ssh: it is gone, and not a zombie either.
    assert not Path(f"/proc/{pid}").exists()


def test_why_there_is_no_tunnel(tmp_path: Path) -> None:
    ssh = program(tmp_path, "import sys; sys.exit('channel 0: open failed: administratively prohibited')")
    with (
        pytest.raises(TunnelError, match=r"no tunnel to web1: .*administratively prohibited\. Fix: .*load_test_url"),
        tunnel(Login("web1", program=str(ssh)), "198.51.100.1:8080"),
    ):
        pass


def test_no_ssh_at_all(tmp_path: Path) -> None:
    login = Login("web1", program=str(tmp_path / "missing"))
    with pytest.raises(TunnelError, match=r"Fix: install OpenSSH"), tunnel(login, "198.51.100.1:8080"):
        pass
