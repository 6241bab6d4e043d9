# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules about ways out of a container: the engine's socket, privileges, the host's namespaces and folders."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from .rule import ERROR, WARNING, AuditRule, Example, Hit
from .view import View

_SOCKET = re.compile(r"(docker|podman|containerd|crio|dockershim|docker-.*)\.sock")
_SOCKET_FOLDERS = ("/", "/var", "/var/run", "/run", "/run/docker", "/run/containerd", "/run/podman")
_CAPABILITIES = frozenset(
    "ALL BPF DAC_READ_SEARCH MAC_ADMIN MAC_OVERRIDE NET_ADMIN PERFMON SYS_ADMIN SYS_BOOT SYS_MODULE SYS_PTRACE"
    " SYS_RAWIO SYS_TIME SYSLOG".split()
)
_NAMESPACES = {
    "pid": "processes",
    "ipc": "shared memory",
    "userns_mode": "users",
    "uts": "host name",
    "cgroup": "cgroups",
}
_RAW_DEVICE = re.compile(
    r"/dev(/(mem|kmem|port|kmsg|sd\w+|nvme\w+|vd\w+|xvd\w+|hd[a-z]\w*|dm-\d+|mapper(/.*)?|disk(/.*)?))?"
)
_UNCONFINED = re.compile(r"(seccomp|apparmor|systempaths)[:=]unconfined|label[:=]disable|no-new-privileges[:=]false")
# These and all below them. Of /etc only what opens doors: /etc/localtime and certificates are mounted everywhere.
_TREES = ("/root", "/proc", "/sys", "/boot", "/var/lib/docker", "/var/lib/containerd", "/var/lib/kubelet")
_ETC = tuple(
    f"/etc/{name}" for name in "shadow gshadow passwd group sudoers sudoers.d ssh ssl/private pam.d cron.d".split()
)
_FOLDERS = ("/", "/etc", "/home", "/usr", "/bin", "/sbin", "/lib", "/lib64", "/var", "/var/run", "/run", "/dev", "/opt")
_HOME = re.compile(r"/home/[^/]+(/\.(ssh|aws|kube|gnupg|docker|config)(/.*)?)?")


def _socket(view: View) -> Iterator[Hit]:
    for name in view.services:
        for mount in view.mounts(name):
            source = _normal(mount.source)
            if mount.kind != "bind" or mount.relative is not None:
                continue
            if _SOCKET.fullmatch(posixpath.basename(source)) or source in _SOCKET_FOLDERS:
                how = "" if source.endswith(".sock") else ", and the Docker socket with it"
                message = (
                    f"{name} mounts {source}{how}: who gets into {name} controls the whole host, read-only or not."
                )
                yield Hit(name, message, mount.path(name))


def _privileged(view: View) -> Iterator[Hit]:
    for name, service in view.services.items():
        if service.get("privileged") is True:
            message = f"{name} is privileged: it can do on the host whatever root can."
            yield Hit(name, message, f"services.{name}.privileged")


def _host_network(view: View) -> Iterator[Hit]:
    for name, service in view.services.items():
        if service.get("network_mode") == "host":
            message = (
                f"{name} uses the host's network: each port it opens is one of the host, and it reaches localhost."
            )
            yield Hit(name, message, f"services.{name}.network_mode")


def _host_namespace(view: View) -> Iterator[Hit]:
    for name, service in view.services.items():
        for key, words in _NAMESPACES.items():
            if service.get(key) == "host":
                yield Hit(name, f"{name} shares the host's {words} ({key}: host).", f"services.{name}.{key}")


def _capability(view: View) -> Iterator[Hit]:
    for name, service in view.services.items():
        for index, item in enumerate(service.get("cap_add") or []):
            capability = str(item).upper().removeprefix("CAP_")
            if capability in _CAPABILITIES:
                message = f"{name} has the capability {capability}, which opens a way to the host."
                yield Hit(name, message, f"services.{name}.cap_add[{index}]")


def _devices(view: View) -> Iterator[tuple[str, str, str, bool]]:
    for name, service in view.services.items():
        for index, item in enumerate(service.get("devices") or []):
            source = str(item.get("source") if isinstance(item, dict) else item).partition(":")[0]
            raw = _RAW_DEVICE.fullmatch(source) is not None
            yield name, source, f"services.{name}.devices[{index}]", raw


def _device(view: View) -> Iterator[Hit]:
    for name, source, path, raw in _devices(view):
        if not raw and source.startswith("/"):
            yield Hit(name, f"{name} uses the device {source} of the host.", path)


def _raw_device(view: View) -> Iterator[Hit]:
    for name, source, path, raw in _devices(view):
        if raw:
            yield Hit(
                name, f"{name} gets {source}: with it all of the host's disk or memory can be read and written.", path
            )


def _unconfined(view: View) -> Iterator[Hit]:
    for name, service in view.services.items():
        for index, item in enumerate(service.get("security_opt") or []):
            if _UNCONFINED.fullmatch(str(item).replace(" ", "").lower()):
                message = f"{name} switches a protection off: {item}."
                yield Hit(name, message, f"services.{name}.security_opt[{index}]")


