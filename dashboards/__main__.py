"""python -m dashboards: see build.py."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from . import build


def main(words: Sequence[str] | None = None) -> int:
    """Write the dashboards, or with --check say what differs. The exit code is 1 when something does."""
    parser = argparse.ArgumentParser(
        prog="python -m dashboards", description="Writes the dashboards of Grafana as JSON."
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail when a file is not as it would be written"
    )
    if parser.parse_args(words).check:
        found = build.stale()
        if found:
            print(
                f"Not what dashboards/ makes: {', '.join(found)}.\n"
                "Fix: change the Python code in dashboards/, not the JSON; then python -m dashboards",
                file=sys.stderr,
            )
        return 1 if found else 0
    for name in build.write():
        print(f"Wrote {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
