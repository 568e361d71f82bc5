"""The time of day."""

from __future__ import annotations

from datetime import datetime


def now() -> str:
    """ISO 8601 to the second, with the local zone."""
    return datetime.now().astimezone().isoformat(timespec="seconds")
