# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
name: with_urlencoded
short_description: Add a percent-encoded twin for each secret
version_added: 0.1.0
author: The hypercode.deploy authors (@hypercode)
description:
  - A password with an at sign, a colon or a slash breaks the URL that it stands in, unless it is percent-encoded.
  - For each name this adds C(<NAME>_URLENCODED), for use inside of URLs.
options:
  _input:
    description: The secrets, name to value.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the names
  ansible.builtin.debug:
    msg: "{{ ({'REDIS_PASSWORD': 'a/b'} | hypercode.deploy.with_urlencoded).keys() }}"
"""

RETURN = r"""
_value:
  description: The secrets and their percent-encoded twins.
  type: dict
"""

import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

SUFFIX = "_URLENCODED"


def with_urlencoded(secrets: Mapping[str, Any]) -> dict[str, str]:
    """Return name -> value, and name_URLENCODED -> percent-encoded value. An explicit twin wins."""
    if not isinstance(secrets, Mapping):
        raise AnsibleFilterError(f"with_urlencoded wants a mapping of names to values, got {type(secrets).__name__}")
    wrong = [name for name, value in secrets.items() if not _is_text(value)]
    if wrong:
        names = ", ".join(sorted(str(name) for name in wrong))
        raise AnsibleFilterError(f"These secrets are not text: {names}. Fix: put their values in quotes")
    values = {str(name): str(value) for name, value in secrets.items()}
    return {name + SUFFIX: urllib.parse.quote(value, safe="") for name, value in values.items()} | values


def _is_text(value: object) -> bool:
    """Text that can be encoded, or a whole number. A bare `yes` is true by now, and nobody means the password True."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return False
    try:
        str(value).encode()
    except UnicodeEncodeError:
        return False
    return True


class FilterModule:
    """Filters of hypercode.deploy."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"with_urlencoded": with_urlencoded}
