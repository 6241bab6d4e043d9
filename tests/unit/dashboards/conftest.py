"""The dashboards as they are in the role, for all tests here."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
# The package is at the top: it is of the project, and not of the collection. Last, since there are other folders.
sys.path.append(str(ROOT))
