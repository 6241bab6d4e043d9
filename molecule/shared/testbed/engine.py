"""A Docker engine for the machine that carries the test hosts: used, started or installed, in this order."""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from .shell import TestbedError, docker, run, step

# What the test bed needs from Debian or Ubuntu, as command -> package.
TOOLS = {
    "dockerd": "docker.io",
    "iptables": "iptables",
    "mmdebstrap": "mmdebstrap",
    "ssh": "openssh-client",
    "git": "git",
    "openssl": "openssl",
}
LOG = Path("/var/log/hypercode-testbed-dockerd.log")
# Written only when this code started the engine: nobody else's engine is ever stopped.
PID_FILE = Path("/run/hypercode-testbed-dockerd.pid")
# Who needs the engine has a shared lock on the first; the second says that it was started for one of them.
USERS = Path("/run/hypercode-testbed-dockerd.users")
BORROWED = Path("/run/hypercode-testbed-dockerd.borrowed")
INSTALLING = Path("/run/hypercode-testbed-install.lock")
STARTING = Path("/run/hypercode-testbed-start.lock")
SYSTEMD = Path("/run/systemd/system")


def is_running() -> bool:
    if not shutil.which("docker"):
        return False
    return run(["docker", "info", "--format", "{{.ServerVersion}}"], check=False, timeout=30).returncode == 0


def install_tools() -> None:
    """Install what is missing. An engine that already answers is used as it is."""
    missing = sorted(
        {
            package
            for command, package in TOOLS.items()
            if not shutil.which(command) and not (command == "dockerd" and is_running())
        }
        | (set() if shutil.which("docker") else {"docker.io"})
    )
    install(missing)


def install(missing: Sequence[str]) -> None:
    """Install Debian packages."""
    if not missing:
        return
    if os.geteuid() != 0:
        raise TestbedError(f"These packages are missing: {' '.join(missing)}. Run this as root, or install them first.")
    if not shutil.which("apt-get"):
        raise TestbedError(f"No apt-get here. Install {' '.join(missing)} yourself, then run the same command again.")
    # In this runlevel a package does not start what it brings: the machine needs no sshd of ours.
    env = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    # Two parts of the tests may begin at once.
    with step(f"Installing {', '.join(missing)}"), INSTALLING.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run(["apt-get", "update", "-qq"], env=env)
        run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], env=env)


def install_from(suite: str, package: str) -> None:
    """Install a package of another release of Debian, from the machine's own mirror.

    Its list of sources stays as it is. A machine that is no Debian gets the one of its own release.
    """
    release = platform.freedesktop_os_release()
    own = release.get("VERSION_CODENAME", "")
    if os.geteuid() != 0 or release["ID"] != "debian" or own == suite:
        install([package])
        return
    listed = run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"])
    mirrors = [line.split()[0] for line in listed.stdout.splitlines() if line.split()[1:] == [own, "main"]]
    if not mirrors:
        raise TestbedError(
            f"The machine's list of sources has no mirror. Install {package} of Debian {suite} yourself."
        )
    with tempfile.TemporaryDirectory() as folder:
        # Who fetches is another user.
        Path(folder).chmod(0o755)
        lists, sources = Path(folder) / "lists", Path(folder) / "sources.list"
        (lists / "partial").mkdir(parents=True)
        sources.write_text(f"deb {mirrors[0]} {suite} main\n")
        settings = {"Dir::Etc::SourceList": sources, "Dir::Etc::SourceParts": os.devnull, "Dir::State::Lists": lists}
        options = [f"-o{name}={value}" for name, value in settings.items()]
        # The cache of what there is belongs to the machine's own sources.
        options += ["-oDir::Cache::pkgcache=", "-oDir::Cache::srcpkgcache=", "-qq"]
        with step(f"Fetching {package} of Debian {suite}"):
            run(["apt-get", *options, "update"])
            run(["apt-get", *options, "download", package], cwd=Path(folder))
        install([str(path) for path in Path(folder).glob("*.deb")])


def start() -> None:
    """Make sure that a Docker engine answers."""
    if is_running():
        return
    if os.geteuid() != 0:
        raise TestbedError("No Docker engine answers. Start one (systemctl start docker), or run this as root.")
    # Two lanes may begin at once.
    with STARTING.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_running():
            _start()


def _start() -> None:
    with step("Starting a Docker engine"):
        if SYSTEMD.is_dir():
            run(["systemctl", "start", "docker.service"])
        else:
            # Its own session: the engine outlives this command and its terminal.
            with LOG.open("ab") as log:
                process = subprocess.Popen(
                    ["dockerd"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
            PID_FILE.write_text(f"{process.pid}\n")
        deadline = time.monotonic() + 60
        while not is_running():
            if time.monotonic() > deadline:
                tail = "\n".join(LOG.read_text(errors="replace").splitlines()[-5:]) if LOG.exists() else ""
                raise TestbedError(f"The Docker engine did not answer within 60 s. Its log, {LOG}, ends:\n{tail}")
            time.sleep(0.5)


@contextlib.contextmanager
def borrowed() -> Iterator[None]:
    """Have an engine that nobody stops meanwhile. One that was started for it is stopped by the last who had it."""
    with _users().open("a") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        if not is_running():
            BORROWED.touch()
        start()
        try:
            yield
        finally:
            fcntl.flock(users, fcntl.LOCK_UN)
            if BORROWED.exists():
                stop_if_ours()


def _users() -> Path:
    """The file with the lock; where /run is not ours, the engine is not either."""
    return USERS if os.access(USERS.parent, os.W_OK) else Path(os.devnull)


def stop_if_ours() -> None:
    """Stop the engine when this code started it, nothing runs on it any more, and nobody holds it."""
    if not PID_FILE.exists() or not is_running() or docker("ps", "--all", "--quiet"):
        return
    with _users().open("a") as users:
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        _stop()
        BORROWED.unlink(missing_ok=True)


def _stop() -> None:
    pid = int(PID_FILE.read_text())
    command = Path(f"/proc/{pid}/cmdline")
    if not command.exists() or b"dockerd" not in command.read_bytes():
        PID_FILE.unlink()
        return
    with step("Stopping the Docker engine that was started for this"):
        os.kill(pid, 15)
        deadline = time.monotonic() + 30
        while command.exists() and command.read_bytes() and time.monotonic() < deadline:
            time.sleep(0.2)
    PID_FILE.unlink(missing_ok=True)
