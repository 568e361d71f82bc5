"""Numbers as people read them."""

from __future__ import annotations


def binary(size: int) -> str:
    """Bytes in IEC units: 61.0 GiB."""
    number, unit = float(size), "bytes"
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if number < 1024 or unit == "TiB":  # noqa: PLR2004
            break
        number /= 1024
    return f"{number:.0f} bytes" if unit == "bytes" else f"{number:.1f} {unit}"


def counted(number: int, one: str, more: str = "") -> str:
    """1 file, 2 files; thousands grouped: 48,211 extents."""
    return f"{number:,} {one if number == 1 else more or one + 's'}"
