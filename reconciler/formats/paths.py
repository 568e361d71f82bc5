"""Absolute paths by their names alone: what lies in what. Nothing is resolved."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def is_at_or_below(path: str, top: str) -> bool:
    """Tell whether an absolute path is ``top`` or lies below it, by the names alone."""
    return f"{path}/".startswith(f"{top.rstrip('/')}/")


def is_below(path: str, top: str) -> bool:
    """Tell whether an absolute path lies below ``top`` and is another one, by the names alone."""
    return path != top and is_at_or_below(path, top)


def parent(path: str) -> str:
    """Return the directory that an absolute path lies in, by the names alone."""
    return path.rpartition("/")[0] or "/"


def at_and_above(path: str) -> Iterator[str]:
    """Yield an absolute path and each directory above it; nothing for ""."""
    while path:
        yield path
        path = "" if path == "/" else parent(path)
