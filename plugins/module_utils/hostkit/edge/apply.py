# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Brings the edge of a host to what is wanted: judged, written whole, loaded without a gap, put back if refused."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..certificates.units import WATCH_TIMER
from ..command import NOT_FOUND, CommandResult, run_command
from ..engine import Engine, EngineError
from ..file_tree import Tree
from ..file_tree_apply import apply_tree
from ..file_tree_plan import Plan
from ..files import HostRoot, group_id, user_id, write_file
from ..units import Systemd, WantedUnit, apply_units
from . import bridge, challenge, layout, render
from .caddy import Caddy, EdgeError
from .settings import ACME_DNS, FILES, Settings
from .sync import locked, remove_upstreams, wanted_files, write_upstreams
from .tree import UNITS, dns_environment, texts, to_judge, wanted_tree
from .upstreams import upstream_files

# How long the new certificates may take before the old ones are left in charge until the next run.
BRIDGE_SECONDS = 60.0
# What is rendered for a host that has no Caddy yet, in check mode.
NEWEST: render.Version = (2, 11)


@dataclass
class Result:
    """What was done, or in check mode would be; ``diffs`` as Ansible shows them."""

    actions: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    diffs: list[dict[str, str]] = field(default_factory=list)
    root_certificate: str = ""


@dataclass
class Edge:
    """The edge of one host. Everything that it touches is injected."""

    settings: Settings
    host: str
    paths: layout.Paths = field(default_factory=layout.Paths)
    run: Callable[..., CommandResult] = run_command
    engine: Engine = field(default_factory=Engine)
    serves: bridge.Serves = bridge.served
    check_mode: bool = False
    scratch: Path | None = None
    caddy: Caddy = field(init=False)
    systemd: Systemd = field(init=False)
    result: Result = field(init=False, default_factory=Result)

    def __post_init__(self) -> None:
        self.caddy = Caddy(self.settings.binary, self.paths, self.run)
        self.systemd = Systemd(lambda argv: self.run(argv, timeout=300), self.host)

    def apply(self) -> Result:
        """Do it. EdgeError, UnitError and FileError say what is wrong; Caddy then serves what it served before."""
        version = self.caddy.version()
        if version is None and not self.check_mode:
            raise EdgeError(f"{self.settings.binary} is not on {self.host}. Fix: see that edge_source can be installed")
        version = version or NEWEST
        self._add_user()
        self._obtain(version)
        found = self._planks()
        self._bring(version, found)
        if found and not self.check_mode:
            self._cross(version, found)
        root = self.paths.at(f"{layout.DATA}/caddy/pki/authorities/local/root.crt")
        if root.exists():
            self.result.root_certificate = root.read_text(encoding="ascii")
        return self.result

    def remove(self) -> Result:
        """Stop and take away what `apply` wrote. Certificates and logs stay: /var/lib/caddy, /var/log/caddy."""
        units = [WantedUnit(name, enabled=False, state="stopped", if_present=True) for name in _OURS]
        plans = apply_units(units, self.systemd, host=self.host, check_mode=self.check_mode)
        self.result.actions += [f"{step} {item.wanted.name}" for item in plans for step in item.steps]
        upstreams = sorted(self.paths.at(layout.UPSTREAMS).glob("*"))
        tree = Tree(name="edge", absent=tuple(f"{layout.UPSTREAMS}/{path.name}" for path in upstreams))
        plan = apply_tree(tree, HostRoot(self.paths.root), check_mode=self.check_mode, run=_never)
        self._note(plan)
        if plan.changed_paths and not self.check_mode:
            self.systemd.reload_files()
        return self.result

    # --- before anything is written -----------------------------------------------------------------------------

    def _add_user(self) -> None:
        """The user that Caddy runs as. A package brings it; a binary does not."""
        if user_id(layout.USER) is not None:
            return
        self.result.actions.append(f"add the user {layout.USER}")
        if not self.check_mode:
            words = ["useradd", "--system", "--user-group", "--home-dir", layout.DATA, "--no-create-home"]
            done = self.run([*words, "--shell", "/usr/sbin/nologin", layout.USER], timeout=60)
            if done.code:
                raise EdgeError(f"The user {layout.USER} cannot be made on {self.host}: {done.stderr.strip()}")

    def _obtain(self, version: render.Version) -> None:
        """Certificates through DNS have to be there before Caddy is told of them."""
        sites = self.settings.with_mode(ACME_DNS)
        missing = [site for site in sites if not self.paths.from_lego(site.name)[0].exists()]
        self.result.actions += [f"get a certificate for {site.name} through DNS" for site in missing]
        if not missing or self.check_mode:
            return
        uid, gid = user_id(layout.USER), group_id(layout.USER)
        for path in (layout.DATA, layout.LEGO):
            if not self.paths.at(path).is_dir():
                self.paths.at(path).mkdir(mode=0o750, parents=True)
                os.chown(self.paths.at(path), -1 if uid is None else uid, -1 if gid is None else gid)
        self.paths.at(layout.FOLDER).mkdir(parents=True, exist_ok=True)
        new = [path for path in (layout.DNS_ENV, layout.ACME_ROOT) if not self.paths.at(path).exists()]
        write_file(self.paths.at(layout.DNS_ENV), dns_environment(self.settings).encode(), mode=0o640, gid=gid)
        if self.settings.acme_ca_root:
            write_file(self.paths.at(layout.ACME_ROOT), (self.settings.acme_ca_root.rstrip() + "\n").encode())
        try:
            challenge.obtain(json.loads(render.manifest(self.settings, version)), self.paths, self.run)
        finally:
            # Where no certificate came, the secret of the DNS provider is not to stay alone. Where one came, they are
            # written again as files of this role, which go when they are not wanted any more.
            for path in new:
                self.paths.at(path).unlink(missing_ok=True)

    def _planks(self) -> list[bridge.Plank]:
        """What has to go on serving meanwhile. Check mode predicts how it ends, unless it is under way already."""
        try:
            before: list[Mapping[str, Any]] = json.loads(self.paths.at(layout.CERTIFICATES).read_text("utf-8"))
        except (OSError, ValueError):
            before = []
        found = bridge.planks(self.settings, before, self.paths, self.serves)
        folders = bridge.folders(found)
        return [plank for plank in found if not self.check_mode or self.paths.at(folders[plank.site]).is_dir()]

    # --- files, units, Caddy --------------------------------------------------------------------------------------

    def _bring(self, version: render.Version, found: list[bridge.Plank]) -> None:
        """Write what is wanted and have Caddy serve it; put the old files back where it does not take them."""
        live = render.reads_addresses(version)
        try:
            upstreams = wanted_files(self.engine, self.settings.project, self.settings.upstreams, live=live)[0]
        except EngineError:
            # Docker comes later, or is down: nowhere to send requests to, until the follower knows better.
            upstreams = upstream_files(self.settings.upstreams, {}, live=live)
        wanted = texts(self.settings, version, bridge.folders(found))
        old = {path: self._read(path) for path in (layout.CADDYFILE, layout.USERS)}
        if not self.check_mode:
            bridge.build(found, self.paths)
        with contextlib.nullcontext() if self.check_mode else locked(self.paths):
            plan = apply_tree(
                wanted_tree(wanted),
                HostRoot(self.paths.root),
                check_mode=self.check_mode,
                run=lambda _argv: self._judge(wanted, upstreams),
                scratch=self.scratch,
            )
            self._note(plan)
            if not self.check_mode:
                changed = write_upstreams(self.paths, upstreams)
                self.result.actions += [f"write the addresses of {name}" for name in changed]
            try:
                self._serve(plan)
                if not self.check_mode:
                    gone = remove_upstreams(self.paths, upstreams)
                    self.result.actions += [f"remove the addresses of {name}" for name in gone]
            except EdgeError:
                for path, text in old.items():
                    if text is not None:
                        write_file(self.paths.at(path), text.encode(), mode=0o640, gid=group_id(layout.USER))
                raise

    def _read(self, path: str) -> str | None:
        try:
            return self.paths.at(path).read_text(encoding="utf-8")
        except OSError:
            return None

    def _note(self, plan: Plan) -> None:
        self.result.actions += [f"write {path}" for path in sorted((*plan.created, *plan.updated))]
        self.result.actions += [f"remove {path}" for path in sorted(plan.removed)]
        self.result.warnings += plan.warnings
        self.result.diffs += plan.diffs

    def _judge(self, wanted: Mapping[str, str], upstreams: Mapping[str, str]) -> CommandResult:
        """Ask Caddy about the files before they are in place."""
        if self.caddy.version() is None:
            return CommandResult(NOT_FOUND, "", f"{self.settings.binary}: command not found")
        problem = self.caddy.judge(to_judge(self.settings, wanted, upstreams, self.paths))
        return CommandResult(1 if problem else 0, "", problem)

    def _serve(self, plan: Plan) -> None:
        """Have the units on, and Caddy serve what its files say."""
        changed = {*plan.created, *plan.updated}
        running = self._is_ours()
        restart = running is False or (running and f"{UNITS}/{layout.CADDY_UNIT}" in changed)
        again = bool({f"{UNITS}/{layout.FOLLOW_UNIT}", layout.MANIFEST} & changed)
        wanted = [
            WantedUnit(layout.CADDY_UNIT, enabled=True, state="restarted" if restart else "started"),
            WantedUnit(layout.FOLLOW_UNIT, enabled=True, state="restarted" if again else "started"),
        ]
        wanted.append(WantedUnit(WATCH_TIMER, enabled=True, state="started"))
        if self.settings.with_mode(ACME_DNS):
            wanted.append(WantedUnit(layout.RENEW_TIMER, enabled=True, state="started"))
        if running and not restart and self._load(changed):
            self.result.actions.append("reload caddy")
        plans = apply_units(
            wanted, self.systemd, host=self.host, daemon_reload=bool(plan.changed_paths), check_mode=self.check_mode
        )
        self.result.actions += [f"{step} {item.wanted.name}" for item in plans for step in item.steps]

    def _is_ours(self) -> bool | None:
        """Whether the Caddy that runs has our files and today's program; None when none runs."""
        done = self.run(["systemctl", "show", "--property", "MainPID", "--value", layout.CADDY_UNIT], timeout=60)
        pid = done.stdout.strip()
        if done.code or pid in ("", "0"):
            return None
        place = self.paths.at(f"/proc/{pid}")
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
            program = str((place / "exe").readlink())
        except OSError:
            return None
        return layout.CADDYFILE.encode() in words and program == str(Path(self.settings.binary).resolve())

    def _load(self, changed: set[str]) -> bool:
        """Reload where Caddy runs with something else than its files say; whether it was, or in check mode would be."""
        stale = self._has_stale()
        if not self.check_mode:
            return self.caddy.settle(force=stale)
        if stale or {layout.CADDYFILE, layout.USERS} & changed:
            return True
        return not self.caddy.runs_its_files(self.caddy.running())

    def _has_stale(self) -> bool:
        """Whether a site serves another certificate than the file that is named for it: the file was replaced since."""
        for site in self.settings.with_mode(FILES, ACME_DNS):
            path = self.paths.at(site.certificate_file) if site.mode == FILES else self.paths.from_lego(site.name)[0]
            now, wanted = self.serves(site.name), bridge.first_certificate(path)
            if now is not None and wanted is not None and now != wanted:
                return True
        return False

    # --- afterwards -----------------------------------------------------------------------------------------------

    def _cross(self, version: render.Version, found: list[bridge.Plank]) -> None:
        """The old certificates serve; once the new ones are there, only those are left."""
        missing = bridge.wait(found, BRIDGE_SECONDS)
        if missing:
            names = ", ".join(plank.name for plank in missing)
            self.result.warnings.append(
                f"{names}: the new certificate is not there yet, the old one still serves. See journalctl -u caddy on "
                f"{self.host}; the next run of site.yml looks again"
            )
            return
        self._bring(version, [])
        bridge.tear_down(self.paths)


_OURS = (layout.RENEW_TIMER, WATCH_TIMER, layout.FOLLOW_UNIT, layout.CADDY_UNIT)


def _never(_argv: object) -> CommandResult:
    raise AssertionError("nothing is judged when files are removed")
