"""Names of images that are symbolic links: which file of the same tree each means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.host.kernel import inode

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST = 10
"""Links that are followed one after another; the kernel follows 40 (path_resolution(7))."""

Row = tuple[str, str, tuple[str, ...]]
"""As core.tree.Parts: a file, what the others are that it names, and those."""


def followed(rows: Sequence[Row], path: str) -> list[Row]:
    """The same rows, naming files where they named links ("current.qcow2").

    Relative to ``path``, and only as long as that leads to what lies below it:
    what is elsewhere is not looked at. Nothing is opened.
    """
    files: dict[str, str] = {}
    with inode.directory(path) as top:
        for name in {name for *_, others in rows for name in others}:
            files[name] = _file(name, path, top)
    found = ((i, w, dict.fromkeys(files[name] for name in others)) for i, w, others in rows)
    without = ((i, w, tuple(name for name in others if name != i)) for i, w, others in found)
    return [row for row in without if row[2]]


def _file(name: str, path: str, top: int) -> str:
    from reconciler.formats import imagefile  # noqa: PLC0415 - only where images name others

    for _ in range(_MOST):
        if name.startswith("/"):
            break
        try:
            name = imagefile.placed(inode.link_beneath(name, top), name, path)
        except OSError:  # no link, at last; or there is nothing of that name
            break
    return name
