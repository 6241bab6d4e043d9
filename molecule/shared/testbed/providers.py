"""Servers as providers hand them out: no Python, root or a sudo user to log in with, passwords on, as with cloud-init.

They are made for scripts/onboard, which has to find out all of this by itself. Nothing of them is in an inventory.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from . import engine, hosts, images
from .hosts import Bed
from .shell import TestbedError, docker, fail, step

PACKAGES_LEFT_OUT = "python3 python3-minimal python3-apt python3.13 python3.13-minimal libpython3-stdlib"
# What cloud-init writes where a password was asked for. sshd takes the first value that it reads, so this one counts.
CLOUD_INIT = "PasswordAuthentication yes\n"
LINES = (
    f"RUN apt-get purge -y -qq {PACKAGES_LEFT_OUT} && apt-get autoremove -y -qq --purge && rm -f /usr/bin/python"
    " && rm -f /etc/sudoers.d/debian && userdel --remove debian"
    " && rm -rf /var/lib/apt/lists/*",
    f"RUN printf '{CLOUD_INIT.strip()}\\n' > /etc/ssh/sshd_config.d/50-cloud-init.conf",
)


@dataclass(frozen=True)
class Login:
    """How a provider lets its customer in: as whom, by what, and whether sudo asks for the password."""

    user: str = "root"
    by_key: bool = False
    by_password: bool = True
    sudo_asks: bool = True


def image() -> str:
    """Make the image: the bare host without Python and without a user."""
    base = images.host_image("bare")
    name = f"{images.PREFIX}/host-provider:{images.digest_of(base, LINES)}"
    return images.made(name, "a server as a provider gives it", base, LINES)


def in_host(bed: Bed, host: str, script: str) -> str:
    """Run a script as root past the network, as through a provider's console; return what it printed."""
    return docker("exec", "--interactive", bed.container(host), "sh", "-eu", stdin=script)


def password_of(bed: Bed, host: str) -> str:
    """The password that the provider made for a host."""
    path = bed.state / "passwords" / host
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        # What quotes badly: it has to pass through shells, files and prompts unharmed.
        path.write_text(f"{secrets.token_urlsafe(9)} '\"$x\\{secrets.token_urlsafe(6)}", encoding="utf-8")
    return path.read_text(encoding="utf-8")


def up(bed: Bed, wanted: dict[str, Login]) -> None:
    """Boot hosts, and let each be entered in its own way only."""
    hosts.make_key(bed)
    hosts.make_network(bed)
    with step(f"Booting {len(wanted)} servers: {', '.join(wanted)}"):
        for index, (host, login) in enumerate(wanted.items()):
            hosts.make_container(bed, host, index, image())
            prepare(bed, host, login)
        for host in wanted:
            wait_booted(bed, host)
        hosts.learn_host_keys(bed, list(wanted))


def prepare(bed: Bed, host: str, login: Login) -> None:
    """Make the login of a host."""
    container = bed.container(host)
    hosts.put_file(container, "/etc/testbed/resolv.conf", hosts.resolver())
    home = "/root" if login.user == "root" else f"/home/{login.user}"
    lines = ["cat /etc/testbed/resolv.conf > /etc/resolv.conf"]
    if login.user == "root":
        # Small images of Debian have no sudo either.
        lines += ["echo 'PermitRootLogin yes' > /etc/ssh/sshd_config.d/60-provider.conf"]
        lines += ["SUDO_FORCE_REMOVE=yes dpkg --purge sudo > /dev/null"]
        # So many logins are refused here that sshd would keep the tests out; the other hosts stay as they are shipped.
        lines += ["echo 'PerSourcePenalties no' > /etc/ssh/sshd_config.d/70-testbed.conf"]
    else:
        asks = "" if login.sudo_asks else "NOPASSWD: "
        lines += [
            f"id {login.user} > /dev/null 2>&1 || useradd --create-home --shell /bin/bash {login.user}",
            f"echo '{login.user} ALL=(ALL) {asks}ALL' > /etc/sudoers.d/90-cloud-init-users",
        ]
    if login.by_key:
        key = bed.key.with_suffix(".pub").read_text(encoding="utf-8").strip()
        lines += [f"mkdir -p -m 0700 {home}/.ssh", f"echo '{key}' > {home}/.ssh/authorized_keys"]
        lines += [f"chown -R {login.user}: {home}/.ssh"]
    in_host(bed, host, "\n".join([*lines, ""]))
    if login.by_password:
        docker("exec", "--interactive", container, "chpasswd", stdin=f"{login.user}:{password_of(bed, host)}\n")


def wait_booted(bed: Bed, host: str, timeout: float = 90) -> None:
    """Wait until systemd says that the boot is over; nobody can log in to look."""
    deadline = time.monotonic() + timeout
    state = ""
    while time.monotonic() < deadline:
        state = docker("exec", bed.container(host), "systemctl", "is-system-running", check=False)
        if state in {"running", "degraded"}:
            return
        time.sleep(0.5)
    raise TestbedError(f"The server {host} did not boot within {timeout:.0f} s (systemd says '{state}').")


def main() -> int:
    """For molecule's create: `python -m testbed.providers --name BED --server NAME=USER:password …`."""
    parser = argparse.ArgumentParser(prog="testbed.providers", description=__doc__)
    parser.add_argument("--name", required=True, help="name of the bed, such as molecule-onboard")
    parser.add_argument("--server", action="append", default=[], help="NAME=USER:key or NAME=USER:password")
    arguments = parser.parse_args()
    wanted = {}
    for text in arguments.server:
        name, _equals, rest = text.partition("=")
        user, _colon, way = rest.partition(":")
        wanted[name] = Login(user, by_key=way == "key", by_password=way == "password")
    try:
        engine.install_tools()
        engine.start()
        up(bed_of(arguments.name), wanted)
    except TestbedError as error:
        fail(str(error))
        return 1
    return 0


def bed_of(name: str) -> Bed:
    """The bed of a scenario, where molecule's destroy looks for it."""
    return Bed(name, Path(__file__).resolve().parents[3] / ".cache" / "testbed" / name, "molecule", "provider")


if __name__ == "__main__":
    sys.exit(main())
