"""Images, ways out and findings set aside, through the whole renderer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.render import Result

Run = Callable[..., Result]
POLICY: dict[str, dict[str, Any]] = {"agent": {"needs_outside": True}, "infra": {}}
DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("stated", "options", "expected"),
    [
        ("image: 'a:1'", {"images": {"web": {"tag": "2"}}}, "a:2"),
        ("image: a", {"images": {"*": {"tag": "2"}}}, "a:2"),
        ("image: 'a:1'", {"images": {"*": {"image": "r:5000/x/{service}", "tag": "7"}}}, "r:5000/x/web:7"),
        ("build: .", {"images": {"web": {"image": "r/x:3"}}}, "r/x:3"),
        ("image: 'a:1'", {"images": {"web": {"digest": DIGEST}}}, f"a:1@{DIGEST}"),
        (f"image: 'a:1@{DIGEST}'", {"images": {"web": {"tag": "2"}}}, "a:2"),
        ("image: 'a:1'", {"images": {"w*": {"tag": "2"}, "web": {"digest": DIGEST}}}, f"a:2@{DIGEST}"),
        ("image: 'a:1'", {"images": {"web": {"tag": "2"}}, "services": {"web": {"tag": "3"}}}, "a:3"),
        ("image: 'a:${TAG}'", {"variables": {"TAG": "5"}}, "a:5"),
        ("image: 'a:1'", {"images": {"web": {"tag": 2.5}}}, "a:2.5"),
        (
            "image: a",
            {"images": {"web": {"image": "${R}/b", "tag": "${T:-8}"}}, "variables": {"R": "r:5000"}},
            "r:5000/b:8",
        ),
    ],
)
def test_images(run: Run, stated: str, options: dict[str, Any], expected: str) -> None:
    result = run(f"services: {{web: {{{stated}}}}}", **options)
    assert result.errors == [], [f.text() for f in result.errors]
    assert result.services["web"]["image"] == expected
    assert "build" not in result.compose["services"]["web"]


@pytest.mark.parametrize(
    ("stated", "options", "rule"),
    [
        ("image: a", {}, "image-not-pinned"),
        ("image: 'a:latest'", {}, "image-not-pinned"),
        ("image: 'r:5000/a'", {}, "image-not-pinned"),
        ("image: 'A B'", {}, "image-invalid"),
        ("image: 'a:1'", {"images": {"web": {"digest": "sha256:12"}}}, "image-invalid"),
        ("build: .", {}, "image-missing"),
        ("build: .", {"images": {"web": {"tag": "1"}}}, "image-missing"),
        ("command: x", {}, "image-missing"),
    ],
)
def test_bad_images(run: Run, stated: str, options: dict[str, Any], rule: str) -> None:
    result = run(f"services: {{web: {{{stated}}}}}", **options)
    assert {f.rule for f in result.errors} == {rule}
    assert all((f.service, f.line) == ("web", 1) for f in result.errors)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("networks: [in]", True),
        ("networks: [in, in2]", True),
        ("networks: [in, out]", False),
        ("command: x", False),
        ("network_mode: none", True),
        ("network_mode: host", False),
        ("network_mode: 'service:inside'", True),
        ("networks: [in], labels: {hypercode.class: infra}", False),
    ],
)
def test_a_service_without_a_way_out(run: Run, body: str, found: bool) -> None:
    text = f"""
        services:
          web: {{image: "a:1", {body}}}
          inside: {{image: "a:1", networks: [in], x-hypercode-class: infra}}
        networks: {{in: {{internal: true}}, in2: {{internal: true}}, out: }}
        """
    result = run(text, policy=POLICY, default_class="agent")
    hits = [f for f in result.errors if f.rule == "no-way-out"]
    assert bool(hits) is found
    assert all("web has no way out" in f.message for f in hits)
    assert {f.rule for f in result.errors} - {"no-way-out", "host-network"} == set()


def test_a_finding_can_be_set_aside_with_a_reason(run: Run) -> None:
    text = "services: {web: {image: a}, db: {image: b}}"
    entry = {"rule": "image-not-pinned", "service": "w*", "reason": "Built on the host itself."}
    result = run(text, ignore=[entry])
    assert [f.service for f in result.errors] == ["db"]
    (ignored,) = result.ignored
    assert (ignored["service"], ignored["reason"]) == ("web", "Built on the host itself.")
    assert run(text, ignore=[{**entry, "service": "*"}]).errors == []
    assert run(text, ignore=[{"rule": "image-not-pinned", "reason": "x"}]).errors == []
