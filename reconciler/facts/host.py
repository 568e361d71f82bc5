"""What vmtune asks of a host but never changes."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any, ClassVar

from reconciler.facts.condition import REDUNDANT, WHOLE, Condition
from reconciler.facts.host_view import Fact, HostView, PathFact
from reconciler.facts.stub import Stub
from reconciler.facts.tree import Tree
from reconciler.formats.sizes import binary
from reconciler.value import Value

if TYPE_CHECKING:
    from reconciler.facts.boot_order import MountUnit
    from reconciler.formats.fstab import Line
    from reconciler.formats.mountinfo import Mount


class Location(Value):
    """Where a declared path really is.

    ``path`` has every symbolic link resolved; ``missing`` are the directories
    to be made, from the outermost to the path itself (empty when it is there).
    ``kind`` is "directory", "missing", or what stands there instead.
    ``stub`` is the path itself, or the nearest one above that is there, where that is what a
    snapshot shows of a subvolume inside (inode 2 on Btrfs); else "".
    """

    path: str
    kind: str
    missing: tuple[str, ...] = ()
    parent_uid: int = 0
    parent_gid: int = 0
    """Owner of the nearest directory that is there, if that lies in a home; else root."""
    parent_setgid: bool = False
    """What is made in it gets its group, and directories the bit as well (inode(7))."""
    is_home: bool = False
    foreign_link: str = ""
    """A symbolic link on the way whose owner is neither root nor the owner of what is there."""
    stub: str = ""


class Locate(PathFact[Location]):
    """Follow a path as the kernel would, to where it is or would be."""


def real(path: str, host: HostView) -> str:
    """Return where a path is; the path as it is written where that cannot be seen."""
    where = host.maybe(Locate(path))
    return where.path if where else path


class DirectoryId(PathFact[str]):
    """Tell which directory a path is: the UUID of its filesystem, its subvolume and its inode.

    "missing" where no directory is.
    """


REFERENCED, EXCLUSIVE = "referenced", "exclusive"
"""What a limit counts: all data of the subvolume, or only what it shares with no other one."""


class Limit(Value):
    """A limit of a quota group, in bytes; ``sort`` is REFERENCED or EXCLUSIVE."""

    qgroup: str
    """As btrfs-qgroup(8) writes it: "0/256"."""
    sort: str
    most: int
    used: int

    @property
    def left(self) -> int:
        return max(0, self.most - self.used)

    @property
    def words(self) -> str:
        """``qgroup 0/256 is limited to 200.0 MiB (referenced), of which 180.0 MiB are used``."""
        return (
            f"qgroup {self.qgroup} is limited to {binary(self.most)} ({self.sort}), of which "
            f"{binary(self.used)} are used"
        )


class Quota(Value):
    """The limits that count for what is written in a subvolume, the tightest first.

    ``own`` is the subvolume's own qgroup. ``simple``: quotas count what a subvolume has
    allocated (simple quotas), and a new subvolume gets the parent qgroups of the one around it.
    ``unseen``: only root can see whether limits count here; in a container, which has no
    /sys/fs/btrfs, also whether there are any.
    ``is_counting``: the kernel says that its figures are not right now (a rescan is due).
    """

    limits: tuple[Limit, ...] = ()
    simple: bool = False
    unseen: bool = False
    is_counting: bool = False

    @property
    def tightest(self) -> Limit | None:
        return min(self.limits, key=lambda limit: limit.left, default=None)


class Filesystem(Value):
    """The filesystem a path is on. ``profiles`` are those of its data block groups.

    ``free`` is in bytes, as statvfs(3) gives it to ordinary users; ``quota`` may leave less (see
    limits.free). ``read_only``: the subvolume or the mount is. All but ``type`` are empty where it
    is not Btrfs.
    """

    type: str
    uuid: str = ""
    label: str = ""
    profiles: tuple[str, ...] = ()
    free: int = 0
    read_only: bool = False
    condition: Condition = WHOLE
    quota: Quota = field(default_factory=Quota)
    zoned: bool = False
    """In zoned mode the kernel refuses nocow: each write goes to a new place."""

    @property
    def redundant(self) -> str:
        """Its data profiles that keep data twice, or with parity; "" where none does."""
        return "/".join(sorted(REDUNDANT.intersection(self.profiles)))


class Homes(Fact[frozenset[str]]):
    """Home directories of people, resolved."""


class FilesystemOf(PathFact[Filesystem]):
    """By the magic number of statfs(2): fstab's third field may say "auto"."""


