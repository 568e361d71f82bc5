"""The names that a rewrite leaves beside an image when it is killed, and how to know them."""

from __future__ import annotations

_STRAY, _SECOND = ".vmtune", ".opened-meanwhile-"

_LONGEST = 200  # bytes, of 255 that a name may have

_TIME = 2**64 - 1


def stray(old: int, new: int, time: int) -> str:
    """The name that a finished copy has beside its image: their inode numbers, st_mtime_ns.

    Who opened the image just before the two changed places, and wrote after a
    kill, wrote to the stray: the time tells.
    """
    return f"{_STRAY}-{old}-{new}-{time & _TIME:x}"


def stray_parts(name: str) -> tuple[int, int, int] | None:
    """Both inode numbers and the time (as an unsigned number); None for any other name."""
    first, *numbers = name.split("-")
    if first != _STRAY or len(numbers) != 3:  # noqa: PLR2004
        return None
    try:
        found = int(numbers[0]), int(numbers[1]), int(numbers[2], 16)
    except ValueError:
        return None
    return found if stray(*found) == name else None


def second(name: str, new: int) -> str:
    """The name that a copy keeps which was written to, as the image was too: its inode number."""
    while len(name.encode("utf-8", "surrogateescape")) > _LONGEST:
        name = name[:-1]
    return f"{name}{_SECOND}{new}"


def is_second(name: str, number: int) -> bool:
    """Whether ``second`` names a file of that inode number so; a copy of it has another one."""
    return name.endswith(f"{_SECOND}{number}")


def is_stray(name: str) -> bool:
    """Whether a file name is one that only ``stray`` gives."""
    return name.startswith(_STRAY) and stray_parts(name) is not None
