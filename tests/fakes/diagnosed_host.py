"""A host full of canaries for `hypercode diagnose`: files below a folder, and programs that print them."""

from __future__ import annotations

import base64
import html
import json
import os
import re
import shlex
import subprocess
import sys
import tarfile
import time
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

RELEASE = "20270115T080000Z-0a1b2c3d"
# Where each of them is known from; none has a form that gives it away.
CANARIES = {
    "release": 'Rel"ease/Can@ry:1?<&>',
    "several lines": "first-line-of-canary\nsecond-line-of-canary",
    "backup store": "BackupStoreCanary77",
    "backup address": "Addre5sCanary",
    "backup password": "vKq7Pw2canaryBackupPassword",
    "dns": "dnsProviderCanary+/=",
    "quotes": "it's\"CanaryQuote'5",
    "alertmanager": "pagerRoutingCanary0123456789",
    "hook": "https://chat.example.com/hooks/aaBBcc/HookCanary4711xyz",
    "registry": "registryCanary,99",
    "root's registry": "rootRegistryCanary88",
    "secret in a file": "fileSecretCanary#55",
    "environment": "OtherProjectCanary66",
}
KEY = "\n".join(
    [
        "-----BEGIN PRIVATE KEY-----",
        "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgCanaryKeyLine",
        "-----END PRIVATE KEY-----",
    ]
)
# Ordinary text that has to be there afterwards.
ORDINARY = "GET /health 200 in 12 ms, path /opt/hypercode/current, image demo/web:1.2.3@sha256:abcdef"
DOCKER = """#!/bin/sh
here={programs}
[ "$1" = --version ] && {{ echo "Docker version 29.1"; exit; }}
[ -e $here/docker-away ] && {{ echo "Cannot connect to the Docker daemon at unix:///run/x." >&2; exit 1; }}
[ -e $here/docker-hangs ] && exec tail -n 0 -f $here/text
case "$1 $2" in
  "ps --all") case "$*" in *quiet*) echo 1111; echo 2222;; *) cat $here/ps.json;; esac;;
  "inspect 1111") case "$*" in *2222*) cat $here/inspect-all.json;; *) cat $here/inspect-1111.json;; esac;;
  "logs --timestamps") cat $here/log.out; cat $here/log.err >&2;;
  "network ls") echo net1;;
  "network inspect") cat $here/text;;
  "stats --no-stream") echo '{{"Name": "demo-web-1", "MemPerc": "5 %"}}';;
  "version --format") echo "client 29.1, engine 29.1";;
  "compose version") echo 2.40;;
  "info --format") cat $here/text;;
  *) echo '{{"Name": "something"}}';;
esac
"""
TELLS = """#!/bin/sh
cat {programs}/text
"""
FAILS = """#!/bin/sh
cat {programs}/text >&2
echo "failed with {canary}" >&2
exit 4
"""
STARTER = """
import sys
from pathlib import Path
PREFIX = "ansible_collections.hypercode.deploy.plugins.module_utils.hostkit"
from importlib import import_module
root, path = Path(sys.argv[1]), sys.argv[2]
import_module(PREFIX + ".command").PATH = path
import_module(PREFIX + ".diagnose.bounded").PATH = path
cli = import_module(PREFIX + ".cli")
release = import_module(PREFIX + ".release")
wanted = import_module(PREFIX + ".certificates.wanted")
engine = import_module(PREFIX + ".engine")
host = cli.Host(
    store=release.Store(release.Paths(root)),
    engine=engine.Engine(str(root / "run/docker.sock")),
    certificates=wanted.Paths(root),
)
sys.exit(cli.main(sys.argv[3:], host))
"""
REPOSITORY = Path(__file__).resolve().parents[2]


def ways(value: str) -> list[str]:
    """How programs write a value."""
    plain = value.encode()
    return [
        value,
        json.dumps(value),
        json.dumps(json.dumps({"message": value})),
        urllib.parse.quote(value, safe=""),
        urllib.parse.quote(value, safe="").replace("%2F", "%2f").replace("%40", "%40"),
        urllib.parse.quote_plus(value),
        html.escape(value),
        f"postgresql://app:{urllib.parse.quote(value, safe='')}@db:5432/app?sslmode=disable",
        base64.b64encode(plain).decode(),
        base64.b64encode(b"user:" + plain).decode(),
        base64.b64encode(b"someuser:" + plain + b"\n").decode(),
        base64.urlsafe_b64encode(b"u:" + plain).decode().rstrip("="),
        plain.hex(),
        shlex.quote(value),
        value.replace("'", "''"),
        repr(value),
    ]


