"""Host keys: fingerprints as OpenSSH has them, what is known, what changed, and what is refused."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding import host_key
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.host_key import HostKey
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.reach import Target
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import StoreError

TARGET = Target("192.0.2.10", 22, ("192.0.2.10",))


def new_key(folder: Path, kind: str) -> tuple[HostKey, str]:
    """A real key and the fingerprint that ssh-keygen shows for it."""
    path = folder / f"key-{kind}-{len(list(folder.iterdir()))}"
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(path)], check=True)
    words = path.with_suffix(".pub").read_text(encoding="utf-8").split()
    done = subprocess.run(["ssh-keygen", "-lf", str(path)], capture_output=True, text=True, check=True)
    return HostKey(words[0], words[1]), done.stdout.split()[1]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> list[HostKey]:
    """An Ed25519 key, an ECDSA key, and another Ed25519 key."""
    folder = tmp_path_factory.mktemp("keys")
    made = [new_key(folder, kind) for kind in ("ed25519", "ecdsa", "ed25519")]
    assert [key.fingerprint for key, _shown in made] == [shown for _key, shown in made]
    return [key for key, _shown in made]


def test_a_key_is_shown_with_its_kind(keys: list[HostKey]) -> None:
    assert keys[0].shown.endswith(" (ED25519)")
    assert keys[1].shown.endswith(" (ECDSA P-256)")


def test_a_file_is_read_whatever_else_is_in_it(keys: list[HostKey], tmp_path: Path) -> None:
    key = keys[0]
    path = tmp_path / "known_hosts"
    path.write_text(
        f"# comment\n\n@revoked * {key.kind} {key.text}\nbroken line\nname ssh-ed25519 no-base64!\n"
        f"one,192.0.2.10 {key.kind} {key.text} a comment\n",
        encoding="utf-8",
    )
    assert host_key.known(path) == [("one", key), ("192.0.2.10", key)]
    assert host_key.known(tmp_path / "none") == []


def test_what_is_written_is_found_again(keys: list[HostKey], tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_text(host_key.lines_for(TARGET, keys[:2]), encoding="utf-8")
    assert host_key.check_known(TARGET, path, keys[:2]) == keys[:2]
    # OpenSSH's own program finds it, too.
    find = ["ssh-keygen", "-F", "192.0.2.10", "-f", str(path)]
    assert keys[0].text in subprocess.run(find, capture_output=True, text=True, check=True).stdout


def test_a_server_that_nobody_knows(keys: list[HostKey], tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_text(host_key.lines_for(Target("192.0.2.11", 22), keys), encoding="utf-8")
    assert host_key.check_known(TARGET, path, keys) == []


def test_one_key_of_several_is_enough(keys: list[HostKey], tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_text(host_key.lines_for(TARGET, keys[:1]), encoding="utf-8")
    assert host_key.check_known(TARGET, path, keys[:2]) == keys[:1]


def test_a_key_that_changed_is_refused_with_the_way_out(keys: list[HostKey], tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_text(host_key.lines_for(TARGET, keys[:2]), encoding="utf-8")
    for offered in ([keys[2], keys[1]], [keys[2]]):
        with pytest.raises(StoreError) as caught:
            host_key.check_known(TARGET, path, offered)
        (problem,) = caught.value.problems
        assert problem.rule == "host-key-changed"
        assert keys[0].fingerprint in problem.message
        assert keys[2].fingerprint in problem.message
        assert "ssh-keygen -R '192.0.2.10' -f" in problem.fix


def test_none_of_the_known_kinds_is_offered(keys: list[HostKey], tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_text(host_key.lines_for(TARGET, keys[1:2]), encoding="utf-8")
    with pytest.raises(StoreError, match="not the one"):
        host_key.check_known(TARGET, path, keys[:1])


def test_the_fingerprint_that_was_given(keys: list[HostKey]) -> None:
    given = keys[0].fingerprint
    for form in (given, given.removeprefix("SHA256:"), f" {given}= "):
        assert host_key.matching(TARGET, keys[:2], form) == keys[:1]
    with pytest.raises(StoreError, match="another host key"):
        host_key.matching(TARGET, keys[:2], keys[2].fingerprint)
    # Capital letters count in Base64.
    with pytest.raises(StoreError):
        host_key.matching(TARGET, keys[:2], given.swapcase().replace("sha256", "SHA256"))
