# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The way of a server into an environment, from the first question to the last line."""

from __future__ import annotations

import argparse
import dataclasses
import re
import time
from pathlib import Path

from ansible_collections.hypercode.deploy.plugins.plugin_utils.inventory_selection import KNOWN_HOSTS
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding import (
    environment,
    host_key,
    operator_key,
    play,
    reach,
    record,
)
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.asking import Asker
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.find import find_login, refuse_system
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.home import Home, open_home
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.host_key import HostKey
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.login import Door, Found
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.operator_key import OperatorKey
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.reach import Target
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_command import initialise, report
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_command.session import Session
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store import files
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.layout import shown
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import refuse

_SHOW = "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub"
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,30}")
_GROUP = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclasses.dataclass
class _Known:
    """What is known of the server by now."""

    target: Target
    name: str
    managed: bool
    banner: str = ""
    host_keys: list[HostKey] = dataclasses.field(default_factory=list)
    to_fill_in: list[str] = dataclasses.field(default_factory=list)


def run(arguments: argparse.Namespace, root: Path, asker: Asker) -> int:
    """Onboard a server; the exit status. Raises StoreError."""
    began = time.monotonic()
    _check_words(arguments)
    key = operator_key.read(_key(arguments, asker))
    home = open_home(arguments, root, asker)
    known = _name(arguments, asker, home)
    with files.private_folder() as private:
        _host_key(arguments, asker, home, known)
        door = Door(known.target, private / "known_hosts", root, _wait)
        files.write(door.known_hosts, host_key.lines_for(known.target, known.host_keys).encode())
        found = find_login(arguments, asker, home, door, key, known, private)
        say("Login", f"{found.shown}, on {found.system_name}{'' if found.python else ', without Python'}")
        refuse_system(found, home, known.target)
        _go_on(arguments, asker, home, known)
        session = _write(arguments, home, known, key, found)
        say("Setting up", "this takes about a minute; the old login stays open until the new one is proved")
        ended = play.run(session, play.variables(known.name, found), private / "run", tell)
    if not ended.good:
        message = (
            f"{known.name} is not ready; what failed stands above. The old login stays until the new one is proved."
        )
        raise refuse("playbook", message, "correct what is named above, then run the same command again: it goes on.")
    where = shown(home.folder)
    print(f"\n{known.name} is ready after {time.monotonic() - began:.0f} s.\nNext:")
    if known.to_fill_in:
        print(f"  scripts/secrets edit {where}    (for what only you have: {', '.join(known.to_fill_in)})")
    print(f"  ansible-playbook site.yml -i {where} --limit {known.name}")
    return 0


def say(what: str, text: str) -> None:
    tell(f"{what:<11} {text}")


def _wait(seconds: float) -> None:
    say("Waiting", f"the server keeps this address out for a while, as after refused logins; again in {seconds:.0f} s")
    time.sleep(seconds)


def tell(text: str) -> None:
    print(text, flush=True)


def _check_words(arguments: argparse.Namespace) -> None:
    if not 0 < arguments.port < 65536:
        raise refuse("port", f"{arguments.port} is no port.", "give a number from 1 to 65535: --port 22")
    if not _USER.fullmatch(arguments.deploy_user) or arguments.deploy_user == "root":
        message = f"{arguments.deploy_user} is no name for the user to make."
        raise refuse("user", message, "use small letters, digits, - and _, and not root: --deploy-user deploy")
    if not _GROUP.fullmatch(arguments.group):
        raise refuse("group", f"{arguments.group} is no name for a group.", "--group hypercode")
    if not arguments.host.strip() or arguments.host.startswith("-") or "@" in arguments.host:
        message = f"{arguments.host or '(empty)'} is no address."
        raise refuse("host", message, "give an address or a name; the user is given with --user NAME.")


def _key(arguments: argparse.Namespace, asker: Asker) -> str:
    return asker.text("Your private key", operator_key.usual(Path.home()), "--key FILE", arguments.key)


