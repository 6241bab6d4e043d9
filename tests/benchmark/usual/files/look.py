#!/usr/bin/python3
"""Prints, as JSON, this host's current release, its number of services, and every path that the roles manage."""

import json
from pathlib import Path

STATE = Path("/var/lib/hypercode/trees")
CURRENT = Path("/opt/hypercode/current")


def look() -> dict[str, object]:
    trees = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(STATE.glob("*.json"))]
    release = json.loads((CURRENT / "release.json").read_text(encoding="utf-8"))
    # Names only: the records hold check sums, and one of them is of a password.
    return {
        "release": str(CURRENT.readlink()),
        "services": len(release["services"]),
        "paths": sorted({path for tree in trees for kind in ("files", "links", "folders") for path in tree[kind]}),
    }


print(json.dumps(look()))
