"""The names that a rewrite leaves beside an image when it is killed, and how to know them."""

from __future__ import annotations

_COPY, _SECOND = ".vmtune", ".opened-meanwhile-"


def copy_name(old: int, new: int, time: int) -> str:
    """The name that a finished copy has beside its image: their inode numbers, st_mtime_ns.

    Who opened the image just before the two changed places, and wrote after a
    kill, wrote to the stale copy: the time tells.
    """
    return f"{_COPY}-{old}-{new}-{time % 2**64:x}"


def copy_name_parts(name: str) -> tuple[int, int, int] | None:
    """Both inode numbers and the time (as an unsigned number); None for any other name."""
    first, *numbers = name.split("-")
    if first != _COPY or len(numbers) != 3:  # noqa: PLR2004
        return None
    try:
        found = int(numbers[0]), int(numbers[1]), int(numbers[2], 16)
    except ValueError:
        return None
    return found if copy_name(*found) == name else None


def second(name: str, new: int) -> str:
    """The name that a copy keeps which was written to, as the image was too: its inode number."""
    longest = 200  # bytes, of 255 that a name may have
    while len(name.encode("utf-8", "surrogateescape")) > longest:
        name = name[:-1]
    return f"{name}{_SECOND}{new}"


def is_second(name: str, number: int) -> bool:
    """Whether ``second`` names a file of that inode number so; a copy of it has another one."""
    return name.endswith(f"{_SECOND}{number}")


def is_stale_copy(name: str) -> bool:
    """Whether a file name is one that only ``copy_name`` gives."""
    return copy_name_parts(name) is not None