class BtrfsIn(Fact[Filesystem]):
    """What is alike in all of a subvolume, by its device number: all but what is ``free``."""

    device: int
    path: str = field(compare=False)


class TreeOf(Fact[Tree]):
    """Look below a path, but not into the absolute paths ``apart``.

    ``close``: at what a rewrite must know, too (see Tree); each file that is copy-on-write is
    opened for that. ``only`` is a file below, relative to the path: then the look is close, and at
    that file and the files that it names as parts of one image, and at nothing else.
    """

    grows: ClassVar[bool] = True
    path: str
    apart: tuple[str, ...] = ()
    close: bool = False
    only: str = ""


class EntriesOf(PathFact[tuple[str, ...]]):
    """The names in a directory, sorted; none where there is no directory."""


class SnapshotsOf(PathFact[tuple[str, ...]]):
    """Why the subvolume of a path counts as snapshotted: one reason a line, or none."""

    grows: ClassVar[bool] = True


class SnapshotsIn(Fact[tuple[str, ...]]):
    """The same by device number, which each subvolume has one of its own; ``path`` is in it."""

    device: int
    path: str = field(compare=False)


class StubOf(PathFact[Stub]):
    """Which subvolume the stub at a path stands for, and where that is now; for root."""


class DefaultAcl(PathFact[bool]):
    """Whether a directory hands on an access control list to what is made in it (acl(5))."""


class Sharing(Value):
    """Extents that snapshots or clones share: defragmenting copies them. Bytes."""

    shared: int
    unseen: int
    nocow_only: bool


class SharedBelow(PathFact[Sharing]):
    grows: ClassVar[bool] = True


class Sharers(Value):
    """Who shares data with images: other subvolumes, sorted, by the paths that lead there.

    ``clones`` counts other files of the images' own subvolume; ``more`` what the kernel left out
    of its answer. It is asked about one byte of each image, so others may share data as well.
    """

    subvolumes: tuple[str, ...]
    clones: int = 0
    more: int = 0


class SharersOf(Fact[Sharers]):
    """For root; ``images`` are absolute, resolved paths of files that share data."""

    grows: ClassVar[bool] = True
    images: tuple[str, ...]


class Mounts(Fact[tuple["Mount", ...]]):
    """/proc/self/mountinfo."""


class Uses(Fact[Any]):
    """Who uses files and directories: one look at this host, in the host's own form."""


class UseOf(PathFact[str]):
    """How a directory that is to be removed is used, in words; "" where it is not."""


class FstabLines(Fact[tuple["Line", ...]]):
    """The entries of /etc/fstab, in order; none where there is no such file."""


class FstabObstacle(Fact[str]):
    """Why /etc/fstab cannot be replaced by a new file (rename(2)); "" when it can."""


class FstabFault(Value):
    """An error of ``findmnt --verify``, and the mount point that it is about."""

    target: str
    text: str


class FstabFaults(Fact[tuple[FstabFault, ...]]):
    """Errors only: its warnings are about passno and types, and mostly wrong for Btrfs."""


class Fixed(PathFact[str]):
    """Why neither a file or directory nor what is directly in it can be changed; "" when it can.

    "is immutable", "is append-only" (chattr(1)), "is on a read-only filesystem".
    """


class SourceUuid(Fact[str]):
    """The Btrfs UUID behind the first field of an fstab line, "" where it is none."""

    source: str


class Verdict(Value):
    """What the running kernel says of mount options: ``takes`` is None when it cannot be asked."""

    takes: bool | None
    text: str


class KernelTakes(Fact[Verdict]):
    """Ask the running kernel, without mounting: fsopen(2) and fsconfig(2)."""

    options: tuple[str, ...]


class ShadowingUnit(Fact[str]):
    """A mount unit that hides an fstab line, or a drop-in (.conf) that sets other options.

    "" when there is none. ``target`` has no symbolic links in it.
    """

    target: str


