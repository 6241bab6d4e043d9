# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Puts load on a host from the controller. Documented in plugins/modules/load_test.py."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.hypercode.deploy.plugins.plugin_utils.lenient_action import plain
from ansible_collections.hypercode.deploy.plugins.plugin_utils.load_test import report as reports
from ansible_collections.hypercode.deploy.plugins.plugin_utils.load_test.job import PROFILES, Job, JobError
from ansible_collections.hypercode.deploy.plugins.plugin_utils.load_test.run import LoadError, put_load
from ansible_collections.hypercode.deploy.plugins.plugin_utils.load_test.tunnel import (
    LOOPBACK,
    Login,
    TunnelError,
    tunnel,
)
from ansible_collections.hypercode.deploy.plugins.plugin_utils.load_test.verdict import Point, judge

WATCH = "hypercode.deploy.limits_watch"
SPEC: dict[str, dict[str, Any]] = {
    "profile": {"type": "str", "choices": list(PROFILES), "default": PROFILES[0]},
    "url": {"type": "str", "default": ""},
    "service": {"type": "str", "default": "crew-orchestrator"},
    "port": {"type": "int", "default": 8080},
    "sites": {"type": "list", "elements": "dict", "default": []},
    "path": {"type": "str", "default": "/health"},
    "address": {"type": "str", "default": ""},
    "ca_file": {"type": "str", "default": ""},
    "user": {"type": "str", "default": ""},
    "password": {"type": "str", "default": "", "no_log": True},
    "timeout": {"type": "float", "default": 30.0},
    "missions": {"type": "int", "default": 10},
    "time_limit": {"type": "float", "default": 60.0},
    "task": {"type": "str", "default": Job.task},
    "context": {"type": "dict", "default": {}},
    "priority": {"type": "str", "default": Job.priority},
    "files": {"type": "list", "elements": "str", "default": []},
    "shared_ids": {"type": "bool", "default": False},
    "users": {"type": "int", "default": 10},
    "rate": {"type": "float", "default": 0.0},
    "duration": {"type": "float", "default": 30.0},
    "p95_ms": {"type": "float", "default": 500.0},
    "errors": {"type": "int", "default": 0},
    "memory_share": {"type": "float", "default": 0.9},
    "throttled_share": {"type": "float", "default": 0.25},
    "report": {"type": "path", "required": True},
}
_NOT_OF_THE_JOB = ("service", "port", "sites", "memory_share", "throttled_share", "report", "url")
# So often a line says how it goes, in seconds.
_SAY_EVERY = 5.0


