# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What scripts/onboard does: reach a new server, find its login, write its inventory, and run playbooks/onboard.yml."""
