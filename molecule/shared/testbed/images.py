"""The images of the test bed, built once and cached by a hash of all that goes into them.

Hosts are `docker import`s of an mmdebstrap root. The stack's images all stand on one small Debian 12 root with Python
3.11, which a host pulls once. The real PostgreSQL, Redis and Prometheus are in their own images only: a deploy reads
all files of each new image, and that takes as long as the image is large.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from .monitors import MONITOR_PACKAGES, MONITORS
from .shell import docker, run, step

SOURCES = Path(__file__).resolve().parent.parent / "images"
PREFIX = "hypercode-testbed"
LOCKS = Path(tempfile.gettempdir()) / "hypercode-testbed-locks"

HOST_PACKAGES = (
    "systemd systemd-sysv dbus libpam-systemd python3 python3-apt openssh-server sudo iproute2 iputils-ping procps "
    "ca-certificates kmod cron less netbase"
).split()
# What a host that is not about installing anything has on board already.
HOST_DOCKER_PACKAGES = (
    "docker.io docker-cli docker-compose iptables nftables git logrotate "
    "fail2ban python3-systemd unattended-upgrades systemd-timesyncd restic"
).split()
APP_PACKAGES = "python3 python3-psycopg2 wget ca-certificates procps".split()
# Stays in the roots, as in the images that Debian gives out: what is thrown away need not outlive a power cut.
DPKG_OPTIONS = ("force-unsafe-io",)
# Left out of the root for size: documentation, translations, browser code and Postgres's JIT compiler.
APP_EXCLUDES = (
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/locale/*",
    "/usr/share/javascript/*",
    "/usr/lib/x86_64-linux-gnu/libLLVM*",
    "/usr/lib/x86_64-linux-gnu/libz3*",
)


def with_packages(*names: str) -> str:
    """A line of a Dockerfile that installs Debian packages, nothing started and no lists left."""
    # In this runlevel a package does not start what it brings.
    words = "RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends"
    return f"RUN apt-get update -qq && {words} {' '.join(names)} && apt-get clean && rm -rf /var/lib/apt/lists/*"


# image name -> lines of its Dockerfile after FROM
DOCKERFILES: Mapping[str, tuple[str, ...]] = {
    "agent": ("COPY app/ /app/", 'CMD ["python3", "/app/agent.py"]'),
    "orchestrator": ("COPY app/ /app/", 'CMD ["python3", "/app/orchestrator.py"]'),
    "core": (
        "COPY app/ /app/",
        "RUN ln -s /app/celery /usr/local/bin/celery",
        'CMD ["python3", "/app/core.py"]',
    ),
    "grafana": (
        # For the files that it is provisioned with.
        with_packages("python3-yaml"),
        "COPY app/ /app/",
        "RUN mkdir -p /var/lib/grafana && chown 472:0 /var/lib/grafana && ln -s /app/grafana /usr/local/bin/grafana",
        "USER 472",
        'CMD ["python3", "/app/facade.py", "grafana"]',
    ),
    "jaeger": ("COPY app/ /app/", "USER 10001", 'ENTRYPOINT ["python3", "/app/facade.py", "jaeger"]'),
    "ollama": (
        "COPY app/ /app/",
        "RUN ln -s /app/ollama /usr/local/bin/ollama",
        'ENTRYPOINT ["/usr/local/bin/ollama"]',
        'CMD ["serve"]',
    ),
    "postgres": (
        # Debian's package would make a cluster of its own, some 40 MB that nobody uses.
        "RUN mkdir -p /etc/postgresql-common"
        " && echo create_main_cluster = false > /etc/postgresql-common/createcluster.conf",
        with_packages("postgresql-15"),
        "COPY postgres/entrypoint /usr/local/bin/entrypoint",
        "ENV PATH=/usr/lib/postgresql/15/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        # The official image's user id, so that compose.yaml is the same for both.
        "RUN groupmod -g 999 postgres && usermod -u 999 -g 999 postgres"
        " && mkdir -p /var/lib/postgresql/data && chown -R 999:999 /var/lib/postgresql",
        'ENTRYPOINT ["/usr/local/bin/entrypoint"]',
        "STOPSIGNAL SIGINT",
        'CMD ["postgres"]',
    ),
    "redis": (
        with_packages("redis-server"),
        "COPY redis/entrypoint /usr/local/bin/entrypoint",
        "RUN groupmod -g 999 redis && usermod -u 999 -g 999 redis && mkdir /data && chown 999:999 /data",
        "WORKDIR /data",
        'ENTRYPOINT ["/usr/local/bin/entrypoint"]',
        'CMD ["redis-server"]',
    ),
    "prometheus": (
        with_packages("prometheus"),
        "RUN mkdir /prometheus && chown 65534:65534 /prometheus",
        "USER 65534",
        'ENTRYPOINT ["/usr/bin/prometheus"]',
    ),
}
SPECIALISTS = (
    "project-strategist",
    "frontend-specialist",
    "backend-specialist",
    "database-architect",
    "qa-engineer",
    "devops-engineer",
    "security-engineer",
    "system-architect",
)
# service of the stack -> which of the images above stands in for it
STAND_INS: Mapping[str, str] = {
    **dict.fromkeys(SPECIALISTS, "agent"),
    "crew-orchestrator": "orchestrator",
    "hypercode-core": "core",
}
MONITORING = tuple(MONITORS)
INFRASTRUCTURE = ("postgres", "redis", "prometheus", "grafana", "jaeger", "ollama")
VERSIONS = ("1.0.0", "1.1.0")
# Further versions of single images: (image, version) -> more lines of the Dockerfile.
SPECIAL: Mapping[tuple[str, str], tuple[str, ...]] = {
    # The real python-jose, which no release may contain unnoticed.
    ("core", "1.0.0-jose"): (with_packages("python3-jose"),),
}


def digest_of(*parts: object, folders: tuple[Path, ...] = ()) -> str:
    """Twelve hex digits that change when any of the parts or any file in the folders changes."""
    total = hashlib.sha256(repr(parts).encode())
    for folder in folders:
        for path in sorted(p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
            total.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()[:12]


def exists(image: str) -> bool:
    return bool(docker("images", "--quiet", image))


@contextlib.contextmanager
def missing(image: str) -> Iterator[bool]:
    """Whether an image has to be made. Nobody else makes it meanwhile: two scenarios may ask for it at once."""
    if exists(image):
        yield False
        return
    LOCKS.mkdir(exist_ok=True)
    with (LOCKS / hashlib.sha256(image.encode()).hexdigest()[:12]).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield not exists(image)


def bootstrap(
    image: str, suite: str, packages: list[str], *, excludes: tuple[str, ...] = (), python: bool = True
) -> None:
    """Make a Debian root with mmdebstrap and import it. The mirror is the machine's own."""
    with tempfile.TemporaryDirectory() as folder:
        tar = Path(folder) / "root.tar"
        hook = 'test -e "$1/usr/bin/python" || ln -s python3 "$1/usr/bin/python"'
        run(
            [
                "mmdebstrap",
                "--variant=minbase",
                f"--include={','.join(packages)}",
                *(f"--dpkgopt={option}" for option in DPKG_OPTIONS),
                *(f"--dpkgopt=path-exclude={pattern}" for pattern in excludes),
                *([f"--customize-hook={hook}"] if python else []),
                suite,
                tar,
            ]
        )
        docker("import", tar, image)


