"""Who is in an environment, who may join, and how a new one is made."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding import environment, host_key
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.environment import Member
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.host_key import HostKey
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.reach import Target
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import StoreError

ROOT = Path(__file__).resolve().parents[5]
KNOWN = [Member("web1", "192.0.2.10", 22), Member("web2", "2001:db8::2", 22), Member("db", "db.example.com", 2222)]
KEY = HostKey("ssh-ed25519", "AAAAC3NzaC1lZDI1NTE5AAAAIGkq2i0ZcFfDGqX3mB2j1f5mLk0oW6v9c3M1v7E0pJ2Z")


def target(host: str, port: int = 22, *addresses: str) -> Target:
    return Target(host, port, addresses or (host,))


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("web7.example.com", "web7"),
        ("192.0.2.99", "web3"),
        ("2001:db8::99", "web3"),
        # It is there already: run again, it keeps its name.
        ("192.0.2.10", "web1"),
        ("db.example.com", "db"),
        ("_dmarc.example.com", "web3"),
    ],
)
def test_the_name_that_is_proposed(host: str, name: str) -> None:
    assert environment.proposed_name(host, KNOWN) == name


def test_the_first_of_all() -> None:
    assert environment.proposed_name("192.0.2.99", []) == "web1"


@pytest.mark.parametrize("name", ["", "Web1", "web_1", "-web", "web-", "a" * 64, "all", "localhost", "web.1", "x y"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(StoreError, match="is no name for a host"):
        environment.check_name(name)


def test_a_new_server_and_one_that_is_there() -> None:
    assert environment.check_member(KNOWN, "web3", target("192.0.2.11"), "production") is False
    assert environment.check_member(KNOWN, "web1", target("192.0.2.10"), "production") is True
    assert environment.check_member(KNOWN, "db", target("db.example.com", 2222, "192.0.2.30"), "production") is True


@pytest.mark.parametrize(
    "server",
    [
        target("192.0.2.10"),
        # By a DNS name that stands for an address that is known.
        target("web.example.com", 22, "192.0.2.10", "2001:db8::10"),
    ],
)
def test_the_same_server_under_another_name(server: Target) -> None:
    with pytest.raises(StoreError, match="under the name web1") as caught:
        environment.check_member(KNOWN, "web3", server, "production")
    assert "--name web1" in caught.value.problems[0].fix


def test_the_same_name_for_another_server() -> None:
    with pytest.raises(StoreError, match=r"another server of production already: 192\.0\.2\.10") as caught:
        environment.check_member(KNOWN, "web1", target("192.0.2.11"), "production")
    assert "--name web3" in caught.value.problems[0].fix
    with pytest.raises(StoreError, match=r"db\.example\.com, port 2222"):
        environment.check_member(KNOWN, "db", target("db.example.com"), "production")


class TestHostKeys:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for name in ("production", "staging"):
            (tmp_path / name).mkdir()
        (tmp_path / "production" / "known_hosts").write_text(host_key.lines_for(target("192.0.2.10"), [KEY]))
        return tmp_path

    def test_the_server_itself_is_no_stranger(self, folder: Path) -> None:
        environment.check_keys(folder / "production", target("192.0.2.10"), [KEY], KNOWN)
        other = HostKey(KEY.kind, KEY.text.replace("Gkq", "Gkr"))
        environment.check_keys(folder / "staging", target("192.0.2.10"), [other], [])

    def test_by_another_address(self, folder: Path) -> None:
        with pytest.raises(StoreError, match=r"web1 \(192\.0\.2\.10\)"):
            environment.check_keys(folder / "production", target("2001:db8::10"), [KEY], KNOWN)

    def test_in_another_environment(self, folder: Path) -> None:
        with pytest.raises(StoreError, match="production") as caught:
            environment.check_keys(folder / "staging", target("192.0.2.10"), [KEY], [])
        assert "ssh-keygen -A" in caught.value.problems[0].fix


def test_a_new_environment_is_the_example_without_its_host(tmp_path: Path) -> None:
    folder = tmp_path / "inventories" / "production"
    environment.make(folder, ROOT)
    assert yaml.safe_load((folder / "hosts.yml").read_text(encoding="utf-8")) == {"hypercode": {"hosts": {}}}
    example = ROOT / "inventories" / "example" / "group_vars"
    made = {path.relative_to(folder / "group_vars") for path in (folder / "group_vars").rglob("*")}
    assert made == {path.relative_to(example) for path in example.rglob("*")}
    assert environment.has_hosts(folder)
    assert [path.name for path in folder.parent.iterdir()] == ["production"]


def test_an_environment_that_is_there_stays(tmp_path: Path) -> None:
    folder = tmp_path / "production"
    folder.mkdir()
    (folder / "hosts.yml").write_text("hypercode: {hosts: {web1: {}}}\n", encoding="utf-8")
    (folder / "known_hosts").write_text("", encoding="utf-8")
    before = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    environment.make(folder, ROOT)
    assert {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()} == before


def test_host_keys_are_no_inventory(tmp_path: Path) -> None:
    (tmp_path / "known_hosts").write_text("", encoding="utf-8")
    assert not environment.has_hosts(tmp_path)


@pytest.mark.parametrize("text", ["", "a b", "../..", "ex!", "inventories/"])
def test_what_is_no_name_for_an_environment(text: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"is no name for an environment"):
        environment.folder_of("/" if text == "inventories/" else text, tmp_path)


def test_the_example_is_not_deployed_to(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="the folder that is copied"):
        environment.folder_of("example", tmp_path)
    assert environment.folder_of("production", tmp_path) == tmp_path / "inventories" / "production"
    assert environment.folder_of(f"{tmp_path}/elsewhere/", Path("/nowhere")) == tmp_path / "elsewhere"
