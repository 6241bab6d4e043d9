"""The parts of the test bed that need no engine."""

from __future__ import annotations

import ipaddress
import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from testbed import hosts, images, inventory, neighbours, shell
from testbed.hosts import Bed

SANDBOX = Bed("sandbox", Path("/nowhere"))
MOLECULE = Bed("molecule-default", Path("/nowhere"), "molecule", molecule_range="molecule")
SECOND = Bed("molecule-default", Path("/nowhere"), "molecule", molecule_range="molecule-2")


class TestAddresses:
    @pytest.mark.parametrize("bed", [SANDBOX, MOLECULE, SECOND], ids=lambda bed: bed.range)
    def test_every_host_is_inside_the_network_of_its_bed(self, bed: Bed) -> None:
        network = ipaddress.ip_network(hosts.RANGES[bed.range][0])
        addresses = [ipaddress.ip_address(bed.address(index)) for index in range(5)]
        registry = ipaddress.ip_address(bed.registry.removesuffix(":5000"))
        taken = [network.network_address, network.network_address + 1, network.broadcast_address]
        assert all(address in network and address not in taken for address in [*addresses, registry])
        assert len({*addresses, registry}) == 6

    def test_sandbox_and_two_scenarios_can_be_up_together(self) -> None:
        for part in (0, 1):
            networks = [ipaddress.ip_network(both[part]) for both in (*hosts.RANGES.values(), neighbours.PRIVATE)]
            assert not [pair for pair in itertools.combinations(networks, 2) if pair[0].overlaps(pair[1])]

    def test_names_carry_the_name_of_the_bed(self) -> None:
        assert MOLECULE.network == "hypercode-molecule-default"
        assert MOLECULE.container("web1") == "hypercode-molecule-default-web1"
        assert SANDBOX.key == Path("/nowhere/ssh/id_ed25519")


class TestCgroups:
    @pytest.mark.parametrize("version", [1, 2])
    def test_words_for_init(self, version: int, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[str] = []
        monkeypatch.setattr(Path, "exists", lambda self: bool(asked.append(str(self))) or version == 2)
        words = hosts.cgroup_words()
        assert asked == ["/sys/fs/cgroup/cgroup.controllers"]
        if version == 2:
            assert words == []
        else:
            assert "systemd.unified_cgroup_hierarchy=0" in words
            assert not any(" " in word for word in words)


class TestDigest:
    def test_same_parts_same_digest(self) -> None:
        assert images.digest_of("a", ["b"]) == images.digest_of("a", ["b"])
        assert len(images.digest_of()) == 12

    @given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
    def test_other_parts_other_digest(self, one: list[str], other: list[str]) -> None:
        assert (images.digest_of(*one) == images.digest_of(*other)) == (one == other)

    def test_files_count_with_their_names_and_contents(self, tmp_path: Path) -> None:
        def digest() -> str:
            return images.digest_of("x", folders=(tmp_path,))

        seen = [digest()]
        (tmp_path / "a").write_text("1")
        seen.append(digest())
        (tmp_path / "a").write_text("2")
        seen.append(digest())
        (tmp_path / "a").rename(tmp_path / "b")
        seen.append(digest())
        assert len(set(seen)) == len(seen)

    def test_bytecode_does_not_count(self, tmp_path: Path) -> None:
        before = images.digest_of(folders=(tmp_path,))
        (tmp_path / "__pycache__").mkdir()
        (tmp_path / "__pycache__" / "a.pyc").write_bytes(b"x")
        assert images.digest_of(folders=(tmp_path,)) == before


class TestImages:
    def test_every_service_of_ours_has_a_stand_in_that_is_built(self) -> None:
        assert set(images.STAND_INS.values()) | set(images.INFRASTRUCTURE) == set(images.DOCKERFILES)
        assert set(images.SPECIALISTS) < set(images.STAND_INS)


# Beyond U+FFFF JSON writes two escapes, which YAML does not join; nothing of the test bed is beyond.
_text = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]))
_scalars = st.none() | st.booleans() | st.integers() | _text


class TestInventory:
    @given(st.dictionaries(st.from_regex(r"[a-z]_[a-z_]{0,9}", fullmatch=True), _scalars | st.lists(_scalars)))
    def test_yaml_means_what_went_in(self, document: dict[str, Any]) -> None:
        assert (yaml.safe_load(inventory.as_yaml(document, "A comment")) or {}) == document

    def test_a_secret_file_is_never_readable_by_others(self, tmp_path: Path) -> None:
        path = tmp_path / "deep" / "secrets.yml"
        inventory.write_file(path, "a: 1\n", mode=0o600)
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.read_text() == "a: 1\n"
        assert [entry.name for entry in path.parent.iterdir()] == ["secrets.yml"]

    def test_the_database_password_needs_percent_encoding(self, tmp_path: Path) -> None:
        secrets = inventory.secret_variables(Bed("x", tmp_path))["stack_secrets"]
        assert all(character in secrets["POSTGRES_PASSWORD"] for character in "@:/?#")
        assert len(secrets["HYPERCODE_JWT_SECRET"]) >= 32


class TestShell:
    def test_a_failure_carries_the_last_lines(self) -> None:
        with pytest.raises(shell.TestbedError, match=r"(?s)exit code 3.*the reason") as caught:
            shell.run(["sh", "-c", "seq 100; echo the reason; exit 3"])
        assert len(str(caught.value).splitlines()) <= 16

    def test_a_missing_command_is_named(self) -> None:
        with pytest.raises(shell.TestbedError, match="'no-such-command' is not installed"):
            shell.run(["no-such-command"])

    def test_a_command_that_hangs_is_named(self) -> None:
        with pytest.raises(shell.TestbedError, match="did not finish within"):
            shell.run(["sleep", "5"], timeout=0.1)

    def test_stdin_and_environment(self) -> None:
        assert shell.run(["sh", "-c", 'cat; echo "$A"'], stdin="in ", env={"A": "b"}).stdout == "in b\n"


class TestScenarioVariables:
    def test_they_add_to_the_exceptions_of_the_bundled_stack(self) -> None:
        root = Path(__file__).resolve().parents[3]
        defaults = yaml.safe_load((root / "roles/stack/defaults/main.yml").read_text(encoding="utf-8"))
        made = dict(inventory.scenario_variables()["stack_services_bundled"])
        assert made.pop("*") == {"healthcheck": {"start_interval": "1s"}}
        assert made == defaults["stack_services_bundled"]

    def test_the_sandbox_has_the_defaults_of_production(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("testbed.registry.ca_file", lambda _bed: Path("/nowhere/ca.crt"))
        sandbox, molecule = inventory.stack_variables(SANDBOX), inventory.stack_variables(MOLECULE)
        assert set(molecule) - set(sandbox) == set(inventory.scenario_variables())


class TestStep:
    def test_what_runs_beside_it_prints_nothing(self, capsys: pytest.CaptureFixture[str]) -> None:
        def inner() -> str:
            with shell.step("inner"):
                return "done"

        with shell.step("outer"), ThreadPoolExecutor(1) as workers:
            assert workers.submit(inner).result() == "done"
        assert capsys.readouterr().out == "  outer ... 0 s\n"