def leaks(text: str, value: str) -> list[str]:
    """Each reading of a text in which the value stands. It decodes, so that it shares nothing with what masks."""
    readings = {"as it is": text, "URL": urllib.parse.unquote_plus(text), "HTML": html.unescape(text)}
    for name in ("JSON", "JSON in JSON"):
        source = readings.get("JSON", text)
        readings[name] = re.sub(r'\\(u[0-9a-fA-F]{4}|["\\/bfnrt])', lambda match: json.loads(f'"\\{match[1]}"'), source)
    readings["shell"], readings["SQL"] = text.replace("'\"'\"'", "'"), text.replace("''", "'")
    readings["Python"] = re.sub(r"\\(['\"\\])", r"\1", text)
    found = [name for name, reading in readings.items() if value in reading]
    if value.encode().hex() in text.lower():
        found.append("hex")
    for run in re.findall(r"[A-Za-z0-9+/_-]{6,}", text):
        standard = run.translate(str.maketrans("-_", "+/"))
        for shift in range(4):
            part = standard[shift:]
            decoded = base64.b64decode(part[: len(part) // 4 * 4] or b"")
            if value.encode() in decoded:
                found.append(f"base64 in {run[:40]}")
    return found


@dataclass
class DiagnosedHost:
    """The host. ``root`` is its /, ``programs`` are found before all others."""

    folder: Path

    def __post_init__(self) -> None:
        self.root, self.programs = self.folder / "root", self.folder / "programs"
        self.programs.mkdir(parents=True)
        self._write_secrets()
        text = self.quoting()
        self._write_records(text)
        self._write_programs(text)

    def quoting(self) -> str:
        """Lines in which every canary stands in every way, and some ordinary ones."""
        lines = [ORDINARY]
        for value in CANARIES.values():
            lines += [f"it says {way} here" for way in ways(value)]
        return "\n".join([*lines, KEY, ORDINARY, ""])

    def write(self, path: str, text: str, mode: int = 0o644) -> Path:
        """Write a file of the host."""
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(mode)
        return place

    def _write_secrets(self) -> None:
        release = f"/opt/hypercode/releases/{RELEASE}"
        env = f"DB_PASSWORD='{CANARIES['release']}'\nKEY='{CANARIES['several lines']}'\nSHORT='x7q'\nUSER_NAME='demo'\n"
        self.write(f"{release}/env", env, 0o600)
        secret = self.write("/srv/secrets/token", CANARIES["secret in a file"] + "\n", 0o600)
        model = {"services": {"web": {}}, "secrets": {"token": {"file": f"/{secret.relative_to(self.root)}"}}}
        self.write(f"{release}/model.json", json.dumps(model), 0o600)
        repository = {
            "name": "far",
            "url": f"rest:https://backup:{CANARIES['backup address']}@backup.example.com/",
            "password_file": str(self.root / "etc/hypercode/backup/password"),
            "environment": {"AWS_SECRET_ACCESS_KEY": CANARIES["backup store"]},
        }
        self.write("/etc/hypercode/backup.json", json.dumps({"project": "demo", "repositories": [repository]}), 0o600)
        self.write("/etc/hypercode/backup/password", CANARIES["backup password"] + "\n", 0o600)
        self.write(
            "/etc/hypercode/edge/dns.env", f"HETZNER_TOKEN={CANARIES['dns']}\nOTHER={CANARIES['quotes']}\n", 0o640
        )
        self.write("/etc/hypercode/monitoring/alertmanager/secrets/pager", CANARIES["alertmanager"], 0o640)
        self.write("/etc/hypercode/monitoring/alertmanager/secrets/chat", CANARIES["hook"] + "\n", 0o640)
        self.write("/var/lib/caddy/caddy/certificates/ca/app/app.key", KEY, 0o600)
        for path, name in (
            ("/etc/hypercode/docker/config.json", "registry"),
            ("/root/.docker/config.json", "root's registry"),
        ):
            auth = base64.b64encode(f"robot:{CANARIES[name]}".encode()).decode()
            self.write(path, json.dumps({"auths": {"registry.example.com": {"auth": auth}}}), 0o600)

    def _write_records(self, text: str) -> None:
        release = f"/opt/hypercode/releases/{RELEASE}"
        about = {"status": "done", "project": "demo", "services": {"web": {"image": "demo/web:1"}}, "order": [["web"]]}
        self.write(f"{release}/release.json", json.dumps({**about, "hooks": {"said": text}}))
        compose = [
            "services:",
            "  web:",
            "    image: demo/web:1",
            "    environment:",
            "      DB_PASSWORD: ${DB_PASSWORD}",
        ]
        compose += [
            f"      NOTE_{number}: {json.dumps(way)}"
            for number, (name, value) in enumerate(CANARIES.items())
            for way in ways(value)
            # As the password in a URL it would be known from here.
            if name != "environment"
        ]
        self.write(f"{release}/compose.yaml", "\n".join([*compose, "      MODE: production", ""]), 0o600)
        self.root.joinpath("opt/hypercode/current").symlink_to(f"releases/{RELEASE}")
        self.write(
            f"/var/lib/hypercode/rollout/{RELEASE}.jsonl", json.dumps({"event": "failed", "reason": text}) + "\n"
        )
        self.write(f"/var/lib/hypercode/rollout/evidence/{RELEASE}/web.log", text, 0o600)
        self.write(f"/var/lib/hypercode/rollout/evidence/{RELEASE}/core", "\0\0binary" * 10, 0o600)
        self.write("/var/lib/hypercode/metrics/app.prom", f"# HELP x it\nx 4711\n{text}")
        day = time.strftime("%Y%m%d", time.gmtime())
        lines = [
            json.dumps({"kind": "event", "time": time.time(), "message": text}),
            json.dumps({"kind": "sample", "time": 5}),
        ]
        self.write(f"/var/lib/hypercode/watch/journal-{day}.jsonl", "\n".join([*lines, ""]))
        self.write("/etc/hypercode/edge/Caddyfile", f"app.example.com {{\n  reverse_proxy 10.0.0.2:80\n}}\n# {text}")
        self.write(f"/etc/hypercode/stack/{CANARIES['backup store']}.conf", "x")

    def _write_programs(self, text: str) -> None:
        def put(name: str, content: str) -> None:
            (self.programs / name).write_text(content)
            (self.programs / name).chmod(0o755)

        put("text", text)
        put("docker", DOCKER.format(programs=self.programs))
        for name in ("journalctl", "systemctl", "nft", "ip", "ss", "ps", "lsblk", "timedatectl"):
            put(name, TELLS.format(programs=self.programs))
        for name in ("caddy", "free"):
            put(name, FAILS.format(programs=self.programs, canary=CANARIES["dns"]))
        put("restic", FAILS.format(programs=self.programs, canary=CANARIES["dns"]))
        words = ["redis-server", "--requirepass", "hunter2hunter2"]
        # What looks like a secret is one, though no file of the host holds it.
        env = [f"OTHER_TOKEN={CANARIES['environment']}", f"DB_PASSWORD={CANARIES['release']}", "MODE=production"]
        config = {"Env": env, "Cmd": words, "Labels": {"com.docker.compose.project": "demo", "note": text}}
        health = {"Status": "unhealthy", "Log": [{"Output": text}]}
        web = {"Id": "1111", "Name": "/demo-web-1", "Config": config, "Args": words[1:], "State": {"Health": health}}
        other = {"Id": "2222", "Name": "/elsewhere", "Config": {"Env": env, "Labels": {}}}
        put("inspect-1111.json", json.dumps([web]))
        put("inspect-all.json", json.dumps([web, other]))
        row = {"Names": "demo-web-1", "Command": text, "Labels": text, "Status": "Up 5 minutes"}
        put("ps.json", json.dumps(row) + "\n")
        stamp = "2027-01-15T08:00:{:02d}.000000000Z "
        put("log.err", "".join(f"{stamp.format(9)}{line}\n" for line in text.splitlines()))
        lines = [f"{stamp.format(5)}{line}\n" for line in text.splitlines()]
        # A line of more than 16 KiB, which Docker gives in two pieces, cut in the middle of a secret.
        value = CANARIES["release"]
        long = "x" * (16384 - 9) + " " + value[:8]
        put("log.out", "".join([*lines, stamp.format(6), long, stamp.format(6), value[8:], " after it\n"]))

    def run(self, *words: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Type `hypercode` and these words, in a process of its own."""
        with self.start(*words) as process:
            said, errors = process.communicate(timeout=timeout)
        return subprocess.CompletedProcess(words, process.returncode, said, errors)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """The same, without waiting for its end."""
        path = f"{self.programs}:{os.environ['PATH']}"
        return subprocess.Popen(
            [sys.executable, "-c", STARTER, str(self.root), path, *words],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY / "collections"), "LC_ALL": "C.UTF-8"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def unpack(path: Path) -> dict[str, str]:
    """The files of a bundle by their names below its folder, read by the program tar."""
    with tarfile.open(path) as bundle:
        names = bundle.getnames()
    found = {}
    for name in names:
        done = subprocess.run(["tar", "-xzOf", path, name], capture_output=True, check=True)
        found[name.partition("/")[2]] = done.stdout.decode()
    return found
