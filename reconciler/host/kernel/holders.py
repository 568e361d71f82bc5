"""Who has a file open: only to name them. Whether anyone has is for a lease to say.

/proc/PID/fd shows processes (proc(5)), map_files what is mapped and closed, sysfs the files
behind loop devices, /proc/locks the locks of a QEMU in another process namespace.
"""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

Inode = tuple[int, int]
"""st_dev and st_ino, as stat(2) gives them: a subvolume has a device number of its own."""


def holders(of: str | os.stat_result) -> tuple[str, ...]:
    """Who has a file open besides this process: "qemu-system-x86 (pid 123)", "/dev/loop3".

    Sorted; empty where nobody can be named. Others' processes are seen by root
    alone. OSError as stat(2) for a path.
    """
    inode = inode_of(os.stat(of, follow_symlinks=False) if isinstance(of, str) else of)
    return holders_of({inode}).get(inode, ())


def inode_of(status: os.stat_result) -> Inode:
    """What tells one file from all others, while it is there."""
    return status.st_dev, status.st_ino


def holders_of(inodes: Collection[Inode]) -> Mapping[Inode, tuple[str, ...]]:
    """The same for many files, looking at every process once; files of nobody are left out."""
    found: dict[Inode, set[str]] = defaultdict(set)
    for inode, who in (*_processes(inodes), *_loops(), *_swaps()):
        if inode in inodes:
            found[inode].add(who)
    for number in _locked({number for _, number in inodes}):
        for inode in inodes:
            if inode[1] == number and inode not in found:
                found[inode].add("a process that is not seen from here, locking it as QEMU does")
    return {inode: tuple(sorted(who)) for inode, who in found.items()}


def standing_in(directories: Collection[Inode]) -> tuple[str, ...]:
    """Processes that have one of some directories open, or as working directory or root."""
    return tuple(sorted({who for _, who in _processes(directories)}))


def _processes(inodes: Collection[Inode]) -> Iterator[tuple[Inode, str]]:
    own, numbers = str(os.getpid()), frozenset(str(number) for _, number in inodes)
    for pid in os.listdir("/proc"):
        if pid.isdecimal() and pid != own:
            stands = (f"/proc/{pid}/cwd", f"/proc/{pid}/root")
            for path in (*stands, *_listed(f"/proc/{pid}/fd"), *_mapped(pid, numbers)):
                with suppress(OSError):  # closed, or ended, since it was listed
                    inode = inode_of(os.stat(path))  # opens nothing, and breaks no lease
                    if inode in inodes:
                        yield inode, f"{_program(pid)} (pid {pid})"


def _listed(folder: str) -> list[str]:
    try:
        return [f"{folder}/{name}" for name in os.listdir(folder)]
    except OSError:  # another user's, or ended
        return []


def _mapped(pid: str, numbers: Collection[str]) -> list[str]:
    """Files that are mapped, if maybe one of these: maps has other device numbers on Btrfs."""
    try:
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:
            mapped = {line.split(maxsplit=5)[4] for line in file}
    except OSError:
        return []
    if mapped.isdisjoint(numbers):
        return []
    return _listed(f"/proc/{pid}/map_files")


def _program(pid: str) -> str:
    with suppress(OSError), open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
        return file.read().strip()
    return "a program"


def _loops() -> Iterator[tuple[Inode, str]]:
    for name in os.listdir("/sys/block") if os.path.isdir("/sys/block") else ():
        if name.startswith("loop"):
            # Not attached, or a file that has no name in this mount namespace.
            with suppress(OSError):
                path = _line(f"/sys/block/{name}/loop/backing_file")
                yield inode_of(os.stat(path)), f"/dev/{name}"


def _swaps() -> Iterator[tuple[Inode, str]]:
    with suppress(OSError), open("/proc/swaps", encoding="utf-8", errors="replace") as file:
        for line in file:
            if " file" in line:
                name = line.split()[0].encode().decode("unicode_escape")
                with suppress(OSError):
                    yield inode_of(os.stat(name)), "the kernel, swapping to it"


def _line(path: str) -> str:
    with open(path, "rb") as file:
        return os.fsdecode(file.read().removesuffix(b"\n"))


def _locked(numbers: Collection[int]) -> set[int]:
    """Inode numbers with open file description locks (fcntl(2)), among these."""
    with suppress(OSError), open("/proc/locks", encoding="ascii", errors="replace") as file:
        rows = [line.split() for line in file]
        places = (row[-3].rpartition(":") for row in rows if "OFDLCK" in row)
        here = _superblocks()
        return {int(number) for device, _, number in places if device in here} & set(numbers)
    return set()


def _superblocks() -> set[str]:
    """The mounted filesystems' device numbers, as /proc/locks writes them: "00:2d".

    A Btrfs has another one there, and in mountinfo, than its files have for stat(2).
    """
    with open("/proc/self/mountinfo", "rb") as file:
        numbers = (line.split(maxsplit=3)[2].split(b":") for line in file)
        return {f"{int(major):02x}:{int(minor):02x}" for major, minor in numbers}
