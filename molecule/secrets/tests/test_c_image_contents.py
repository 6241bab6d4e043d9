"""A release whose image holds a forbidden Python package is refused, unless somebody says why it may be there."""

from __future__ import annotations

import json

import pytest
from checks import stack
from checks.operator import site

pytestmark = pytest.mark.usefixtures("deployed")
# What is looked into here belongs to the rollout: the other roles are left out.
STACK = ("--tags", "stack")
JOSE = (*STACK, "-e", json.dumps({"stack_services": {"hypercode-core": {"tag": "1.0.0-jose"}}}))


def test_refused_with_everything_left_as_it_was(host, world):
    before = stack.ids(host)
    done = site(world, *JOSE)
    assert done.code != 0
    for word in ("python-jose", "3.3.0", "hypercode-core", "stack_allowed_packages"):
        assert word in done.output, done.output
    assert "Traceback" not in done.output
    assert stack.ids(host) == before
    assert stack.all_healthy(host)
    assert site(world, *STACK).changed("web1") == 0


def test_an_exception_without_a_reason_is_none(host, world):
    before = stack.ids(host)
    done = site(world, *JOSE, "-e", json.dumps({"stack_allowed_packages": [{"package": "python-jose"}]}))
    assert done.code != 0
    assert "reason" in done.output
    assert stack.ids(host) == before


def test_an_exception_with_a_reason_is_written_down(host, world):
    reason = "Replaced by PyJWT in the next version."
    allowed = [{"package": "Python_Jose", "service": "hypercode-core", "reason": reason}]
    words = (*JOSE, "-e", json.dumps({"stack_allowed_packages": allowed}))
    done = site(world, *words)
    assert done.code == 0, done.output
    about = stack.release(host)
    assert reason in json.dumps(about["allowed_packages"])
    assert stack.root(host, "hypercode images").count("3.3.0") >= 1
    listed = json.loads(stack.root(host, "hypercode images --json"))
    assert "3.3.0" in json.dumps(listed)
    assert site(world, *words).changed("web1") == 0
    # The exception is taken away again: what runs is not as wanted, and the run says so instead of "changed=0".
    again = site(world, *JOSE)
    assert again.code != 0
    assert "python-jose" in again.output
    assert stack.all_healthy(host)
    assert site(world, *STACK).code == 0
    assert "3.3.0" not in stack.root(host, "hypercode images")


def test_no_container_of_an_inspection_is_left(host):
    # The keepers of images, which are to stay, have names of their own.
    names = stack.root(host, "docker ps --all --format '{{.Names}}' | grep -v ^hypercode-keep-").split()
    assert len(names) == len(stack.SERVICES)
    assert stack.root(host, "docker ps --all --quiet --filter label=hypercode.purpose=image-content") == ""
