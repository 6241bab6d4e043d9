# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options of the modules whose change is proved over a new connection."""

from __future__ import annotations


class ModuleDocFragment:
    """See ``plugin_utils/proved_action.py``, which works the steps, and ``module_utils/proved_module.py``."""

    DOCUMENTATION = r"""
options:
  refuse_lockout:
    description:
      - Whether to refuse what would keep out the address, or the user, that the controller connects from.
      - With V(false) it is tried, and the host undoes it.
    type: bool
    default: true
  confirm_timeout:
    description:
      - Seconds until the host undoes the change, unless the controller reached it over a new connection.
      - From 5 to 600.
    type: int
    default: 30
  phase:
    description: Used by the action of this module. The steps of O(state) after the first one.
    type: str
    choices: [apply, confirm, look]
    default: apply
  token:
    description: Used by the action of this module. Which trial it is.
    type: str
    default: ""
  fresh_connection:
    description: Used by the action of this module. Whether the connection can prove that the host can be reached.
    type: bool
    default: true
"""
