"""The stack on the host: all 17 services as the class policy wants them, reachable by each other and nobody else."""

from __future__ import annotations

import json
from urllib.parse import quote, unquote, urlsplit

import pytest
import yaml
from checks import stack
from checks.playbook import ROOT
from checks.probes import Prober
from testbed import neighbours
from testbed.hosts import Bed

BED = Bed("molecule-default", ROOT / ".cache" / "testbed" / "molecule-default", "molecule")
GIB = 1024**3
# Class limits as the hardening policy states them: processors, bytes, restart policy.
POLICY = {
    **dict.fromkeys(stack.SPECIALISTS, (1.0, GIB, ("on-failure", 3))),
    "crew-orchestrator": (1.5, GIB * 3 // 2, ("on-failure", 3)),
    "hypercode-core": (1.5, GIB * 3 // 2, ("on-failure", 3)),
    "redis": (0.5, GIB // 2, ("unless-stopped", 0)),
    "postgres": (1.0, GIB, ("unless-stopped", 0)),
    "celery-worker": (1.0, GIB, ("unless-stopped", 0)),
    "prometheus": (1.0, GIB, ("unless-stopped", 0)),
    "grafana": (0.5, GIB // 2, ("unless-stopped", 0)),
    "jaeger": (0.5, GIB, ("unless-stopped", 0)),
    "ollama": (2.0, 4 * GIB, ("unless-stopped", 0)),
}


@pytest.fixture(scope="module")
def containers(host):
    return stack.containers(host)


def test_all_seventeen_services_are_healthy(host):
    assert stack.all_healthy(host), stack.board(host)


@pytest.mark.parametrize("service", stack.SERVICES)
def test_limits_and_restart_policy(containers, service):
    cpus, memory, restart = POLICY[service]
    settings = containers[service]["HostConfig"]
    assert settings["NanoCpus"] == cpus * 1e9
    assert settings["Memory"] == memory
    assert settings["PidsLimit"] > 0
    assert (settings["RestartPolicy"]["Name"], settings["RestartPolicy"]["MaximumRetryCount"]) == restart


@pytest.mark.parametrize("service", stack.AGENTS)
def test_health_check_of_the_class(containers, service):
    check = containers[service]["Config"]["Healthcheck"]
    seconds = {key: check[key] / 1e9 for key in ("Interval", "Timeout", "StartPeriod")}
    assert (seconds, check["Retries"]) == ({"Interval": 60, "Timeout": 10, "StartPeriod": 90}, 5)


@pytest.mark.parametrize("service", stack.SERVICES)
def test_confinement(containers, service):
    settings = containers[service]["HostConfig"]
    assert settings["CapDrop"] == ["ALL"]
    assert not settings["CapAdd"]
    assert settings["ReadonlyRootfs"]
    assert "no-new-privileges:true" in settings["SecurityOpt"]
    assert not settings["Privileged"]
    assert settings["LogConfig"]["Config"]["max-size"]
    assert not any("docker.sock" in mount["Source"] for mount in containers[service]["Mounts"])


@pytest.mark.parametrize("service", stack.SERVICES)
def test_nothing_is_published_and_no_name_is_fixed(containers, service):
    assert not containers[service]["HostConfig"]["PortBindings"]
    # Compose's own name: a second copy could start beside it.
    assert containers[service]["Name"] == f"/hypercode-{service}-1"


def test_memory_limit_is_real(host, containers):
    container = containers["qa-engineer"]["Id"]
    done = stack.root(
        host, f"docker exec {container} python -c 'x = bytearray(1200 * 1024 * 1024)' ; echo exit $?", ok=False
    )
    assert "exit 137" in done


@pytest.mark.parametrize("service", stack.SPECIALISTS)
def test_agents_reach_redis_and_core(host, service):
    health = stack.python_in(
        host,
        service,
        "import urllib.request as u;"
        f"print(u.urlopen('http://127.0.0.1:{stack.SPECIALISTS[service]}/health').read().decode());"
        "print(u.urlopen('http://hypercode-core:8000/health').read().decode())",
    )
    assert '"redis": "connected"' in health
    assert health.count('"healthy"') == 2


def test_database_architect_queries_postgres(host):
    code = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8004/status').read().decode())"
    assert '"postgres": "connected"' in stack.python_in(host, "database-architect", code)


def test_core_is_ready_and_knows_all_agents(host):
    code = (
        "import urllib.request as u;"
        "print(u.urlopen('http://hypercode-core:8000/ready').read().decode());"
        "print(u.urlopen('http://hypercode-core:8000/agents/').read().decode())"
    )
    ready, agents = stack.python_in(host, "crew-orchestrator", code).splitlines()
    assert json.loads(ready) == {"redis": True, "postgres": True}
    assert set(json.loads(agents)["agents"]) == set(stack.SPECIALISTS)


def test_agents_have_a_way_out(host, containers):
    gateway = host.run("ip -4 route show default").stdout.split()[2]
    registry = gateway.rpartition(".")[0] + "." + str(int(gateway.rpartition(".")[2]) + 1)
    code = f"import socket; socket.create_connection(('{registry}', 5000), 5); print('out')"
    for service in set(stack.AGENTS) - {"qa-engineer"}:
        assert "out" in stack.python_in(host, service, code)


@pytest.mark.parametrize(
    ("service", "answer"),
    # No list; the registry on its list; an empty list.
    [("frontend-specialist", "open"), ("backend-specialist", "open"), ("qa-engineer", "refused")],
)
def test_a_service_reaches_what_is_on_its_list(host, service, answer):
    address, port = BED.registry.split(":")
    code = (
        "import socket, sys; s = socket.socket(); s.settimeout(3);"
        f"print({{0: 'open', 111: 'refused'}}[s.connect_ex(('{address}', {port}))])"
    )
    assert stack.python_in(host, service, code).strip() == answer


def test_a_listed_service_leaves_by_its_own_network_and_by_no_other(host, containers):
    for service in ("backend-specialist", "qa-engineer"):
        networks = set(containers[service]["NetworkSettings"]["Networks"])
        assert networks == {"hypercode_backend-net", "hypercode_data-net", f"00-hypercode-outlet-{service}"}
        way = stack.python_in(host, service, "print(open('/proc/net/route').read())")
        default = next(line.split() for line in way.splitlines()[1:] if line.split()[1] == "00000000")
        gateway = ".".join(str(int(default[2][at : at + 2], 16)) for at in (6, 4, 2, 0))
        outlet = containers[service]["NetworkSettings"]["Networks"][f"00-hypercode-outlet-{service}"]
        assert gateway == outlet["Gateway"]


def test_data_net_has_no_way_out(host, containers):
    gateway = host.run("ip -4 route show default").stdout.split()[2]
    registry = gateway.rpartition(".")[0] + "." + str(int(gateway.rpartition(".")[2]) + 1)
    # Bash's own TCP: neither image has Python by contract.
    for service in ("redis", "postgres"):
        assert set(containers[service]["NetworkSettings"]["Networks"]) == {"hypercode_data-net"}
        connect = f"timeout 3 bash -c '</dev/tcp/{registry}/5000' && echo out"
        command = f'docker exec {containers[service]["Id"]} bash -c "{connect}"'
        assert "out" not in stack.root(host, command, ok=False)


def test_only_sshd_listens_on_the_outside_address(host):
    """Ask all 65,535 TCP ports from the outside. 80 and 443 are let through, and nothing listens there yet."""
    with neighbours.prober(BED) as container:
        assert Prober(container).scan(host.backend.get_variables()["ansible_host"]) == [22]


def test_release_records_what_runs(host, containers):
    release = stack.release(host)
    assert release["status"] == "done"
    assert release["version"] == "1.0.0"
    assert set(release["services"]) == set(stack.SERVICES)
    for service, about in release["services"].items():
        assert about["digest"].startswith("sha256:")
        assert containers[service]["Image"] == about["image_id"]
        assert containers[service]["Config"]["Image"].endswith("@" + about["digest"])


@pytest.fixture(scope="module")
def secrets(inventory):
    """Return the secrets as the inventory states them."""
    text = (inventory / "group_vars/hypercode/testbed_secrets.yml").read_text(encoding="utf-8")
    return yaml.safe_load(text)["stack_secrets"]


def test_secrets_are_in_one_file_only(host, secrets):
    assert stack.root(host, "stat -c '%a %U' /opt/hypercode/current/env").split() == ["600", "root"]
    read = stack.root(
        host,
        "cat /opt/hypercode/current/*.yaml /opt/hypercode/current/*.json /var/lib/hypercode/rollout/*.jsonl; "
        "journalctl --no-pager; ps -ww -eo args",
    )
    encoded = {name: quote(value, safe="") for name, value in secrets.items()}
    # The shell in a container's health check and start never sees one either.
    assert not [name for name in secrets if secrets[name] in read or encoded[name] in read]


def test_every_secret_arrives_as_it_was_written(containers, secrets):
    assert not set("'\"$\\# ") - set(secrets["API_KEY"])
    found = dict(line.split("=", 1) for line in containers["hypercode-core"]["Config"]["Env"])
    for name in ("API_KEY", "HYPERCODE_JWT_SECRET", "HYPERCODE_MEMORY_KEY", "ANTHROPIC_API_KEY"):
        assert found[name] == secrets[name], name
    assert urlsplit(found["HYPERCODE_DB_URL"]).port == 5432
    assert unquote(urlsplit(found["HYPERCODE_DB_URL"]).password or "") == secrets["POSTGRES_PASSWORD"]


def test_host_command(host):
    with host.sudo():
        done = host.run("hypercode status")
        assert done.rc == 0
        assert "17 of 17 services healthy" in done.stdout
        assert host.run("hypercode rollout status").rc == 0
        wrong = host.run("hypercode stauts")
    assert wrong.rc == 2
    assert "Traceback" not in done.stderr + wrong.stderr


def test_system_is_in_order(host):
    assert host.run("systemctl is-system-running").stdout.strip() == "running"
    assert host.service("docker").is_enabled
