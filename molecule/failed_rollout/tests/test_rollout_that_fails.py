"""A rollout that cannot succeed, or is cut off: the previous release runs, and the same command finishes the job."""

from __future__ import annotations

import json
import signal
import time

from checks import stack
from checks.playbook import play, start

# What goes wrong here goes wrong in the rollout, and is made good there: the other roles are left out.
STACK = ("--tags", "stack")


def test_an_image_that_cannot_be_pulled(host, inventory):
    before = stack.ids(host)
    outcome = play(*STACK, "-e", "stack_version=9.9.9", inventory=inventory)
    assert outcome.code != 0
    assert "hypercode/backend-specialist:9.9.9" in outcome.output, outcome.output
    assert "web1" in outcome.output, outcome.output
    assert "Fix:" in outcome.output, outcome.output
    assert stack.ids(host) == before
    assert stack.release(host)["version"] == "1.0.0"
    assert play(*STACK, inventory=inventory).changed("web1") == 0


def test_a_service_that_never_gets_healthy_is_put_back(host, inventory):
    words = [
        "-e",
        json.dumps({"stack_services": {"qa-engineer": {"environment": {"REDIS_URL": "redis://nowhere:6379"}}}}),
    ]
    outcome = play(*STACK, *words, "-e", "stack_ready_timeout=12", inventory=inventory)
    assert outcome.code != 0
    assert "qa-engineer did not get healthy within 12 s" in outcome.output, outcome.output
    assert "The previous release" in outcome.output, outcome.output
    assert "evidence" in outcome.output, outcome.output
    assert stack.all_healthy(host)
    assert stack.release(host)["version"] == "1.0.0"
    newest = stack.root(host, "ls /opt/hypercode/releases").split()[-1]
    about = json.loads(stack.root(host, f"cat /opt/hypercode/releases/{newest}/release.json"))
    assert about["status"] == "reverted"
    assert about["failure"]["service"] == "qa-engineer"
    assert "listening on 8005" in stack.root(host, f"cat {about['failure']['evidence']}/qa-engineer.log")
    assert play(*STACK, inventory=inventory).changed("web1") == 0


def test_a_service_that_crashes_is_put_back(host, inventory):
    words = ["-e", json.dumps({"stack_services": {"hypercode-core": {"environment": {"API_KEY": ""}}}})]
    outcome = play(*STACK, *words, inventory=inventory)
    assert outcome.code != 0
    assert "hypercode-core stopped with exit code 1" in outcome.output, outcome.output
    assert stack.all_healthy(host)


def update(host):
    """Return the words for a run that goes from the version in use to the other one."""
    version = "1.1.0" if stack.release(host)["version"] == "1.0.0" else "1.0.0"
    return version, (*STACK, "-e", f"stack_version={version}")


def wait_for(host, condition, what, timeout=60):
    deadline = time.monotonic() + timeout
    while not condition(host):
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout} s"
        time.sleep(0.2)


def rollout_is_bringing_up(host):
    journal = stack.root(host, "cat $(ls -t /var/lib/hypercode/rollout/*.jsonl | head -1)", ok=False)
    newest = stack.root(host, "ls -t /var/lib/hypercode/rollout/*.jsonl | head -1", ok=False)
    return "bringing up" in journal and newest.strip() not in OLD_JOURNALS


OLD_JOURNALS: set[str] = set()


def remember_journals(host):
    OLD_JOURNALS.update(stack.root(host, "ls /var/lib/hypercode/rollout/*.jsonl", ok=False).split())


def test_ctrl_c_in_a_rollout(host, inventory):
    remember_journals(host)
    version, words = update(host)
    process = start(*words, inventory=inventory)
    wait_for(host, rollout_is_bringing_up, "the rollout")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode != 0
    # The host goes on by itself; the same command waits for it, or finds it done.
    outcome = play(*words, inventory=inventory)
    assert outcome.code == 0, outcome.output
    assert stack.release(host)["version"] == version
    assert stack.all_healthy(host)
    assert play("-e", f"stack_version={version}", inventory=inventory).changed("web1") == 0


def test_the_rollout_is_killed_on_the_host(host, inventory):
    remember_journals(host)
    version, words = update(host)
    process = start(*words, inventory=inventory)
    wait_for(host, rollout_is_bringing_up, "the rollout")
    stack.root(host, "systemctl kill --signal KILL 'hypercode-rollout-*'")
    output, _ = process.communicate(timeout=120)
    assert process.returncode != 0, output
    assert "run the same command again" in output
    outcome = play(*words, inventory=inventory)
    assert outcome.code == 0, outcome.output
    assert stack.release(host)["version"] == version
    assert stack.all_healthy(host)


def test_two_rollouts_at_once(host, inventory):
    remember_journals(host)
    in_use = stack.release(host)["version"]
    version, words = update(host)
    # The last level is first asked after a while, so that the second run comes in the midst of it.
    late = {"stack_services": {"crew-orchestrator": {"healthcheck": {"start_interval": "8s"}}}}
    process = start(*words, "-e", json.dumps(late), inventory=inventory)
    wait_for(host, rollout_is_bringing_up, "the rollout")
    second = play(*STACK, "-e", f"stack_version={in_use}", "-e", "stack_reason=second", inventory=inventory)
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    # The old release is still the one in use, so the second run may find nothing to do; it never mixes the two.
    assert second.code == 0 or "Another rollout is at work" in second.output
    assert stack.release(host)["version"] == version
    assert play(inventory=inventory).code == 0
    assert stack.release(host)["version"] == "1.0.0"
    assert stack.all_healthy(host)
