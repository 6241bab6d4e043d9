# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tells root's docker client to leave the keepers of images alone when it prunes containers.

`docker system prune --all` removes containers that do not run before it looks at images. The client's own configuration
may name filters for every prune (`pruneFilters`); what else is in it stays.
"""

from __future__ import annotations

import json
from pathlib import Path

from .files import FileError, write_file

FILTER = "label!=hypercode.purpose=keep-image"


def add_filter(root: Path) -> str:
    """Put the filter into root's client configuration, where it is not yet. Return what is in the way, or nothing."""
    path = root / "root/.docker/config.json"
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else "{}"
        document = json.loads(text or "{}")
        filters = document.get("pruneFilters") or []
        if FILTER in filters:
            return ""
        document["pruneFilters"] = [*filters, FILTER]
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
        write_file(path, (json.dumps(document, indent="\t") + "\n").encode(), mode=mode)
    except FileError as error:
        return str(error)
    except OSError as error:
        return f"{path}: {error.strerror}"
    except (ValueError, AttributeError, TypeError):
        # Somebody else's file: what cannot be read is not written over.
        return f"{path} is not what the docker client writes"
    return ""
