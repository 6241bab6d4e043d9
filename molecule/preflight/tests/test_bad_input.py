"""Vaults and secrets that are broken: a clear finding, never a traceback, never a pass."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from checks.playbook import play

BINARY = "!!binary gIGCg4SFhoeIiYqLjI2Oj5CRkpOUlZaXmJmam5ydnp8="


def check(inventory, folder, text, *words):
    """Run preflight with one more inventory, whose variables win."""
    (folder / "hosts.yml").write_text("hypercode:\n  hosts:\n    web1: {}\n", encoding="utf-8")
    path = folder / "group_vars" / "hypercode" / "zz_broken.yml"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return play(*words, "-i", str(folder), inventory=inventory, playbook="playbooks/preflight.yml", timeout=90)


def refused(outcome, *words):
    assert outcome.code != 0, outcome.output
    for word in words:
        assert word in outcome.output, f"{word!r} is missing in:\n{outcome.output[-4000:]}"
    assert "Traceback" not in outcome.output


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("12345678901234567890", "API_KEY"),
        ("[a, b]", "API_KEY"),
        ("{a: b}", "API_KEY"),
        ("true", "API_KEY"),
        ("2026-11-24", "API_KEY"),
        (BINARY, "API_KEY"),
        ('"\\0\\x07 control"', "API_KEY"),
        ('""', "API_KEY"),
        ("~", "API_KEY"),
        ('"{{ no_such_variable }}"', "API_KEY"),
    ],
    ids=["number", "list", "mapping", "boolean", "date", "binary", "control", "empty", "null", "template"],
)
def test_a_value_that_is_no_secret(inventory, tmp_path, value, word):
    refused(check(inventory, tmp_path, f"stack_secrets:\n  API_KEY: {value}\n"), word, "fix:")


def test_a_value_of_a_megabyte(inventory, tmp_path):
    outcome = check(inventory, tmp_path, f"stack_secrets:\n  API_KEY: {'canary7' * 150_000}\n")
    refused(outcome, "API_KEY")
    assert "canary7canary7" not in outcome.output
    assert len(outcome.output) < 20_000


def test_the_same_key_twice(inventory, tmp_path):
    refused(check(inventory, tmp_path, "stack_secrets:\n  API_KEY: a\n  API_KEY: b\n"), "line 3", "zz_broken.yml")


def test_secrets_that_hold_themselves(inventory, tmp_path):
    text = "stack_secrets: &a\n  API_KEY: abc\n  OTHER: *a\n"
    refused(check(inventory, tmp_path, text), "zz_broken.yml", "alias")


def test_aliases_that_grow_without_end(inventory, tmp_path):
    levels = "\n".join(f"  l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 12))
    outcome = check(inventory, tmp_path, f"stack_secrets:\n  l0: &l0 [x, x, x, x]\n{levels}\n  API_KEY: *l11\n")
    refused(outcome, "zz_broken.yml", "aliases")


def test_secrets_that_are_no_mapping(inventory, tmp_path):
    refused(check(inventory, tmp_path, "stack_secrets: [a, b]\n"), "stack_secrets")


def encrypt(text: str, password: Path, name: str = "") -> str:
    words = [str(Path(sys.executable).parent / "ansible-vault")]
    words += ["encrypt_string", "--name", name] if name else ["encrypt", "--output", "-"]
    done = subprocess.run(
        [*words, "--vault-password-file", str(password)], input=text, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize("key", ["none", "wrong"])
@pytest.mark.parametrize("whole", [True, False], ids=["file", "value"])
def test_a_vault_that_cannot_be_opened(inventory, tmp_path, key, whole):
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text("right-one", encoding="utf-8")
    wrong.write_text("wrong-one", encoding="utf-8")
    folder = tmp_path / "inventory"
    folder.mkdir()
    if whole:
        text = encrypt("stack_secrets:\n  API_KEY: abc\n", right)
    else:
        value = encrypt("canary-in-the-vault", right, "API_KEY").replace("\n", "\n  ")
        text = f"stack_secrets:\n  {value}\n"
    words = ["--vault-password-file", str(wrong)] if key == "wrong" else []
    outcome = check(inventory, folder, text, *words)
    refused(outcome, "zz_broken.yml" if whole else "API_KEY")
    assert "canary-in-the-vault" not in outcome.output
