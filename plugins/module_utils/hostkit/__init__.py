# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Host programs of hypercode.deploy.

Standard library only: Ansible modules import it, and hosts run it without Ansible.
"""

from __future__ import annotations

__version__ = "0.1.0"
