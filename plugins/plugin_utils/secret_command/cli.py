# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The commands of scripts/secrets. ``main`` runs one and returns its exit status: 0 good, 1 not, 130 stopped."""

from __future__ import annotations

import argparse
import datetime
import getpass
import os
import sys
from pathlib import Path

from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_command import (
    check,
    deploy,
    edit,
    initialise,
    report,
    rotate,
)
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_command.session import (
    Place,
    Session,
    open_place,
    open_session,
)
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store import files
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.ansible_vault import PasswordOptions
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.layout import shown
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import StoreError, refuse

NEW_PASSWORD = "~/.config/hypercode/vault-password"  # noqa: S105  A path.


def password_options(arguments: argparse.Namespace) -> PasswordOptions:
    """The vault options. A deploy runs in another folder, so that paths are made absolute."""
    ids = tuple(_absolute_id(value) for value in arguments.vault_id)
    names = tuple(str(Path(value).expanduser().absolute()) for value in arguments.vault_password_file)
    asked = getattr(arguments, "ask_vault_pass", False)
    return PasswordOptions(ids, names, asked, arguments.encrypt_vault_id)


def _absolute_id(value: str) -> str:
    label, at, source = value.rpartition("@")
    if source.startswith("prompt"):
        return value
    return f"{label}{at}{Path(source).expanduser().absolute()}"


def _place(arguments: argparse.Namespace, root: Path) -> Place:
    return open_place(arguments.environment, root, password_options(arguments), datetime.date.today())


def init(arguments: argparse.Namespace, root: Path) -> int:
    place = _place(arguments, root)
    with files.locked(place.environment.secrets_folder, place.environment.name):
        made = arguments.new_password_file
        if made:
            initialise.make_password_file(Path(made), root)
            arguments.vault_password_file.append(made)
            place = _place(arguments, root)
        session = open_session(place)
        if not made:
            _refuse_without_password(session)
        rotate.refuse_if_open(session)
        outcome = initialise.run(session)
    print(report.init_text(outcome, session))
    if made:
        path = Path(made).expanduser().absolute()
        print(f"\nThe vault password is in {path}, which only you can read. Without it the secrets are lost:")
        print("  put a copy into your team's password manager, and into your shell's start file this line:")
        print(f"  export ANSIBLE_VAULT_PASSWORD_FILE={path}")
    return 0


def _refuse_without_password(session: Session) -> None:
    """Where nobody said where the password is, no place is chosen for them."""
    if session.store.path != session.environment.vault or session.passwords.configured or session.passwords.secrets():
        return
    message = "No vault password is set, so the secrets cannot be encrypted."
    new = session.command("init", "--new-password-file", NEW_PASSWORD)
    fix = f"let one be made, outside of this repository:\n  {new}\nOr, if you have one: add --vault-password-file FILE"
    raise refuse("vault-locked", message, fix)


def check_(arguments: argparse.Namespace, root: Path) -> int:
    try:
        place = _place(arguments, root)
        return _check(place, as_json=arguments.json)
    except StoreError as error:
        if not arguments.json:
            raise
        print(report.refused_json(error.problems, arguments.environment))
        return 1


def _check(place: Place, *, as_json: bool = False) -> int:
    verdict = check.run(open_session(place, judged_later=True))
    text = report.check_json if as_json else report.check_text
    print(text(verdict, place.environment.name))
    return 0 if verdict.valid else 1


def edit_(arguments: argparse.Namespace, root: Path) -> int:
    place = _place(arguments, root)
    with files.locked(place.environment.secrets_folder, place.environment.name):
        rotate.refuse_if_open(place)
        names = edit.run(place)
    if names is None:
        print(f"{place.file} is as it was.\n")
    else:
        print(f"{place.file} is saved{', with new values of ' + ', '.join(names) if names else ''}.\n")
    return _check(place)


def rotate_(arguments: argparse.Namespace, root: Path) -> int:
    place = _place(arguments, root)
    with files.locked(place.environment.secrets_folder, place.environment.name):
        session = open_session(place)
        rotation = rotate.Rotation(session, deploy.deployer(session))
        wanted = not arguments.no_deploy
        if arguments.resume:
            outcome = rotation.resume(deploy=wanted)
        elif arguments.undo:
            outcome = rotation.undo(deploy=wanted)
        else:
            names = tuple(dict.fromkeys(arguments.name))
            outcome = rotation.begin(rotate.Request(names, arguments.force, wanted), _asker(from_stdin=arguments.stdin))
    print(report.rotate_text(outcome, session, deployed_here=wanted, undone=arguments.undo))
    asked_for_no_more = not wanted and outcome.deployed is rotate.Deployed.OPEN
    return 0 if outcome.deployed is rotate.Deployed.DONE or asked_for_no_more else 1


