# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The edge of a host: Caddy in front of the containers, from the settings to addresses that follow them."""
