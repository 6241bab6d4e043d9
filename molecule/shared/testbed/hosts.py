"""The hosts of one test bed: containers that boot systemd, on a network of their own."""

from __future__ import annotations

import ipaddress
import os
import shutil
import time
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path

from . import images
from .shell import TestbedError, docker, run, step

LABEL = "hypercode.testbed"
# "The internet" of the test beds (TEST-NET-2): a quarter for the sandbox, one for a scenario, and one for a second
# scenario beside it. The rest is for the private network of a scenario (neighbours.py) and for the containers on its
# hosts.
RANGES = {
    "sandbox": ("198.51.100.0/26", "2001:db8:51::/64"),
    "molecule": ("198.51.100.128/26", "2001:db8:52::/64"),
    "molecule-2": ("198.51.100.64/26", "2001:db8:54::/64"),
}
# Names the range of the scenario that is run; the first one without it.
RANGE_VARIABLE = "HYPERCODE_TESTBED_RANGE"
REGISTRY_OFFSET = 2
FIRST_HOST_OFFSET = 11
USER = "debian"


@dataclass(frozen=True)
class Bed:
    """One test bed: a name, the folder for its state, and which part of the address range it uses."""

    name: str
    state: Path
    kind: str = "sandbox"
    host_kind: str = "bare"
    molecule_range: str = field(default_factory=lambda: os.environ.get(RANGE_VARIABLE, "molecule"))

    @property
    def range(self) -> str:
        """Which of RANGES it uses."""
        return self.kind if self.kind == "sandbox" else self.molecule_range

    def at(self, offset: int) -> str:
        """The address at a place of its range."""
        return str(ipaddress.ip_network(RANGES[self.range][0])[offset])

    @property
    def network(self) -> str:
        return f"hypercode-{self.name}"

    @property
    def registry(self) -> str:
        """Address of the registry, host:port."""
        return f"{self.at(REGISTRY_OFFSET)}:5000"

    def address(self, index: int) -> str:
        return self.at(FIRST_HOST_OFFSET + index)

    def container(self, host: str) -> str:
        return f"hypercode-{self.name}-{host}"

    @property
    def key(self) -> Path:
        return self.state / "ssh" / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        return self.state / "ssh" / "known_hosts"


def cgroup_words() -> list[str]:
    """Arguments of /sbin/init that make Debian 13's systemd boot on a machine with cgroup v1; none with v2."""
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        return []
    return [
        "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1",
        "systemd.unified_cgroup_hierarchy=0",
        "systemd.legacy_systemd_cgroup_controller=0",
    ]


def make_network(bed: Bed) -> None:
    if docker("network", "ls", "--quiet", "--filter", f"name=^{bed.network}$"):
        return
    v4, v6 = RANGES[bed.range]
    labels = ("--label", f"{LABEL}={bed.name}", "--label", f"{LABEL}.range={bed.range}")
    try:
        docker("network", "create", *labels, "--ipv6", "--subnet", v4, "--subnet", v6, bed.network)
    except TestbedError as error:
        if "overlap" in str(error):
            users = docker("network", "ls", "--filter", f"label={LABEL}", "--format", "{{.Name}}")
            raise TestbedError(
                f"The address range {v4} is taken by another test bed ({users.replace(chr(10), ', ')}). "
                "Take that one down first: ./scripts/sandbox down, or molecule destroy --all."
            ) from error
        raise


def make_key(bed: Bed) -> None:
    bed.key.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not bed.key.exists():
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"hypercode-{bed.name}", "-f", bed.key])


def resolver() -> str:
    """The machine's own resolvers; the outer engine's 127.0.0.11 is of no use to containers inside the hosts."""
    lines = Path("/etc/resolv.conf").read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if line.startswith("nameserver")) + "\n"


def state_of(container: str) -> str:
    """Return 'running', 'exited', … or '' when there is no such container."""
    return docker("inspect", "--format", "{{.State.Status}}", container, check=False)


