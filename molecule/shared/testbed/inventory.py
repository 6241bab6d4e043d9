"""Writes an Ansible inventory for the hosts of a test bed."""

from __future__ import annotations

import base64
import datetime
import json
import os
import secrets
from pathlib import Path
from typing import Any

from . import hosts, registry
from .hosts import Bed
from .images import INFRASTRUCTURE, MONITORING, VERSIONS

STACK_DEFAULTS = Path(__file__).resolve().parents[3] / "roles" / "stack" / "defaults" / "main.yml"
EDGE_NAME = "hypercode.test"
EDGE_LOGIN = "sandbox"
# The watch has to look as often as it writes down what it sees.
SOAK_IN_MINUTES = {"watch_interval": 10, "watch_journal_interval": 10, "soak_start": "never"}


def write_file(path: Path, content: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(content)
    temporary.replace(path)


def as_yaml(document: dict[str, Any], comment: str) -> str:
    """Return YAML. JSON is YAML, one key a line is enough to read it."""
    lines = [f"{key}: {json.dumps(value)}" for key, value in document.items()]
    return f"---\n# {comment}\n" + "\n".join(lines) + "\n"


def hosts_document(bed: Bed, names: list[str]) -> str:
    """Return hosts.yml."""
    entries = {
        name: {
            "ansible_host": hosts.address_of(bed, name),
            "ansible_user": hosts.USER,
            "ansible_ssh_private_key_file": str(bed.key),
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={bed.known_hosts} -o IdentitiesOnly=yes",
        }
        for name in names
    }
    return as_yaml({"hypercode": {"hosts": entries}}, "Written by the test bed; not under version control.")


def stack_variables(bed: Bed) -> dict[str, Any]:
    """Return what makes a host of this bed deploy the stand-ins from the bed's own registry."""
    return {
        "docker_source": "distro",
        "testbed_registry": bed.registry,
        "docker_registries": [
            {
                "host": bed.registry,
                "ca_file": str(registry.ca_file(bed)),
                "username": registry.LOGIN,
                "password": "{{ sandbox_registry_password }}",
            }
        ],
        "stack_registry": f"{bed.registry}/hypercode",
        "stack_version": VERSIONS[0],
        "stack_images": {
            name: {"image": f"{bed.registry}/sandbox/{name}", "tag": "stand-in", "digest": ""}
            for name in (*INFRASTRUCTURE, *MONITORING)
        },
        # A soak check of ten minutes needs more figures than one of a day.
        **(scenario_variables() if bed.kind == "molecule" else SOAK_IN_MINUTES),
        # The machine below has little memory to promise; limits stay as they are in production.
        "preflight_memory_min_mb": 2000,
        "preflight_disk_min_gb": 5,
    }


def scenario_variables() -> dict[str, Any]:
    """Return what spares the scenarios waiting. The sandbox has the defaults, as production does."""
    import yaml  # noqa: PLC0415  Not there yet when this file is first imported.

    bundled = yaml.safe_load(STACK_DEFAULTS.read_text(encoding="utf-8"))["stack_services_bundled"]
    return {
        # testinfra makes a connection for each command, which no person does: the default limit would slow it down.
        "firewall_ssh_rate": 1000,
        # The stand-ins are there at once; each level of a rollout waits until its services were asked.
        "stack_services_bundled": {"*": {"healthcheck": {"start_interval": "1s"}}, **bundled},
        # How long a release has to prove itself is told by the scenarios that are about it.
        "stack_min_healthy": 1,
        "stack_bake": 0,
        # So are backups and the monitoring.
        "backup_enabled": False,
        "backup_point_in_time": False,
        "monitoring_enabled": False,
        "soak_enabled": False,
    }


def edge_variables(bed: Bed) -> dict[str, Any]:
    """Return sites for the stack, with each host's own CA; what is a dashboard asks for a login."""
    import bcrypt  # noqa: PLC0415  Not there yet when this file is first imported.

    word = secrets.token_urlsafe(12)
    login = {"users": {EDGE_LOGIN: bcrypt.hashpw(word.encode(), bcrypt.gensalt(10)).decode()}}
    boards = {"grafana": 3000, "prometheus": 9090, "jaeger": 16686}
    return {
        "sandbox_edge_password": word,
        "edge_source": "file",
        "edge_file": "{{ ansible_playbook_python | dirname }}/caddy",
        "edge_certificate": "internal",
        "edge_internal_root_file": f"{bed.state}/edge-root-{{{{ inventory_hostname }}}}.crt",
        "edge_sites": [
            {"name": EDGE_NAME, "service": "hypercode-core", "port": 8000},
            *(
                {"name": f"{name}.{EDGE_NAME}", "service": name, "port": port, "auth": login}
                for name, port in boards.items()
            ),
        ],
    }


def secret_variables(bed: Bed) -> dict[str, Any]:
    """Return fresh secrets, made to break what quotes badly: URLs, env files, shells, Compose's own variables."""
    token = secrets.token_urlsafe
    made = {
        "POSTGRES_PASSWORD": f"{token(18)}@:/?#{token(6)}",
        "REDIS_PASSWORD": token(24),
        "API_KEY": f"{token(24)} '\"$HOME ${{X}} $$ \\n # {token(6)}",
        "HYPERCODE_JWT_SECRET": token(48),
        "HYPERCODE_MEMORY_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        # Of the shape that Anthropic gives out, and no real one.
        "ANTHROPIC_API_KEY": f"sk-ant-api03-{token(72)[:93]}AA",
        "GRAFANA_ADMIN_PASSWORD": token(18),
    }
    return {
        "sandbox_registry_password": registry.password(bed),
        "stack_secrets": made,
        "stack_secrets_set_on": dict.fromkeys(made, datetime.date.today().isoformat()),
    }


def write(bed: Bed, folder: Path, names: list[str], hosts_file: str = "hosts.yml") -> None:
    """Write the inventory. Secrets that are there already stay: the data on the hosts was made with them."""
    write_file(folder / hosts_file, hosts_document(bed, names))
    variables = folder / "group_vars" / "hypercode"
    write_file(
        variables / "testbed.yml",
        as_yaml(stack_variables(bed), "Stand-ins from the test bed's registry; never for production."),
    )
    edge = variables / "testbed_edge.yml"
    if bed.kind == "sandbox" and not edge.exists():
        write_file(edge, as_yaml(edge_variables(bed), "Sites of the sandbox, with a password of its own."), mode=0o600)
    vault = variables / "testbed_secrets.yml"
    if not vault.exists():
        write_file(vault, as_yaml(secret_variables(bed), "Made at random for this test bed."), mode=0o600)


def remove(folder: Path, hosts_file: str) -> None:
    """Remove what `write` wrote."""
    for name in (hosts_file, "group_vars/hypercode/testbed.yml", "group_vars/hypercode/testbed_secrets.yml"):
        (folder / name).unlink(missing_ok=True)
