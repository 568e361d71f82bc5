"""Units as systemd has them (systemctl(1)): mounts, timers, runs, and calendars."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from reconciler.errors import HostError
from reconciler.facts.boot_order import MountUnit
from reconciler.facts.host import OFF, ON, Elapse, ServiceRun, Units
from reconciler.formats import options, unit
from reconciler.linux import files, process

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from reconciler.facts.host_view import HostView


UNITS = "/etc/systemd/system"

_HIDING = (
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    UNITS,
    "/run/systemd/system",
)
"""Where a .mount file takes the place of the one generated from fstab."""

_BELOW_USR = ("/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
"""Where the one of fstab takes its place, and it has no effect (systemd.mount(5), FSTAB)."""

_ADDING = (*_HIDING, *_BELOW_USR)
"""Where a drop-in changes whichever unit there is, the earlier hiding the later of its name."""

_PROPERTIES = (
    "Id,UnitFileState,ActiveState,NeedDaemonReload,LastTriggerUSec,NextElapseUSecRealtime,"
    "Result,ExecMainStatus,ExecMainStartTimestamp,ExecMainStartTimestampMonotonic,"
    "ExecMainExitTimestampMonotonic,ConditionResult,ConditionTimestamp"
)
"""All that is asked of any unit: one that lacks a property is silent about it."""


def runs() -> bool:
    """sd_booted(3): systemd is the system manager."""
    return os.path.isdir("/run/systemd/system")


def properties(name: str, host: HostView) -> Mapping[str, str]:
    """What systemd says of a unit; asked for all at once where it is one of those expected."""
    if not runs():
        return {}
    expected = host.expected()
    # Where one name among many is none to systemd, it must not hide the others.
    together = host.maybe(Units(expected)) if name in expected else None
    return (together or host(Units((name,))))[name]


def units(names: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """``systemctl show``, once for all: an unknown unit is no error, but one of few properties.

    HostError where systemd takes one of the names for none.
    """
    blocks = [pairs(block) for block in shown(_PROPERTIES, names)]
    if len(names) == 1:
        return {names[0]: blocks[0]}  # Id is another where the name is an alias
    found = {block.get("Id", ""): block for block in blocks}
    if found.keys() != set(names):
        raise HostError("systemctl show did not answer for each unit that it was asked about")
    return found


def shown(properties: str, names: Sequence[str]) -> list[str]:
    """Return what ``systemctl show`` says, a block for each unit; HostError."""
    if not names:
        return []
    said = process.must("systemctl", "show", f"--property={properties}", "--", *names)
    return said.strip("\n").split("\n\n")


def pairs(block: str) -> dict[str, str]:
    """Return the properties in a block of ``shown``."""
    return dict(line.split("=", 1) for line in block.splitlines() if "=" in line)


def timer(name: str, found: Mapping[str, str]) -> str:
    """The value of a Timer place, by what systemd says where it runs."""
    if not runs():
        return "enabled" if os.path.lexists(f"{UNITS}/timers.target.wants/{name}") else OFF
    enabled, active = found.get("UnitFileState") == "enabled", found.get("ActiveState") == "active"
    return ON if enabled and active else "enabled" if enabled else "active" if active else OFF


def put_timer(name: str, want: str) -> None:
    """Enable and start, or stop and disable: enabling alone does not start a timer."""
    if want == ON:
        process.must("systemctl", "enable", "--now", "--", name)
        return
    service = f"{name.removesuffix('.timer')}.service"
    process.must("systemctl", "disable", "--now", "--", name)
    # The stamp of Persistent=; systemd before 252 has no such clean, and a stamp does no harm.
    process.run("systemctl", "clean", "--what=state", "--", name)
    # A run that failed would stay listed, as "not-found failed", when the files are gone; and one
    # that is under way might still fail: defragmenting may end at any moment, nothing is lost.
    process.run("systemctl", "stop", "--", service, timeout=120)
    process.run("systemctl", "reset-failed", "--", service)


def reload() -> None:
    """Have systemd read unit files and fstab again; where it does not run, nobody has to."""
    if runs():
        process.must("systemctl", "daemon-reload", timeout=300)


def shadowing_unit(target: str) -> str:
    """The .mount file that hides an fstab line, or the drop-in (.conf) that sets its options.

    "" when there is none. ``target`` has no symbolic link in it: systemd
    resolves those of fstab, and names the unit after where they lead.
    """
    name = unit.mount_unit(target)
    whole = next((f"{d}/{name}" for d in _HIDING if os.path.lexists(f"{d}/{name}")), "")
    return whole or next((file for file in _drop_ins(name) if "Options" in _settings(file)), "")


def _drop_ins(name: str) -> Collection[str]:
    """a-b.mount.d/*.conf, then a-.mount.d/*.conf and mount.d/*.conf (systemd.unit(5))."""
    stem = name.removesuffix(".mount")
    dashes = [at for at, letter in enumerate(stem) if letter == "-" and 0 < at < len(stem) - 1]
    also = [f"{stem[: at + 1]}.mount.d" for at in reversed(dashes)]
    found: dict[str, str] = {}
    for folder in (f"{name}.d", *also, "mount.d"):
        for above in _ADDING:
            # Sorted: which one is named must not depend on the order on disk.
            for file in files.listed(f"{above}/{folder}"):
                if file.endswith(".conf"):
                    found.setdefault(os.path.basename(file), file)
    return found.values()


def elapse(expressions: tuple[str, ...]) -> Elapse:
    """The earliest next run of several OnCalendar expressions, by systemd-analyze(1)."""
    if not process.find("systemd-analyze"):
        return Elapse("", "")
    done = process.run("systemd-analyze", "calendar", "--iterations=1", "--", *expressions)
    if done.returncode:
        return Elapse((done.stderr or done.stdout).strip().splitlines()[0], "")
    found = re.findall(r"Next elapse: (\w+) (\d+-\d\d-\d\d) (\d\d:\d\d)", done.stdout)
    if not found:
        return Elapse(f"{' / '.join(expressions)} never comes", "")
    day, date, time = min(found, key=lambda run: run[1:])
    return Elapse("", f"{day} {date} {time}")


_SKIPPED = frozenset({"skipped", "exec-condition"})


def last_run(name: str, timer: Mapping[str, str], service: Mapping[str, str]) -> ServiceRun:
    """Tell by the properties of both, which share a name."""
    started = _time(service.get("ExecMainStartTimestamp"))
    result = _result(service, started)
    last, stamp = started, f"/var/lib/systemd/timers/stamp-{name}.timer"
    if not last and result not in _SKIPPED and not _is_new(stamp):
        last = _time(timer.get("LastTriggerUSec"))
    begun = _number(service.get("ExecMainStartTimestampMonotonic"))
    ended = _number(service.get("ExecMainExitTimestampMonotonic"))
    over = result not in {"", "running", *_SKIPPED} and 0 < begun <= ended
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
    if service.get("Result") == "exec-condition":
        return "exec-condition"
    skipped = service.get("ConditionResult") == "no" and _time(service.get("ConditionTimestamp"))
    return "skipped" if skipped else service.get("Result", "") if started else ""


def _is_new(stamp: str) -> bool:
    """Whether the file is as it was made: the timer has not elapsed since.

    stat(1) knows when a file was made (statx(2), stx_btime), which Python does not tell.
    """
    try:
        done = process.run("stat", "-c", "%W %Y", stamp, timeout=10)
    except HostError:
        return False
    found = re.fullmatch(r"(\d+) (\d+)\n", done.stdout)
    return found is not None and int(found[1]) > 0 and int(found[2]) <= int(found[1]) + 1


def _time(shown: str | None) -> str:
    """To the minute: "Sun 2026-11-22 12:00"; "" where there is none."""
    found = re.search(r"\w+ \d+-\d\d-\d\d \d\d:\d\d", shown or "")
    return found[0] if found else ""


def _number(shown: str | None) -> int:
    return int(shown) if shown and shown.isdigit() else 0


def mount_units() -> tuple[MountUnit, ...]:
    """Return each unit once, the file that counts; and drop-ins that set other options."""
    listed = {folder: files.listed(folder) for folder in _ADDING}
    # Folders of links to the units that another one pulls in (systemd.unit(5)).
    pulling = (".wants", ".requires")
    wanting = [each for of in listed.values() for each in of if each.endswith(pulling)]
    found: dict[str, list[MountUnit]] = {}
    for folder, names in listed.items():
        for file in names:
            name = os.path.basename(file)
            if name.endswith(".mount") and name not in found:
                found[name] = list(_unit(file, name, wanting, hides=folder in _HIDING))
    for file in (file for names in listed.values() for file in names):
        name = os.path.basename(file).removesuffix(".d")
        if file.endswith(".mount.d") and name not in found:
            found[name] = list(_drop_in(name))
    return tuple(unit for units in found.values() for unit in units)


def _unit(file: str, name: str, wanting: list[str], *, hides: bool) -> Iterator[MountUnit]:
    """Yield what a unit says, if it may be of a Btrfs; one that is masked says nothing."""
    said = _settings(file)
    if said.get("Type", "") not in {"", "auto", "btrfs"}:
        return
    for each in _drop_ins(name):
        said.update(_settings(each))
    yield MountUnit(
        file,
        said.get("Where", "") or _target(name),
        said.get("What", ""),
        _options(said),
        is_wanted=any(os.path.lexists(f"{folder}/{name}") for folder in wanting),
        hides=hides,
    )


def _drop_in(name: str) -> Iterator[MountUnit]:
    """Yield the drop-in that sets Options= of a unit that is made of a line of /etc/fstab."""
    target = _target(name)
    file = shadowing_unit(target) if unit.mount_unit(target) == name else ""
    said = _settings(file) if file else {}
    if "Options" in said:
        yield MountUnit(file, target, "", _options(said), is_wanted=True, hides=True)


def _settings(file: str) -> dict[str, str]:
    setting = rb"(?m)^[ \t]*(What|Where|Type|Options)[ \t]*=[ \t]*(.*?)[ \t]*$"
    found = re.findall(setting, files.read(file) or b"")
    return {key.decode(): value.decode("utf-8", "surrogateescape") for key, value in found}


def _options(said: dict[str, str]) -> str:
    value = said.get("Options", "")
    return value if options.well_formed(value) else ""


def _target(name: str) -> str:
    """Return the mount point that the name of a unit stands for (systemd-escape(1))."""
    path = "/" + name.removesuffix(".mount").removeprefix("-").replace("-", "/")
    raw = re.sub(r"\\x([0-9a-f]{2})", lambda hit: chr(int(hit[1], 16)), path)
    return raw.encode("latin-1", "replace").decode("utf-8", "replace")
