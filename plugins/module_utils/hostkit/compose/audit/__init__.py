# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Audit of a Compose project: rules by subject, each with its documentation and its examples, in one registry."""

from __future__ import annotations