def _host_path(view: View) -> Iterator[Hit]:
    for name in view.services:
        for mount in view.mounts(name):
            source = _normal(mount.source)
            if mount.kind == "bind" and mount.relative is None and _sensitive(source):
                yield Hit(name, f"{name} mounts {source} of the host.", mount.path(name))


def _sensitive(path: str) -> bool:
    below = any(path == tree or path.startswith(f"{tree}/") for tree in (*_TREES, *_ETC))
    return below or path in _FOLDERS or _HOME.fullmatch(path) is not None


def _normal(path: str) -> str:
    # normpath keeps two slashes at the beginning.
    return "/" + posixpath.normpath(path).lstrip("/") if path.startswith("/") else path


def _root(view: View) -> Iterator[Hit]:
    for name, service in view.services.items():
        user = str(service.get("user") if service.get("user") is not None else "").partition(":")[0]
        dropped = "ALL" in {str(item).upper() for item in service.get("cap_drop") or []}
        if user in ("root", "0") and not dropped:
            message = f"{name} runs as root with all of Docker's usual capabilities."
            yield Hit(name, message, f"services.{name}.user")


def _web(line: str) -> Example:
    return Example(f'services:\n  web:\n    image: "web:1"\n    {line}\n')


RULES = (
    AuditRule(
        "docker-socket",
        ERROR,
        "A service has the socket of the container engine, or a folder with the socket in it.",
        "Who can speak to it can start a container with the host's whole disk. Mounting it read-only changes nothing.",
        "remove the mount. What needs to know of containers gets it from a proxy that allows single questions only.",
        bad=_web('volumes: ["/var/run/docker.sock:/var/run/docker.sock:ro"]'),
        good=_web('volumes: ["data:/data"]\nvolumes: {data: {}}'),
        check=_socket,
    ),
    AuditRule(
        "privileged",
        ERROR,
        "A service is privileged.",
        "The container is no boundary any more: it sees all devices and can load code into the kernel.",
        "remove privileged, and add the one capability or device that is needed.",
        bad=_web("privileged: true"),
        good=_web("cap_drop: [ALL]"),
        check=_privileged,
    ),
    AuditRule(
        "host-network",
        ERROR,
        "A service uses the network of the host.",
        "Nothing separates it from programs that trust localhost, and its ports are open without being published.",
        "remove network_mode: host, and publish single ports on 127.0.0.1.",
        bad=_web("network_mode: host"),
        good=_web("networks: [back]\nnetworks: {back: {}}"),
        check=_host_network,
    ),
    AuditRule(
        "host-namespace",
        ERROR,
        "A service shares processes, memory or users with the host.",
        "It can see, stop or read what runs beside it on the host.",
        "remove the line.",
        bad=_web("pid: host"),
        good=_web("init: true"),
        check=_host_namespace,
    ),
    AuditRule(
        "capability-dangerous",
        ERROR,
        "A service has a capability that opens a way to the host.",
        "With SYS_ADMIN, SYS_PTRACE, SYS_MODULE and the like a fault in the service becomes a fault of the host.",
        "remove it from cap_add; NET_BIND_SERVICE, CHOWN, SETUID and SETGID are mostly enough.",
        bad=_web("cap_add: [SYS_ADMIN]"),
        good=_web("cap_add: [NET_BIND_SERVICE]"),
        check=_capability,
    ),
    AuditRule(
        "host-device-raw",
        ERROR,
        "A service gets a disk or the memory of the host.",
        "It can read and write everything there, past all permissions.",
        "mount a folder or a volume in its place.",
        bad=_web('devices: ["/dev/sda:/dev/sda"]'),
        good=_web('volumes: ["data:/data"]\nvolumes: {data: {}}'),
        check=_raw_device,
    ),
    AuditRule(
        "host-device",
        WARNING,
        "A service uses a device of the host.",
        "It does not start on a host without that device, and the device's driver is within its reach.",
        "keep it if the service needs it, and ignore this rule with that reason.",
        bad=_web('devices: ["/dev/dri:/dev/dri"]'),
        good=_web("init: true"),
        check=_device,
    ),
    AuditRule(
        "confinement-off",
        ERROR,
        "A service switches seccomp, AppArmor, SELinux or no-new-privileges off.",
        "These stop most known ways out of a container.",
        "remove the line from security_opt.",
        bad=_web('security_opt: ["seccomp:unconfined"]'),
        good=_web('security_opt: ["no-new-privileges:true"]'),
        check=_unconfined,
    ),
    AuditRule(
        "host-path-sensitive",
        ERROR,
        "A service mounts a folder of the host that holds its keys, its programs or everyone's data.",
        "Who gets into the service can read passwords and keys there, or change what the host runs.",
        "mount a folder of its own below /srv or /opt, or a named volume.",
        bad=_web('volumes: ["/etc:/host/etc:ro"]'),
        good=_web('volumes: ["/srv/web:/data", "/etc/localtime:/etc/localtime:ro"]'),
        check=_host_path,
    ),
    AuditRule(
        "runs-as-root",
        WARNING,
        "A service is told to run as root and keeps its capabilities.",
        "A fault in the service is then worth more to whoever finds it.",
        "give it a user of its own, or add cap_drop: [ALL].",
        bad=_web("user: root"),
        good=_web('user: "1000:1000"'),
        check=_root,
    ),
)