def make_container(bed: Bed, host: str, index: int, image: str) -> None:
    """Create and boot a host; one that exists is only started."""
    container = bed.container(host)
    state = state_of(container)
    if state and state != "running":
        docker("start", container)
    elif not state:
        docker(
            *f"create --name {container} --hostname {host} --network {bed.network}".split(),
            *f"--ip {bed.address(index)} --label {LABEL}={bed.name}".split(),
            # --privileged would ask for CAP_SYS_RESOURCE, which a nested machine may not hold.
            *"--cap-add ALL --cap-drop SYS_RESOURCE --cgroupns private --tty --env container=docker".split(),
            *"--security-opt seccomp=unconfined --security-opt apparmor=unconfined".split(),
            *"--security-opt systempaths=unconfined --stop-signal SIGRTMIN+3".split(),
            "--device-cgroup-rule",
            "a *:* rwm",
            *"--tmpfs /run:exec --tmpfs /run/lock --tmpfs /tmp:exec".split(),
            *f"--volume {container}-docker:/var/lib/docker".split(),
            image,
            "/sbin/init",
            *cgroup_words(),
        )
        docker("start", container)


def make_host(bed: Bed, host: str, index: int) -> None:
    """Create and boot a host that the user of the test bed may enter."""
    container = bed.container(host)
    make_container(bed, host, index, images.host_image(bed.host_kind))
    # Done again each time: whatever was interrupted before is made good, and a start brings back the outer resolver.
    put_file(container, "/etc/testbed/resolv.conf", resolver())
    docker("exec", container, "cp", "/etc/testbed/resolv.conf", "/etc/resolv.conf")
    key = bed.key.with_suffix(".pub").read_text(encoding="utf-8")
    put_file(container, f"/home/{USER}/.ssh/authorized_keys", key)
    docker("exec", container, "chown", "-R", f"{USER}:{USER}", f"/home/{USER}/.ssh")
    docker("exec", container, "chmod", "0700", f"/home/{USER}/.ssh")


def put_file(container: str, path: str, content: str) -> None:
    folder = path.rpartition("/")[0]
    docker("exec", "--interactive", container, "sh", "-c", f"mkdir -p {folder} && cat > {path}", stdin=content)


def wait_booted(bed: Bed, host: str, timeout: float = 90) -> None:
    """Wait until systemd says that the boot is over and sshd answers a login."""
    container = bed.container(host)
    deadline = time.monotonic() + timeout
    state = ""
    while time.monotonic() < deadline:
        state = docker("exec", container, "systemctl", "is-system-running", check=False)
        if state in {"running", "degraded"} and run([*ssh_words(bed, host), "true"], check=False).returncode == 0:
            return
        time.sleep(0.5)
    tail = docker("logs", "--tail", "10", container, check=False)
    raise TestbedError(f"The host {host} did not boot within {timeout:.0f} s (systemd says '{state}').\n{tail}")


def learn_host_keys(bed: Bed, hosts: list[str]) -> None:
    """Write known_hosts from the keys that the hosts really have, read past the network."""
    lines = []
    for host in hosts:
        address = address_of(bed, host)
        key = ""
        deadline = time.monotonic() + 30
        while not key and time.monotonic() < deadline:
            key = docker("exec", bed.container(host), "cat", "/etc/ssh/ssh_host_ed25519_key.pub", check=False)
            time.sleep(0 if key else 0.3)
        lines.append(f"{address} {' '.join(key.split()[:2])}\n")
    bed.known_hosts.write_text("".join(lines), encoding="utf-8")


def address_of(bed: Bed, host: str) -> str:
    template = f'{{{{(index .NetworkSettings.Networks "{bed.network}").IPAddress}}}}'
    address = docker("inspect", "--format", template, bed.container(host), check=False)
    if not address:
        configured = f'{{{{(index .NetworkSettings.Networks "{bed.network}").IPAMConfig.IPv4Address}}}}'
        address = docker("inspect", "--format", configured, bed.container(host), check=False)
    if not address:
        raise TestbedError(f"There is no host '{host}' in '{bed.name}'. The hosts are: {', '.join(hosts_of(bed))}.")
    return address


