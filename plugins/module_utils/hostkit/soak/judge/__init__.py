# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judges a soak by its journal: reads it, makes its checks, says PASS, FAIL or INCONCLUSIVE, and why."""
