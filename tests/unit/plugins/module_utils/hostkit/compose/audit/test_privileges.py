from __future__ import annotations

from collections.abc import Callable

import pytest

Rules = Callable[..., set[str]]
SUBJECT = frozenset(
    {
        *(
            "docker-socket",
            "host-path-sensitive",
            "privileged",
            "host-network",
            "host-namespace",
            "capability-dangerous",
        ),
        *("host-device", "host-device-raw", "confinement-off", "runs-as-root"),
    }
)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("volumes: ['/var/run/docker.sock:/var/run/docker.sock']", {"docker-socket"}),
        ("volumes: ['/run/docker.sock:/x:ro']", {"docker-socket"}),
        ("volumes: ['/run/podman/podman.sock:/x']", {"docker-socket"}),
        ("volumes: ['/var/run:/var/run:ro']", {"docker-socket", "host-path-sensitive"}),
        ("volumes: ['/var/run/../run/:/x']", {"docker-socket", "host-path-sensitive"}),
        ("volumes: ['/:/rootfs:ro']", {"docker-socket", "host-path-sensitive"}),
        ("volumes: [{type: bind, source: //etc/, target: /x}]", {"host-path-sensitive"}),
        ("volumes: ['/etc/shadow:/x']", {"host-path-sensitive"}),
        ("volumes: ['/root/.ssh:/x']", {"host-path-sensitive"}),
        ("volumes: ['/home:/x']", {"host-path-sensitive"}),
        ("volumes: ['/home/ada:/x']", {"host-path-sensitive"}),
        ("volumes: ['/home/ada/.ssh/id_rsa:/x']", {"host-path-sensitive"}),
        ("volumes: ['/var/lib/docker/volumes:/x:ro']", {"host-path-sensitive"}),
        ("volumes: ['/proc:/host/proc:ro']", {"host-path-sensitive"}),
        ("volumes: ['/etc/localtime:/etc/localtime:ro', '/srv/x:/x', '/home/ada/media:/m', './etc:/etc']", set()),
        ("volumes: ['data:/var/run']", set()),
        ("privileged: true", {"privileged"}),
        ("privileged: false", set()),
        ("network_mode: host", {"host-network"}),
        ("pid: host", {"host-namespace"}),
        ("ipc: host", {"host-namespace"}),
        ("userns_mode: host", {"host-namespace"}),
        ("ipc: shareable", set()),
        ("cap_add: [CAP_SYS_ADMIN]", {"capability-dangerous"}),
        ("cap_add: [all]", {"capability-dangerous"}),
        ("cap_add: [net_admin]", {"capability-dangerous"}),
        ("cap_add: [NET_BIND_SERVICE, CHOWN]", set()),
        ("devices: ['/dev/dri:/dev/dri']", {"host-device"}),
        ("devices: ['/dev/nvme0n1:/dev/x']", {"host-device-raw"}),
        ("devices: ['/dev/mem']", {"host-device-raw"}),
        ("security_opt: ['apparmor=unconfined']", {"confinement-off"}),
        ("security_opt: ['label:disable']", {"confinement-off"}),
        ("security_opt: ['seccomp:./profile.json', 'no-new-privileges:true']", set()),
        ("user: 0:0", {"runs-as-root"}),
        ("user: root\n    cap_drop: [all]", set()),
        ("user: '1000'", set()),
    ],
)
def test_ways_out_of_a_container(web: Rules, line: str, found: set[str]) -> None:
    assert web(line) & SUBJECT == found


def test_a_host_folder_behind_a_named_volume(rules: Rules) -> None:
    text = """
        services: {web: {image: "web:1", volumes: ["host:/host"]}}
        volumes: {host: {driver_opts: {type: none, o: "bind,ro", device: /etc}}}
        """
    assert "host-path-sensitive" in rules(text)
    assert "host-path-sensitive" not in rules(text.replace("/etc", "/srv/web"))
