"""scripts/audit_docs: the pages say what the rules say, and those in the repository are up to date."""

from __future__ import annotations

import importlib.machinery
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.audit.registry import RULES

ROOT = Path(__file__).resolve().parents[3]


def script() -> ModuleType:
    """Import a script that has no extension."""
    loader = importlib.machinery.SourceFileLoader("audit_docs", str(ROOT / "scripts" / "audit_docs"))
    spec = importlib.util.spec_from_loader("audit_docs", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


docs = script()


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return dict(docs.pages())


def test_every_rule_has_a_page_and_a_row(pages: dict[str, str]) -> None:
    assert pages.keys() == {"README.md", *(f"{name}.md" for name in RULES)}
    for name, rule in RULES.items():
        assert f"\n| [{name}]({name}.md) | {rule.severity} |" in pages["README.md"]
        assert f"Severity: {rule.severity}." in pages[f"{name}.md"]


def test_repairs_are_as_tried(pages: dict[str, str]) -> None:
    assert "A deploy repairs it" in pages["limits-missing.md"]
    assert "No deploy repairs it" in pages["privileged.md"]
    assert "A deploy settles it later" in pages["image-no-digest.md"]
    assert "It cannot be ignored." in pages["yaml-syntax.md"]
    assert "It cannot be ignored." not in pages["privileged.md"]


def test_a_page_shows_files_and_options(pages: dict[str, str]) -> None:
    assert "Beside it lies the file `stack.env`:\n\n    VERSION=1\n" in pages["env-file.md"]
    assert 'With `env_files: ["stack.env"]`.' in pages["env-file.md"]
    assert "Beside it lies the folder `web/`." in pages["bind-missing.md"]
    assert "Saved as UTF-16." in pages["yaml-encoding.md"]


def test_no_text_breaks_the_table(pages: dict[str, str]) -> None:
    rows = [line for line in pages["README.md"].split("\n") if line.startswith("| [")]
    assert len(rows) == len(RULES)
    assert all(row.replace("\\|", "").count("|") == 6 for row in rows)


def test_the_pages_in_the_repository_are_up_to_date(pages: dict[str, str]) -> None:
    assert docs.update(docs.FOLDER, pages, write=False) == []


def test_update_writes_what_differs_and_removes_what_is_gone(tmp_path: Path) -> None:
    (tmp_path / "same.md").write_text("a")
    (tmp_path / "other.md").write_text("b")
    (tmp_path / "gone.md").write_text("c")
    wanted = {"same.md": "a", "other.md": "x", "new.md": "y"}
    assert docs.update(tmp_path, wanted, write=False) == ["gone.md", "new.md", "other.md"]
    assert (tmp_path / "gone.md").exists()
    docs.update(tmp_path, wanted, write=True)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == wanted
