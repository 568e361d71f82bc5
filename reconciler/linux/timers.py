"""Timers that systemd will run, and what their services start: systemd.timer(5)."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from reconciler.errors import HostError
from reconciler.linux import managed_files, process, systemd
from reconciler.value import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


_OF_TIMER = "Id,Unit,ActiveState,UnitFileState,FragmentPath,SourcePath,TimersCalendar"

_STARTS = ("ExecStartPre", "ExecStart", "ExecStartPost")

_MANAGER = "org.freedesktop.systemd1"


@dataclass(frozen=True, slots=True)
class ForeignTimer:
    """A timer that vmtune did not make. ``commands`` are what its service starts, as arguments.

    ``schedule`` is its first OnCalendar expression; "" where it counts from a boot or a start.
    """

    name: str
    schedule: str
    commands: tuple[tuple[str, ...], ...]


def foreign(may_defragment: Callable[[str], bool]) -> Iterator[ForeignTimer]:
    """Yield each timer that is enabled or started, where its service may defragment something.

    ``may_defragment`` is asked about what systemctl shows of the service's commands. Timers that
    a generator made out of a crontab (systemd-cron) are left out: the crontab is read as such.
    """
    if not systemd.runs():
        return
    own = managed_files.own()
    found = [timer for timer in _timers() if _is_on(timer, own)]
    services = {of["Unit"]: of for of in found if of.get("Unit", "").endswith(".service")}
    for block in _shown("Id," + ",".join(_STARTS), list(services)):
        name = _value(block, "Id")
        if name in services and may_defragment(block):
            timer = services[name]
            schedule = re.search(r"OnCalendar=(.*?) ;", timer.get("TimersCalendar", ""))
            words = schedule[1] if schedule else ""
            yield ForeignTimer(timer["Id"], words, tuple(_commands(name, block)))


def _timers() -> Iterator[dict[str, str]]:
    """Yield the properties of each timer that is loaded, and of each that is enabled for a boot."""
    listed = process.must(
        "systemctl", "list-unit-files", "--type=timer", "--state=enabled,enabled-runtime",
        "--no-legend", "--plain",
    )  # fmt: skip
    names = [line.split()[0] for line in listed.splitlines() if line.split()]
    enabled = [name for name in names if "@." not in name]  # a template is no timer
    seen = set()
    for block in _shown(_OF_TIMER, ["*.timer", *enabled]):
        timer = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if timer.get("Id") and timer["Id"] not in seen:
            seen.add(timer["Id"])
            yield timer


def _is_on(timer: dict[str, str], own: Sequence[str]) -> bool:
    if timer.get("SourcePath") or timer.get("FragmentPath", "") in own:
        return False
    return timer.get("ActiveState") == "active" or timer.get("UnitFileState", "").startswith(
        "enabled"
    )


def _shown(properties: str, names: Sequence[str]) -> list[str]:
    """Return what systemctl shows, a block for each unit."""
    if not names:
        return []
    shown = process.must("systemctl", "show", f"--property={properties}", "--", *names)
    return shown.strip("\n").split("\n\n")


def _value(block: str, name: str) -> str:
    found = re.search(rf"^{name}=(.*)$", block, re.MULTILINE)
    return found[1] if found else ""


def _commands(service: str, shown: str) -> Iterator[tuple[str, ...]]:
    """Yield the arguments of each program that a service starts.

    systemctl(1) joins them by blanks, whatever is in them; busctl(1) tells them one by one. Where
    busctl is missing, ``shown``, what systemctl said, is split at its blanks.
    """
    escaped = re.sub("[^A-Za-z0-9]", lambda match: f"_{ord(match[0]):02x}", service)
    unit = f"/org/freedesktop/systemd1/unit/{escaped}"
    try:
        for name in _STARTS:
            answer = process.must(
                "busctl",
                "--json=short",
                "get-property",
                _MANAGER,
                unit,
                f"{_MANAGER}.Service",
                name,
            )
            data: Any = json.loads(answer)["data"]
            yield from ((program, *arguments[1:]) for program, arguments, *_ in data)
    except HostError:
        for joined in re.findall(r"argv\[\]=(.*?) ; ignore_errors", shown):
            yield tuple(joined.split())
