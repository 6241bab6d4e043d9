# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The environment that a server joins: its folder, who is in it already, and whether the new one may join."""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.addresses import is_address
from ansible_collections.hypercode.deploy.plugins.plugin_utils.inventory_selection import (
    EXAMPLE,
    KNOWN_HOSTS,
    holds_hosts,
)
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding import host_key
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.host_key import HostKey
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.reach import Target, normal
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_command.inventory import Inventory
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store import files
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.layout import shown
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import refuse

USUAL = "production"
_NO_HOSTS = b"---\n# scripts/onboard adds each server in a file of its own, beside this one.\nhypercode:\n  hosts: {}\n"
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NUMBERED = re.compile(r"web(\d+)")


@dataclasses.dataclass(frozen=True)
class Member:
    """A host of the inventory and how it is reached."""

    name: str
    address: str
    port: int


def existing(root: Path) -> list[str]:
    """The environments of this project by name."""
    folders = sorted((root / "inventories").glob("*/"))
    return [folder.name for folder in folders if folder.name not in (EXAMPLE, "sandbox")]


def folder_of(text: str, root: Path) -> Path:
    """The folder of an environment, there or not: a name below inventories/, or a path. Raises StoreError."""
    given = text.rstrip("/")
    folder = Path(given).expanduser().absolute() if "/" in given else root / "inventories" / given
    if not _NAME.fullmatch(given.rpartition("/")[2].replace("_", "-").lower()):
        message = f"{given or '(empty)'} is no name for an environment."
        raise refuse("environment-name", message, "use letters, digits and -: --env production")
    if folder.resolve() == (root / "inventories" / EXAMPLE).resolve():
        raise refuse("environment-example", f"{shown(folder)} is the folder that is copied.", "--env production")
    return folder


def has_hosts(folder: Path) -> bool:
    """Whether an environment is there, with a file that Ansible can read as an inventory."""
    return folder.is_dir() and holds_hosts(folder)


def make(folder: Path, root: Path) -> None:
    """Make what is missing of an environment: a new one is the example without its host."""
    if not folder.is_dir():
        begun = folder.with_name(f".{folder.name}.new")
        shutil.rmtree(begun, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(root / "inventories" / EXAMPLE, begun, ignore=shutil.ignore_patterns("hosts.yml"))
        begun.rename(folder)
    if not has_hosts(folder):
        files.write(folder / "hosts.yml", _NO_HOSTS)
        (folder / "hosts.yml").chmod(0o644)


def members(inventory: Inventory) -> list[Member]:
    """Everybody in the inventory. Raises StoreError."""
    found = []
    for name in inventory.every_host():
        address = str(inventory.value("ansible_host", name, name) or name)
        port = inventory.value("ansible_port", name, 22) or 22
        found.append(Member(name, normal(address), int(port) if str(port).isdigit() else 22))
    return found


def proposed_name(host: str, known: Iterable[Member]) -> str:
    """The first part of a DNS name; for an address web1, or the next number. A known address keeps its name."""
    present = list(known)
    for member in present:
        if member.address == host:
            return member.name
    first = host.partition(".")[0]
    if not is_address(host) and _NAME.fullmatch(first):
        return first
    numbers = [int(match[1]) for member in present if (match := _NUMBERED.fullmatch(member.name))]
    return f"web{max(numbers, default=0) + 1}"


def check_name(name: str) -> None:
    """Raises StoreError for what is no good as a name of a host."""
    if not _NAME.fullmatch(name) or name in ("all", "ungrouped", "localhost", "nobody"):
        message = f"{name} is no name for a host."
        raise refuse("host-name", message, "use small letters, digits and -, at most 63: --name web2")


def check_member(known: Sequence[Member], name: str, target: Target, env: str) -> bool:
    """Whether this server is in the inventory under this name already. Raises StoreError when it may not join."""
    for member in known:
        same = (member.address == target.host or member.address in target.addresses) and member.port == target.port
        if same and member.name != name:
            message = f"{target.shown} is in the environment {env} already, under the name {member.name}."
            fix = f"use that name: --name {member.name}. To rename it, offboard it first (docs/onboarding.md)."
            raise refuse("host-managed", message, fix)
        if member.name == name and not same:
            port = "" if member.port == 22 else f", port {member.port}"
            message = f"The name {name} belongs to another server of {env} already: {member.address}{port}."
            free = proposed_name("0.0.0.0", known)  # noqa: S104  No address to listen on.
            fix = f"choose another name: --name {free}. If {name} moved, offboard it first (docs/onboarding.md)."
            raise refuse("name-taken", message, fix)
    return any(member.name == name for member in known)


def check_keys(folder: Path, target: Target, keys: Iterable[HostKey], known: Sequence[Member]) -> None:
    """Raises StoreError when a server with this host key is managed already, here or in a neighbour environment."""
    wanted = set(keys)
    for file in sorted(folder.parent.glob(f"*/{KNOWN_HOSTS}")):
        for name, key in host_key.known(file):
            if key not in wanted or (name == target.key_name and file.parent == folder):
                continue
            here = file.parent == folder
            names = [m.name for m in known if Target(m.address, m.port).key_name == name] if here else []
            managed = f"{names[0]} ({name})" if names else name
            where = f"{managed} in {shown(file.parent)}"
            message = f"A server with the host key of {target.shown} is managed already: {where}."
            fix = (
                "if it is the same server, use its name and address from there, or offboard it there first. If it is a"
                " copy of that server, give it keys of its own:"
                " rm /etc/ssh/ssh_host_* && ssh-keygen -A && systemctl restart ssh"
            )
            raise refuse("host-managed", message, fix)
