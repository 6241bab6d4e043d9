"""What tests of a rollout ask again and again."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.journal import Journal
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.rollout import (
    RolloutError,
)

from fakes.small_stack import NEEDS, SmallStack, image_of

ONE = {name: image_of(name, "1") for name in NEEDS}
TWO = {name: image_of(name, "2") for name in NEEDS}


def failing(stack: SmallStack, wanted: Any) -> RolloutError:
    with pytest.raises(RolloutError) as caught:
        stack.deploy(wanted)
    return caught.value


def newest(stack: SmallStack) -> dict[str, Any]:
    return stack.store.all()[-1].read()


def events(stack: SmallStack, release: str = "") -> list[str]:
    name = release or stack.store.all()[-1].id
    return [event["event"] for event in Journal(stack.store.paths, name).read()]


def with_digest(stack: SmallStack, image: str) -> str:
    """An image as a plan tells of it that runs."""
    return f"{image} ({stack.docker.registry[image][:19]})"
