# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compose projects: read, check, apply policy, write one resolved file. Plain dictionaries, no third-party import."""

from __future__ import annotations
