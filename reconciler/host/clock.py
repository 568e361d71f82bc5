"""The time of day."""

from __future__ import annotations


def now() -> str:
    """ISO 8601 to the second, with the local zone."""
    from datetime import datetime  # noqa: PLC0415 - few answers are dated

    return datetime.now().astimezone().isoformat(timespec="seconds")
