# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
name: alertmanager_config
short_description: Make the settings of Alertmanager from who is to be told of alerts
version_added: 0.1.0
author: The hypercode.deploy authors (@hypercode)
description:
  - Makes routes, grouping, inhibition and receivers, for Alertmanager 0.28 and newer, and a file for each secret.
  - The settings themselves hold no secret.
  - Fails with all that is wrong at once, and shows no value.
options:
  _input:
    description: Who is told, as in C(monitoring_receivers) of the role monitoring. See docs/alerts.md.
    type: list
    elements: dict
    required: true
  switch:
    description: The address of the dead man's switch, as in C(monitoring_dead_mans_switch_url). Empty for none.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Make the settings of Alertmanager
  ansible.builtin.set_fact:
    __monitoring_alertmanager: >-
      {{ monitoring_receivers | hypercode.deploy.alertmanager_config(switch=monitoring_dead_mans_switch_url) }}
  no_log: true
"""

RETURN = r"""
_value:
  description:
    - C(config) is the content of C(alertmanager.yml).
    - C(secrets) has the content of each file that belongs into C(/etc/alertmanager/secrets), by its name.
  type: dict
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import errors
from ansible_collections.hypercode.deploy.plugins.plugin_utils.alertmanager import configure
from ansible_collections.hypercode.deploy.plugins.plugin_utils.alertmanager_receivers import read_receivers, read_switch


def alertmanager_config(receivers: Any, switch: Any = "") -> dict[str, Any]:
    """Return the settings as YAML, and the content of the files with secrets."""
    told, problems = read_receivers(receivers)
    url, more = read_switch(switch)
    wrong = errors([*problems, *more])
    if wrong:
        texts = "\n".join(f"- {finding.text()}" for finding in wrong)
        raise AnsibleFilterError(f"Alertmanager cannot be set up:\n{texts}")
    made = configure(told, url)
    return {"config": made.text(), "secrets": made.secrets}


class FilterModule:
    """Filters of hypercode.deploy."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"alertmanager_config": alertmanager_config}
