# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Brings one service in line with its class and with what a production host needs; every change is recorded.

Who wins: an override beats everything. The class beats the file on restart, limits and healthcheck timing, unless the
service keeps them (``x-hypercode-keep``). Everywhere else the class fills in only what the file leaves open.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .policy import (
    CLASS_LABEL,
    HEALTHCHECK_KEYS,
    LIMIT_KEYS,
    ROLLOUT_EXTENSION,
    SECURITY_KEYS,
    SERVICE_LABEL,
    restart_text,
)
from .units import cpus_text, duration_text, parse_size, size_text

DEFAULT_LOGGING: dict[str, Any] = {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}
_ROTATED_DRIVERS = (None, "json-file", "local")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_RESTART_CONDITIONS = {"none": "no", "on-failure": "on-failure", "any": "always"}


@dataclass
class Repairs:
    """What was changed: ``{service, field, before, after, rule}``, in order."""

    entries: list[dict[str, Any]] = field(default_factory=list)

    def note(self, service: str | None, field_name: str, before: Any, after: Any, rule: str) -> None:
        """Record a change; nothing is recorded where nothing changed."""
        if before != after:
            self.entries.append(
                {
                    "service": service,
                    "field": field_name,
                    "before": copy.deepcopy(before),
                    "after": copy.deepcopy(after),
                    "rule": rule,
                }
            )


@dataclass(frozen=True)
class Rules:
    """What applies to one service. ``job`` marks a service that others wait for to finish."""

    policy: Mapping[str, Any]
    override: Mapping[str, Any]
    keep: frozenset[str]
    class_name: str | None
    publish: str
    job: bool = False


def repair_service(name: str, service: dict[str, Any], rules: Rules, repairs: Repairs) -> None:
    """Change ``service`` (in long form) in place. Values of ``rules`` have passed ``check_settings``."""
    repair = _Repair(name, service, rules, repairs)
    repair.drop("container_name", "container-name")
    if service.get("image"):
        repair.drop("build", "build")
        if service.get("pull_policy") == "build":
            repair.drop("pull_policy", "build")
    repair.restart()
    repair.healthcheck()
    repair.limits()
    repair.logging()
    repair.security()
    repair.stop_grace_period()
    repair.environment()
    repair.ports()
    repair.labels()
    for key in [k for k in service if k.startswith("x-hypercode-") and k != ROLLOUT_EXTENSION]:
        del service[key]


