"""The directory that a subvolume took the place of: what changed in it since, and its end."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reconciler.errors import HostError
from reconciler.linux import in_use, lease, subvolumes
from reconciler.resources.subvolume import inventory
from reconciler.resources.subvolume.inventory import beneath, joined

if TYPE_CHECKING:
    from reconciler.resources.subvolume.inventory import Entry, Survey


OPEN_OLD = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOATIME | os.O_CLOEXEC


def hold(old: Watched, shown: str) -> None:
    """A lease on every file in it, so that what is compared from now on stays so; HostError."""
    for folder, entries in old.found.folders.items():
        with beneath(folder, old.top) as fd:
            for name, entry in entries.items():
                if entry.format == stat.S_IFREG:
                    path = f"{shown}/{joined(folder, name)}"
                    _alone(fd, name, entry.number, old.leases, path)


def unchanged_since(old: Watched, target: int, made: int, shown: str) -> None:
    """HostError where anything was added or changed at or after ``made`` (nanoseconds).

    For a run that was killed after the exchange: what was written then is here,
    and not in ``target``. What an earlier run removed has changed what is left,
    and that loses nothing: directories that ``target`` has too, and files with
    other names, which carry a mark.
    """
    for path, entry in old.found.every():
        if entry.changed >= made and not _is_known(old, target, made, path, entry):
            raise HostError(
                f"{shown}/{path} was changed after its directory was copied: only the old one "
                "has it so",
                "move what you want to keep out of it by hand, then run this again",
            )
    if why := inventory.used(old.found, old.top):
        raise HostError(
            f"{shown} is still in use: {why}", "end that, or unmount it, then run this again"
        )


def _is_known(old: Watched, target: int, made: int, path: str, entry: Entry) -> bool:
    """Whether nothing is lost with it, although it was changed."""
    if entry.format not in {stat.S_IFDIR, stat.S_IFLNK}:
        return entry.number in old.leases and _is_going(old.leases[entry.number], made)
    folder, name = os.path.split(path)
    try:
        if entry.format == stat.S_IFDIR:
            with beneath(path, target):
                return True
        with beneath(folder, old.top) as one, beneath(folder, target) as other:
            return os.readlink(name, dir_fd=one) == os.readlink(name, dir_fd=other)
    except OSError:
        return False


def remove(old: Watched, made: int, shown: str) -> None:
    """Everything that was found, but nothing that was changed or made later; HostError names it.

    The leases are released with the last name of each file; one without gets
    one first. ``made`` is when the subvolume was, in nanoseconds. The top
    itself is left to the caller.
    """
    found, held = old.found, old.leases
    for folder in reversed(found.folders):
        with beneath(folder, old.top) as fd:
            if os.fstat(fd).st_ino != found.numbers[folder]:
                raise HostError(f"{shown}/{folder} was replaced while it was being removed")
            for name, entry in found.folders[folder].items():
                path = f"{shown}/{joined(folder, name)}"
                if entry.format == stat.S_IFDIR:
                    _rmdir(fd, name, path)
                    continue
                if entry.format == stat.S_IFREG:
                    _alone(fd, name, entry.number, held, path)
                if not _is_it(os.lstat(name, dir_fd=fd), entry, held, made):
                    raise _stays(path)
                _unlink(fd, name, held, made)
    if names := os.listdir(old.top):
        raise _stays(f"{shown}/{min(names)}")


def _stays(shown: str) -> HostError:
    return HostError(
        f"{shown} was put there or changed after its directory was copied, and stays",
        "move it to where it belongs, then run this again",
    )


def _rmdir(within: int, name: str, shown: str) -> None:
    try:
        os.rmdir(name, dir_fd=within)
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
        raise _stays(shown) from None


def _is_it(status: os.stat_result, entry: Entry, held: dict[int, int], made: int) -> bool:
    """The same inode, unchanged; each name removed changes the others of one with several."""
    if status.st_ino != entry.number:
        return False
    if status.st_ctime_ns == entry.changed:
        return True
    if entry.format == stat.S_IFREG:
        return _is_going(held[entry.number], made)
    return entry.links > 1  # where a symbolic link leads cannot be changed


def _alone(within: int, name: str, number: int, held: dict[int, int], shown: str) -> None:
    """Hold the lease, and ask it once more: whoever opened the file gets to keep it."""
    is_alone = lease.kept
    if number not in held:
        is_alone = lease.take
        try:
            held[number] = os.open(name, OPEN_OLD, dir_fd=within)
        except BlockingIOError:
            raise HostError(
                f"{shown}: somebody holds a lease on it (fcntl(2), F_SETLEASE)"
            ) from None
    if not is_alone(held[number]):
        who = in_use.users_named(os.fstat(held[number]))
        raise HostError(f"{shown} was opened by {who}", "end it, then run this again")


def _unlink(within: int, name: str, held: dict[int, int], made: int) -> None:
    status = os.lstat(name, dir_fd=within)
    fd = held.get(status.st_ino, -1)
    if status.st_nlink > 1 and fd >= 0 and not _is_going(fd, made):
        os.setxattr(fd, subvolumes.GOING, _state(status, made))
    os.unlink(name, dir_fd=within)
    if status.st_nlink == 1 and fd >= 0:
        os.close(held.pop(status.st_ino))


def _is_going(fd: int, made: int) -> bool:
    """Whether a name of it was removed before, in this same turn, and its data not changed since.

    The time of change of the inode, which cannot be set, moves with each name.
    Whether it lies on disk as its clone does would prove less: the clone is in
    use by now, and data that it shares no more is written in place.
    """
    return subvolumes.mark(fd, subvolumes.GOING).encode() == _state(os.fstat(fd), made)


def _state(status: os.stat_result, made: int) -> bytes:
    return b"%d %d %d" % (made, status.st_mtime_ns, status.st_size)


@dataclass
class Watched:
    """What was found below a directory, and write leases on its files by inode number."""

    top: int
    found: Survey
    leases: dict[int, int] = field(default_factory=dict)

    def used(self) -> str:
        """What was changed, opened or entered since, in words; "" where nothing was."""
        return self._changed() or self._opened() or inventory.used(self.found, self.top)

    def _changed(self) -> str:
        now = inventory.survey(self.top)
        if beyond := (*now.subvolumes, *now.unseen):
            return f"{beyond[0]} is new"
        before = self.found.folders
        for folder in {*before, *now.folders}:
            one, other = before.get(folder, {}), now.folders.get(folder, {})
            if one != other:
                names = (n for n in {*one, *other} if one.get(n) != other.get(n))
                return f"{joined(folder, min(names))} changed"
        return ""

    def _opened(self) -> str:
        number = next((n for n, fd in self.leases.items() if not lease.kept(fd)), 0)
        return next((f"{p} was opened" for p, e in self.found.every() if e.number == number), "")

    def release(self) -> None:
        """Whoever waits to open one of the files goes on."""
        while self.leases:
            os.close(self.leases.popitem()[1])
