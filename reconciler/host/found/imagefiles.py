"""Looking for image files by their names, no deeper and no longer than is worth it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from reconciler.core.discovery import ImageFolder, ImageFolders, Machine
from reconciler.formats import quickemu
from reconciler.host import files

if TYPE_CHECKING:
    from collections.abc import Iterator

_SUFFIXES = (".qcow2", ".qcow", ".qed", ".raw", ".img", ".vmdk", ".vdi", ".vhd", ".vhdx")
_MOST_ENTRIES = 50_000
_MOST_FOLDERS = 50
_LARGEST_CONF = 1 << 16
_MOST_CONFS = 1000


def below(path: str, depth: int, mounted: frozenset[str]) -> ImageFolders:
    """Not through symbolic links, nor into other mounts; subvolumes it does enter."""
    found: dict[str, ImageFolder] = {}
    pending, entries, whole = [(path, 0)], 0, True
    while pending:
        folder, level = pending.pop()
        try:
            listed = list(os.scandir(folder))
        except FileNotFoundError:
            continue
        except OSError:
            whole = False
            continue
        entries += len(listed)
        if images := [e for e in listed if _is_image(e)]:
            found[folder] = ImageFolder(folder, len(images), sum(map(_size, images)))
        inner = [e.path for e in listed if e.is_dir(follow_symlinks=False)]
        inner = [each for each in inner if each not in mounted]
        if inner and (level >= depth or entries > _MOST_ENTRIES or len(found) > _MOST_FOLDERS):
            whole = False
        else:
            pending.extend((each, level + 1) for each in inner)
    return ImageFolders(tuple(found[folder] for folder in sorted(found)), whole)


def _is_image(entry: os.DirEntry[str]) -> bool:
    return entry.name.lower().endswith(_SUFFIXES) and entry.is_file(follow_symlinks=False)


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except OSError:  # gone by now
        return 0


def machines(folder: str) -> tuple[Machine, ...]:
    """Quickemu's configurations in a folder that name an image."""
    return tuple(_machines(folder))


def _machines(folder: str) -> Iterator[Machine]:
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".conf"))
    except OSError:
        return
    for name in names[:_MOST_CONFS]:
        path = f"{folder}/{name}"
        try:
            disk = quickemu.disk(files.start_of(path, _LARGEST_CONF), folder)
        except OSError:
            continue
        if disk:
            yield Machine(path, disk)