def _asker(*, from_stdin: bool) -> rotate.Ask:
    """A function that asks for a value without showing it."""

    def ask(name: str, description: str) -> str:
        if from_stdin:
            return _full(name, sys.stdin.readline().rstrip("\r\n"))
        if not sys.stdin.isatty():
            message = f"{name} comes from someone else, so a person has to type it; there is no terminal."
            raise refuse(
                "rotation-input", message, "run this in a terminal, or pipe one value a line and add --stdin.", name
            )
        if description:
            print(f"{name}: {description}")
        value = _full(name, getpass.getpass(f"New value of {name} (it is not shown): "))
        if getpass.getpass("Once more: ") != value:
            raise refuse("rotation-input", f"The two values of {name} are not the same.", "run this again.", name)
        return value

    return ask


def _full(name: str, value: str) -> str:
    if not value.strip():
        raise refuse("rotation-input", f"There was no value for {name}. Nothing was changed.", "run this again.", name)
    return value


def vault_options(commands: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Give a command line the options that say where vault passwords are; scripts/onboard has them too."""
    group = commands.add_argument_group("vault password, as ansible-vault takes it")
    group.add_argument("--vault-password-file", "--vault-pass-file", action="append", default=[], metavar="FILE")
    group.add_argument("--vault-id", action="append", default=[], metavar="LABEL@SOURCE")
    group.add_argument("--encrypt-vault-id", default="", metavar="LABEL", help="which of several encrypts a new file")
    return group


def parser() -> argparse.ArgumentParser:
    """The command line."""
    vault = argparse.ArgumentParser(add_help=False)
    group = vault_options(vault)
    group.add_argument("-J", "--ask-vault-password", "--ask-vault-pass", dest="ask_vault_pass", action="store_true")
    about = "Makes, checks and changes the secrets of an environment (a folder in inventories/). It never shows one."
    top = argparse.ArgumentParser(prog="secrets", description=about, epilog="How to use it: docs/secrets.md")
    verbs = top.add_subparsers(required=True, metavar="COMMAND")

    verb = verbs.add_parser(
        "init", parents=[vault], help="generate what is missing, encrypt the file; keeps what is there"
    )
    verb.add_argument("environment", metavar="ENV")
    verb.add_argument("--new-password-file", default="", metavar="PATH", help="make a vault password and use it")
    verb.set_defaults(function=init)

    verb = verbs.add_parser("check", parents=[vault], help="say what is wrong with the secrets")
    verb.add_argument("environment", metavar="ENV")
    verb.add_argument("--json", action="store_true", help="for programs")
    verb.set_defaults(function=check_)

    verb = verbs.add_parser("rotate", parents=[vault], help="give secrets new values, and deploy them")
    verb.add_argument("environment", metavar="ENV")
    verb.add_argument("name", nargs="*", metavar="NAME")
    verb.add_argument("--no-deploy", action="store_true", help="only write the file")
    verb.add_argument("--force", action="store_true", help="also what the policy says not to rotate")
    verb.add_argument("--stdin", action="store_true", help="read values that you have to give, one a line")
    verb.add_argument("--resume", action="store_true", help="go on with a rotation that did not finish")
    verb.add_argument("--undo", action="store_true", help="take back a rotation that did not finish")
    verb.set_defaults(function=rotate_)

    verb = verbs.add_parser("edit", parents=[vault], help="open the file in your editor ($EDITOR), then check")
    verb.add_argument("environment", metavar="ENV")
    verb.set_defaults(function=edit_)
    return top


def _parse(words: list[str]) -> argparse.Namespace:
    commands = parser()
    arguments = commands.parse_args(words)
    if arguments.function is rotate_:
        chosen = [bool(arguments.name), arguments.resume, arguments.undo]
        if chosen.count(True) != 1:
            commands.error("rotate takes the names of secrets, or --resume, or --undo")
    return arguments


def main(words: list[str], root: Path) -> int:
    """Run a command line. Nothing that goes wrong shows a value, not even a fault of this program's own."""
    arguments = _parse(words)
    try:
        return int(arguments.function(arguments, root))
    except StoreError as error:
        print(f"\n{report.problems_text(error.problems)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nERROR  Stopped. Every file is whole.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Who read the output has had enough (head, less); Python must not complain at its end either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # A traceback could show a secret.
        where = innermost(error)
        print(f"\nERROR  A fault in scripts/secrets itself ({type(error).__name__} at {where}).", file=sys.stderr)
        print("       Fix: report this line; it holds no secret. Every file is whole.", file=sys.stderr)
        return 1


def innermost(error: BaseException) -> str:
    """Where an exception comes from: a file and a line."""
    trace = error.__traceback__
    where = "an unknown place"
    while trace is not None:
        where = f"{shown(Path(trace.tb_frame.f_code.co_filename))}:{trace.tb_lineno}"
        trace = trace.tb_next
    return where
