"""`hypercode rollout list` and `back`, as an operator types them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import cli
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.wanted import Paths
from fakes.docker_host import Behaviour
from fakes.rollouts import ONE, TWO, failing, with_digest
from fakes.small_stack import SmallStack, image_of, make_wanted

Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def typed(
    stack: SmallStack, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Typed:
    """Type a command; return exit code, output and what was said on standard error."""
    monkeypatch.setenv("SUDO_USER", "ann")

    def run(words: str) -> tuple[int, str, str]:
        host = cli.Host(stack.store, stack.engine, stack.docker, stack.rollout, Paths(tmp_path), stack.launcher())
        capsys.readouterr()
        code = cli.main(words.split(), host)
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code, said.out, said.err

    return run


@pytest.fixture
def ids(stack: SmallStack) -> list[str]:
    return [str(stack.deploy(make_wanted(version, why=f"ticket {version}"))["id"]) for version in ("1", "2")]


def test_a_bare_host(typed: Typed) -> None:
    assert typed("rollout list") == (1, "hypercode: there is no release on this host. Next: run site.yml for it\n", "")
    code, _, said = typed("rollout back")
    assert (code, said.startswith("hypercode: Nothing is deployed on this host. ")) == (1, True)


def test_the_list(typed: Typed, stack: SmallStack, ids: list[str]) -> None:
    stack.docker.by_image[image_of("web", "3")] = Behaviour(healthy_after=None)
    failing(stack, make_wanted("3"))
    code, output, _ = typed("rollout list")
    lines = [line.split() for line in output.splitlines()]
    assert code == 0
    assert [line[0] for line in lines[2:]] == ids[::-1]
    assert lines[1][1:6] == ["3", "never", "in", "use", "(reverted)"]
    assert (lines[2][1:4], lines[2][-2:]) == (["2", "in", "use"], ["ticket", "2"])
    assert (lines[3][1:3], lines[3][-2:]) == (["1", "kept"], ["ticket", "1"])


def test_back_says_what_it_does_and_does_it(typed: Typed, stack: SmallStack, ids: list[str]) -> None:
    code, output, _ = typed("rollout back --check")
    assert (code, stack.docker.running()) == (0, TWO)
    assert output.splitlines()[0] == f"back to release {ids[0]}, version 1:"
    lines = output.splitlines()[1:]
    assert [line.partition(":")[0] for line in lines] == ["  1. db", "  2. web", "  2. worker", "  expected"]
    assert f"  2. web: replace: {with_digest(stack, TWO['web'])} -> {ONE['web']}" in lines
    assert lines[-1] == "  expected: 20 s"
    code, done, _ = typed("rollout back --reason slow")
    assert (code, stack.docker.running()) == (0, ONE)
    assert done.startswith(output)
    assert f"release {ids[0]} is up, version 1" in done
    assert "set stack_version" in done
    assert f"gone back to from {ids[1]} by ann: slow" in typed("rollout list")[1]
    assert typed("rollout status")[1].startswith(f"release {ids[0]}  version 1  status done")


def test_back_again_does_nothing(typed: Typed, stack: SmallStack, ids: list[str]) -> None:
    typed("rollout back 1")
    code, output, _ = typed("rollout back")
    assert (code, output.splitlines()[0]) == (
        0,
        f"nothing to do: this host is back on release {ids[0]} already. To go further back, name a release",
    )
    assert stack.docker.running() == ONE


def test_back_that_fails(typed: Typed, stack: SmallStack, ids: list[str]) -> None:
    stack.docker.by_image[image_of("web", "1")] = Behaviour(healthy_after=None)
    code, _, said = typed("rollout back 1")
    assert (code, "web did not get healthy" in said, f"{ids[1]} is running again" in said) == (1, True, True)
    assert stack.docker.running() == TWO


def test_the_status_of_one_that_was_cut_off(typed: Typed, stack: SmallStack, ids: list[str]) -> None:
    stack.store.get(ids[0]).update(status="running", in_use_since="2026-01-01T00:00:00Z")
    code, output, _ = typed("rollout status")
    assert (code, f"Next: hypercode rollout back {ids[0]}; it finishes the job" in output) == (1, True)
