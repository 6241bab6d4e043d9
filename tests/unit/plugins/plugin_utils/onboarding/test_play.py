"""The run through ansible-runner: its lines come as they are said, and nothing of it is left."""

from __future__ import annotations

import datetime
import sys
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding import environment, play
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.login import Found
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.ssh import Way
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_command.session import (
    Session,
    open_place,
    open_session,
)
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.ansible_vault import PasswordOptions

ROOT = Path(__file__).resolve().parents[5]
pytestmark = pytest.mark.playbook
PLAYBOOK = """\
- hosts: localhost
  connection: local
  gather_facts: false
  vars:
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
  tasks:
    - ansible.builtin.debug: {msg: "begun for {{ onboard_host }}"}
    - ansible.builtin.assert:
        that: lookup('ansible.builtin.file', onboard_login_password_file) == 'the canary'
        fail_msg: the file was not read
    - ansible.builtin.fail: {msg: as wanted}
      when: onboard_host == 'broken'
"""


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    monkeypatch.setenv("ANSIBLE_CONFIG", str(ROOT / "ansible.cfg"))
    monkeypatch.setenv("HYPERCODE_PROGRESS_FILE", str(tmp_path / "progress.json"))
    playbook = tmp_path / "playbook.yml"
    playbook.write_text(PLAYBOOK, encoding="utf-8")
    monkeypatch.setattr(play, "PLAYBOOK", str(playbook))
    folder = tmp_path / "production"
    environment.make(folder, ROOT)
    return open_session(open_place(str(folder), ROOT, PasswordOptions(), datetime.date.today()))


@pytest.mark.parametrize("name", ["web1", "broken"])
def test_a_run(name: str, session: Session, tmp_path: Path) -> None:
    secret = tmp_path / "login"
    secret.write_text("the canary", encoding="utf-8")
    found = Found(Way("root", password_file=secret), True, "missing", "", "debian 13", "Debian")
    login = play.variables(name, found)
    assert "the canary" not in str(login)
    lines: list[str] = []
    ended = play.run(session, login, tmp_path / "private", lines.append)
    text = "\n".join(lines)
    assert f"begun for {name}" in text
    assert ended.good is (name == "web1")
    assert ("as wanted" in text) is (name == "broken")
    # Plain lines: no escape sequence, whatever the runner's own terminal is.
    assert "\x1b" not in text
    assert (tmp_path / "private").stat().st_mode & 0o077 == 0
    kept = [path for path in (tmp_path / "private").rglob("*") if path.is_file()]
    assert not [path for path in kept if "the canary" in path.read_text(encoding="utf-8", errors="replace")]
    assert not [path for path in kept if path.parent.name == "job_events"]
