"""The texts of a regular defragmentation: a crontab, or a service and its timer.

``-t 32M`` is the target extent size, ``-f`` writes each file out before the
next, which bounds dirty data. No ``-c``: it would compress what it rewrites.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from reconciler.formats import crontab, unit

if TYPE_CHECKING:
    from reconciler.formats.calendar import Schedule


_FOR = "defragments"

_PREFIX = "vmtune-defrag-"

_LONGEST = 60
"""Characters of a path in a name: cron and systemd limit names to 255 bytes."""


def stem(path: str) -> str:
    """The base name of a path's files, readable and unique.

    cron.d takes letters, digits, hyphens and underscores only; the digest
    tells ``/a-b`` from ``/a/b``.
    """
    raw = path.encode("utf-8", "surrogateescape")
    readable = re.sub(r"[^A-Za-z0-9]+", "-", path).strip("-")[-_LONGEST:].strip("-") or "root"
    return f"{_PREFIX}{readable}-{hashlib.sha256(raw).hexdigest()[:8]}"


def stem_of(file: str) -> str:
    """The base name of a file that was made for a schedule; "" for other files."""
    name = file.rpartition("/")[2].partition(".")[0]
    return name if name.startswith(_PREFIX) else ""


def path_of(text: str) -> str:
    """The path that a made file says it is for, in its second line; "" when it does not."""
    second = "".join(text.split("\n")[1:2])
    _, found, path = second.partition(f"# {_FOR} ")
    return path if found else ""


def _command(path: str, btrfs: str) -> list[str]:
    return [btrfs, "filesystem", "defragment", "-r", "-f", "-t", "32M", path]


def cron(schedule: Schedule, path: str, btrfs: str) -> str:
    """A file for /etc/cron.d."""
    idle = ["/usr/bin/nice", "-n", "19", "/usr/bin/ionice", "-c", "3"]
    data = crontab.file(f"{_FOR} {path}", [schedule.cron], "root", [*idle, *_command(path, btrfs)])
    return data.decode("utf-8", "surrogateescape")


def _about(path: str) -> str:
    """For people: a blank or a backslash at the end of a line would be read as none."""
    return f"Defragment {unit.literal(path)}".rstrip(" \\")


def service(path: str, btrfs: str) -> str:
    """The unit that does it once: on idle time only, with no right it does not need."""
    return unit.render(
        [f"{_FOR} {path}"],
        [
            (
                "Unit",
                [
                    ("Description", _about(path)),
                    ("Documentation", "man:btrfs-filesystem(8)"),
                    ("RequiresMountsFor", unit.path(path)),
                    ("ConditionACPower", "true"),
                ],
            ),
            (
                "Service",
                [
                    ("Type", "oneshot"),
                    ("ExecStart", unit.command(_command(path, btrfs))),
                    ("Nice", "19"),
                    ("IOSchedulingClass", "idle"),
                    ("CPUSchedulingPolicy", "idle"),
                    *_HARDENED,
                ],
            ),
        ],
    )


_HARDENED = (
    # It opens files of every owner, and writes extents, not names.
    ("CapabilityBoundingSet", "CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_SYS_ADMIN"),
    ("NoNewPrivileges", "true"),
    ("PrivateNetwork", "true"),
    ("ProtectKernelModules", "true"),
    ("ProtectKernelTunables", "true"),
    ("ProtectControlGroups", "true"),
    ("ProtectClock", "true"),
    ("ProtectHostname", "true"),
    ("RestrictAddressFamilies", "AF_UNIX"),
    ("RestrictNamespaces", "true"),
    ("RestrictRealtime", "true"),
    ("LockPersonality", "true"),
    ("MemoryDenyWriteExecute", "true"),
    ("SystemCallArchitectures", "native"),
)


def timer(schedule: Schedule, path: str) -> str:
    """The timer; Persistent catches up on what was missed while the machine was off."""
    calendars = [("OnCalendar", expression) for expression in schedule.on_calendar]
    return unit.render(
        [f"{_FOR} {path}", f"declared as {schedule.text.strip()}"],
        [
            ("Unit", [("Description", f"{_about(path)} regularly")]),
            ("Timer", [*calendars, ("Persistent", "true")]),
            ("Install", [("WantedBy", "timers.target")]),
        ],
    )
