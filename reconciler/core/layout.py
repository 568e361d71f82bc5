"""How the data of image files lies on disk, and what else only status asks of a host."""

from __future__ import annotations

from typing import ClassVar

from reconciler.core.snapshot import Query
from reconciler.value import dataclass

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Layout:
    """One file, as FIEMAP tells it; ``path`` is absolute, all sizes are in bytes.

    ``fragments`` counts as filefrag(8) does: where reading on means to go elsewhere.
    ``data`` is what has a place on disk, preallocated space too; the rest of
    ``size`` is holes. ``shared`` and ``compressed`` are parts of it, and ``both``
    is what is one and the other. ``fragments`` is None for a file that was not
    read: one that may not be opened, or too many extents before it.
    """

    path: str
    size: int
    nocow: bool = False
    fragments: int | None = None
    data: int = 0
    compressed: int = 0
    shared: int = 0
    both: int = 0
    inode: int = 0

    @property
    def key(self) -> str:
        """What the journal, which all may read, calls it: its name may be nobody's business."""
        import hashlib  # noqa: PLC0415 - OpenSSL takes 3 ms to load

        raw = self.path.encode("utf-8", "surrogateescape")
        return hashlib.sha256(raw).hexdigest()[:16]

    @property
    def per_gib(self) -> int | None:
        """Fragments for each GiB of data; None where there is nothing to tell."""
        if not self.data or self.fragments is None:
            return None
        return round(self.fragments * GIB / self.data)

    @property
    def parts(self) -> tuple[tuple[str, int], ...]:
        """The whole size by what it is, each byte once: shared counts before compressed."""
        own = self.data - self.compressed - self.shared + self.both
        return (
            ("nocow" if self.nocow else "cow", own),
            ("compressed", self.compressed - self.both),
            ("shared", self.shared),
            ("hole", self.size - self.data),
        )


@dataclass(frozen=True, slots=True)
class Layouts:
    """The largest files below a directory, largest first, of ``count`` with ``size`` in all.

    ``unseen`` are the first of ``unseen_count`` files and directories that may
    not be opened: for files that show it anyway, with their size.
    """

    measured: tuple[Layout, ...]
    count: int
    size: int
    unseen: tuple[Layout, ...] = ()
    unseen_count: int = 0


@dataclass(frozen=True, slots=True)
class LayoutsOf(Query[Layouts]):
    """How the files below a path lie; not those in the absolute paths ``apart``."""

    grows: ClassVar[bool] = True

    path: str
    apart: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LayoutOf(Query[Layout | None]):
    """How one file lies; None for what is no regular file."""

    path: str


@dataclass(frozen=True, slots=True)
class KernelCommandLine(Query[str]):
    """/proc/cmdline: ``rootflags=`` mounts / before /etc/fstab is read."""


@dataclass(frozen=True, slots=True)
class ServiceRun:
    """The last run of a service that a timer starts, and the timer's next one.

    Times are in words, in local time, "" where there is none. ``result`` is
    systemd's: "success", "exit-code", "signal", "timeout"; "running" while it
    runs, "skipped" where a condition was not met, "" where systemd does not know
    (it forgets at a reboot). ``status`` is the exit code, or the signal's number.
    """

    last: str = ""
    result: str = ""
    status: int = 0
    seconds: float | None = None
    next: str = ""


@dataclass(frozen=True, slots=True)
class ServiceRunOf(Query[ServiceRun]):
    """By the name that the service and its timer share."""

    stem: str
