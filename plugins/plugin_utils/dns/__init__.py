# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Records in the DNS: what is wanted, what a plan may do, and whether the name servers answer with it."""
