# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The command line of scripts/onboard. ``main`` runs it and returns its exit status: 0 good, 1 not, 130 stopped."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding import onboard
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.asking import Asker
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_command import report
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_command.cli import innermost, vault_options
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import StoreError

_ABOUT = (
    "Makes a provider's fresh server a managed one: a user of its own with your key, root and password logins closed,"
    " firewall and Docker set up. Asks for what it does not know; without a terminal it names the flag."
    " Run again, it changes nothing; stopped, it goes on."
)
_EXAMPLES = """\
examples:
  scripts/onboard 192.0.2.10                          asks for the rest
  scripts/onboard web2.example.com --name web2 --env production --key ~/.ssh/id_ed25519
  scripts/onboard 192.0.2.10 --password-file ~/.root-password --host-key SHA256:... --yes

How it works, and what to do when it refuses: docs/onboarding.md"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="onboard", description=_ABOUT, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("host", metavar="HOST", help="address or DNS name of the server")
    place = top.add_argument_group("where it goes")
    place.add_argument("--name", default="", help="its name in the inventory (from its DNS name, else web1, web2 ...)")
    place.add_argument("--env", default="", metavar="ENV", help="folder in inventories/, made if missing")
    place.add_argument("--group", default="hypercode", help="group of the inventory (hypercode)")
    login = top.add_argument_group("how to log in now")
    login.add_argument("--port", type=int, default=22, help="port of sshd (22)")
    login.add_argument("--host-key", default="", metavar="SHA256:...", help="fingerprint of its host key")
    login.add_argument("--key", default="", metavar="FILE", help="your private key (~/.ssh/id_ed25519)")
    login.add_argument("--user", default="", help="who can log in (tried: root, debian, ubuntu, admin, ec2-user)")
    login.add_argument("--password-file", default="", metavar="FILE", help="file with that user's password")
    login.add_argument("--sudo-password-file", default="", metavar="FILE", help="... with the password of its sudo")
    user = top.add_argument_group("how to log in from then on")
    user.add_argument("--deploy-user", default="deploy", metavar="NAME", help="the user to make (deploy)")
    user.add_argument("--sudo", choices=("password", "nopasswd"), default="password", help="whether its sudo asks")
    top.add_argument("--yes", action="store_true", help="do not ask whether to go on")
    vault_options(top)
    top.add_argument("--new-password-file", default="", metavar="PATH", help="make a vault password and use it")
    return top


def main(words: list[str], root: Path) -> int:
    """Run a command line. Nothing that goes wrong shows a password, not even a fault of this program's own."""
    arguments = parser().parse_args(words)
    try:
        return onboard.run(arguments, root, Asker())
    except StoreError as error:
        print(f"\n{report.problems_text(error.problems)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nERROR  Stopped. Run the same command again to go on.", file=sys.stderr)
        return 130
    except Exception as error:  # A traceback could show a secret.
        where = innermost(error)
        print(f"\nERROR  A fault in scripts/onboard itself ({type(error).__name__} at {where}).", file=sys.stderr)
        print("       Fix: report this line; it holds no secret.", file=sys.stderr)
        return 1
