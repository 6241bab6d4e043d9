# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files of the edge on a host, and what Caddy is shown of them before they are in place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..certificates.units import WATCH_TIMER, WATCH_UNIT, watch_timer, watch_unit
from ..file_tree import Tree, WantedFile, WantedFolder, implied_folders
from . import layout, render
from .caddy import FOLDER_WORD
from .settings import ACME_DNS, Settings

UNITS = "/etc/systemd/system"
# Files that hold hashes or secrets: for root and Caddy only.
_CLOSED = (layout.CADDYFILE, layout.USERS, layout.DNS_ENV)
_JUDGED = (layout.CADDYFILE, layout.USERS)


def texts(settings: Settings, version: render.Version, bridges: Mapping[str, str]) -> dict[str, str]:
    """What the files hold, by their path on the host."""
    found = {
        layout.CADDYFILE: render.caddyfile(settings, version, bridges),
        layout.USERS: render.users_file(settings, version),
        layout.CERTIFICATES: render.certificates(settings),
        layout.MANIFEST: render.manifest(settings, version),
        f"{UNITS}/{layout.CADDY_UNIT}": layout.caddy_unit(settings.binary, settings.drain_timeout),
        f"{UNITS}/{layout.FOLLOW_UNIT}": layout.follow_unit(),
        f"{UNITS}/{WATCH_UNIT}": watch_unit(),
        f"{UNITS}/{WATCH_TIMER}": watch_timer(),
    }
    if settings.acme_ca_root:
        found[layout.ACME_ROOT] = settings.acme_ca_root.rstrip() + "\n"
    if settings.with_mode(ACME_DNS):
        found[layout.DNS_ENV] = dns_environment(settings)
        found[f"{UNITS}/{layout.RENEW_UNIT}"] = layout.renew_unit()
        found[f"{UNITS}/{layout.RENEW_TIMER}"] = layout.renew_timer()
    return found


def dns_environment(settings: Settings) -> str:
    """The variables of the DNS provider, one in each line."""
    pairs = settings.dns.environment if settings.dns else ()
    return "".join(f"{name}={value}\n" for name, value in pairs)


def wanted_tree(found: Mapping[str, str]) -> Tree:
    """The files with owners and modes. Those that Caddy reads are judged by it; hashes and secrets are in no diff."""
    files = tuple(
        WantedFile(
            path=path,
            content=text.encode(),
            mode=0o640 if path in _CLOSED else 0o644,
            owner="root",
            group=layout.USER if path in _CLOSED else "root",
            validate="caddy %s" if path in _JUDGED else "",
            sensitive=path in (layout.USERS, layout.DNS_ENV),
        )
        for path, text in found.items()
    )
    folders = (
        WantedFolder(path=layout.UPSTREAMS, mode=0o755, owner="root", group="root"),
        WantedFolder(path=layout.DATA, mode=0o750, owner=layout.USER, group=layout.USER),
        WantedFolder(path=layout.LOGS, mode=0o750, owner=layout.USER, group=layout.USER),
        *implied_folders([*found, layout.UPSTREAMS, layout.DATA, layout.LOGS], 0o755, "root", "root"),
    )
    return Tree(name="edge", files=files, folders=folders)


def to_judge(
    settings: Settings, found: Mapping[str, str], upstreams: Mapping[str, str], paths: layout.Paths
) -> dict[str, str]:
    """What Caddy is asked about: its files as they will be, below a folder that takes the place of their own.

    A certificate that lego has yet to get, as in check mode, is left out.
    """
    files = {str(Path(path).relative_to(layout.FOLDER)): found[path] for path in _JUDGED}
    files |= {f"upstreams/{name}": text for name, text in upstreams.items()}
    main = files["Caddyfile"]
    if settings.acme_ca_root:
        files["acme-root.pem"] = found[layout.ACME_ROOT]
        main = main.replace(f"acme_ca_root {layout.ACME_ROOT}", f"acme_ca_root {FOLDER_WORD}/acme-root.pem")
    for site in settings.with_mode(ACME_DNS):
        certificate, key = layout.Paths().from_lego(site.name)
        if not paths.from_lego(site.name)[0].exists():
            main = main.replace(f"tls {certificate} {key} {{", "tls {")
    return {**files, "Caddyfile": main}
