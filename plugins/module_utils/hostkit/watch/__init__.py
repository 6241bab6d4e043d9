# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The daemon `hypercode watch`: samples the containers of the stack, journals what happens, heals what it may."""
