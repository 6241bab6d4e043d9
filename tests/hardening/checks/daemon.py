"""Settings of the Docker engine."""

from __future__ import annotations

from ..facts import Facts
from ..points import MET, Point, Verdict, met_if, met_unless, not_applicable

GROUP = "The engine"


def options(facts: Facts) -> list[str]:
    """Return the engine's security options, such as 'name=seccomp,profile=builtin'."""
    return list(facts.info.get("SecurityOptions") or [])


def has(name: str, facts: Facts) -> bool:
    return any(option.split(",")[0] == f"name={name}" for option in options(facts))


def default_bridge(facts: Facts) -> Verdict:
    for network in facts.document("networks"):
        if network["Name"] == "bridge":
            open_ = network["Options"].get("com.docker.network.bridge.enable_icc", "true") != "false"
            return met_if(not open_, "they reach each other")
    return not_applicable("The engine has no default network.")


def insecure(facts: Facts) -> Verdict:
    registries = facts.info["RegistryConfig"]
    loopback = ("127.0.0.0/8", "::1/128")
    found = [network for network in registries["InsecureRegistryCIDRs"] or [] if network not in loopback]
    found += [name for name, index in (registries["IndexConfigs"] or {}).items() if not index["Secure"]]
    return met_unless(found)


def network_sockets(facts: Facts) -> list[str]:
    """Return the addresses of a network at which the engine listens."""
    hosts = facts.daemon.get("hosts") or []
    words = facts.text("dockerd").split()
    named = [words[n + 1] for n, word in enumerate(words[:-1]) if word in {"-H", "--host"}]
    return [host for host in [*([hosts] if isinstance(hosts, str) else hosts), *named] if host.startswith("tcp:")]


def tls(facts: Facts) -> Verdict:
    if not network_sockets(facts):
        return not_applicable("The engine listens at no address of a network.")
    return met_if(facts.daemon.get("tlsverify") is True, *network_sockets(facts))


def ulimits(facts: Facts) -> Verdict:
    return met_if(bool(facts.daemon.get("default-ulimits")), "none set")


def logging(facts: Facts) -> Verdict:
    away = {"syslog", "fluentd", "gelf", "splunk", "awslogs", "gcplogs", "journald"}
    driver = str(facts.info["LoggingDriver"])
    return met_if(driver in away, driver)


def rotation(facts: Facts) -> Verdict:
    driver = str(facts.info["LoggingDriver"])
    settings = facts.daemon.get("log-opts") or {}
    return met_if(driver in {"local", "journald"} or "max-size" in settings, f"{driver} grows without end")


def seccomp(facts: Facts) -> Verdict:
    profiles = [option for option in options(facts) if option.startswith("name=seccomp")]
    return met_if(bool(profiles) and not any("unconfined" in profile for profile in profiles), "not confined")


def apparmor(facts: Facts) -> Verdict:
    if facts.is_container:
        return not_applicable("A test host is a container, in which AppArmor cannot be had. Debian's kernel has it on.")
    return met_if(has("apparmor", facts), "the engine does not use it")


POINTS = (
    Point(
        "docker-2.1", GROUP, "The engine does not run as root", lambda f: met_if(has("rootless", f), "it runs as root")
    ),
    Point("docker-2.2", GROUP, "Containers on the default network do not reach each other", default_bridge),
    Point(
        "docker-2.3",
        GROUP,
        "The engine logs what matters, and no more",
        lambda f: met_if(f.daemon.get("log-level", "info") == "info", f"log-level {f.daemon.get('log-level')}"),
    ),
    Point(
        "docker-2.4",
        GROUP,
        "The engine keeps its own firewall rules",
        lambda f: met_if(f.daemon.get("iptables", True) is True, "it does not"),
    ),
    Point("docker-2.5", GROUP, "Registries are only reached with a valid certificate", insecure),
    Point(
        "docker-2.6",
        GROUP,
        "The storage driver is one that is maintained",
        lambda f: met_if(f.info["Driver"] in {"overlay2", "overlayfs", "btrfs", "zfs"}, f.info["Driver"]),
    ),
    Point("docker-2.7", GROUP, "Who commands the engine over a network shows a certificate", tls),
    Point(
        "own-engine-socket",
        GROUP,
        "The engine listens at no address of a network",
        lambda f: met_unless(network_sockets(f)),
    ),
    Point("docker-2.8", GROUP, "Containers have limits of open files and processes by default", ulimits),
    Point(
        "docker-2.9",
        GROUP,
        "root in a container is nobody on the host",
        lambda f: met_if(has("userns", f), "not mapped"),
    ),
    Point(
        "docker-2.10",
        GROUP,
        "Containers are in the usual control group",
        lambda f: met_unless([f.daemon["cgroup-parent"]] if f.daemon.get("cgroup-parent") else []),
    ),
    Point(
        "docker-2.12",
        GROUP,
        "Each command to the engine is asked for its right",
        lambda f: met_if(bool(f.daemon.get("authorization-plugins")), "no such plugin"),
    ),
    Point("docker-2.13", GROUP, "Logs of containers leave the host", logging),
    Point("own-engine-logs", GROUP, "Logs of containers have a limit of size", rotation),
    Point(
        "docker-2.14",
        GROUP,
        "No container gains rights by default",
        lambda f: met_if(f.daemon.get("no-new-privileges") is True, "not set"),
    ),
    Point(
        "docker-2.15",
        GROUP,
        "Containers run on while the engine restarts",
        lambda f: met_if(f.info["LiveRestoreEnabled"] is True, "they stop"),
    ),
    Point(
        "docker-2.16",
        GROUP,
        "No program passes on published ports",
        lambda f: met_if(f.daemon.get("userland-proxy") is False, "docker-proxy does"),
    ),
    Point("docker-2.17", GROUP, "System calls of containers are confined by default", seccomp),
    Point("own-engine-apparmor", GROUP, "AppArmor confines containers by default", apparmor),
    Point(
        "docker-2.18",
        GROUP,
        "No experimental features",
        lambda f: met_if(f.info["ExperimentalBuild"] is False, "they are on"),
    ),
    Point(
        "docker-5.1",
        GROUP,
        "Swarm mode is off where it is not used",
        lambda f: (
            MET if f.info["Swarm"]["LocalNodeState"] == "inactive" else met_unless([f.info["Swarm"]["LocalNodeState"]])
        ),
    ),
)
