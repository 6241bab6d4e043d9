# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a Compose file may hold: keys, the kinds of value they take, and the values that are numbers or booleans.

Source: the Compose specification. Kinds: ``s`` text, ``n`` number, ``b`` boolean, ``l`` list, ``m`` mapping. A key that
is empty (null) counts as not written.
"""

from __future__ import annotations

import re
from typing import Any

TOP_LEVEL = {
    "name": "s",
    "version": "sn",
    "include": "l",
    "services": "m",
    "networks": "m",
    "volumes": "m",
    "secrets": "m",
    "configs": "m",
    "models": "m",
}

# In the order in which a person reads a service; what is not named here comes after, sorted.
SERVICE = {
    "image": "s",
    "build": "sm",
    "pull_policy": "s",
    "platform": "s",
    "extends": "sm",
    "provider": "m",
    "profiles": "l",
    "command": "sl",
    "entrypoint": "sl",
    "working_dir": "s",
    "user": "sn",
    "group_add": "l",
    "init": "bs",
    "tty": "bs",
    "stdin_open": "bs",
    "container_name": "s",
    "hostname": "s",
    "domainname": "s",
    "env_file": "slm",
    "environment": "lm",
    "depends_on": "lm",
    "links": "l",
    "external_links": "l",
    "networks": "lm",
    "network_mode": "s",
    "ports": "l",
    "expose": "l",
    "extra_hosts": "lm",
    "dns": "sl",
    "dns_opt": "l",
    "dns_search": "sl",
    "mac_address": "s",
    "volumes": "l",
    "volumes_from": "l",
    "tmpfs": "sl",
    "secrets": "l",
    "configs": "l",
    "devices": "l",
    "device_cgroup_rules": "l",
    "gpus": "sl",
    "healthcheck": "m",
    "restart": "s",
    "stop_signal": "s",
    "stop_grace_period": "s",
    "scale": "ns",
    "deploy": "m",
    "cpus": "ns",
    "cpu_count": "ns",
    "cpu_percent": "ns",
    "cpu_period": "ns",
    "cpu_quota": "ns",
    "cpu_rt_period": "ns",
    "cpu_rt_runtime": "ns",
    "cpu_shares": "ns",
    "cpuset": "s",
    "mem_limit": "ns",
    "mem_reservation": "ns",
    "mem_swappiness": "ns",
    "memswap_limit": "ns",
    "pids_limit": "ns",
    "shm_size": "ns",
    "oom_kill_disable": "bs",
    "oom_score_adj": "ns",
    "ulimits": "m",
    "sysctls": "lm",
    "read_only": "bs",
    "privileged": "bs",
    "cap_add": "l",
    "cap_drop": "l",
    "security_opt": "l",
    "userns_mode": "s",
    "ipc": "s",
    "pid": "s",
    "uts": "s",
    "cgroup": "s",
    "cgroup_parent": "s",
    "runtime": "s",
    "isolation": "s",
    "storage_opt": "m",
    "blkio_config": "m",
    "credential_spec": "m",
    "use_api_socket": "b",
    "models": "lm",
    "post_start": "l",
    "pre_stop": "l",
    "develop": "m",
    "attach": "bs",
    "logging": "m",
    "annotations": "lm",
    "label_file": "sl",
    "labels": "lm",
}

HEALTHCHECK = {
    "test": "sl",
    "interval": "s",
    "timeout": "s",
    "retries": "ns",
    "start_period": "s",
    "start_interval": "s",
    "disable": "bs",
}
DEPLOY = {
    "mode": "s",
    "endpoint_mode": "s",
    "replicas": "ns",
    "labels": "lm",
    "resources": "m",
    "restart_policy": "m",
    "update_config": "m",
    "rollback_config": "m",
    "placement": "m",
}
RESOURCES = {"limits": "m", "reservations": "m"}
LIMITS = {"cpus": "ns", "memory": "sn", "pids": "ns"}
RESERVATIONS = {**LIMITS, "devices": "l", "generic_resources": "l"}
RESTART_POLICY = {"condition": "s", "delay": "s", "max_attempts": "ns", "window": "s"}
LOGGING = {"driver": "s", "options": "m"}
DEPENDENCY = {"condition": "s", "required": "b", "restart": "bs"}
CONDITIONS = ("service_started", "service_healthy", "service_completed_successfully")

# Mappings inside a service that are checked one level further down.
NESTED = {
    ("healthcheck",): HEALTHCHECK,
    ("deploy",): DEPLOY,
    ("deploy", "restart_policy"): RESTART_POLICY,
    ("deploy", "resources"): RESOURCES,
    ("deploy", "resources", "limits"): LIMITS,
    ("deploy", "resources", "reservations"): RESERVATIONS,
    ("logging",): LOGGING,
}

KIND_WORDS = {"s": "text", "n": "a number", "b": "true or false", "l": "a list", "m": "a mapping (key: value)"}

_INTEGER = (
    r"services\.[^.]+\.(healthcheck\.retries|pids_limit|scale|oom_score_adj|cpu_(count|shares|period|quota)"
    r"|mem_swappiness|deploy\.replicas|deploy\.resources\.limits\.pids"
    r"|deploy\.(update|rollback)_config\.parallelism|deploy\.restart_policy\.max_attempts"
    r"|deploy\.placement\.max_replicas_per_node|ports\[\d+\]\.target|ulimits\.[^.]+(\.(soft|hard))?)"
)
_BOOLEAN = (
    r"services\.[^.]+\.(init|tty|stdin_open|privileged|read_only|oom_kill_disable|attach|healthcheck\.disable"
    r"|volumes\[\d+\]\.(read_only|bind\.create_host_path|volume\.nocopy)|depends_on\.[^.]+\.(required|restart))"
    r"|(networks|volumes|secrets|configs)\.[^.]+\.external|networks\.[^.]+\.(internal|attachable|enable_ipv[46])"
)
_CASTS = re.compile(f"(?P<integer>{_INTEGER})|(?P<boolean>{_BOOLEAN})")
_TRUE, _FALSE = ("true", "yes", "on", "y"), ("false", "no", "off", "n")


def cast(path: str, text: str) -> Any:
    """The value of a text at a place that takes a number or a boolean (``"${RETRIES}"`` is text until replaced)."""
    match = _CASTS.fullmatch(path)
    if match is None:
        return text
    if match["integer"]:
        return int(text) if re.fullmatch(r"-?\d{1,18}", text) else text
    if text.lower() in _TRUE:
        return True
    return False if text.lower() in _FALSE else text


def kind_of(value: Any) -> str:
    """The letter of a value's kind; ``?`` for what no file can hold."""
    if isinstance(value, bool):
        return "b"
    for letter, kinds in (("s", str), ("n", (int, float)), ("l", list), ("m", dict)):
        if isinstance(value, kinds):
            return letter
    return "?"


def kind_words(kinds: str) -> str:
    """``text or a list`` for ``sl``."""
    return " or ".join(KIND_WORDS[k] for k in kinds)
