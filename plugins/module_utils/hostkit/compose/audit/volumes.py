# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules about data: what is lost with a container, what a backup misses, mounts that break."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from .known_images import KnownImage
from .rule import ERROR, WARNING, AuditRule, Example, Hit
from .view import Mount, View

_FILE = re.compile(
    r".+\.(ya?ml|json|toml|ini|conf|cfg|cnf|env|sh|py|js|sql|pem|crt|key|xml|properties|txt|rules|acl|lua|php|tmpl|htpasswd)"
    r"|(.*/)?(Caddyfile|Corefile|\.env|\.htpasswd|acme\.json)"
)
# The system's own single files: nobody edits them, and programs expect them.
_SYSTEM = re.compile(
    r"/etc/(localtime|timezone|hosts|resolv\.conf|machine-id|os-release)|/usr/share/zoneinfo/.*|.*\.sock"
)


def _kind(view: View, mount: Mount) -> str | None:
    """What the source of a mount is, where anyone can know: only the project's own files lie here."""
    if mount.relative is None:
        return None
    return view.context.kind_of(posixpath.normpath(posixpath.join(view.context.directory, mount.relative)))


def _single_file(view: View) -> Iterator[Hit]:
    for name in view.services:
        for mount in view.mounts(name):
            if mount.kind != "bind" or _SYSTEM.fullmatch(mount.source):
                continue
            kind = _kind(view, mount)
            if kind == "file" or (kind in (None, "missing") and _FILE.fullmatch(mount.source)):
                shown = mount.relative or mount.source
                message = f"{name} mounts the single file {shown}: after an edit it still sees the old content."
                yield Hit(name, message, mount.path(name))


def _bind_missing(view: View) -> Iterator[Hit]:
    for name in view.services:
        for mount in view.mounts(name):
            if mount.kind == "bind" and _kind(view, mount) == "missing":
                message = f"{name} mounts {mount.relative}, which is not in the project's folder."
                yield Hit(name, message, mount.path(name))


def _lost(view: View, kept: str) -> Iterator[Hit]:
    for name, service in view.services.items():
        known = view.server(name)
        if known is None or known.kept != kept or name in view.jobs:
            continue
        folders = (*known.data, *_own_folders(service.get("environment") or {}))
        mounts = list(view.mounts(name))
        if any(mount.source and _holds(mount.target, folder) for mount in mounts for folder in folders):
            continue
        # A folder in memory, or a read-only replica, is a decision that the file states.
        in_memory = [str(entry).partition(":")[0] for entry in service.get("tmpfs") or []]
        if any(_holds(target, folder) for target in in_memory for folder in folders):
            continue
        anonymous = any(_holds(mount.target, folder) for mount in mounts for folder in folders)
        where = "on a volume without a name" if anonymous else "on no volume"
        yield Hit(
            name, f"{name} keeps its data {where}: the next update starts empty.", f"services.{name}", _add(known)
        )


def _own_folders(environment: object) -> Iterator[str]:
    if isinstance(environment, dict):
        yield from (str(value) for key, value in environment.items() if key in ("PGDATA", "MINIO_VOLUMES") and value)


def _holds(target: str, folder: str) -> bool:
    mount, data = target.rstrip("/") + "/", folder.rstrip("/") + "/"
    return data.startswith(mount) or mount.startswith(data)


def _add(known: KnownImage) -> str:
    return f"mount a named volume: volumes: [data:{known.data[0]}], and volumes: {{data: {{}}}} at the end of the file."


def _must_keep(view: View) -> Iterator[Hit]:
    yield from _lost(view, "must")


def _may_keep(view: View) -> Iterator[Hit]:
    yield from _lost(view, "may")


def _fixed_name(view: View) -> Iterator[Hit]:
    project = view.context.project_name
    for key, entry in view.volumes.items():
        name = str((entry or {}).get("name") or "")
        if not name or (entry or {}).get("external"):
            continue
        usual = f"{project}_{key}" if project else ""
        if name != usual and (project or not name.endswith(f"_{key}")):
            wanted = f" ({usual} is usual)" if usual else ""
            message = (
                f"the volume {key} is called {name} on the host{wanted}: what looks for it by its usual name misses it."
            )
            yield Hit(None, message, f"volumes.{key}.name")


RULES = (
    AuditRule(
        "bind-single-file",
        WARNING,
        "A single file is mounted.",
        "Editors and deploys write a new file and rename it over the old one; the container goes on with the old one.",
        "mount the folder that the file lies in.",
        bad=Example(
            'services: {web: {image: "web:1", volumes: ["./web.conf:/etc/web/web.conf:ro"]}}', files={"web.conf": "a"}
        ),
        good=Example('services: {web: {image: "web:1", volumes: ["./web:/etc/web:ro"]}}', files={"web/": ""}),
        check=_single_file,
    ),
    AuditRule(
        "bind-missing",
        WARNING,
        "A service mounts something that is not in the project's folder.",
        "Docker then makes an empty folder that belongs to root, even where a file was meant.",
        "add the file or folder, or use a named volume for what the service writes.",
        bad=Example('services: {web: {image: "web:1", volumes: ["./web:/etc/web:ro"]}}', files={"other/": ""}),
        good=Example('services: {web: {image: "web:1", volumes: ["./web:/etc/web:ro"]}}', files={"web/": ""}),
        check=_bind_missing,
    ),
    AuditRule(
        "data-not-kept",
        ERROR,
        "A database keeps its data on no volume, or on one without a name.",
        "The data is gone with the container, so with the next update; no backup finds it either.",
        "mount a named volume at its data folder.",
        bad=Example('services: {db: {image: "postgres:17.2"}}'),
        good=Example(
            'services: {db: {image: "postgres:17.2", volumes: ["db:/var/lib/postgresql/data"]}}\nvolumes: {db: {}}'
        ),
        check=_must_keep,
    ),
    AuditRule(
        "data-maybe-lost",
        WARNING,
        "A service that may keep data has no named volume for it.",
        "A cache may start empty. A queue, dashboards or metrics would be gone with the next update.",
        "mount a named volume at its data folder; for a cache, ignore this rule with that reason.",
        bad=Example('services: {redis: {image: "redis:7.4"}}'),
        good=Example('services: {redis: {image: "redis:7.4", volumes: ["redis:/data"]}}\nvolumes: {redis: {}}'),
        check=_may_keep,
    ),
    AuditRule(
        "volume-name-fixed",
        WARNING,
        "A volume has a fixed name that is not the usual one.",
        "Backups and restores look for project_volume. One that misses it saves an empty folder and reports success.",
        "remove name:. Data that is already in the volume must be moved first.",
        bad=Example('services: {db: {image: "postgres:17.2", volumes: ["db:/data"]}}\nvolumes: {db: {name: my-data}}'),
        good=Example('services: {db: {image: "postgres:17.2", volumes: ["db:/data"]}}\nvolumes: {db: {}}'),
        check=_fixed_name,
    ),
)
