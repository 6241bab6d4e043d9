# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Time left, from earlier runs."""

from __future__ import annotations

import json
import stat

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.progress_timing import Eta, TimingStore, run_key
from hypothesis import given
from hypothesis import strategies as st


def recorded(*tasks: tuple[str, float]) -> list[tuple[str, float]]:
    """The steps of a run of ``(name, seconds)``."""
    eta, now = Eta(), 0.0
    for name, seconds in tasks:
        eta.start(name, now)
        now += seconds
    return eta.steps(now)


def test_time_left_counts_down_within_a_task_and_never_below_the_rest():
    eta = Eta([recorded(("a", 10), ("b", 5), ("c", 3))])
    assert eta.left(0) is None
    eta.start("a", 0)
    assert eta.left(0) == pytest.approx(18)
    assert eta.left(4) == pytest.approx(14)
    assert eta.left(99) == pytest.approx(8)
    eta.start("c", 100)
    assert eta.left(101) == pytest.approx(2)


def test_tasks_of_the_same_name_are_told_apart_by_their_turn():
    eta = Eta([recorded(("wait", 1), ("wait", 50))])
    eta.start("wait", 0)
    assert eta.left(0) == pytest.approx(51)
    eta.start("wait", 1)
    assert eta.left(1) == pytest.approx(50)


def test_an_unknown_task_keeps_the_last_estimate_and_no_run_gives_none():
    eta = Eta([recorded(("a", 10), ("b", 5))])
    eta.start("a", 0)
    eta.start("new", 10)
    assert eta.left(11) is not None
    assert Eta().left(3) is None


def test_the_run_that_was_as_slow_as_this_one_tells():
    first_deploy = recorded(("pull", 300), ("up", 60), ("check", 5))
    nothing_to_do = recorded(("pull", 2), ("up", 1), ("check", 5))
    eta = Eta([nothing_to_do, first_deploy])
    eta.start("pull", 0)
    eta.start("up", 280)
    assert eta.left(280) == pytest.approx(65)
    eta = Eta([first_deploy, nothing_to_do])
    eta.start("pull", 0)
    eta.start("up", 3)
    assert eta.left(3) == pytest.approx(6)


def test_the_store_keeps_a_few_runs_for_its_owner_only(tmp_path):
    path = tmp_path / "project" / ".cache" / "progress.json"
    store = TimingStore(path)
    for number in range(5):
        assert store.save("key", [("a", float(number))])
    assert store.load("key") == [[("a", 4.0)], [("a", 3.0)], [("a", 2.0)]]
    assert store.load("other") == []
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["progress.json"]


def test_the_store_forgets_the_keys_used_longest_ago(tmp_path):
    store = TimingStore(tmp_path / "progress.json")
    for number in range(40):
        store.save(f"key{number}", [("a", 1.0)])
    assert store.load("key0") == []
    assert store.load("key39") == [[("a", 1.0)]]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[1]",
        b'{"version": 2, "runs": {"key": [[["a", 1]]]}}',
        b'{"version": 1, "runs": {"key": [[["a", -1], ["b", "x"], ["c"], 7, ["d", 1e999]]]}}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_file_counts_as_empty_and_is_mended(tmp_path, content):
    path = tmp_path / "progress.json"
    path.write_bytes(content)
    store = TimingStore(path)
    assert [run for run in store.load("key") if run] == []
    assert Eta(store.load("key")).left(1) is None
    assert store.save("key", [("a", 1.0)])
    assert store.load("key")[0] == [("a", 1.0)]


def test_a_place_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    assert TimingStore(tmp_path / "file" / "progress.json").save("key", [("a", 1.0)]) is False
    assert TimingStore(None).save("key", [("a", 1.0)]) is False
    assert TimingStore(None).load("key") == []


def test_the_file_lies_in_the_project(tmp_path):
    config = tmp_path / "ansible.cfg"
    TimingStore.at(None, str(config)).save("key", [("a", 1.0)])
    assert (tmp_path / ".cache" / "progress.json").exists()
    assert TimingStore.at(None, "/etc/ansible/ansible.cfg").save("key", [("a", 1.0)]) is False
    assert TimingStore.at(None, str(tmp_path / ".ansible.cfg")).save("key", [("a", 1.0)]) is False
    assert TimingStore.at(None, None).save("key", [("a", 1.0)]) is False
    TimingStore.at(str(tmp_path / "mine.json"), str(config)).save("key", [("a", 1.0)])
    assert (tmp_path / "mine.json").exists()


def test_task_names_and_paths_are_not_stored(tmp_path):
    path = tmp_path / "progress.json"
    TimingStore(path).save(run_key("/srv/site.yml", tags=("docker",)), recorded(("Set the password hunter2", 1)))
    assert "hunter2" not in path.read_text()
    assert "site.yml" not in path.read_text()
    assert json.loads(path.read_text())["version"] == 1


def test_runs_that_differ_have_different_keys():
    keys = {
        run_key("/a/site.yml", check=False, hosts=1),
        run_key("/a/site.yml", check=True, hosts=1),
        run_key("/a/site.yml", check=False, hosts=2),
        run_key("/b/site.yml", check=False, hosts=1),
    }
    assert len(keys) == 4
    assert run_key("/a/./site.yml", hosts=1) == run_key("/a/site.yml", hosts=1)


runs = st.lists(st.tuples(st.sampled_from("abcd"), st.floats(0, 1000)), max_size=12)


@given(runs, runs)
def test_time_left_is_never_negative_nor_more_than_an_earlier_run(earlier, current):
    steps = recorded(*earlier)
    total = sum(seconds for _digest, seconds in steps)
    eta, now = Eta([steps]), 0.0
    for name, seconds in current:
        eta.start(name, now)
        now += seconds
        left = eta.left(now)
        assert left is None or 0 <= left <= total + 1e-6
