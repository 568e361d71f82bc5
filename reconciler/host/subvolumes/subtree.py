"""Everything below a directory, by name and inode: what is held against it later to see a change.

Names are read through descriptors, and no file is opened: a lease on it would break.
"""

from __future__ import annotations

import os
import stat

from reconciler.core.subvolume import MOST_ENTRIES, Contents
from reconciler.formats import mountinfo
from reconciler.host.kernel import holders, inode, subvolume
from reconciler.host.system import filesystems
from reconciler.value import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

_STUB = 2  # BTRFS_EMPTY_SUBVOL_DIR_OBJECTID: what a snapshot shows of a nested subvolume


@dataclass(frozen=True, slots=True)
class Entry:
    """What tells a name's inode from any other, and one state of it from the next."""

    number: int
    format: int
    """stat.S_IFMT of its mode."""
    links: int
    size: int
    changed: int
    """st_ctime_ns: no program can set it back."""


@dataclass(slots=True)
class Survey:
    """All entries by folder and name, folders before those in them; "" is the top itself."""

    device: int
    folders: dict[str, dict[str, Entry]] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    """The inode number of each folder."""
    count: int = 0
    subvolumes: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)

    def every(self) -> Iterator[tuple[str, Entry]]:
        """Each entry with its path below the top."""
        for folder, entries in self.folders.items():
            for name, entry in entries.items():
                yield joined(folder, name), entry

    def outside(self) -> list[str]:
        """Files that have more names than were found here."""
        several = [(path, e) for path, e in self.every() if _is_file(e) and e.links > 1]
        found: dict[int, int] = {}
        for _, entry in several:
            found[entry.number] = found.get(entry.number, 0) + 1
        return [path for path, entry in several if found[entry.number] != entry.links]

    def special(self) -> list[str]:
        """What is neither a directory, a file nor a symbolic link."""
        known = {stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK}
        return [path for path, entry in self.every() if entry.format not in known]

    @property
    def files(self) -> int:
        """How many regular files, each name of one with several counted."""
        return sum(_is_file(entry) for _, entry in self.every())

    @property
    def size(self) -> int:
        """Bytes of all files, holes included."""
        return sum(entry.size for _, entry in self.every() if _is_file(entry))


def _is_file(entry: Entry) -> bool:
    return entry.format == stat.S_IFREG


def joined(folder: str, name: str) -> str:
    """A path below the top."""
    return f"{folder}/{name}" if folder else name


def survey(top: int) -> Survey:
    """Look at a whole directory, or at MOST_ENTRIES and one more; its subvolume alone."""
    status = os.fstat(top)
    found = Survey(status.st_dev, numbers={"": status.st_ino})
    pending = [""]
    while pending and found.count <= MOST_ENTRIES:
        folder = pending.pop()
        try:
            with beneath(folder, top) as fd:
                if os.fstat(fd).st_ino == found.numbers[folder]:
                    pending += reversed(_look(fd, folder, found))
        except PermissionError:
            found.unseen.append(folder or ".")
        except (FileNotFoundError, NotADirectoryError):
            pass  # gone meanwhile: so is its name from the folder above, next time
    return found


def beneath(folder: str, top: int) -> AbstractContextManager[int]:
    """A folder below the top, without touching when it was last read."""
    extra = os.O_NOATIME if os.geteuid() == 0 else 0
    return inode.beneath(folder or ".", top, os.O_DIRECTORY | extra)


def _look(fd: int, folder: str, found: Survey) -> list[str]:
    """Note the entries of a folder; the folders among them are yet to be looked at."""
    entries = found.folders.setdefault(folder, {})
    inner = []
    for name in sorted(os.listdir(fd)):
        try:
            status = os.lstat(name, dir_fd=fd)
        except FileNotFoundError:
            continue
        path = joined(folder, name)
        found.count += 1
        if status.st_dev != found.device or status.st_ino == _STUB:
            found.subvolumes.append(path)
            continue
        entries[name] = _entry(status)
        if stat.S_ISDIR(status.st_mode):
            found.numbers[path] = status.st_ino
            inner.append(path)
        if found.count > MOST_ENTRIES:
            break
    return inner


def _entry(status: os.stat_result) -> Entry:
    return Entry(
        status.st_ino,
        stat.S_IFMT(status.st_mode),
        status.st_nlink,
        status.st_size,
        status.st_ctime_ns,
    )


def contents(path: str, mounts: Sequence[mountinfo.Mount]) -> Contents:
    """The facts that decide whether the directory can become a subvolume; none where it is not."""
    try:
        with inode.directory(path) as top:
            found = survey(top)
    except FileNotFoundError:
        return Contents()
    return Contents(
        found.count,
        tuple(found.subvolumes),
        tuple(m.target.removeprefix(f"{path}/") for m in mounts if m.target.startswith(f"{path}/")),
        shown(path, mounts, mountinfo.containing(mounts, path)),
        tuple(found.outside()),
        tuple(found.special()),
        tuple(found.unseen),
        users(found),
        _left(path, found.numbers[""]),
        any(mount.target == path for mount in mounts),
    )


def _left(path: str, number: int) -> str:
    if os.geteuid():
        return ""
    parent, name = os.path.split(path)
    with inode.directory(parent) as within:
        found = subvolume.left(within, name, number)
    return os.path.join(parent, found) if found else ""


def users(found: Survey) -> tuple[str, ...]:
    """Programs whose working directory it is, or that hold a directory of it open."""
    return holders.standing_in({(found.device, number) for number in found.numbers.values()})


def shown(
    path: str, mounts: Sequence[mountinfo.Mount], on: mountinfo.Mount | None
) -> tuple[str, ...]:
    """Mount points that show the directory, or what lies in it, a second time (bind mounts)."""
    if on is None:
        return ()
    inside = f"{on.root.rstrip('/')}{path.removeprefix(on.target.rstrip('/'))}"
    return tuple(
        mount.target
        for mount in mounts
        if mount.device == on.device and f"{mount.root}/".startswith(f"{inside}/")
    )


def shown_anywhere(path: str) -> tuple[str, ...]:
    """The same in every mount namespace, and mounts in it; for root, who sees them all."""
    own = filesystems.mounts()
    on = mountinfo.containing(own, path)
    found = {m.target: None for m in own if f"{m.target}/".startswith(f"{path}/")}
    seen: set[int] = set()
    for pid in (name for name in os.listdir("/proc") if name.isdecimal()):
        try:
            namespace = os.stat(f"/proc/{pid}/ns/mnt").st_ino
            if namespace in seen:
                continue
            seen.add(namespace)
            with open(f"/proc/{pid}/mountinfo", "rb") as file:
                there = mountinfo.parse(file.read())
        except (OSError, ValueError):  # ended, or a kernel thread
            continue
        found.update(dict.fromkeys(f"{target} (pid {pid})" for target in shown(path, there, on)))
    return tuple(found)
