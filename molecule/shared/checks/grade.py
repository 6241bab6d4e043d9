"""What testssl.sh says of a site, asked from a machine of the test bed."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from testbed import hosts, images
from testbed.hosts import Bed

# Mozilla's "Intermediate" (Server Side TLS, 5.7), by the names of OpenSSL; its ciphers with DHE are left out here.
CIPHERS = {
    *("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"),
    *("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    *("ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"),
}
CURVES = {"X25519", "prime256v1", "secp384r1"}
HSTS_SECONDS = 63_072_000
# What the grade rests on; without one of these parts there is none. No check of single clients, no list of all ciphers.
_PARTS = "--protocols --std --fs --server-defaults --headers --vulnerable".split()
_QUIET = "--quiet --color 0 --warnings off --nodns none".split()


@dataclass(frozen=True)
class Findings:
    """By the words of testssl.sh: what it looked at, and what it found."""

    found: dict[str, str]
    severity: dict[str, str]
    text: str

    def offered(self, *versions: str) -> list[str]:
        """Those of these versions of TLS that are spoken."""
        return [version for version in versions if self.found[version].startswith("offered")]


def begin(bed: Bed, address: str, name: str, root: Path) -> subprocess.Popen[str]:
    """Begin to look at a site whose certificate is signed by ``root`` (a file). It takes about a minute."""
    look = " ".join(("testssl", *_QUIET, *_PARTS, "--ip", address, "--add-ca", "/root.pem", "--jsonfile", "/tmp/found"))
    mount = ("--volume", f"{root}:/root.pem:ro", "--label", f"{hosts.LABEL}={bed.name}", "--network", bed.network)
    # Its exit code counts what it dislikes; the findings say it better.
    script = f"{look} {name} >/tmp/told 2>&1; cat /tmp/found || cat /tmp/told"
    return subprocess.Popen(
        ["docker", "run", "--rm", "--init", *mount, images.examiner_image(), "sh", "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str], seconds: float = 180) -> Findings:
    """Wait until it has looked at everything."""
    text, _nothing = process.communicate(timeout=seconds)
    try:
        rows = json.loads(text)
    except ValueError as error:
        raise AssertionError(f"testssl.sh says no more than:\n{text[-3000:]}") from error
    return Findings({row["id"]: row["finding"] for row in rows}, {row["id"]: row["severity"] for row in rows}, text)