class ActionModule(ActionBase):  # type: ignore[misc]
    """Load from the controller, while the host watches its limits."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the report; failed when a point was missed."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        self._vars = task_vars or {}
        self._host = str(self._vars.get("inventory_hostname", ""))
        options: dict[str, Any] = plain(self.validate_argument_spec(argument_spec=SPEC)[1])
        job, way = self._job(options)
        if self._task.check_mode:
            return {**result, "changed": False, "skipped": True, "msg": f"A load test would go to {job.url or way}."}
        began = datetime.datetime.now(datetime.UTC)
        places = self._on_host(
            state="started",
            seconds=job.seconds_at_most + 60,
            **{name: options[name] for name in ("memory_share", "throttled_share")},
        )["addresses"]
        try:
            with self._reached(job, options, places) as reached:
                measured = put_load(reached, self._show(job))
        except (LoadError, TunnelError, JobError) as error:
            self._execute_module(module_name=WATCH, module_args={"state": "stopped"}, task_vars=self._vars)
            raise AnsibleActionFail(str(error)) from None
        watched = self._on_host(state="stopped")
        limits = watched["report"]
        points = [*judge(measured, job), *(Point(point["rule"], point["message"]) for point in limits["points"])]
        report = reports.document(reached, measured, points, began=began, host=self._host, way=way, limits=limits)
        with self._told(f"{options['report']} cannot be written", "give another path: load_test_report"):
            reports.write(Path(options["report"]), report)
        return {**result, **self._outcome(report, [*reports.table(report), *watched["table"]], options["report"])}

    # --- where to ------------------------------------------------------------------------------------------------

    def _job(self, options: dict[str, Any]) -> tuple[Job, str]:
        """What to do, and the way there: direct, a site of the edge, or a tunnel, whose address is not known yet."""
        settings = {name: value for name, value in options.items() if name not in _NOT_OF_THE_JOB}
        settings["files"] = tuple(settings["files"])
        url, way, service = options["url"], "direct", options["service"]
        if not url:
            site = next(
                (site for site in options["sites"] if site.get("service") == service and site.get("name")), None
            )
            way = "site" if site else "tunnel"
            url = f"https://{site['name']}" if site else ""
        if way == "tunnel":
            settings.update(address="", ca_file="")
        job = Job(url=url, **settings)
        try:
            # A tunnel begins on this machine, at a port that is found when it is opened.
            (job if url else Job(url=f"http://{LOOPBACK}", **settings)).check()
        except JobError as error:
            self._fail(str(error))
        return job, way

    @contextlib.contextmanager
    def _reached(self, job: Job, options: Mapping[str, Any], places: Mapping[str, Any]) -> Iterator[Job]:
        """The job with an address that leads there. Raises TunnelError."""
        if job.url:
            yield job
            return
        service, found = options["service"], places.get(options["service"])
        if not found:
            known = ", ".join(sorted(places)) or "none"
            raise TunnelError(
                f"There is no running service '{service}' on {self._host}. Fix: load_test_service, of: {known}"
            )
        with tunnel(self._login(), f"{found[0]}:{options['port']}") as port:
            yield Job(**{**vars(job), "url": f"http://{LOOPBACK}:{port}"})

    def _login(self) -> Login:
        connection = self._connection
        if not str(connection.transport).endswith("ssh"):
            raise TunnelError(
                f"{self._host} is not reached over SSH, so there is no tunnel to it. Fix: give load_test_url"
            )

        def option(name: str) -> Any:
            return connection.get_option(name) or ""

        arguments = " ".join(str(option(name)) for name in ("ssh_args", "ssh_common_args", "ssh_extra_args")).strip()
        return Login(
            host=str(option("host")),
            user=str(option("remote_user")),
            port=int(option("port") or 0),
            key_file=str(Path(str(option("private_key_file"))).expanduser()) if option("private_key_file") else "",
            arguments=arguments,
            program=str(option("ssh_executable") or "ssh"),
        )

    # --- what is said -----------------------------------------------------------------------------------------------

    def _show(self, job: Job) -> Any:
        last = [0.0]

        def show(progress: Mapping[str, Any]) -> None:
            if progress["seconds"] - last[0] >= _SAY_EVERY:
                last[0] = progress["seconds"]
                self._display.display(f"  {self._host}: {reports.progress_line(job, progress)}")

        return show

    def _outcome(self, report: dict[str, Any], table: list[str], path: str) -> dict[str, Any]:
        lines = [f"Load test of {self._host}, profile {report['profile']}:", *(f"  {line}" for line in table)]
        findings = [
            {
                "rule": point["rule"],
                "severity": "error",
                "name": self._host,
                "message": point["message"],
                "fix": point["fix"],
            }
            for point in report["points"]
        ]
        good = bool(report["good"])
        count = len(findings)
        missed = f"The load test of {self._host} has missed {count} point{'' if count == 1 else 's'}."
        return {
            "changed": False,
            "failed": not good,
            "msg": "The load test is good." if good else missed,
            "findings": findings,
            "report": report,
            "hypercode_summary": [*lines, f"  All figures: {path}"],
        }

    def _on_host(self, **arguments: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._execute_module(module_name=WATCH, module_args=arguments, task_vars=self._vars)
        if answer.get("failed") or answer.get("unreachable"):
            self._fail(str(answer.get("msg", "the host does not answer")))
        return answer

    @contextlib.contextmanager
    def _told(self, what: str, fix: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._fail(f"{what}: {error.strerror}. Fix: {fix}")

    @staticmethod
    def _fail(text: str) -> NoReturn:
        raise AnsibleActionFail(text)
