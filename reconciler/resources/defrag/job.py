"""The texts of a regular defragmentation: a crontab, or a service and its timer.

``-t 32M`` is the target extent size, ``-f`` writes each file out before the
next, which bounds dirty data. No ``-c``: it would compress what it rewrites.

btrfs-progs copies what snapshots and clones share (btrfs-filesystem(8), defragment), and a run is
far from the moment at which somebody looked. So a run looks for itself, in one of two ways
(``Command``), unless the entry allows such copies.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.formats import crontab, unit

if TYPE_CHECKING:
    from collections.abc import Sequence

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


@dataclass(frozen=True)
class Command:
    """What a run does: ``command`` is a program with its arguments, behind which the path comes.

    ``btrfs`` is the program that counts what is shared before the command is run; "" where the
    command leaves what is shared by itself, or may copy it. ``prints``: the command says on its
    standard output what it left.
    """

    command: tuple[str, ...]
    btrfs: str = ""
    prints: bool = False

    @property
    def is_safe(self) -> bool:
        """Whether a run copies nothing that snapshots or clones share."""
        return self.prints or bool(self.btrfs)


def copying(btrfs: str) -> Command:
    """Defragment all files, also those that snapshots or clones share: the entry allows that."""
    return Command((btrfs, "filesystem", "defragment", "-r", "-f", "-t", "32M"))


def guarded(btrfs: str) -> Command:
    """Defragment all files, but skip the run while any data below the path is shared."""
    return Command(copying(btrfs).command, btrfs)


def own(vmtune: Sequence[str]) -> Command:
    """Have vmtune defragment the files that share nothing, and leave the others."""
    return Command((*vmtune, "defrag", "--scheduled"), prints=True)


_TO_LOG = " | { logger -t vmtune-defrag 2>/dev/null || cat; }"
"""cron(8) mails what a job prints, or drops it; the log is where a person looks."""


def _guard(btrfs: str, to_log: str = "") -> str:
    """Write a shell script that ends with 1 unless nothing below ``$p`` is shared.

    ``btrfs filesystem du -s`` prints a heading of five words, and below it the bytes in all, those
    of one file alone, and those that are shared. Where btrfs fails, or prints anything else, the
    eighth word is not 0, and the run is skipped.
    """
    return (
        f'set -f; set -- $({btrfs} filesystem du -s --raw "$p"); [ "$8" = 0 ] || '
        '{ echo "$p: run skipped. Bytes that snapshots or clones share: ${8:-not known}"'
        f"{to_log}; exit 1; }}"
    )


def cron(schedule: Schedule, path: str, work: Command) -> str:
    """Write a file for /etc/cron.d; ValueError as ``crontab.table``."""
    idle = ("/usr/bin/nice", "-n", "19", "/usr/bin/ionice", "-c", "3")
    guard = f"{_guard(work.btrfs, _TO_LOG)}; " if work.btrfs else ""
    line = f'p={crontab.quoted(path)}; {guard}{crontab.command((*idle, *work.command))} "$p"'
    line += _TO_LOG if work.prints else ""
    data = crontab.table(f"{_FOR} {path}", [schedule.cron], "root", line)
    return data.decode("utf-8", "surrogateescape")


def _about(path: str) -> str:
    """For people: a blank or a backslash at the end of a line would be read as none."""
    return f"Defragment {unit.literal(path)}".rstrip(" \\")


def service(path: str, work: Command) -> str:
    """The unit that does it once: on idle time only, with no right it does not need.

    What ExecCondition= prints goes to the journal; its failure skips the run, which is then no
    failed unit (systemd.service(5), since 243).
    """
    guard = ("/bin/sh", "-c", f"p=$1; {_guard(work.btrfs)}", "sh", path)
    condition = [("ExecCondition", unit.command(guard))] if work.btrfs else []
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
                    *condition,
                    ("ExecStart", unit.command((*work.command, path))),
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
