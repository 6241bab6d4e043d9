"""What a Compose that was killed leaves behind is taken away before the next one begins."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release_stack import ReleaseStack


def container(number: str, name: str, service: str) -> dict[str, Any]:
    return {"Id": number, "Name": name, "Config": {"Labels": {"com.docker.compose.service": service}}}


def test_a_half_made_container_is_removed_and_no_other() -> None:
    listed = [
        container("1", "/shop-core-1", "core"),
        container("2", "/280cba08c855_shop-core-1", "core"),
        container("3", "/0123456789ab_shop-web-1", "web"),
    ]
    ran: list[list[str]] = []

    def run(words: list[str], **_options: Any) -> CommandResult:
        ran.append(words)
        return CommandResult(0)

    stack: Any = ReleaseStack.__new__(ReleaseStack)
    stack.about = {"project": "shop"}
    stack.tools = SimpleNamespace(engine=SimpleNamespace(containers=lambda _project: listed), run=run)
    stack.journal = SimpleNamespace(write=lambda *_words, **_details: None)
    stack._remove_half_made(["core"])
    assert ran == [["docker", "rm", "--force", "2"]]
