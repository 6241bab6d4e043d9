"""Bad input that is refused before anything is touched: one message that names the thing, the host and the fix."""

from __future__ import annotations

import textwrap

import pytest
from checks import stack
from checks.playbook import play

SECRETS = (
    "{"
    + ", ".join(
        f'"{name}": "not-a-real-one-{number}"'
        for number, name in enumerate(
            (
                "POSTGRES_PASSWORD",
                "REDIS_PASSWORD",
                "API_KEY",
                "HYPERCODE_JWT_SECRET",
                "HYPERCODE_MEMORY_KEY",
                "ANTHROPIC_API_KEY",
                "GRAFANA_ADMIN_PASSWORD",
            )
        )
    )
    + "}"
)


@pytest.fixture(autouse=True)
def untouched(host):
    """Whatever a test does, the same containers run before and after."""
    before = {service: item["Id"] for service, item in stack.containers(host).items()}
    release = stack.root(host, "readlink /opt/hypercode/current")
    yield
    assert {service: item["Id"] for service, item in stack.containers(host).items()} == before
    assert stack.root(host, "readlink /opt/hypercode/current") == release


def refused(outcome, *words):
    """Assert a failure that says all of the words, and no traceback."""
    assert outcome.code != 0, outcome.output
    for word in words:
        assert word in outcome.output, f"{word!r} is missing in:\n{outcome.output}"
    assert "Traceback" not in outcome.output
    # One clear message, not a wall of text.
    assert len(outcome.output.splitlines()) < 45, outcome.output


def test_no_inventory(host):
    refused(play(inventory=None), "No inventory was chosen", "ansible-playbook site.yml -i inventories/")


def test_an_inventory_that_is_not_there(host):
    outcome = play(inventory="inventories/prodution")
    assert outcome.code != 0
    assert "inventories/prodution" in outcome.output


def test_a_missing_group(host, tmp_path):
    (tmp_path / "hosts.yml").write_text("hypercoed:\n  hosts:\n    web1: {}\n", encoding="utf-8")
    refused(play(inventory=tmp_path), "no group 'hypercode'", "hypercoed", tmp_path.name)


def test_an_unknown_variable(host, inventory):
    refused(
        play("-e", "stack_regsitry=example", inventory=inventory), "stack_regsitry", "stack_registry", "web1", "fix:"
    )


def test_a_variable_of_the_wrong_kind(host, inventory):
    refused(play("-e", "stack_publish=everything", inventory=inventory), "stack_publish", "loopback", "web1")


def test_an_unreachable_host(host, tmp_path):
    (tmp_path / "hosts.yml").write_text(
        "hypercode:\n  hosts:\n    web9: {ansible_host: 198.51.100.250, ansible_user: debian}\n"
        "  vars: {stack_registry: r.example/x, stack_version: '1', ansible_ssh_common_args: -o ConnectTimeout=2}\n",
        encoding="utf-8",
    )
    outcome = play("-e", '{"stack_secrets": ' + SECRETS + "}", inventory=tmp_path)
    refused(outcome, "web9", "198.51.100.250", "ssh")


def test_too_little_disk_and_memory_are_said_together(host, inventory):
    outcome = play("-e", "preflight_disk_min_gb=90000", "-e", "preflight_memory_min_mb=9000000", inventory=inventory)
    refused(outcome, "web1", "/var/lib/docker", "memory", "fix:")


def test_a_port_taken_by_a_foreign_process(host, inventory):
    stack.root(host, "systemd-run --unit=foreign --collect python3 -m http.server 80")
    try:
        assert host.socket("tcp://0.0.0.0:80").is_listening or host.run("sleep 1").rc == 0
        refused(play(inventory=inventory), "web1", "80", "python3", "fix:")
    finally:
        stack.root(host, "systemctl stop foreign")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("services:\n  a:\n    image: x:1\n   b: 2\n", ("compose.yaml", "line 4")),
        (
            "services:\n  a: {image: x:1}\n  a: {image: y:1}\n",
            ("compose.yaml", "line 3", "'a' stands here a second time"),
        ),
        ("services:\n  a: {image: 'x:1', helthcheck: {}}\n", ("helthcheck", "healthcheck")),
        ("services:\n  a: {image: 'x:1', networks: [nowhere]}\n", ("nowhere",)),
        (
            "services:\n  a: {image: 'x:1', depends_on: [b]}\n  b: {image: 'x:1', depends_on: [a]}\n",
            ("a", "b", "cycle"),
        ),
        ("services:\n  a: {image: 'x:1', environment: {K: '${UNSET_ONE}'}}\n", ("UNSET_ONE",)),
        ("services:\n  a: {image: 'x:latest'}\n", ("latest",)),
    ],
    ids=["syntax", "duplicate", "misspelt", "network", "cycle", "unset", "latest"],
)
def test_a_compose_file_that_is_wrong(host, inventory, tmp_path, text, words):
    (tmp_path / "compose.yaml").write_text(text, encoding="utf-8")
    # The test bed's images are for the bundled stack only.
    refused(play("-e", f"stack_source={tmp_path}", "-e", '{"stack_images": {}}', inventory=inventory), *words)


def test_no_source_for_the_agents_images(host, inventory):
    refused(play("-e", "stack_registry=", inventory=inventory), "stack_registry", "stack_build", "web1")


def test_a_missing_secret(host, inventory):
    refused(play("-e", '{"stack_secrets": {"API_KEY": "a-b-c"}}', inventory=inventory), "POSTGRES_PASSWORD")


def test_one_bad_host_keeps_every_host_untouched(host, inventory, tmp_path):
    """web1 is fine and a second host cannot be reached: web1 is not changed either."""
    (tmp_path / "hosts.yml").write_text(
        textwrap.dedent(
            """\
            hypercode:
              hosts:
                web9: {ansible_host: 198.51.100.250, ansible_ssh_common_args: -o ConnectTimeout=2}
            """
        ),
        encoding="utf-8",
    )
    outcome = play("-i", str(tmp_path), "-e", "stack_version=1.1.0", inventory=inventory)
    assert outcome.code != 0
    assert outcome.changed("web1") == 0
