"""SHA-256 in hexadecimal, without the OpenSSL that hashlib loads before anything else.

That load is a fifth of what Python itself takes to start. ``random`` of the standard library
goes round it in the same way.
"""

from __future__ import annotations

from functools import cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def sha256(data: bytes) -> str:
    """64 characters."""
    found: str = _maker()(data).hexdigest()
    return found


@cache
def _maker() -> Any:
    try:
        from _sha2 import sha256 as made  # type: ignore[import-not-found] # noqa: PLC0415 - 3.12
    except ImportError:
        try:
            from _sha256 import sha256 as made  # type: ignore[import-not-found] # noqa: PLC0415 - 3.11
        except ImportError:  # a Python that was built without
            from hashlib import sha256 as made  # noqa: PLC0415
    return made
