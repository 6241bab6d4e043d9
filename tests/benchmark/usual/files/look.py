#!/usr/bin/python3
"""Prints, as JSON, what this host has: its current release, its number of services, the ports of sshd, and every path
that the roles manage."""

import json
import subprocess
from pathlib import Path

STATE = Path("/var/lib/hypercode/trees")
CURRENT = Path("/opt/hypercode/current")


def look() -> dict[str, object]:
    # These are left out by both sides.
    found = [
        path
        for path in sorted(STATE.glob("*.json"))
        if not path.name.startswith(("edge", "backup", "monitoring", "watch", "soak"))
    ]
    trees = [json.loads(path.read_text(encoding="utf-8")) for path in found]
    release = json.loads((CURRENT / "release.json").read_text(encoding="utf-8"))
    # Names only: the records hold check sums, and one of them is of a password.
    sshd = subprocess.run(["sshd", "-T"], capture_output=True, text=True, check=True).stdout.split("\n")
    return {
        "ssh_ports": sorted(line.split()[1] for line in sshd if line.startswith("port ")),
        "release": str(CURRENT.readlink()),
        "services": len(release["services"]),
        "paths": sorted({path for tree in trees for kind in ("files", "links", "folders") for path in tree[kind]}),
    }


print(json.dumps(look()))
