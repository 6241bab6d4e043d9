"""What an operator does next: the same command again, check mode, parts of it, and repair after somebody's mistake."""

from __future__ import annotations

import re

from checks import stack
from checks.playbook import play


def test_second_run_changes_nothing(inventory):
    outcome = play(inventory=inventory)
    assert outcome.code == 0, outcome.output
    assert outcome.changed("web1") == 0
    assert "17 of 17 services healthy" in outcome.output


def test_check_on_a_converged_host_predicts_nothing(inventory):
    """And a limit to one host is as good as the whole inventory."""
    outcome = play("--check", "--diff", "--limit", "web1", inventory=inventory)
    assert outcome.code == 0, outcome.output
    assert outcome.changed("web1") == 0


def test_an_update_is_predicted_then_done_then_undone(host, inventory):
    words = ("-e", "stack_version=1.1.0")
    before = stack.containers(host)
    predicted = play("--check", "--diff", *words, inventory=inventory)
    assert predicted.code == 0, predicted.output
    # The registry is asked for what is new.
    told = r"qa-engineer: replace: \S+:1.0.0 \(sha256:\w{12}\) -> \S+:1.1.0 \(sha256:\w{12}\)"
    assert re.search(told, " ".join(predicted.output.split())), predicted.output
    assert stack.ids(host) == {service: item["Id"] for service, item in before.items()}
    done = play(*words, inventory=inventory)
    assert done.code == 0, done.output
    assert done.changes == predicted.changes
    after = stack.containers(host)
    # Only what changed was touched.
    for service in ("redis", "postgres", "prometheus", "grafana", "jaeger", "ollama"):
        assert after[service]["Id"] == before[service]["Id"]
    assert after["qa-engineer"]["Id"] != before["qa-engineer"]["Id"]
    assert play(*words, inventory=inventory).changed("web1") == 0
    back = play(inventory=inventory)
    assert back.code == 0, back.output
    assert stack.release(host)["version"] == "1.0.0"


def comes_back(host, inventory, words):
    """The board says what is wrong, check mode predicts one change, and the same command as ever makes it good."""
    verified = play(inventory=inventory, playbook="playbooks/verify.yml")
    assert verified.code != 0
    assert words in verified.output
    assert play("--check", inventory=inventory).changed("web1") == 1
    repaired = play(inventory=inventory)
    assert repaired.code == 0, repaired.output
    assert repaired.changed("web1") == 1
    assert stack.all_healthy(host)


def test_a_container_that_somebody_removed_comes_back(host, inventory):
    stack.root(host, f"docker rm --force {stack.ids(host)['qa-engineer']}")
    comes_back(host, inventory, "qa-engineer (no container)")


def test_a_container_that_somebody_stopped_comes_back_unless_the_role_is_disabled(host, inventory):
    stack.root(host, f"docker stop {stack.ids(host)['grafana']}")
    outcome = play("-e", "stack_enabled=false", inventory=inventory)
    assert outcome.code == 0, outcome.output
    assert outcome.changed("web1") == 0
    assert stack.board(host)["grafana"]["state"] == "exited"
    comes_back(host, inventory, "grafana (exited")


def test_tags_run_one_role(inventory):
    outcome = play("--tags", "docker", "-v", inventory=inventory)
    assert outcome.code == 0, outcome.output
    assert "Write the settings of the engine" in outcome.output
    assert "Roll the stack out" not in outcome.output
    assert "Install the packages of all roles" not in outcome.output


def test_limit_to_a_host_that_is_not_there(inventory):
    wrong = play("--limit", "web7", "--check", inventory=inventory)
    assert wrong.code != 0


def test_verify_passes_and_shows_the_board(inventory):
    outcome = play(inventory=inventory, playbook="playbooks/verify.yml")
    assert outcome.code == 0, outcome.output
    assert outcome.changed("web1") == 0
    assert "17 of 17 services healthy" in outcome.output
