"""playbooks/diagnose.yml in real runs against this machine, whose hosts are folders with a stack full of canaries."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.diagnosed_host import CANARIES, STARTER, DiagnosedHost, leaks, unpack

pytestmark = pytest.mark.playbook

REPOSITORY = Path(__file__).resolve().parents[3]
# web2 is away: nothing listens there.
HOSTS = """
hypercode:
  vars: {ansible_become: false, ansible_python_interpreter: "{{ ansible_playbook_python }}"}
  hosts:
    web1: {ansible_connection: local}
    web2: {ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 1}
    web3: {ansible_connection: local}
"""


@pytest.fixture
def host(tmp_path: Path) -> DiagnosedHost:
    """A host whose command `hypercode` is the one of this repository."""
    made = DiagnosedHost(tmp_path)
    (tmp_path / "start.py").write_text(STARTER)
    command = tmp_path / "bin" / "hypercode"
    command.parent.mkdir()
    command.write_text(
        f"#!/bin/sh\nPYTHONPATH={REPOSITORY}/collections exec {sys.executable} {tmp_path}/start.py "
        f'{made.root} "{made.programs}:$PATH" "$@"\n'
    )
    command.chmod(0o755)
    (tmp_path / "hosts.yml").write_text(HOSTS)
    return made


def play(host: DiagnosedHost, *words: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(str(Path(sys.executable).with_name("ansible-playbook")), f"{REPOSITORY}/playbooks/diagnose.yml"),
            *("-i", f"{host.folder}/hosts.yml", *words),
        ],
        cwd=folder or host.folder,
        env={
            **os.environ,
            "CI": "true",
            "PATH": f"{host.folder}/bin:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_each_bundle_comes_here_and_one_that_is_away_stops_nobody(host: DiagnosedHost) -> None:
    # One after the other: both are the same machine, and a bundle is called by the second in which it was made.
    done = play(host, "--forks", "1", "-vvv")
    assert done.returncode == 4, done.stdout
    folder = host.folder / "diagnose"
    assert folder.stat().st_mode & 0o777 == 0o700
    files = sorted(folder.iterdir())
    assert [path.name.partition("-")[0] for path in files] == ["web1", "web3"]
    for path in files:
        assert path.stat().st_mode & 0o777 == 0o600
        name = path.name.partition("-")[0]
        assert f"{name}: {path} (not whole: " in done.stdout
        assert "README.md" in unpack(path)
    assert "look through it before you give it away" in done.stdout
    # Nothing stays on the host, and nothing was told on the way.
    assert list((host.root / "var/lib/hypercode/diagnose").iterdir()) == []
    for value in CANARIES.values():
        assert leaks(done.stdout + done.stderr, value) == []


def test_without_docker_into_a_folder_of_ones_own(host: DiagnosedHost) -> None:
    (host.programs / "docker-away").touch()
    folder = host.folder / "mine"
    folder.mkdir(mode=0o755)
    words = ("--limit", "web1", "-e", "diagnose_folder=mine", "-e", "diagnose_keep=true", "-e", "diagnose_since=90m")
    done = play(host, *words)
    assert done.returncode == 0, done.stdout
    (path,) = folder.iterdir()
    # The mode of a folder that was there is the operator's business; of the file it is not.
    assert (folder.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o755, 0o600)
    assert "Docker" in unpack(path)["README.md"]
    assert len(list((host.root / "var/lib/hypercode/diagnose").iterdir())) == 1


def test_a_host_without_the_command_is_told_what_brings_it(host: DiagnosedHost) -> None:
    (host.folder / "bin/hypercode").unlink()
    done = play(host, "--limit", "web1")
    assert done.returncode == 2, done.stdout
    assert "Fix: run site.yml for this host; it brings the command." in done.stdout
    assert not (host.folder / "diagnose").exists()


def test_a_wrong_span_is_told_in_words(host: DiagnosedHost) -> None:
    done = play(host, "--limit", "web1", "-e", "diagnose_since=yesterday")
    assert done.returncode == 2, done.stdout
    assert "Write it like 90m, 24h or 7d" in done.stdout


def test_a_folder_that_cannot_be_written_leaves_the_bundle_where_it_is(host: DiagnosedHost) -> None:
    (host.folder / "taken").write_text("a file")
    done = play(host, "--limit", "web1", "-e", "diagnose_folder=taken/below")
    assert done.returncode == 2, done.stdout
    (kept,) = (host.root / "var/lib/hypercode/diagnose").iterdir()
    assert f"It stays there, in {kept}" in " ".join(done.stdout.split())


def test_check_mode_collects_nothing(host: DiagnosedHost) -> None:
    done = play(host, "--check", "--limit", "web1")
    assert done.returncode == 0, done.stdout
    assert not (host.root / "var/lib/hypercode/diagnose").exists()
    assert not (host.folder / "diagnose").exists()
