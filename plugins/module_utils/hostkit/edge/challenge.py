# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Certificates through DNS (wildcards too): got and renewed by lego, since stock Caddy knows no DNS provider."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from ..certificates.x509 import CertificateError, read_certificates
from ..command import NOT_FOUND, CommandResult, run_command
from .caddy import EdgeError
from .layout import ACME_ROOT, DATA, DNS_ENV, LEGO, USER, Paths

Run = Callable[..., CommandResult]
# DNS takes its time: lego waits until the record is seen.
_TIMEOUT = 600.0
_ALWAYS = 100_000  # days: no certificate has more left


def obtain(about: Mapping[str, Any], paths: Paths, run: Run = run_command) -> list[str]:
    """Get the certificates that are not there yet; the names of their sites. EdgeError says why one cannot be got."""
    got = []
    for names in about["dns"]:
        certificate, _key = paths.from_lego(names[0])
        if not certificate.exists():
            _lego(about, paths, names, run, "run")
            got.append(str(names[0]))
    return got


def renew(
    about: Mapping[str, Any], paths: Paths, run: Run = run_command, only: Collection[str] | None = None
) -> list[str]:
    """Renew what has less than a third of its life left; the names of the sites that have a new certificate.

    ``only`` are names to be renewed in any case, and no others. EdgeError says why one cannot be got.
    """
    renewed = []
    for names in about["dns"]:
        if only is not None and not set(names) & set(only):
            continue
        certificate, _key = paths.from_lego(names[0])
        before = certificate.read_bytes() if certificate.exists() else None
        if before is None:
            _lego(about, paths, names, run, "run")
        else:
            days = days_left_to_renew(certificate) if only is None else _ALWAYS
            # lego would wait for up to 8 minutes, so that not all hosts come at once: the timer sees to that.
            _lego(about, paths, names, run, "renew", "--no-random-sleep", "--days", str(days))
        if certificate.read_bytes() != before:
            renewed.append(str(names[0]))
    return renewed


def days_left_to_renew(certificate: Path) -> int:
    """A third of the life of a certificate, in days: CAs make them ever shorter. 30 for one that cannot be read."""
    try:
        return max(1, round(read_certificates(certificate)[0].lifetime / 86400 / 3))
    except (CertificateError, OSError):
        return 30


def _lego(about: Mapping[str, Any], paths: Paths, names: list[str], run: Run, *verb: str) -> None:
    environment = {"HOME": DATA, **read_environment(paths)}
    if paths.at(ACME_ROOT).exists():
        environment["LEGO_CA_CERTIFICATES"] = str(paths.at(ACME_ROOT))
    words = ["runuser", "--user", USER, "--", "lego", "--accept-tos", "--path", str(paths.at(LEGO))]
    words += ["--server", str(about["acme_ca"]), "--email", str(about["acme_email"])]
    words += ["--key-type", "ec256", "--dns", str(about["dns_provider"])]
    for name in names:
        words += ["--domains", name]
    for resolver in about.get("dns_resolvers") or ():
        words += ["--dns.resolvers", str(resolver)]
    done = run([*words, *verb], timeout=_TIMEOUT, environment=environment)
    if done.code == NOT_FOUND or "lego: command not found" in done.stderr or "lego: No such file" in done.stderr:
        raise EdgeError("lego is not installed, which gets certificates through DNS. Fix: apt-get install lego")
    if done.code:
        lines = [line for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
        raise EdgeError(
            f"No certificate for {', '.join(names)} through DNS ({about['dns_provider']}): "
            f"{_hidden(lines[-1] if lines else 'lego said nothing', environment)}. "
            "What was served before goes on. "
            "Fix: check edge_dns_challenge, and that the zone is at that server; then run again"
        )


def _hidden(text: str, environment: Mapping[str, str]) -> str:
    for value in environment.values():
        if len(value) > 7 and not value.startswith("/"):
            text = text.replace(value, "********")
    return text


def read_environment(paths: Paths) -> dict[str, str]:
    """The variables of the DNS provider, secrets among them."""
    try:
        lines = paths.at(DNS_ENV).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {name: value for name, _sign, value in pairs}
