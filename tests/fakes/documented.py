"""The documentation of a module with the fragments that it extends."""

from __future__ import annotations

import importlib
from typing import Any

import yaml

_FRAGMENTS = "ansible_collections.hypercode.deploy.plugins.doc_fragments"


def options_of(module: Any) -> dict[str, Any]:
    """The documented options of a module. Whether Ansible finds the fragments, its sanity tests tell."""
    document = yaml.safe_load(module.DOCUMENTATION)
    options = dict(document["options"])
    for name in document.get("extends_documentation_fragment", []):
        fragment = importlib.import_module(f"{_FRAGMENTS}.{name.rpartition('.')[2]}").ModuleDocFragment
        options |= yaml.safe_load(fragment.DOCUMENTATION)["options"]
    return options