def build(image: str, base: str, lines: tuple[str, ...], *extra: str) -> None:
    """Build one image from the sources folder."""
    text = "\n".join((f"FROM {base}", *lines, *extra, ""))
    docker("build", "--quiet", "--force-rm", "--tag", image, "--file", "-", str(SOURCES), stdin=text)


HOST_LINES = (
    "COPY host/testbed-prepare /usr/local/sbin/testbed-prepare",
    "COPY host/testbed-prepare.service /etc/systemd/system/",
    "RUN systemctl enable testbed-prepare.service && systemctl mask systemd-modules-load.service"
    # The network is the outer engine's: nothing in here would ever report it as online.
    " systemd-networkd.service systemd-networkd-wait-online.service systemd-networkd.socket"
    " && rm -f /etc/ssh/ssh_host_* /etc/machine-id && useradd --create-home --shell /bin/bash debian"
    " && echo 'debian ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/debian",
    "STOPSIGNAL SIGRTMIN+3",
)
HOST_DOCKER_LINES = (
    "RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq"
    f" --no-install-recommends {' '.join(HOST_DOCKER_PACKAGES)} && apt-get clean",
)


def made(image: str, what: str, base: str, lines: tuple[str, ...]) -> str:
    """Build an image unless it is there; return its name."""
    with missing(image) as wanted:
        if wanted:
            with step(f"Building the image of {what} (once)"):
                build(image, base, lines)
    return image


