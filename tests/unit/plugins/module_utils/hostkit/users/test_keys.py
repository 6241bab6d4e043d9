# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Public keys: the real ssh-keygen makes them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.users.keys import (
    KeyProblem,
    judge_key,
    keys_in,
    parse_key,
)
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen (package openssh-client)")
ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


def make(folder: Path, *words: str) -> Path:
    path = folder / "-".join(words)
    if not path.exists():
        subprocess.run(
            ["ssh-keygen", "-q", "-N", "", "-C", "me@laptop", "-f", path, "-t", words[0], *words[1:]], check=True
        )
    return path.with_name(path.name + ".pub")


@pytest.mark.parametrize(
    ("words", "kind", "bits"),
    [
        (("ed25519",), "ssh-ed25519", 0),
        (("ecdsa", "-b", "384"), "ecdsa-sha2-nistp384", 0),
        (("rsa", "-b", "3072"), "ssh-rsa", 3072),
    ],
)
def test_a_real_key(folder: Path, words: tuple[str, ...], kind: str, bits: int) -> None:
    file = make(folder, *words)
    key = parse_key(file.read_text())
    assert (key.kind, key.bits, key.comment) == (kind, bits, "me@laptop")
    assert judge_key(key) is None
    assert key.line == file.read_text().strip()
    shown = subprocess.run(["ssh-keygen", "-l", "-f", file], check=True, capture_output=True, text=True).stdout
    assert key.fingerprint in shown
    assert key.label == f"me@laptop ({key.fingerprint})"


def test_options_in_front(folder: Path) -> None:
    text = make(folder, "ed25519").read_text().strip()
    options = 'from="198.51.100.0/24,!198.51.100.9",command="echo \\"a b\\" ssh-rsa AAAA",no-pty'
    key = parse_key(f"{options} {text}")
    assert (key.options, key.kind) == (options, "ssh-ed25519")
    assert key.line == f"{options} {text}"


def test_a_short_rsa_key_is_weak(folder: Path) -> None:
    problem = judge_key(parse_key(make(folder, "rsa", "-b", "2048").read_text()))
    assert str(problem) == "is an RSA key of 2048 bits, fewer than 3072"


def test_a_private_key_is_told_and_never_shown(folder: Path) -> None:
    text = make(folder, "ed25519").with_suffix("").read_text()
    with pytest.raises(KeyProblem, match="is a private key") as caught:
        parse_key(text)
    assert not any(line in f"{caught.value} {caught.value.fix}" for line in text.splitlines()[1:-1])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no public key"),
        ("hello", "is no public key"),
        ("ssh-ed25519", "is no public key"),
        (ED25519[:-1], "is damaged"),
        (ED25519[:40] + ED25519[44:], "is damaged"),
        (ED25519.replace("ssh-ed25519 ", "ssh-rsa "), "is damaged"),
        ("ssh-ed25519 AAAA", "is damaged"),
        ("ssh-dss AAAAB3NzaC1kc3MAAACBAP", "is of the type ssh-dss"),
        ("ssh-ed25519-cert-v01@openssh.com AAAAC3NzaC1lZDI1NTE5", "which is no key that can log in"),
        (f"{ED25519}\n{ED25519}", "more than one line"),
        ("---- BEGIN SSH2 PUBLIC KEY ----\nAAAA", "SSH2 form"),
    ],
)
def test_what_is_no_key(text: str, words: str) -> None:
    with pytest.raises(KeyProblem, match=words) as caught:
        parse_key(text)
    assert caught.value.fix


@given(st.text())
def test_any_text_is_a_key_or_a_problem(text: str) -> None:
    try:
        key = parse_key(text)
    except KeyProblem:
        return
    assert key.kind in text


def test_a_file_is_read_past_what_is_none(folder: Path) -> None:
    good = make(folder, "ed25519").read_text()
    assert [key.kind for key in keys_in(f"# me\n\nnonsense\n{good}  # {good}")] == ["ssh-ed25519"]