class _Repair:
    def __init__(self, name: str, service: dict[str, Any], rules: Rules, repairs: Repairs) -> None:
        self.name = name
        self.service = service
        self.rules = rules
        self.repairs = repairs

    def note(self, field_name: str, before: Any, after: Any, rule: str) -> None:
        self.repairs.note(self.name, field_name, before, after, rule)

    def set(self, key: str, value: Any, rule: str) -> None:
        self.note(key, self.service.get(key), value, rule)
        self.service[key] = copy.deepcopy(value)

    def drop(self, key: str, rule: str) -> None:
        self.note(key, self.service.pop(key, None), None, rule)

    def restart(self) -> None:
        """One restart policy, on the service; ``deploy.restart_policy`` is for Swarm and is folded into it."""
        folded = self._fold_restart_policy()
        if folded and not self.service.get("restart"):
            self.set("restart", folded, "restart-policy")
        stated, wanted = self.service.get("restart"), self.rules.policy.get("restart")
        if self.rules.override.get("restart") is not None:
            self.set("restart", restart_text(self.rules.override["restart"]), "override")
        # A job that is done must not be started again, whatever its class says.
        elif wanted is not None and not self.rules.job and not (stated and "restart" in self.rules.keep):
            self.set("restart", restart_text(wanted), "class-restart")

    def _fold_restart_policy(self) -> str | None:
        deploy = self.service.get("deploy") or {}
        policy = deploy.pop("restart_policy", None)
        if policy is None:
            return None
        self.note("deploy.restart_policy", policy, None, "restart-policy")
        restart = _RESTART_CONDITIONS.get(policy.get("condition") or "any", "always")
        attempts = policy.get("max_attempts")
        return f"{restart}:{attempts}" if restart == "on-failure" and attempts else restart

    def healthcheck(self) -> None:
        """The class's timing for a check that the file (or an override) states; no check is invented."""
        check: dict[str, Any] = copy.deepcopy(self.service.get("healthcheck") or {})
        before = copy.deepcopy(check)
        override = self.rules.override.get("healthcheck") or {}
        policy = {} if self.rules.job else self.rules.policy.get("healthcheck") or {}
        if "test" in override:
            check.pop("disable", None)
        elif not check.get("test") and policy.get("test") and not check.get("disable"):
            check["test"] = policy["test"]
        off = check.get("disable") is True or check.get("test") == ["NONE"]
        exists = bool(check or override) and not off
        keep = "healthcheck" in self.rules.keep
        for key in HEALTHCHECK_KEYS:
            value = override.get(key)
            if value is None and key != "test" and exists:
                value = None if keep and key in check else policy.get(key)
            if value is not None:
                check[key] = _health_value(key, value)
        for key in HEALTHCHECK_KEYS:
            rule = "override" if override.get(key) is not None else "class-healthcheck"
            self.note(f"healthcheck.{key}", before.get(key), check.get(key), rule)
        if check:
            self.service["healthcheck"] = check

    def limits(self) -> None:
        """One place for limits, ``deploy.resources.limits``, which plain Compose and Swarm both honour."""
        stated = self._stated_limits()
        final = dict(stated)
        for key, wanted in (self.rules.policy.get("limits") or {}).items():
            if wanted is not None and not (key in stated and "limits" in self.rules.keep):
                final[key] = _limit_value(key, wanted)
                self.note(f"limits.{key}", stated.get(key), final[key], "class-limits")
        for key in LIMIT_KEYS:
            if self.rules.override.get(key) is not None:
                value = _limit_value(key, self.rules.override[key])
                self.note(f"limits.{key}", final.get(key), value, "override")
                final[key] = value
        if final:
            deploy = self.service.setdefault("deploy", {})
            deploy.setdefault("resources", {})["limits"] = {k: final[k] for k in (*LIMIT_KEYS, *final) if k in final}
        self._fit_neighbours(final.get("memory"))
        _prune(self.service, "deploy")

    def _stated_limits(self) -> dict[str, Any]:
        deploy = self.service.get("deploy") or {}
        limits = {k: v for k, v in ((deploy.get("resources") or {}).get("limits") or {}).items() if v is not None}
        for key, old in (("cpus", "cpus"), ("memory", "mem_limit"), ("pids", "pids_limit")):
            value = self.service.pop(old, None)
            if value is not None:
                limits.setdefault(key, _limit_value(key, value))
                self.note(old, value, None, "limits-form")
        return {key: _limit_value(key, value) for key, value in limits.items()}

    def _fit_neighbours(self, memory: Any) -> None:
        """The engine refuses a swap limit or a reservation that no longer fits the memory limit."""
        if memory is None or _unresolved(memory):
            return
        swap = self.service.get("memswap_limit")
        if swap not in (None, -1, "-1", 0, "0") and not _unresolved(swap) and parse_size(swap) < parse_size(memory):
            self.drop("memswap_limit", "limits-form")
        reserved = self.service.get("mem_reservation")
        if reserved is not None and not _unresolved(reserved) and parse_size(reserved) > parse_size(memory):
            self.set("mem_reservation", memory, "limits-form")
        reservations = ((self.service.get("deploy") or {}).get("resources") or {}).get("reservations") or {}
        reserved = reservations.get("memory")
        if reserved is not None and not _unresolved(reserved) and parse_size(reserved) > parse_size(memory):
            self.note("deploy.resources.reservations.memory", reserved, memory, "limits-form")
            reservations["memory"] = memory

    def logging(self) -> None:
        """Logs that are rotated: without this they fill the disk."""
        wanted = self.rules.override.get("logging") or self.rules.policy.get("logging") or DEFAULT_LOGGING
        stated = self.service.get("logging")
        if self.rules.override.get("logging"):
            self.set("logging", wanted, "override")
        elif not stated:
            self.set("logging", wanted, "log-rotation")
        elif stated.get("driver") in _ROTATED_DRIVERS and "logging" not in self.rules.keep:
            options = {**(stated.get("options") or {})}
            source = wanted.get("options") or DEFAULT_LOGGING["options"]
            for key in ("max-size", "max-file"):
                if key not in options and key in source:
                    options[key] = source[key]
            self.note("logging.options", stated.get("options"), options, "log-rotation")
            self.service["logging"] = {**stated, "options": options}

    def security(self) -> None:
        """Read-only root, dropped capabilities and the like, where the file says nothing."""
        policy = self.rules.policy.get("security") or {}
        for key in SECURITY_KEYS:
            override = self.rules.override.get(key)
            if override is not None:
                self.set(key, str(override) if key == "user" else override, "override")
            elif policy.get(key) is None or key in self.rules.keep:
                continue
            elif key == "tmpfs":
                self._add_missing(key, policy[key], [*self._mounted()])
            elif key == "security_opt":
                self._add_missing(key, policy[key], [_option(o) for o in self.service.get(key) or []])
            elif self.service.get(key) is None:
                self.set(key, policy[key], "class-security")

    def _add_missing(self, key: str, wanted: list[str], present: list[str]) -> None:
        stated = list(self.service.get(key) or [])
        missing = [item for item in wanted if _option(item) not in present]
        if missing:
            self.set(key, stated + missing, "class-security")

    def _mounted(self) -> list[str]:
        mounts = [_option(entry) for entry in self.service.get("tmpfs") or []]
        return mounts + [str(volume["target"]).rstrip("/") for volume in self.service.get("volumes") or []]

    def stop_grace_period(self) -> None:
        override, wanted = self.rules.override.get("stop_grace_period"), self.rules.policy.get("stop_grace_period")
        if override is not None:
            self.set("stop_grace_period", duration_text(override), "override")
        elif wanted is not None and not self.service.get("stop_grace_period"):
            self.set("stop_grace_period", duration_text(wanted), "class-stop")

    def environment(self) -> None:
        """Variables from the override, which are template text by now; their values are not recorded."""
        environment = dict(self.service.get("environment") or {})
        for key, value in (self.rules.override.get("environment") or {}).items():
            if environment.get(key) != value:
                before = "(set)" if key in environment else None
                self.note(f"environment.{key}", before, None if value is None else "(changed)", "override")
            if value is None:
                environment.pop(key, None)
            else:
                environment[key] = value
        if environment:
            self.service["environment"] = environment

    def ports(self) -> None:
        """Published ports by ``publish``; what is no longer published stays known as ``expose``."""
        ports: list[dict[str, Any]] = self.service.get("ports") or []
        if self.rules.publish == "keep" or not ports:
            return
        after: list[dict[str, Any]] = []
        if self.rules.publish == "loopback":
            after = [p if p.get("host_ip") in _LOOPBACK else {**p, "host_ip": "127.0.0.1"} for p in ports]
        else:
            expose = [str(item) for item in self.service.get("expose") or []]
            for port in ports:
                text = str(port["target"]) if port["protocol"] == "tcp" else f"{port['target']}/{port['protocol']}"
                if text not in expose:
                    expose.append(text)
            self.service["expose"] = expose
        self.note("ports", [port_text(p) for p in ports], [port_text(p) for p in after] or None, "published-port")
        if after:
            self.service["ports"] = after
        else:
            del self.service["ports"]

    def labels(self) -> None:
        labels = dict(self.service.get("labels") or {})
        for key, value in (self.rules.override.get("labels") or {}).items():
            self.note(f"labels.{key}", labels.get(key), value, "override")
            labels[key] = value
        own = {SERVICE_LABEL: self.name, **({CLASS_LABEL: self.rules.class_name} if self.rules.class_name else {})}
        for key, value in own.items():
            self.note(f"labels.{key}", labels.get(key), value, "labels")
            labels[key] = value
        self.service["labels"] = labels


