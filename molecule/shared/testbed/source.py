"""A git repository from which the stack's own images can be built, served by the registry's container."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from . import registry
from .hosts import Bed
from .images import SOURCES, STAND_INS
from .shell import docker, run

# Where upstream keeps the build context of each image.
CONTEXTS = {
    "project-strategist": "agents/08-project-strategist",
    "frontend-specialist": "agents/01-frontend-specialist",
    "backend-specialist": "agents/02-backend-specialist",
    "database-architect": "agents/03-database-architect",
    "qa-engineer": "agents/04-qa-engineer",
    "devops-engineer": "agents/05-devops-engineer",
    "security-engineer": "agents/06-security-engineer",
    "system-architect": "agents/07-system-architect",
    "crew-orchestrator": "agents/crew-orchestrator",
    "hypercode-core": "backend",
}
DOCKERFILE = """\
ARG BASE
FROM ${{BASE}}
COPY . /app/
ENV APP_VERSION={version}
RUN ln -sf /app/celery /usr/local/bin/celery
CMD ["python3", "/app/{program}.py"]
"""
# Somebody's own stack beside the sources of its images, unlike the bundled one.
PROJECT = """\
services:
  cache:
    image: ${MIRROR}/redis:stand-in
    container_name: cache
    user: "999:999"
    command: [redis-server, --dir, /data, --protected-mode, "no"]
    volumes: ["cache-data:/data"]
    ports: ["6379:6379"]
    healthcheck: {test: [CMD-SHELL, "redis-cli ping | grep -q PONG"]}
  qa-engineer:
    image: ${STACK_REGISTRY}/qa-engineer:${STACK_VERSION}
    labels: {hypercode.class: agent}
    depends_on: {cache: {condition: service_healthy}}
    environment: {AGENT_NAME: qa, AGENT_ROLE: QA, AGENT_PORT: "8005", REDIS_URL: "redis://cache:6379/0"}
    healthcheck:
      test: [CMD, python, -c, "import urllib.request as u; u.urlopen('http://127.0.0.1:8005/health', timeout=8)"]
volumes: {cache-data: {}}
"""


def publish(bed: Bed, version: str) -> str:
    """Commit the stand-ins' sources under a version and serve them at git://…/hypercode.git; return the commit."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "hypercode"
        for name, context in CONTEXTS.items():
            shutil.copytree(SOURCES / "app", tree / context, ignore=shutil.ignore_patterns("__pycache__"))
            text = DOCKERFILE.format(program=STAND_INS[name], version=version)
            (tree / context / "Dockerfile").write_text(text, encoding="utf-8")
        (tree / "deploy").mkdir()
        (tree / "deploy" / "compose.yaml").write_text(PROJECT, encoding="utf-8")
        identity = ["-c", "user.name=test bed", "-c", "user.email=testbed@example.com", "-c", "commit.gpgsign=false"]
        run(["git", "init", "--quiet", "--initial-branch=main", tree])
        run(["git", "-C", tree, "add", "--all"])
        run(["git", "-C", tree, *identity, "commit", "--quiet", "--message", f"Version {version}"])
        bare = Path(folder) / "hypercode.git"
        run(["git", "clone", "--quiet", "--bare", tree, bare])
        container = registry.container(bed)
        docker("exec", container, "rm", "-rf", "/srv/git/hypercode.git")
        docker("cp", bare, f"{container}:/srv/git/hypercode.git")
        docker("exec", container, "chown", "-R", "root:root", "/srv/git/hypercode.git")
        return run(["git", "-C", tree, "rev-parse", "HEAD"]).stdout.strip()


def address(bed: Bed) -> str:
    return f"git://{bed.registry.partition(':')[0]}/hypercode.git"
