# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Short forms of ports and mounts, and the images' names: small grammars of their own."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

_PORT = re.compile(
    r"(?:(?:(?P<host>\[[0-9A-Fa-f:.%]+\]|[0-9.]+|[A-Za-z][\w.-]*):)?(?P<published>\d+(?:-\d+)?)?:)?"
    r"(?P<target>\d+(?:-\d+)?)(?:/(?P<protocol>tcp|udp|sctp))?"
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_REPOSITORY = re.compile(
    r"(?:(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::\d+)?/)?[a-z0-9]+(?:(?:[./_]|__|-+)[a-z0-9]+)*", re.ASCII
)
_ACCESS_MODES = {"ro", "rw"}


def parse_port(short: str | int) -> list[dict[str, Any]]:
    """Long forms of ``[[IP:]HOST:]CONTAINER[/PROTOCOL]``; a range gives one for each port. Raises ValueError."""
    match = _PORT.fullmatch(str(short).strip())
    if match is None or isinstance(short, bool):
        raise ValueError(f"{short!r} is no port; write HOST:CONTAINER, for example 8080:80")
    targets = _range(match["target"])
    published = _range(match["published"]) if match["published"] else []
    base: dict[str, Any] = {}
    if match["host"]:
        base["host_ip"] = match["host"].strip("[]")
    base["protocol"] = match["protocol"] or "tcp"
    if len(published) > 1 and len(targets) == 1:
        return [{**base, "target": targets[0], "published": match["published"]}]
    if published and len(published) != len(targets):
        raise ValueError(f"{short!r}: the two port ranges differ in length")
    ports = [{**base, "target": target} for target in targets]
    for port, number in zip(ports, published, strict=False):
        port["published"] = str(number)
    return ports


def _range(text: str) -> list[int]:
    first, *last = text.split("-")
    ports = range(int(first), int(last[0] if last else first) + 1)
    if not ports or ports[0] < 1 or ports[-1] > 65535:
        raise ValueError(f"{text} is no port between 1 and 65535")
    return list(ports)


def parse_volume(short: str) -> dict[str, Any]:
    """Long form of ``[SOURCE:]TARGET[:OPTIONS]``. Raises ValueError."""
    parts = short.split(":")
    if len(parts) > 3 or not all(parts):
        raise ValueError(f"{short!r} is no mount; write SOURCE:TARGET or SOURCE:TARGET:ro")
    if len(parts) == 1:
        return {"type": "volume", "target": _target(parts[0], short)}
    source, target = parts[0], _target(parts[1], short)
    bind = source.startswith(("/", ".", "~"))
    volume: dict[str, Any] = {"type": "bind" if bind else "volume", "source": source, "target": target}
    if bind:
        volume["bind"] = {"create_host_path": True}
    for option in parts[2].split(",") if len(parts) == 3 else []:
        _apply_option(volume, option, short)
    return volume


def _target(target: str, short: str) -> str:
    if not target.startswith("/"):
        raise ValueError(f"{short!r}: the place in the container must be an absolute path")
    return target


def _apply_option(volume: dict[str, Any], option: str, short: str) -> None:
    if option in _ACCESS_MODES:
        if option == "ro":
            volume["read_only"] = True
    elif option in ("z", "Z") and volume["type"] == "bind":
        volume["bind"]["selinux"] = option
    elif option.lstrip("r") in ("shared", "slave", "private") and volume["type"] == "bind":
        volume["bind"]["propagation"] = option
    elif option == "nocopy" and volume["type"] == "volume":
        volume["volume"] = {"nocopy": True}
    else:
        raise ValueError(f"{short!r}: the mount option {option!r} is not known here")


@dataclass(frozen=True)
class Image:
    """An image reference in its parts; ``tag`` and ``digest`` are empty where not given."""

    repository: str
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.repository}{tag}{digest}"

    @property
    def pinned(self) -> bool:
        """Whether the same reference means the same image tomorrow, as far as a name can say."""
        return bool(self.digest) or self.tag not in ("", "latest")

    def changed(self, tag: str = "", digest: str = "") -> Image:
        """With another tag (which drops a digest that came with the old one) and another digest."""
        image = replace(self, tag=tag, digest="") if tag else self
        return replace(image, digest=digest) if digest else image


def parse_image(reference: str) -> Image:
    """The parts of ``[REGISTRY/]NAME[:TAG][@DIGEST]``. Raises ValueError."""
    name, at, digest = reference.strip().partition("@")
    repository, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        repository, tag, colon = name, "", ""
    if not _REPOSITORY.fullmatch(repository):
        raise ValueError(f"{reference!r} is no image name (lower-case letters, digits, . _ - and / are allowed)")
    if colon and not _TAG.fullmatch(tag):
        raise ValueError(f"{reference!r} has no usable tag after the colon")
    if at and not _DIGEST.fullmatch(digest):
        raise ValueError(f"{reference!r} has no usable digest; it looks like sha256: and 64 hexadecimal digits")
    return Image(repository, tag, digest)
