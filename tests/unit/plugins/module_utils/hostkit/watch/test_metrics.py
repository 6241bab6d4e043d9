"""The text that Prometheus reads, whatever containers are called."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.exposition import samples_in
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.watch.counters import Usage
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.watch.metrics import Myself, Sample, exposition
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.watch.roster import Facts, facts_of
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.watch.tracks import Track
from fakes.watched_host import WatchedHost
from hypothesis import given
from hypothesis import strategies as st

MYSELF = Myself(sampled=1_800_000_000.25, engine_up=True, seconds=0.0123, interval=15)
NASTY = 'a\nb"c\\d\re\x85f\u2028g é \x00\n# TYPE x gauge\nx{a="b"} 1\ud800'


def facts(tmp_path: Path, **changes: object) -> Facts:
    host = WatchedHost(tmp_path)
    found = facts_of(host.inspected(host.add("web")), tmp_path)
    host.remove()
    assert found is not None
    return replace(found, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    return facts(tmp_path_factory.mktemp("web"))


def text_of(*samples: Sample, missing: tuple[tuple[str, str], ...] = ()) -> str:
    return exposition(samples, missing, MYSELF).decode()


def sample(found: Facts, **labels: str) -> Sample:
    return Sample(replace(found, **labels), Track(), Usage(memory=5, cpu_seconds=0.1))  # type: ignore[arg-type]


def no_surrogates(text: str) -> str:
    return text.encode(errors="replace").decode()


@given(name=st.text(), service=st.text(), project=st.text())
def test_no_name_breaks_the_text_and_each_comes_back_as_it_was(
    web: Facts, name: str, service: str, project: str
) -> None:
    plain, odd = text_of(sample(web)), text_of(sample(web, name=name, service=service, project=project))
    assert odd.count("\n") == plain.count("\n")
    found = [labels for metric, labels, _value in samples_in(odd) if metric == "hypercode_container_up"]
    assert found == [
        {
            "project": no_surrogates(project),
            "service": no_surrogates(service),
            "container": no_surrogates(name),
        }
    ]


@given(names=st.lists(st.text(st.sampled_from('a\ud800\ud801?\n\\n"')), max_size=6))
def test_no_two_samples_are_the_same(web: Facts, names: list[str]) -> None:
    lines = text_of(*(sample(web, name=name) for name in names)).splitlines()
    series = [line.rpartition(" ")[0] for line in lines if not line.startswith("#")]
    assert len(series) == len(set(series))


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool (package prometheus) is not installed")
def test_prometheus_takes_it(web: Facts) -> None:
    full = Usage(*range(1, 16))  # type: ignore[arg-type]
    samples = [Sample(web, Track(), full), Sample(replace(web, name=NASTY, service=NASTY), Track(), full)]
    data = exposition(samples, [("demo", NASTY), ("demo", "gone")], MYSELF)
    done = subprocess.run(["promtool", "check", "metrics"], input=data, capture_output=True, check=False)
    assert (done.returncode, done.stderr.decode(), done.stdout.decode()) == (0, "", "")
    broken = subprocess.run(
        ["promtool", "check", "metrics"], input=data.replace(b'\\"', b'"'), capture_output=True, check=False
    )
    assert broken.returncode != 0


def test_what_has_no_limit_has_no_sample(web: Facts) -> None:
    found = replace(web, memory_limit=0, cpu_limit=0.0, processes_limit=0)
    names = {name for name, _labels, _value in samples_in(text_of(Sample(found, Track(), Usage(memory=5))))}
    assert "hypercode_container_memory_bytes" in names
    assert not [name for name in names if "limit" in name]


def test_a_service_without_a_container_is_down(web: Facts) -> None:
    text = text_of(sample(web), missing=(("demo", "lost"),))
    assert 'hypercode_container_up{project="demo",service="lost",container=""} 0' in text
    assert text.count('service="lost"') == 1


@pytest.mark.parametrize(
    ("changes", "job", "gone", "up"),
    [
        ({}, False, False, ["1"]),
        ({}, False, True, ["0"]),
        ({"state": "exited", "exit_code": 1}, False, False, ["0"]),
        ({"state": "exited", "exit_code": 0}, False, False, ["0"]),
        ({"state": "paused"}, False, False, ["0"]),
        # What runs once and has ended well is neither up nor down.
        ({"state": "exited", "exit_code": 0}, True, False, []),
        ({"state": "exited", "exit_code": 3}, True, False, ["0"]),
        ({}, True, False, ["1"]),
    ],
)
def test_up_or_down(web: Facts, changes: dict[str, object], job: bool, gone: bool, up: list[str]) -> None:
    text = text_of(Sample(replace(web, **changes), Track(), job=job, gone=gone))  # type: ignore[arg-type]
    assert [line.split()[-1] for line in text.splitlines() if line.startswith("hypercode_container_up{")] == up


def test_a_stopped_container_has_no_health(web: Facts) -> None:
    text = text_of(Sample(replace(web, state="exited", health="unhealthy"), Track()))
    assert 'container="demo-web-1",state="none"} 1' in text
    assert 'container="demo-web-1",state="unhealthy"} 0' in text
