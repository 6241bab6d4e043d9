"""Answers of hosts, made up for the tests of tests/hardening."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hardening.facts import Facts, Part

Answers = Callable[..., Facts]


@pytest.fixture
def answers() -> Answers:
    """Return a function that makes facts: a part is text, or a document that is written as JSON."""

    def make(promised: dict[str, str] | None = None, **parts: Any) -> Facts:
        texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in parts.items()}
        return Facts({name.replace("_", "-"): Part(text, 0) for name, text in texts.items()}, promised or {})

    return make


@pytest.fixture
def container() -> dict[str, Any]:
    """Return what `docker inspect` says of a container that meets every point."""
    return {
        "Name": "/hypercode-redis-1",
        "Image": "sha256:1",
        "Config": {
            "Image": "registry.example.com/redis@sha256:2",
            "User": "999:999",
            "Labels": {"com.docker.compose.service": "redis"},
        },
        "State": {"Status": "running", "Health": {"Status": "healthy"}},
        "NetworkSettings": {"Ports": {"6379/tcp": None}},
        "Mounts": [{"Type": "bind", "Source": "/etc/hypercode/stack/redis", "Propagation": "rprivate"}],
        "HostConfig": {
            "CapDrop": ["ALL"],
            "CapAdd": None,
            "Privileged": False,
            "NetworkMode": "hypercode_data-net",
            "Memory": 1 << 30,
            "NanoCpus": 500_000_000,
            "CpuQuota": 0,
            "ReadonlyRootfs": True,
            "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
            "PidMode": "",
            "IpcMode": "private",
            "Devices": [],
            "UTSMode": "",
            "UsernsMode": "",
            "SecurityOpt": ["no-new-privileges:true"],
            "CgroupParent": "",
            "PidsLimit": 256,
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "5"}},
            "OomKillDisable": None,
        },
    }