def port_text(port: Mapping[str, Any]) -> str:
    """A port in short form, for people."""
    host, published = port.get("host_ip") or "", port.get("published") or ""
    if host:
        host = f"[{host}]:" if ":" in host else f"{host}:"
    head = f"{host}{published}:" if host or published else ""
    return f"{head}{port['target']}" + ("" if port["protocol"] == "tcp" else f"/{port['protocol']}")


def _health_value(key: str, value: Any) -> Any:
    if key == "retries":
        return int(value)
    if key == "test":
        return ["CMD-SHELL", value] if isinstance(value, str) else [str(word) for word in value]
    return duration_text(value)


def _limit_value(key: str, value: Any) -> Any:
    if _unresolved(value):
        return value
    if key == "cpus":
        return cpus_text(value)
    return size_text(value) if key == "memory" else int(value)


def _unresolved(value: Any) -> bool:
    return isinstance(value, str) and "$" in value


def _option(text: Any) -> str:
    """What an entry is about: ``no-new-privileges`` of ``no-new-privileges:true``, ``/tmp`` of ``/tmp:size=64m``."""
    return str(text).replace("=", ":").partition(":")[0].rstrip("/")


def _prune(service: dict[str, Any], key: str) -> None:
    """Remove a mapping that has become empty, inside out."""
    value = service.get(key)
    if isinstance(value, dict):
        for inner in list(value):
            _prune(value, inner)
        if not value:
            del service[key]