def bare_name() -> str:
    return f"{PREFIX}/host-bare:{digest_of(HOST_PACKAGES, DPKG_OPTIONS, HOST_LINES, folders=(SOURCES / 'host',))}"


def host_name(kind: str) -> str:
    """The name of the image of a test host, which changes with all that goes into it."""
    return bare_name() if kind == "bare" else f"{PREFIX}/host-{kind}:{digest_of(bare_name(), HOST_DOCKER_LINES)}"


def host_image(kind: str) -> str:
    """Make the image of a test host: `bare` as a provider hands it out, `docker` with an engine installed."""
    base = bare_name()
    with missing(base) as wanted:
        if wanted:
            with step("Building the image of a bare Debian 13 host (once)"):
                root = f"{PREFIX}/host-root:{digest_of(HOST_PACKAGES, DPKG_OPTIONS)}"
                if not exists(root):
                    bootstrap(root, "trixie", HOST_PACKAGES)
                build(base, root, HOST_LINES)
    image = host_name(kind)
    made(image, "a host that has Docker", base, HOST_DOCKER_LINES)
    return image


PROBER_LINES = (with_packages("nmap", "iproute2"),)


def prober_image() -> str:
    """Make the image of a machine that knocks at hosts from outside: nmap, and Python for what nmap does not do."""
    base = app_base()
    return made(f"{PREFIX}/prober:{digest_of(base, PROBER_LINES)}", "the probers", base, PROBER_LINES)


# promtool too: it says which alerts the figures of a host's certificates raise.
AUTHORITY_LINES = (with_packages("pebble", "knot", "prometheus"),)


def authority_image() -> str:
    """Make the image of a certificate authority (Pebble) with a name server that takes changes (Knot)."""
    base = app_base()
    image = f"{PREFIX}/authority:{digest_of(base, AUTHORITY_LINES)}"
    return made(image, "the certificate authority", base, AUTHORITY_LINES)


def app_name() -> str:
    return f"{PREFIX}/app-root:{digest_of(APP_PACKAGES, DPKG_OPTIONS, APP_EXCLUDES)}"


EXAMINER_LINES = (
    "RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends testssl.sh && apt-get clean",
)


def examiner_image() -> str:
    """Make the image of a machine that grades what a site speaks (testssl.sh). Debian 12's has no grades yet."""
    base = host_image("bare")
    return made(f"{PREFIX}/examiner:{digest_of(base, EXAMINER_LINES)}", "the examiner", base, EXAMINER_LINES)


def app_base() -> str:
    image = app_name()
    with missing(image) as wanted:
        if wanted:
            with step("Building the root of the stack's images (once)"):
                bootstrap(image, "bookworm", APP_PACKAGES, excludes=APP_EXCLUDES)
    return image


def monitor_name() -> str:
    return f"{PREFIX}/monitor-root:{digest_of(MONITOR_PACKAGES, DPKG_OPTIONS, APP_EXCLUDES)}"


def monitor_base() -> str:
    """Make the root of the images that watch the others."""
    image = monitor_name()
    with missing(image) as wanted:
        if wanted:
            with step("Building the root of the images of Alertmanager and the exporters (once)"):
                bootstrap(image, "trixie", list(MONITOR_PACKAGES), excludes=APP_EXCLUDES, python=False)
    return image
