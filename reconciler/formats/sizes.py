"""Numbers as people read them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def binary(size: int) -> str:
    """Bytes in IEC units: 61.0 GiB."""
    number, unit = float(size), "bytes"
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if number < 1024 or unit == "TiB":  # noqa: PLR2004
            break
        number /= 1024
    return f"{number:.0f} bytes" if unit == "bytes" else f"{number:.1f} {unit}"


def parsed(text: str) -> int:
    """Bytes of "128M", "1GiB" or "4096": binary units. Raises ValueError for anything else."""
    found = re.fullmatch(r"([0-9]{1,15})([KMG]?)(I?B)?", text.upper())
    if not found:
        raise ValueError(f"{text!r} is not a size: write a number with K, M or G, such as 128M")
    return int(found[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[found[2]]


def span(seconds: float) -> str:
    """How long something took: 4.2 s, 3 min 12 s."""
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.1f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def counted(number: int, one: str, more: str = "") -> str:
    """1 file, 2 files; thousands grouped: 48,211 fragments."""
    return f"{number:,} {one if number == 1 else more or one + 's'}"


def counted_each(counts: Iterable[tuple[int, str]]) -> str:
    """2 to change, 1 refused: what there is none of is left out."""
    return ", ".join(f"{number:,} {word}" for number, word in counts if number)