def hosts_of(bed: Bed) -> list[str]:
    prefix = f"hypercode-{bed.name}-"
    names = docker(
        "ps", "--all", "--filter", f"label={LABEL}={bed.name}", "--filter", f"name=^{prefix}", "--format", "{{.Names}}"
    ).splitlines()
    neighbours = ("registry", "outsider", "neighbour", "authority")
    return sorted(short for name in names if (short := name.removeprefix(prefix)) not in neighbours)


def ssh_words(bed: Bed, host: str) -> list[str]:
    return [
        *("ssh", "-i", str(bed.key), "-o", f"UserKnownHostsFile={bed.known_hosts}", "-o", "IdentitiesOnly=yes"),
        *("-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=5", "-o", "LogLevel=ERROR", "-o", "BatchMode=yes"),
        f"{USER}@{address_of(bed, host)}",
    ]


def reboot(bed: Bed, host: str) -> None:
    """Reboot a host: an orderly stop of its systemd, then a boot."""
    docker("stop", "--time", "60", bed.container(host))
    docker("start", bed.container(host))
    wait_booted(bed, host)


def up(bed: Bed, hosts: list[str]) -> None:
    make_key(bed)
    images.host_image(bed.host_kind)
    make_network(bed)
    with step(f"Booting {len(hosts)} host{'s' if len(hosts) > 1 else ''}: {', '.join(hosts)}"):
        for index, host in enumerate(hosts):
            make_host(bed, host, index)
        learn_host_keys(bed, hosts)
        for host in hosts:
            wait_booted(bed, host)


def beds(apart_from: str = "") -> dict[str, bool]:
    """Return the test beds that this machine's engine knows, and whether a host of each runs.

    Not those in the range ``apart_from``: somebody else takes care of them.
    """
    network = f'{{{{.Label "{LABEL}"}}}} {{{{.Label "{LABEL}.range"}}}}'
    ranges: dict[str, str] = {}
    for line in docker("network", "ls", *_ours(), "--format", network).splitlines():
        name, _space, part = line.partition(" ")
        # The private network of a bed is in no range.
        ranges[name] = ranges.get(name) or part
    found = dict.fromkeys(ranges, False)
    for line in docker("ps", "--all", *_ours(), "--format", f'{{{{.Label "{LABEL}"}}}} {{{{.State}}}}').splitlines():
        name, _space, state = line.partition(" ")
        found[name] = found.get(name, False) or state == "running"
    return {name: alive for name, alive in found.items() if not apart_from or ranges.get(name) != apart_from}


def _ours() -> tuple[str, str]:
    return "--filter", f"label={LABEL}"


def clear_dead(keep: Container[str] = (), apart_from: str = "") -> list[str]:
    """Remove the beds whose hosts all stand still, as after a run that was cut off; return their names.

    They hold the address range, and nobody works on them any more. Those in the range ``apart_from`` are left alone.
    """
    dead = [name for name, alive in beds(apart_from).items() if not alive and name not in keep]
    for name in dead:
        remove(name)
    return dead


def remove(name: str) -> None:
    """Remove the containers, volumes and networks of a bed. What other checkouts keep of its state stays there."""
    ours = ("--filter", f"label={LABEL}={name}")
    hosts = docker("ps", "--all", *ours, "--format", "{{.Names}}").splitlines()
    if hosts:
        docker("rm", "--force", "--volumes", *hosts)
    known = set(docker("volume", "ls", "--format", "{{.Name}}").splitlines())
    for volume in (f"{host}-docker" for host in hosts if f"{host}-docker" in known):
        docker("volume", "rm", "--force", volume)
    for network in docker("network", "ls", "--quiet", *ours).split():
        docker("network", "rm", network)


def down(bed: Bed) -> None:
    """Remove the containers, volumes and networks of this bed, and its state. The image cache stays."""
    remove(bed.name)
    shutil.rmtree(bed.state, ignore_errors=True)
