"""When a timer's service ran last and how that ended, as systemd has it (org.freedesktop.systemd1).

The stamp of a persistent timer outlives a reboot, what became of the service does not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from reconciler.core.layout import ServiceRun

if TYPE_CHECKING:
    from collections.abc import Mapping

_TIME = re.compile(r"(\w+ \d+-\d\d-\d\d \d\d:\d\d)")


def of(timer: Mapping[str, str], service: Mapping[str, str]) -> ServiceRun:
    """By the properties of both."""
    started = _time(service.get("ExecMainStartTimestamp"))
    last = started or _time(timer.get("LastTriggerUSec"))
    result = _result(service, started)
    begun = _number(service.get("ExecMainStartTimestampMonotonic"))
    ended = _number(service.get("ExecMainExitTimestampMonotonic"))
    over = result not in {"", "running", "skipped"} and 0 < begun <= ended
    return ServiceRun(
        last,
        result,
        _number(service.get("ExecMainStatus")),
        (ended - begun) / 1e6 if over else None,
        _time(timer.get("NextElapseUSecRealtime")),
    )


def _result(service: Mapping[str, str], started: str) -> str:
    if service.get("ActiveState") in {"activating", "active"}:
        return "running"
    skipped = service.get("ConditionResult") == "no" and _time(service.get("ConditionTimestamp"))
    return "skipped" if skipped else service.get("Result", "") if started else ""


def _time(shown: str | None) -> str:
    """To the minute: "Sun 2026-11-22 12:00"; "" where there is none."""
    found = _TIME.search(shown or "")
    return found[1] if found else ""


def _number(shown: str | None) -> int:
    return int(shown) if shown and shown.isdigit() else 0
