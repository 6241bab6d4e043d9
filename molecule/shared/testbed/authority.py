"""A certificate authority beside the hosts (Pebble), with the name server that it asks (Knot).

Pebble looks at the hosts for real, refuses some nonces, and forgets some authorizations, as a CA may.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from pathlib import Path

from . import hosts, images, registry
from .hosts import Bed
from .shell import TestbedError, docker, run, step

# In the first range: a scenario that has it says its address in its inventory.
ADDRESS = "198.51.100.134"
OCSP_PORT = 4002
DIRECTORY = f"https://{ADDRESS}:14000/dir"
KEY_NAME = "edge"
ZONE = "test"
# In the container: a name server that takes changes, then the CA in the foreground.
_START = (
    "mkdir -p /run/knot /var/lib/knot && cp /ca/zone /var/lib/knot/zone && knotd --config /ca/knot.conf --daemonize "
    "&& exec pebble -config /ca/pebble.json -dnsserver 127.0.0.1:53 -strict"
)


def container(bed: Bed) -> str:
    return bed.container("authority")


def folder(bed: Bed) -> Path:
    return bed.state / "authority"


def root_file(bed: Bed) -> Path:
    """The certificate that the CA's own address is signed by."""
    return registry.ca_file(bed)


def key(bed: Bed) -> str:
    """The TSIG key with which the zone may be changed (HMAC-SHA256)."""
    path = folder(bed) / "tsig"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        made = run(["openssl", "rand", "-base64", "32"]).stdout.strip()
        path.write_text(made, encoding="utf-8")
    return path.read_text(encoding="utf-8")


def up(bed: Bed, names: Mapping[str, str], *, valid_seconds: int = 7_776_000, ocsp: bool = False) -> None:
    """Start the CA. ``names`` are in the zone with their addresses; certificates live for so many seconds.

    With ``ocsp`` they name a place that tells what was revoked; nobody is there until `tell_revoked` is called.
    """
    image = images.authority_image()
    with step(f"Starting a certificate authority at {ADDRESS}"):
        place = folder(bed)
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        _certificate(bed)
        (place / "zone").write_text(_zone(names), encoding="utf-8")
        (place / "knot.conf").write_text(_knot(key(bed)), encoding="utf-8")
        (place / "pebble.json").write_text(json.dumps(_pebble(valid_seconds, ocsp=ocsp)), encoding="utf-8")
        docker("rm", "--force", container(bed), check=False)
        docker(
            *f"run --detach --init --name {container(bed)} --hostname authority --network {bed.network}".split(),
            *f"--ip {ADDRESS} --label {hosts.LABEL}={bed.name} --volume {place}:/ca:ro".split(),
            # It waits for no dice before it looks, and refuses more nonces than it would by itself.
            *"--env PEBBLE_VA_NOSLEEP=1 --env PEBBLE_WFE_NONCEREJECT=15".split(),
            *(image, "sh", "-c", _START),
        )
        deadline = time.monotonic() + 30
        probe = "import socket; [socket.create_connection(('127.0.0.1', port), 2) for port in (53, 14000, 15000)]"
        while run(["docker", "exec", container(bed), "python3", "-c", probe], check=False).returncode:
            if time.monotonic() > deadline:
                raise TestbedError(f"The CA does not answer:\n{docker('logs', container(bed), check=False)}")
            time.sleep(0.3)


def issuer_root(bed: Bed) -> str:
    """The certificate (PEM) that those of this CA are signed by; another one after each start."""
    return _asked(bed, "roots/0")


def tell_revoked(bed: Bed, index: str) -> None:
    """Answer by OCSP who is in this list, as `openssl ocsp -index` reads it; in place of what was answered before."""
    put = "mkdir -p /tmp/ocsp && cat > /tmp/ocsp/"
    files = {
        "issuer.pem": _asked(bed, "intermediates/0"),
        "issuer.key": _asked(bed, "intermediate-keys/0"),
        "responder.py": Path(__file__).with_name("responder.py").read_text(encoding="utf-8"),
        "index": index,
    }
    for name, text in files.items():
        docker("exec", "--interactive", container(bed), "sh", "-c", f"{put}{name}", stdin=text)
    if run(["docker", "exec", container(bed), "pgrep", "-f", "responder.py"], check=False).returncode:
        words = f"python3 responder.py {OCSP_PORT}"
        docker("exec", "--detach", "--workdir", "/tmp/ocsp", container(bed), *words.split())


def _asked(bed: Bed, what: str) -> str:
    """What the CA tells those who run it."""
    code = (
        "import ssl, urllib.request as u; c = ssl.create_default_context(); c.check_hostname = False; "
        f"c.verify_mode = ssl.CERT_NONE; print(u.urlopen('https://127.0.0.1:15000/{what}', context=c).read().decode())"
    )
    return run(["docker", "exec", container(bed), "python3", "-c", code]).stdout


def orders(bed: Bed) -> int:
    """How often this CA was asked for a certificate since its start."""
    done = run(["docker", "logs", container(bed)])
    return f"{done.stdout}{done.stderr}".count("POST /order-plz")


def _certificate(bed: Bed) -> None:
    """The certificate of the CA's address, signed as that of the registry is."""
    place, tls = folder(bed), bed.state / "tls"
    if (place / "server.crt").exists():
        return
    signed = ["-CA", str(tls / "ca.crt"), "-CAkey", str(tls / "ca.key")]
    facts = ["-addext", f"subjectAltName=IP:{ADDRESS}", "-addext", "basicConstraints=critical,CA:FALSE"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    new = ["openssl", "req", "-x509", *curve, "-days", "30", "-subj", f"/CN={ADDRESS}"]
    run([*new, *signed, *facts, "-keyout", str(place / "server.key"), "-out", str(place / "server.crt")])


def _pebble(valid_seconds: int, *, ocsp: bool = False) -> dict[str, object]:
    return {
        "pebble": {
            "listenAddress": "0.0.0.0:14000",
            "managementListenAddress": "0.0.0.0:15000",
            "certificate": "/ca/server.crt",
            "privateKey": "/ca/server.key",
            "httpPort": 80,
            "tlsPort": 443,
            "ocspResponderURL": f"http://{ADDRESS}:{OCSP_PORT}" if ocsp else "",
            "externalAccountBindingRequired": False,
            "certificateValidityPeriod": valid_seconds,
        }
    }


def _zone(names: Mapping[str, str]) -> str:
    serial = secrets.randbelow(10**9)
    lines = [
        f"$ORIGIN {ZONE}.",
        "$TTL 5",
        f"@ SOA ns1 hostmaster {serial} 60 60 3600 5",
        "@ NS ns1",
        f"ns1 A {ADDRESS}",
        *(f"{name}. A {address}" for name, address in names.items()),
    ]
    return "\n".join(lines) + "\n"


def _knot(secret: str) -> str:
    return f"""\
server:
  listen: [ 127.0.0.1@53, {ADDRESS}@53 ]
database:
  storage: /var/lib/knot
key:
  - id: {KEY_NAME}
    algorithm: hmac-sha256
    secret: {secret}
acl:
  - id: edge
    key: {KEY_NAME}
    action: update
zone:
  - domain: {ZONE}
    storage: /var/lib/knot
    file: zone
    zonefile-sync: -1
    journal-content: all
    zonefile-load: difference-no-serial
    acl: edge
"""
