"""Each point can be met and can fail; what cannot be read is never met."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hardening.checks import POINTS, containers, firewall, kernel, sshd
from hardening.examine import judge
from hardening.facts import Facts
from hardening.points import Point, State

BY_ID = {point.id: point for point in POINTS}
IDS = [point.id for point in POINTS]


def verdict(point: str, facts: Facts) -> tuple[State, tuple[str, ...]]:
    judged = judge(BY_ID[point], facts).verdict
    return judged.state, judged.where


def test_ids_and_titles_are_given_once() -> None:
    assert len(set(IDS)) == len(IDS)
    titles = [(point.group, point.title) for point in POINTS]
    assert len(set(titles)) == len(titles)


# Points that nothing on a host shows: they are declared.
DECLARED = {"debian-1.1.1.6", "docker-4.2", "docker-4.4", "docker-4.5", "docker-4.8"}


@pytest.mark.parametrize("point", POINTS, ids=IDS)
def test_a_host_that_says_nothing_meets_nothing(point: Point) -> None:
    state = judge(point, Facts({}, {})).verdict.state
    assert state is (State.NOT_MET if point.id in DECLARED else state)
    assert state is not State.MET


SHIPPED = "".join(
    f"{line}\n" for line in ("permitrootlogin without-password", "maxauthtries 6", "maxstartups 10:30:100")
)
HARDENED = "".join(f"{line}\n" for line in ("permitrootlogin no", "maxauthtries 3", "maxstartups 10:30:60"))


@pytest.mark.parametrize("point", ["debian-5.1.20", "debian-5.1.16", "debian-5.1.18"])
def test_sshd(answers: Any, point: str) -> None:
    assert verdict(point, answers(sshd=SHIPPED))[0] is State.NOT_MET
    assert verdict(point, answers(sshd=HARDENED)) == (State.MET, ())


def test_weak_and_old_algorithms_are_named(answers: Any) -> None:
    facts = answers(
        sshd="macs hmac-sha2-256-etm@openssh.com,hmac-sha1\nkexalgorithms curve25519-sha256\nciphers aes256-ctr\n"
    )
    assert verdict("debian-5.1.15", facts) == (State.NOT_MET, ("hmac-sha1",))
    assert verdict("own-ssh-modern", facts)[0] is State.UNKNOWN
    assert sshd.without("ciphers", ("-cbc",), facts).state is State.MET


def test_settings_of_the_kernel(answers: Any) -> None:
    facts = answers(virtualization="kvm", sysctl="kernel.dmesg_restrict = 0\nnet.ipv4.tcp_syncookies = 1\n")
    assert verdict("own-kernel-log", facts) == (State.NOT_MET, ("kernel.dmesg_restrict = 0",))
    assert verdict("debian-3.3.10", facts)[0] is State.MET
    assert verdict("debian-1.5.1", facts)[0] is State.UNKNOWN


def test_a_container_is_judged_by_what_a_server_would_set(answers: Any) -> None:
    """The live value is that of the machine below: neither good nor bad counts."""

    def host(config: str, **promised: str) -> Facts:
        made = answers(virtualization="docker", sysctl="kernel.dmesg_restrict = 1\n", sysctl_config=config)
        return Facts(made.parts, {key.replace("__", "."): value for key, value in promised.items()})

    assert verdict("own-kernel-log", host("# /etc/sysctl.d/a.conf")) == (
        State.NOT_MET,
        ("kernel.dmesg_restrict is not set",),
    )
    assert verdict("own-kernel-log", host("-kernel/dmesg_restrict=1"))[0] is State.NOT_APPLICABLE
    assert verdict("own-kernel-log", host("#", kernel__dmesg_restrict="1"))[0] is State.NOT_APPLICABLE
    wrong = host("kernel.dmesg_restrict = 1", kernel__dmesg_restrict="0")
    assert verdict("own-kernel-log", wrong) == (State.NOT_MET, ("kernel.dmesg_restrict = 0",))


def test_a_setting_can_have_several_right_values() -> None:
    assert kernel.wrong({"a": "1 2"}, {"a": "2"}) == []
    assert kernel.wrong({"a": "1 2"}, {"a": "12"}) == ["a = 12"]
    assert kernel.wrong({"a": "1"}, {}) == []


RULES = """\
table inet hypercode {
\tchain input {
\t\ttype filter hook input priority filter - 10; policy drop;
\t\tiifname "lo" accept
\t\tct state established,related accept
\t}

\tchain forward {
\t\ttype filter hook forward priority filter - 10; policy drop;
\t}
}
"""
FIREWALL = [point.id for point in firewall.POINTS]


@pytest.mark.parametrize("point", FIREWALL)
def test_firewall(answers: Any, point: str) -> None:
    units = "hypercode-firewall.service enabled enabled\nnftables.service disabled enabled\n"
    assert verdict(point, answers(nft=RULES, nft_tables="table inet hypercode\n", unit_files=units))[0] is State.MET
    other = answers(nft="", nft_tables="table ip filter\n", unit_files="nftables.service enabled enabled\n")
    assert verdict(point, other)[0] is State.NOT_MET


def test_a_firewall_that_docker_overtakes_is_not_met(answers: Any) -> None:
    late = RULES.replace("forward priority filter - 10", "forward priority filter + 5")
    assert verdict("debian-4.3.5", answers(nft=late)) == (State.NOT_MET, ("forward comes at 5",))
    half = RULES.replace(
        "hook forward priority filter - 10; policy drop", "hook forward priority filter - 10; policy accept"
    )
    assert verdict("debian-4.3.8", answers(nft=half)) == (State.NOT_MET, ("forward",))


# What breaks each point that is asked of every container: a path into `docker inspect`, and the value there.
BROKEN: dict[str, tuple[str, Any]] = {
    "docker-5.4": ("HostConfig.CapAdd", ["NET_ADMIN"]),
    "docker-5.5": ("HostConfig.Privileged", True),
    "docker-5.6": ("Mounts", [{"Type": "bind", "Source": "/etc/ssl"}]),
    "docker-5.8": ("NetworkSettings.Ports", {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "80"}]}),
    "docker-5.9": ("NetworkSettings.Ports", {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}),
    "docker-5.10": ("HostConfig.NetworkMode", "host"),
    "docker-5.11": ("HostConfig.Memory", 0),
    "docker-5.12": ("HostConfig.NanoCpus", 0),
    "docker-5.13": ("HostConfig.ReadonlyRootfs", False),
    "docker-5.14": ("NetworkSettings.Ports", {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]}),
    "docker-5.15": ("HostConfig.RestartPolicy", {"Name": "unless-stopped", "MaximumRetryCount": 0}),
    "own-container-restart": ("HostConfig.RestartPolicy", {"Name": "no", "MaximumRetryCount": 0}),
    "docker-5.16": ("HostConfig.PidMode", "host"),
    "docker-5.17": ("HostConfig.IpcMode", "host"),
    "docker-5.18": ("HostConfig.Devices", [{"PathOnHost": "/dev/sda"}]),
    "docker-5.20": ("Mounts", [{"Type": "bind", "Source": "/srv", "Propagation": "rshared"}]),
    "docker-5.21": ("HostConfig.UTSMode", "host"),
    "docker-5.22": ("HostConfig.SecurityOpt", ["seccomp=unconfined"]),
    "docker-5.25": ("HostConfig.CgroupParent", "/mine"),
    "docker-5.27": ("State", {"Status": "running"}),
    "docker-5.29": ("HostConfig.PidsLimit", None),
    "docker-5.30": ("HostConfig.NetworkMode", "bridge"),
    "docker-5.31": ("HostConfig.UsernsMode", "host"),
    "docker-5.32": ("Mounts", [{"Type": "bind", "Source": "/run/docker.sock"}]),
    "own-container-logs": ("HostConfig.LogConfig", {"Type": "json-file", "Config": {}}),
    "own-container-oom": ("HostConfig.OomKillDisable", True),
    "docker-5.2": ("HostConfig.SecurityOpt", ["apparmor=unconfined"]),
    "docker-5.26": ("HostConfig.SecurityOpt", []),
    "docker-6.2": ("State", {"Status": "exited", "Health": {}}),
    "docker-4.1": ("Config.User", "0:0"),
    "docker-5.28": ("Config.Image", "redis:7"),
}


def test_every_point_of_containers_is_broken_once() -> None:
    assert {point.id for point in containers.POINTS} <= {*BROKEN, "docker-5.3", "docker-5.7"}


@pytest.mark.parametrize("point", BROKEN)
def test_container(answers: Any, container: dict[str, Any], point: str) -> None:
    path, value = BROKEN[point]
    bad = copy.deepcopy(container)
    bad["Config"]["Labels"]["com.docker.compose.service"] = "bad"
    *folders, last = path.split(".")
    place = bad
    for folder in folders:
        place = place[folder]
    place[last] = value

    def facts(*found: dict[str, Any]) -> Facts:
        images = [{"Id": "sha256:1", "Config": {"User": ""}}]
        engine = {"docker_info": {"Containers": len(found)}, "dockerd": "dockerd", "daemon_json": {}}
        made: Facts = answers(containers=list(found), images=images, virtualization="docker", **engine)
        return made

    assert verdict(point, facts(container)) == (State.MET, ())
    assert verdict(point, facts(container, bad)) == (State.NOT_MET, ("bad",))


def test_what_only_keeps_an_image_is_not_judged_but_one_that_ran_is(answers: Any, container: dict[str, Any]) -> None:
    def keeper(state: str) -> Facts:
        one = copy.deepcopy(container)
        one["Name"], one["State"]["Status"] = "/hypercode-keep-1", state
        one["Config"]["Labels"] = {"hypercode.purpose": "keep-image", "com.docker.compose.service": ""}
        made: Facts = answers(containers=[container, one], docker_info={"Containers": 2})
        return made

    assert verdict("docker-6.2", keeper("created"))[0] is State.MET
    assert verdict("docker-6.2", keeper("exited")) == (State.NOT_MET, ("hypercode-keep-1",))


def test_a_second_copy_of_a_service_does_not_hide_the_first(answers: Any, container: dict[str, Any]) -> None:
    bad = copy.deepcopy(container)
    bad["HostConfig"]["Privileged"] = True
    bad["Name"] = "/hypercode-redis-2"
    facts = answers(containers=[container, bad], docker_info={"Containers": 2})
    assert verdict("docker-5.5", facts) == (State.NOT_MET, ("hypercode-redis-2",))


@pytest.mark.parametrize("point", [*BROKEN, "docker-4.6", "own-release-env-mode"])
def test_a_host_before_its_first_deploy(answers: Any, point: str) -> None:
    """It has no container: that is neither good nor bad. An engine that does not answer is another thing."""
    engine = {"dockerd": "dockerd", "daemon_json": {}, "virtualization": "docker", "owners": ""}
    assert verdict(point, answers(docker_info={"Containers": 0}, **engine))[0] is State.NOT_APPLICABLE
    assert verdict(point, answers(docker_info={"Containers": 1}, **engine))[0] is State.UNKNOWN


def test_the_engines_command_line_counts(answers: Any) -> None:
    facts = answers(dockerd="/usr/sbin/dockerd -H tcp://0.0.0.0:2375 --userland-proxy=false --debug", daemon_json={})
    assert verdict("own-engine-socket", facts) == (State.NOT_MET, ("tcp://0.0.0.0:2375",))
    assert verdict("docker-2.7", facts) == (State.NOT_MET, ("tcp://0.0.0.0:2375",))
    assert facts.daemon["debug"] is True


def test_files_are_shown_without_what_differs_from_host_to_host(answers: Any) -> None:
    owners = "/opt/hypercode/releases/20260101T000000Z-abc/env|root|root|644|regular file\n"
    facts = answers(owners=owners)
    wanted = "/opt/hypercode/releases/<id>/env has the mode 0644"
    assert verdict("own-release-env-mode", facts) == (State.NOT_MET, (wanted,))
    assert verdict("own-release-env-owner", facts)[0] is State.MET
    assert verdict("docker-3.1", facts)[0] is State.UNKNOWN


PASSWD = """\
root:0:0:/root:/bin/bash
debian:1000:1000:/home/debian:/bin/bash
sync:4:65534:/bin:/bin/sync
daemon:1:1:/:/bin/sh
"""


def test_accounts(answers: Any) -> None:
    facts = answers(
        passwd=PASSWD,
        group="root:x:0:\nshadow:x:42:eve\ndocker:x:101:debian\n",
        passwords="root L 0 99999\ndebian NP 0 99999\nsync L 0 1\ndaemon L 0 1\n",
        sudoers="Defaults use_pty\ndebian ALL=(ALL) NOPASSWD: ALL\n%sudo ALL=(ALL) ALL\n",
        homes="/home/debian|debian|debian|755|directory\n"
        "/home/debian/.ssh/authorized_keys|debian|debian|664|regular file\n",
    )
    assert verdict("debian-5.4.2.7", facts) == (State.NOT_MET, ("daemon",))
    assert verdict("debian-7.2.2", facts) == (State.NOT_MET, ("debian",))
    assert verdict("debian-7.2.4", facts) == (State.NOT_MET, ("eve",))
    assert verdict("docker-1.1.2", facts) == (State.NOT_MET, ("debian",))
    assert verdict("debian-5.2.4", facts) == (State.NOT_MET, ("debian",))
    assert verdict("debian-7.2.9", facts) == (State.NOT_MET, ("debian: debian 0755",))
    assert verdict("debian-7.2.10", facts) == (State.NOT_MET, ("/home/debian/.ssh/authorized_keys 0664",))
    assert verdict("debian-5.4.2.1", facts)[0] is State.MET


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("tcp LISTEN 0 128 0.0.0.0:22 0.0.0.0:*", ()),
        ("udp UNCONN 0 0 127.0.0.53%lo:53 0.0.0.0:*", ()),
        ("tcp LISTEN 0 128 [::1]:6379 [::]:*", ()),
        ("tcp LISTEN 0 128 *:9090 *:*", ("tcp 9090",)),
        ("udp UNCONN 0 0 0.0.0.0:5353 0.0.0.0:*", ("udp 5353",)),
    ],
)
def test_what_listens_to_the_outside(answers: Any, line: str, found: tuple[str, ...]) -> None:
    assert verdict("debian-2.1.22", answers(listening=line))[1] == found
