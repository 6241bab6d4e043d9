# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""scripts/secrets edit: a person changes the file in their editor."""

from __future__ import annotations

from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_command import rotation
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_command.session import Place
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store import files
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.document import Document
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import StoreError, refuse


def run(place: Place) -> list[str] | None:
    """Edit an encrypted copy, then take its place. The names that have a new value; None when nothing was changed.

    What a person wrote is kept even when it is no good: the check that follows says what is wrong. Raises StoreError.
    """
    old = place.sealed()
    before = place.store.open(old)
    with files.private_folder() as folder:
        copy = folder / place.store.path.name
        files.write(copy, old)
        place.store.edit(copy)
        new = files.read(copy)
    if new is None or not place.store.is_sealed(new):
        raise refuse("editor", f"The editor left no encrypted file. {place.file} is as it was.", place.command("edit"))
    if new == old:
        return None
    files.write(place.store.path, new)
    try:
        documents = [Document(text, place.file) for text in (before, place.store.open(new))]
    except StoreError:
        # It was unreadable before or is now: which names changed cannot be told. The check says why.
        return []
    names = rotation.differing(*documents)
    place.set_dates(names)
    return names