class MountUnits(Fact[tuple["MountUnit", ...]]):
    """The mount units that are files, in the order of their names, without those fstab makes."""


class SystemSubvolume(Value):
    """The subvolume that is mounted somewhere, and the one that a mount without subvol= shows.

    ``is_snapshot``: it was made as a snapshot of another one. ``default`` is None where it may not
    be seen.
    """

    identifier: int
    is_snapshot: bool
    default: int | None = None
    default_path: str = ""


class SubvolumeAt(Fact[SystemSubvolume]):
    """Which subvolume of a Btrfs is at a mount point."""

    target: str


class Schedulers(Fact[frozenset[str]]):
    """Which of "systemd" and "cron" there are: systemd running, cron with its /etc/cron.d."""


class CronDaemon(Fact[bool]):
    """Whether a cron daemon is running, to read what lies in /etc/cron.d."""


class SelinuxEnforces(Fact[bool]):
    """Whether a policy of SELinux decides what programs may do."""


class Units(Fact[dict[str, dict[str, str]]]):
    """What systemd says of some units, by name: its properties, as org.freedesktop.systemd1 has."""

    names: tuple[str, ...]


class NeedsReload(Fact[bool]):
    """Whether systemd holds an older version of a unit file than the disk."""

    unit: str


class Program(Fact[str]):
    """Absolute path of a program, looked for in the system's folders; "" when missing."""

    name: str


class OwnCommand(Fact[tuple[str, ...]]):
    """Tell how root starts this vmtune, as a program and its arguments.

    () where somebody else than root could change what that runs, as in a home.
    """


class Elapse(Value):
    """What systemd makes of OnCalendar expressions: an error, or the next run in words."""

    error: str
    next: str


class CalendarRuns(Fact[Elapse]):
    expressions: tuple[str, ...]


class CronRuns(Fact[str]):
    """The next run of a five-field cron schedule, in words, in local time."""

    cron: str


class ForeignJob(Value):
    """A job that defragments regularly, and that vmtune did not make.

    ``name`` says where it stands: "/etc/crontab:3", "vm-defrag.timer". ``schedule`` is as it is
    written there, ``command`` what is run, in words. ``paths`` are absolute, as they are written;
    none where only a shell can tell them. ``stop`` says how a person ends the job.
    """

    name: str
    schedule: str
    command: str
    paths: tuple[str, ...]
    stop: str


class ForeignJobs(Fact[tuple[ForeignJob, ...]]):
    """Look for jobs that defragment, and that vmtune did not make.

    In crontabs, anacrontab and the directories of run-parts(8), timers of systemd, and the
    configuration of btrfsmaintenance.
    """


class HiddenCrontabs(Fact[str]):
    """Why crontabs of other users could not be read; "" when all were."""


class OwnFiles(Fact[tuple[str, ...]]):
    """Files under /etc/systemd/system and /etc/cron.d whose first line says vmtune made them."""


class KernelCommandLine(Fact[str]):
    """/proc/cmdline: ``rootflags=`` mounts / before /etc/fstab is read."""


class ServiceRun(Value):
    """The last run of a service that a timer starts, and the timer's next one.

    Times are in words, in local time, "" where there is none. ``result`` is systemd's: "success",
    "exit-code", "signal", "timeout"; "exec-condition" where the job's check said no; "running"
    while it runs, "skipped" where a condition was not met, "" where systemd does not know (it
    forgets at a reboot). ``status`` is the exit code, or the signal's number.
    """

    last: str = ""
    result: str = ""
    status: int = 0
    seconds: float | None = None
    next: str = ""

    @property
    def has_failed(self) -> bool:
        """Tell whether the last run that is known ended badly; a skipped run is none."""
        return self.result not in {"", "success", "running", "skipped", "exec-condition"}


class ServiceRunOf(Fact[ServiceRun]):
    """By the name that the service and its timer share."""

    stem: str


ON, OFF = "on", "off"

MISSING, DIRECTORY, UNFINISHED, SUBVOLUME = "missing", "directory", "unfinished", "subvolume"
"""What a path is; UNFINISHED is a subvolume beside which the directory that it was still lies."""
