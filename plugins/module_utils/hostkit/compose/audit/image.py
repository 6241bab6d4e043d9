# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules about images and how they are built."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from .rule import ERROR, WARNING, AuditRule, Example, Hit
from .view import View

_REMOTE = ("http://", "https://", "git@", "git://", "ssh://", "oci://", "docker-image://", "github.com/")


def _no_digest(view: View) -> Iterator[Hit]:
    for name in view.services:
        image = view.image(name)
        if image and image.pinned and not image.digest:
            message = f"{name}: the image {image} has a tag and no digest; a tag can be moved."
            yield Hit(name, message, f"services.{name}.image")


def _context(view: View) -> Iterator[Hit]:
    for name, service in view.services.items():
        build = service.get("build") or {}
        context = str(build.get("context") or ".")
        if not build or context.startswith(_REMOTE) or "$" in context or build.get("dockerfile_inline"):
            continue
        path = f"services.{name}.build"
        # An included or extended file counts from its own folder.
        file = view.project.locator.find(path)[0] or ""
        bases = dict.fromkeys((view.context.directory, posixpath.dirname(file)))
        folders = [posixpath.normpath(posixpath.join(base, context)) for base in bases]
        kinds = [view.context.kind_of(folder) for folder in folders]
        if all(kind == "missing" for kind in kinds):
            yield Hit(name, f"{name}: the build context {context} is not there.", path)
            continue
        dockerfile = str(build.get("dockerfile") or "Dockerfile")
        files = [posixpath.join(f, dockerfile) for f, kind in zip(folders, kinds, strict=True) if kind == "folder"]
        if files and all(view.context.kind_of(file) == "missing" for file in files):
            yield Hit(name, f"{name}: the build context {context} has no {dockerfile}.", path)


def _version(view: View) -> Iterator[Hit]:
    if view.project.version:
        yield Hit(None, "version: has no meaning any more, and Compose says so at each command.", "version")


RULES = (
    AuditRule(
        "image-no-digest",
        WARNING,
        "An image is named by its tag alone.",
        "A tag can be moved to another image: two hosts, or today and tomorrow, may then run different things.",
        "add @sha256:... behind the tag. A release records the digest at its first pull and keeps to it.",
        bad=Example('services: {web: {image: "web:1"}}'),
        good=Example(f'services: {{web: {{image: "web:1@sha256:{"0" * 64}"}}}}'),
        check=_no_digest,
        settled=True,
    ),
    AuditRule(
        "build-context-missing",
        ERROR,
        "The folder that an image is built from is not there, or has no Dockerfile.",
        "The build stops, at the latest on the server.",
        "correct the path; it counts from the project's folder.",
        bad=Example('services: {web: {image: "web:1", build: ./src}}', files={"other/": ""}),
        good=Example('services: {web: {image: "web:1", build: ./src}}', files={"src/Dockerfile": "FROM scratch"}),
        check=_context,
    ),
    AuditRule(
        "version-obsolete",
        WARNING,
        "The file has the key version.",
        "It has had no effect for years, and Compose warns of it at each command.",
        "remove the line.",
        bad=Example('version: "3.8"\nservices: {web: {image: "web:1"}}'),
        good=Example('services: {web: {image: "web:1"}}'),
        check=_version,
    ),
)
