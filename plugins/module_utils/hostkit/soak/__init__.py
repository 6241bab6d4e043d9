# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The soak check: a host watches itself for a day after a deploy, and says with evidence whether the release holds."""
