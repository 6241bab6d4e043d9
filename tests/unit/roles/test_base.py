"""What the role base brings to a host: the whole of the host command's library, and nothing that it never loads."""

from __future__ import annotations

import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[3]
HOSTKIT = ROOT / "plugins" / "module_utils" / "hostkit"
LEFT_OUT = yaml.safe_load((ROOT / "roles/base/vars/main.yml").read_text(encoding="utf-8"))["__base_hostkit_left_out"]
# Follows the imports of the host command from file to file, those inside of functions too, and carries each out.
FOLLOW = """
import ast, importlib, pathlib, sys
folder = pathlib.Path(sys.argv[1], "hostkit")
sys.path.insert(0, sys.argv[1])
names, todo = set(), ["cli"]
while todo:
    name = todo.pop()
    path = folder.joinpath(*name.split(".")).with_suffix(".py")
    if name in names or not path.exists():
        continue
    names.add(name)
    importlib.import_module("hostkit." + name)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [*name.split(".")[: -node.level], *filter(None, (node.module or "").split("."))]
            exec(ast.unparse(node), {"__package__": ".".join(["hostkit", *name.split(".")[:-1]])})
            todo += [".".join(base), *(".".join([*base, one.name]) for one in node.names)]
print(len(names))
"""


def test_the_host_command_needs_nothing_that_is_left_out(tmp_path: Path) -> None:
    """Every module that a verb can reach is imported from a copy as a host gets it."""

    def leave_out(_folder: str, names: list[str]) -> set[str]:
        return {name for name in names if any(fnmatch(name, glob) for glob in LEFT_OUT)}

    shutil.copytree(HOSTKIT, tmp_path / "hostkit", ignore=leave_out)
    assert not (tmp_path / "hostkit" / "compose" / "audit").exists()
    done = subprocess.run(
        [sys.executable, "-I", "-c", FOLLOW, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 30
