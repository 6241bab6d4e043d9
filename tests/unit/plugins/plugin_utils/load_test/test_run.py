"""The process that makes the load, when it does not do as it should."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.plugin_utils.load_test import run
from ansible_collections.hypercode.deploy.plugins.plugin_utils.load_test.job import HTTP, Job
from ansible_collections.hypercode.deploy.plugins.plugin_utils.load_test.run import LoadError, put_load

JOB = Job(HTTP, "http://127.0.0.1", user="ops", password="canary")


def program(folder: Path, body: str) -> Path:
    path = folder / "program.py"
    path.write_text(body)
    return path


def test_it_dies(tmp_path: Path) -> None:
    dies = program(tmp_path, "import sys; sys.stdin.read(); sys.exit('ImportError: no module, canary')")
    with pytest.raises(LoadError, match=r"exit code 1\): ImportError: no module, \*\*\*\. Fix: ") as caught:
        put_load(JOB, lambda _progress: None, dies)
    assert "canary" not in str(caught.value)


def test_it_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Job, "seconds_at_most", 0.5)
    began = time.monotonic()
    with pytest.raises(LoadError, match="ended without a result"):
        put_load(JOB, lambda _progress: None, program(tmp_path, "import time; time.sleep(60)"))
    assert time.monotonic() - began < 30


def test_what_else_is_printed_is_no_harm(tmp_path: Path) -> None:
    body = "import sys, json; sys.stdin.read(); print('a warning'); print(json.dumps({'progress': {'seconds': 1}}))\n"
    seen: list[Any] = []
    assert put_load(JOB, seen.append, program(tmp_path, body + "print(json.dumps({'result': {'seconds': 2}}))")) == {
        "seconds": 2
    }
    assert seen == [{"seconds": 1}]


def test_locust_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(LoadError, match=r"Locust, which makes the load, is not installed\. Fix: "):
        put_load(JOB, lambda _progress: None)


def test_ansible_is_not_touched_by_gevent() -> None:
    """Locust changes sockets and locks where it is imported: never in this process."""
    import sys  # noqa: PLC0415

    assert "ansible" in sys.modules
    assert "gevent" not in sys.modules
    assert "locust" not in sys.modules
