# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judges certificates on the controller. Documented in plugins/modules/certificate_check.py."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.given import Given, GivenFile, judge
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import Finding, errors, summary
from ansible_collections.hypercode.deploy.plugins.plugin_utils.certificate_backend import Cryptography
from ansible_collections.hypercode.deploy.plugins.plugin_utils.lenient_action import LenientAction

ENTRY = {
    "name": {"type": "str", "required": True},
    "names": {"type": "list", "elements": "str", "default": []},
    "certificate_file": {"type": "str", "required": True},
    "key_file": {"type": "str", "required": True, "no_log": False},
}
ARGUMENTS = {
    "certificates": {"type": "list", "elements": "dict", "required": True, "options": ENTRY},
    "fail_on_findings": {"type": "bool", "default": False},
}
_VAULT = b"$ANSIBLE_VAULT"
# Tests put a time of their own here.
now = time.time


class ActionModule(LenientAction):
    """See the documentation of the module."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return everything that is wrong with the certificates."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        options, findings = self.judged_options(ARGUMENTS, "edge_", self._judge)
        result.update(changed=False, findings=[finding.as_dict() for finding in findings])
        if errors(findings) and options.get("fail_on_findings", False):
            result.update(failed=True, msg=summary(findings, "Given certificates"))
        return result

    def _judge(self, options: dict[str, Any]) -> list[Finding]:
        return [
            finding
            for entry in options["certificates"]
            for finding in judge(
                Given(
                    entry["name"],
                    entry["names"] or [entry["name"]],
                    self._file(entry["certificate_file"]),
                    self._file(entry["key_file"]),
                ),
                now(),
                Cryptography(),
            )
        ]

    def _file(self, path: str) -> GivenFile:
        if not path:
            return GivenFile("(empty)", problem="names no file")
        place = Path(self._loader.path_dwim(path))
        try:
            mode = place.stat().st_mode
            with place.open("rb") as stream:
                is_vault = stream.read(len(_VAULT)) == _VAULT
            text = self._loader.get_text_file_contents(str(place))
        except FileNotFoundError:
            return GivenFile(path, problem="does not exist on this machine")
        except OSError as error:
            return GivenFile(path, problem=f"cannot be read: {error.strerror}")
        except AnsibleError:
            return GivenFile(path, problem="cannot be read: it is no text, or no vault password opens it")
        # Everybody may read what is encrypted.
        return GivenFile(path, text, mode=None if is_vault else mode)
