r"""/proc/self/mountinfo: what is mounted where (proc_pid_mountinfo(5)), and overlays' layers.

Mounts form a tree, and one over another hides it with all that is mounted
below. Which mount a path is on follows from walking that tree as the kernel
does; the longest matching mount point can be a hidden one.

``lowerdir=a:b::data`` names several, and a backslash keeps a colon in a name; ``lowerdir+=`` and
``datadir+=`` (Linux 6.7) name one each, without escapes. The kernel shows each option as whoever
mounted it wrote it, with ",", " ", "\" and so on as three octal digits.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from reconciler.formats import options
from reconciler.formats.fstab import unescape
from reconciler.formats.paths import is_at_or_below
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from reconciler.formats.options import Option


class Mount(Value):
    """One mount. ``device`` is "major:minor" of the superblock, ``root`` the path within it.

    ``options`` are those of this mount, ``super_options`` those of the
    filesystem, shared by all its mounts: compress= is among the latter. Both
    lists are as the kernel writes them: see option().
    """

    mount_id: int
    parent_id: int
    device: str
    root: str
    target: str
    options: str
    fstype: str
    source: str
    super_options: str


def parse(data: bytes) -> tuple[Mount, ...]:
    """All mounts in the kernel's order. Raises ValueError, naming the line, for anything else."""
    return tuple(_mount(number, row) for number, row in enumerate(data.split(b"\n"), 1) if row)


def containing(mounts: Sequence[Mount], path: str) -> Mount | None:
    """The mount that an absolute, resolved path is on; None when that cannot be seen from here."""
    ids = {mount.mount_id for mount in mounts}
    # The parent of the root is not listed, nor, in a chroot, are others.
    tops = [m for m in mounts if m.parent_id not in ids or m.parent_id == m.mount_id]
    found = _first_on_the_way(tops, path)
    for _ in mounts:
        mounted = [m for m in mounts if found and m.parent_id == found.mount_id != m.mount_id]
        if (upper := _first_on_the_way(mounted, path)) is None:
            break
        found = upper
    return found


def at(mounts: Sequence[Mount], target: str) -> Mount | None:
    """The topmost mount at a mount point; None where nothing is mounted, or it is hidden."""
    mount = containing(mounts, target)
    return mount if mount and mount.target == target else None


def option(shown: str, names: Collection[str]) -> str | None:
    r"""The last option among ``names`` in a list of the kernel's; None when there is none.

    Quotes mean nothing there. What looks like ",compress=lzo" inside the name
    of a subvolume is \054compress=lzo (seq_show_option() in the kernel).
    """
    tokens = (token for token in reversed(shown.split(",")) if token.partition("=")[0] in names)
    return next((unescape(token.encode("utf-8", "surrogateescape")) for token in tokens), None)


def live(mount: Mount, of: Option) -> str:
    """A tuned option as the kernel shows it on a mount, "" where it shows none.

    These are never the words of fstab.
    """
    listed = mount.options if of.per_mount else mount.super_options
    return options.shown(option(listed, of.rivals))


def _first_on_the_way(mounts: Iterable[Mount], path: str) -> Mount | None:
    """Of mounts side by side, the one a walk down the path comes to first; the later of equals."""
    found = None
    for mount in mounts:
        is_outer = found is None or len(mount.target) <= len(found.target)
        if is_outer and is_at_or_below(path, mount.target):
            found = mount
    return found


def _mount(number: int, row: bytes) -> Mount:
    """36 35 98:0 /root /target rw,noatime master:1 - ext3 /dev/x rw: optional fields before "-"."""
    try:
        mine, filesystem = row.split(b" - ", 1)
        mount_id, parent_id, device, root, target, options = mine.split(b" ")[:6]
        # The source may be empty, and then two blanks stand side by side.
        fstype, source, super_options = filesystem.split(b" ", 2)
        return Mount(
            int(mount_id),
            int(parent_id),
            device=unescape(device),
            root=unescape(root),
            target=unescape(target),
            options=_decoded(options),
            fstype=unescape(fstype),
            source=unescape(source),
            super_options=_decoded(super_options),
        )
    except ValueError:
        raise ValueError(f"line {number} of mountinfo is not understood: {row!r}") from None


def _decoded(shown: bytes) -> str:
    return shown.decode("utf-8", "surrogateescape")


def subvolume(mount: Mount) -> str:
    """Return the path of the mounted subvolume, from the top of its filesystem.

    The kernel shows it as subvol= among the options of the filesystem. The root field of mountinfo
    is another thing: a directory of that subvolume, where an ostree deployment, X-mount.subdir= or
    a bind mount shows a part of it.
    """
    shown = option(mount.super_options, {"subvol"})
    return shown.partition("=")[2] if shown else mount.root


def overlay_layers(super_options: str) -> tuple[tuple[str, ...], ...]:
    r"""Each layer with the ways to read its name, of which one is right: ("/a\\b", "/ab").

    upperdir and workdir lose their backslashes where they came by mount(2), not by a descriptor.
    """
    found: list[tuple[str, ...]] = []
    for option in super_options.split(","):
        name, _, shown = option.partition("=")
        value = unescape(shown.encode("utf-8", "surrogateescape"))
        if name == "lowerdir":
            found += [(layer,) for layer in _lower(value)]
        elif name in {"lowerdir+", "datadir+"}:
            found.append((value,))
        elif name in {"upperdir", "workdir"}:
            found.append(_ways(value))
    return tuple(dict.fromkeys(ways for ways in found if ways[0]))


def overlay_upper(super_options: str) -> tuple[str, ...]:
    """The ways to read the name of the upper layer, of which one is right; () for none."""
    value = (option(super_options, {"upperdir"}) or "").partition("=")[2]
    return _ways(value) if value else ()


def _ways(value: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((value, _plain(value))))


def _lower(value: str) -> list[str]:
    """The parts between colons; "::" only begins the layers that hold data alone."""
    return [_plain(part) for part in re.findall(r"(?:\\.?|[^\\:])+", value, re.DOTALL)]


def _plain(value: str) -> str:
    """The name without its escapes."""
    return re.sub(r"\\(.?)", r"\1", value, flags=re.DOTALL)
