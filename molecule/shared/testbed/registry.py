"""The neighbour of the hosts: an image registry with TLS and a login, and git repositories to build from."""

from __future__ import annotations

import base64
import json
import secrets
import shutil
import time
from pathlib import Path

from . import hosts, registry_image
from .hosts import Bed
from .shell import TestbedError, docker, run, step

LOGIN = "sandbox"
# Where every Docker engine looks for the authorities of registries.
CERTIFICATES = Path("/etc/docker/certs.d")


def container(bed: Bed) -> str:
    return bed.container("registry")


def ca_file(bed: Bed) -> Path:
    return bed.state / "tls" / "ca.crt"


def password(bed: Bed) -> str:
    """The registry's password: made once for each test bed."""
    path = bed.state / "tls" / "password"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(24), encoding="utf-8")
    return path.read_text(encoding="utf-8")


def make_certificate(bed: Bed) -> None:
    """Make a certificate authority and a server certificate for the registry's address."""
    folder = bed.state / "tls"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if (folder / "server.crt").exists():
        return
    address = bed.registry.partition(":")[0]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    new = ["openssl", "req", "-x509", *curve, "-days", "30"]
    key, certificate = str(folder / "ca.key"), str(folder / "ca.crt")
    run([*new, "-subj", "/CN=hypercode test bed CA", "-keyout", key, "-out", certificate])
    server = ["-subj", f"/CN={address}", "-CA", certificate, "-CAkey", key]
    facts = ["-addext", f"subjectAltName=IP:{address}", "-addext", "basicConstraints=critical,CA:FALSE"]
    run([*new, *server, *facts, "-keyout", str(folder / "server.key"), "-out", str(folder / "server.crt.new")])
    (folder / "server.crt.new").rename(folder / "server.crt")


def htpasswd(bed: Bed) -> str:
    """Return a bcrypt line for the registry. bcrypt comes with the virtual environment."""
    import bcrypt  # noqa: PLC0415  Not there yet when this file is first imported.

    return f"{LOGIN}:{bcrypt.hashpw(password(bed).encode(), bcrypt.gensalt(5)).decode()}\n"


def up(bed: Bed) -> None:
    image = registry_image.registry_image()
    if (
        hosts.state_of(container(bed)) == "running"
        and docker("inspect", "--format", "{{.Config.Image}}", container(bed)) == image
    ):
        return
    with step(f"Starting the registry at {bed.registry}"):
        make_certificate(bed)
        folder = bed.state / "tls"
        (folder / "htpasswd").write_text(htpasswd(bed), encoding="utf-8")
        docker("rm", "--force", "--volumes", container(bed), check=False)
        docker(
            *f"run --detach --name {container(bed)} --network {bed.network}".split(),
            *f"--ip {bed.registry.partition(':')[0]} --label {hosts.LABEL}={bed.name}".split(),
            *("--volume", f"{folder}:/tls:ro"),
            *(
                "--env",
                "REGISTRY_HTTP_TLS_CERTIFICATE=/tls/server.crt",
                "--env",
                "REGISTRY_HTTP_TLS_KEY=/tls/server.key",
            ),
            *("--env", "REGISTRY_AUTH=htpasswd", "--env", "REGISTRY_AUTH_HTPASSWD_REALM=sandbox"),
            *("--env", "REGISTRY_AUTH_HTPASSWD_PATH=/tls/htpasswd"),
            image,
        )
        deadline = time.monotonic() + 30
        probe = "import socket; socket.create_connection(('127.0.0.1', 5000), 2)"
        while not is_answering(bed, probe):
            if time.monotonic() > deadline:
                raise TestbedError(f"The registry does not answer:\n{docker('logs', container(bed), check=False)}")
            time.sleep(0.3)


def trust(bed: Bed) -> Path:
    """Let the engine of this machine push to the registry; return the folder for DOCKER_CONFIG with its login.

    The engine looks for a registry's authority in one place only; `distrust` takes it away again.
    """
    target = CERTIFICATES / bed.registry / "ca.crt"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(ca_file(bed), target)
    folder = bed.state / "docker"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    login = base64.b64encode(f"{LOGIN}:{password(bed)}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {bed.registry: {"auth": login}}}), encoding="utf-8")
    return folder


def distrust(bed: Bed) -> None:
    shutil.rmtree(CERTIFICATES / bed.registry, ignore_errors=True)


def is_answering(bed: Bed, probe: str) -> bool:
    return run(["docker", "exec", container(bed), "python3", "-c", probe], check=False).returncode == 0
