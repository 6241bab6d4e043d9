# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Says in a plan what else a change means: what stays of a service that goes, what has a new name, what is down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .plan_changes import STARTS_FIRST
from .release_images import repository_of
from .release_networks import StaleNetwork
from .release_volumes import written_by


def explain(
    changes: Mapping[str, str],
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    project: str,
    stale: Sequence[StaleNetwork] = (),
) -> dict[str, str]:
    """Return the changes (by service) in full words; `before` and `after` are resolved projects.

    `stale` are the networks on this host that have to be made anew.
    """
    found = dict(changes)
    names = renamed(before, after, project)
    for old in (name for name, change in changes.items() if change == "remove"):
        found[old] = _removal(old, next((new for new in names if names[new] == old), ""), before, project)
    for new, old in names.items():
        found[new] = f"start: {_rename(old, new, before, after, project)}"
    for network in stale:
        text = f"the network {network.name} is made anew ({network.reason}), so it is down for a moment"
        for name in network.services:
            if name in before["services"]:
                found[name] = _with_network(found.get(name, ""), text)
    return dict(sorted(found.items()))


def renamed(before: Mapping[str, Any], after: Mapping[str, Any], project: str) -> dict[str, str]:
    """Return new name -> old name of services that look as if only their name changed: same image, same files."""
    gone = sorted(set(before["services"]) - set(after["services"]))
    found: dict[str, str] = {}
    for new in sorted(set(after["services"]) - set(before["services"])):
        like = [old for old in gone if _is_like(before, old, after, new, project)]
        if like:
            found[new] = like[0]
            gone.remove(like[0])
    return found


def _is_like(before: Mapping[str, Any], old: str, after: Mapping[str, Any], new: str, project: str) -> bool:
    one, other = before["services"][old], after["services"][new]
    if _repository(one) != _repository(other) or written_by(old, before, project) != written_by(new, after, project):
        return False
    # One image can be several services, such as an API and its worker: then the command tells them apart.
    return all(one.get(key) == other.get(key) for key in ("command", "entrypoint"))


def _repository(service: Mapping[str, Any]) -> str:
    return repository_of(str(service.get("image") or "").partition("@")[0])


def _rename(old: str, new: str, before: Mapping[str, Any], after: Mapping[str, Any], project: str) -> str:
    shared = sorted(written_by(old, before, project) & written_by(new, after, project))
    if shared:
        return (
            f"it looks like {old} under a new name, with the same image and {_listed(shared)}. {old} is stopped before "
            f"it starts, so it is down for a moment. Whoever calls it {old} has to use the new name"
        )
    return (
        f"it looks like {old} under a new name, with the same image. {old} runs until this release is up, then it is "
        f"removed. Whoever calls it {old} has to use the new name"
    )


def _removal(old: str, new: str, before: Mapping[str, Any], project: str) -> str:
    kept = sorted(source for source in written_by(old, before, project) if not source.startswith("/"))
    takes = f"{new} takes its place" if new else ""
    stays = f"{_listed(kept)} {'stay' if len(kept) > 1 else 'stays'}; no deploy removes a volume" if kept else ""
    why = "; ".join(text for text in (takes, stays) if text)
    return f"remove: {why}" if why else "remove"


def _listed(sources: Sequence[str]) -> str:
    kinds = ["folder" if source.startswith("/") else "volume" for source in sources]
    return " and ".join(f"the {kind} {source}" for kind, source in zip(kinds, sources, strict=True))


def _with_network(change: str, text: str) -> str:
    if change.startswith("replace"):
        return f"{change.removesuffix(STARTS_FIRST).rstrip()}; {text}"
    return f"replace: {text}"
