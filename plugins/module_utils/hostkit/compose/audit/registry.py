# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""All rules that an audit or a rendering can report, by subject. Documentation and tests are made from this list."""

from __future__ import annotations

from . import files_rules, health, image, limits, network, option_rules, privileges, project_rules, secrets, volumes
from .rule import AuditRule

SUBJECTS: dict[str, tuple[AuditRule, ...]] = {
    "Networks and ports": (*network.RULES, *project_rules.NETWORKS),
    "Healthchecks and dependencies": (*health.RULES, *project_rules.HEALTH),
    "Images and builds": (*image.RULES, *project_rules.IMAGES),
    "Privileges and the host": privileges.RULES,
    "Limits, restarts and logs": limits.RULES,
    "Secrets and variables": (*secrets.RULES, *project_rules.VARIABLES),
    "Volumes and data": (*volumes.RULES, *project_rules.VOLUMES),
    "Files and their form": files_rules.RULES,
    "Options of the audit": option_rules.RULES,
}
RULES: dict[str, AuditRule] = {rule.id: rule for rules in SUBJECTS.values() for rule in rules}