def _name(arguments: argparse.Namespace, asker: Asker, home: Home) -> _Known:
    """The name in the inventory; who is there under another one is refused before the server is asked anything."""
    host = reach.normal(arguments.host)
    proposed = environment.proposed_name(host, home.members)
    name = asker.text("Its name in the inventory", proposed, "--name NAME", arguments.name)
    environment.check_name(name)
    target = reach.resolve(host, arguments.port)
    managed = environment.check_member(home.members, name, target, shown(home.folder))
    return _Known(target, name, managed)


def _host_key(arguments: argparse.Namespace, asker: Asker, home: Home, known: _Known) -> None:
    """The keys to trust: those that are known, or that the operator has compared."""
    target = known.target
    known.banner = reach.patiently(
        lambda: reach.connect(target), lambda error: error.problems[0].rule == "ssh-closed", _wait
    )
    offered = host_key.read_server(target)
    known.host_keys = host_key.check_known(target, home.folder / KNOWN_HOSTS, offered)
    if arguments.host_key:
        chosen = host_key.matching(target, offered, arguments.host_key)
        known.host_keys = known.host_keys or chosen
    elif not known.host_keys:
        known.host_keys = _compared(asker, target, offered)
    environment.check_keys(home.folder, target, offered, home.members)
    say("Server", f"{target.shown} answers; host key {known.host_keys[0].shown}")


def _compared(asker: Asker, target: Target, offered: list[HostKey]) -> list[HostKey]:
    shows = "\n".join(f"  {key.shown}" for key in offered)
    if not asker.terminal:
        message = f"The host key of {target.shown} is not known yet. It shows:\n{shows}"
        fix = f"compare with the provider's console ({_SHOW}), then add --host-key SHA256:..."
        raise refuse("host-key-unknown", message, fix)
    print(f"{target.shown} shows these host keys:\n{shows}")
    print(f"Compare one with what the provider's console says ({_SHOW}).")
    if asker.yes("Are they the same?", default=None):
        return offered
    message = f"The host key of {target.shown} was not confirmed. Nothing was sent to it."
    raise refuse("host-key-refused", message, "if the keys differ, somebody may be between you and the server.")


def _go_on(arguments: argparse.Namespace, asker: Asker, home: Home, known: _Known) -> None:
    if arguments.yes or not asker.terminal:
        return
    print(
        f"\n{known.target.shown} becomes {known.name} in {shown(home.folder)}: a user {arguments.deploy_user} with your"
    )
    print("key, root and password logins closed, firewall and Docker set up.")
    if not asker.yes("Go on?", default=True):
        raise refuse("not-wanted", "Nothing was changed.", "run this again when you want to.")


def _write(arguments: argparse.Namespace, home: Home, known: _Known, key: OperatorKey, found: Found) -> Session:
    """Everything that the inventory has to say of the host, and the secrets of the environment."""
    home.make()
    wanted = record.Wanted(
        known.name,
        arguments.group,
        known.target,
        arguments.deploy_user,
        arguments.sudo,
        key.typed if key.typed.startswith("~") else str(key.path),
        (key.public,),
        # Read over a connection that is trusted: whichever of them sshd uses later, it is known.
        tuple(dict.fromkeys([*known.host_keys, *found.host_keys])),
    )
    with files.locked(home.folder / "group_vars" / "hypercode", shown(home.folder)):
        session = home.session()
        new = record.write(wanted, session) if not known.managed else []
        if new:
            record.check(wanted, session)
        where = shown(home.folder)
        say("Inventory", f"{len(new)} new files in {where}" if new else f"{known.name} is in {where} already")
        data = files.read(session.store.path)
        if data is None or not session.store.is_sealed(data):
            made = initialise.run(session)
            known.to_fill_in = made.to_fill_in
            say("Secrets", report.init_text(made, session).rpartition("\n\nNext:")[0])
    return session
