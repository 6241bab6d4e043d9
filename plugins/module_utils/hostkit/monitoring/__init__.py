# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is asked of the stack's Prometheus and Alertmanager: settings that are sound, and the alerts that fire."""
