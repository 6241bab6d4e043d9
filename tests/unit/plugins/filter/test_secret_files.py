# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which files of an inventory hold secrets."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.filter.secret_files import FilterModule, secret_files


@pytest.fixture
def inventories(tmp_path: Path) -> Path:
    for name in (
        "production/hosts.yml",
        "production/group_vars/hypercode/main.yml",
        "production/group_vars/hypercode/vault.yml",
        "production/group_vars/hypercode/secrets_dates.yml",
        "production/group_vars/hypercode/app.env",
        "production/host_vars/web1/my_secrets.yaml",
        "production/vault.txt",
        "staging/group_vars/hypercode/vault.yml",
        "staging/group_vars/hypercode/main.yml",
        "example/group_vars/hypercode/vault.yml",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def test_files_of_the_inventory(inventories: Path) -> None:
    found = [str(Path(path).relative_to(inventories)) for path in secret_files(str(inventories / "production"))]
    assert found == [
        "production/group_vars/hypercode/app.env",
        "production/group_vars/hypercode/vault.yml",
        "production/host_vars/web1/my_secrets.yaml",
    ]


def test_vaults_of_the_neighbours_without_the_example(inventories: Path) -> None:
    found = secret_files(str(inventories / "production"), others=True)
    assert found == [str(inventories / "staging/group_vars/hypercode/vault.yml")]


@pytest.mark.parametrize("folder", [None, "", "/nowhere/at/all"])
def test_no_inventory_folder(folder: str | None) -> None:
    assert secret_files(folder) == []
    assert secret_files(folder, others=True) == []


def test_ansible_finds_it_by_its_name() -> None:
    assert FilterModule().filters() == {"secret_files": secret_files}
