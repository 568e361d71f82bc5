"""Image files: how they lie, which machines have them, and what a killed rewrite leaves of them.

One figure more: linux/extents.py fills it; what moves with the clock is worked out there, and told
coarsely, because tests compare two runs. In report/status.py ``_figures`` shows it as a column, and
``told`` shows it in explain and beside the bar of the page, behind the fragments: test_explain.py
holds that order. ``_plain_image`` of report/standing.py and status.schema.json have it for
programs. docs/status.md says what it is; a case in tests/unit/status/cases/ prints it. Its judge is
in tests/btrfs/commands/test_status_effect.py, and its name in STATUS of tests/oracles.py. A column
or a hover text of its own on the page: report/html.py.
"""

from __future__ import annotations

from typing import ClassVar

from reconciler.facts.host_view import Fact, PathFact
from reconciler.value import Value

GIB = 1 << 30

_PLAIN_KEY, SEALED_KEY = 16, 24
"""Characters of a key without a secret, and with one."""


class ImageLayout(Value):
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

    def key(self, secret: bytes) -> str:
        """What the journal, which all may read, calls it: its name may be nobody's business.

        Only who knows the secret of this host can tell whether a name that they guess is right.
        Without a secret: as journals called it before there was one.
        """
        import hashlib  # noqa: PLC0415 - OpenSSL takes 3 ms to load
        import hmac  # noqa: PLC0415

        raw = self.path.encode("utf-8", "surrogateescape")
        if not secret:
            return hashlib.sha256(raw).hexdigest()[:_PLAIN_KEY]
        return hmac.digest(secret, raw, "sha256").hex()[:SEALED_KEY]

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


class Layouts(Value):
    """The largest files below a directory, largest first, of ``count`` with ``size`` in all.

    ``unseen`` are the first of ``unseen_count`` files and directories that may
    not be opened: for files that show it anyway, with their size.
    """

    measured: tuple[ImageLayout, ...]
    count: int
    size: int
    unseen: tuple[ImageLayout, ...] = ()
    unseen_count: int = 0


class LayoutsOf(Fact[Layouts]):
    """How the files below a path lie; not those in the absolute paths ``apart``."""

    grows: ClassVar[bool] = True
    path: str
    apart: tuple[str, ...] = ()


class LayoutOf(PathFact[ImageLayout | None]):
    """How one file lies; None for what is no regular file."""


SAVES = "/var/lib/libvirt/qemu/save"
"""Where the system's libvirt keeps the memory of machines that are saved (virsh managedsave)."""

RUNNING, PAUSED, OFF = "running", "paused", "shut off"
"""States of a machine, as virsh domstate has them."""


class Machine(Value):
    """A machine of libvirt that is on.

    ``state`` is RUNNING or PAUSED, or another word of virsh. ``memory`` in bytes is what must be
    free in ``saves`` to save it, of ``free``. ``files`` are those of all its disks, absolute,
    without links. ``problem`` says why it must not be saved and started again; "" where nothing is
    known. ``owner`` is the user whose libvirt has it; "" for the system's.
    """

    uuid: str
    name: str
    state: str
    pid: int
    memory: int
    free: int
    files: tuple[str, ...]
    problem: str
    saves: str = SAVES
    owner: str = ""


class Machines(Fact[tuple[Machine, ...]]):
    """Every machine that is on, of the system's libvirt and of those of its users.

    Users' own are seen by root and by the user; none where no libvirt runs.
    """


class Saved(Value):
    """A machine that a run saved: which one, how it was, its images, which run.

    ``save`` tells which file holds its memory (inode, time, size), "" before that is known.
    ``owner`` is as a Machine's. ``is_held``: it is on again, but the run ended before it went on.
    """

    uuid: str
    name: str
    was: str
    files: tuple[str, ...]
    run: int
    save: str = ""
    owner: str = ""
    is_held: bool = False

    @property
    def told(self) -> str:
        """Say what the run left behind."""
        if self.is_held:
            return f"was saved by run {self.run} and started again, but it is still paused"
        return f"was saved by run {self.run} and not started again"

    def command(self, name: str) -> str:
        """Return the command that has it go on where it stood, and who has to give it.

        ``name`` is its UUID, or its name as a shell has it.
        """
        verb = "resume" if self.is_held else "start"
        side, who = ("session", f" (as {self.owner})") if self.owner else ("system", "")
        return f"`virsh -c qemu:///{side} {verb} {name}`{who}"


class NotStarted(Fact[tuple[Saved, ...]]):
    """Machines that a run of vmtune saved, and that stand still since: off, or held."""


_COPY, _SECOND = ".vmtune", ".opened-meanwhile-"


def copy_name(old: int, new: int, time: int) -> str:
    """The name that a finished copy has beside its image: their inode numbers, st_mtime_ns.

    Who opened the image just before the two changed places, and wrote after a
    kill, wrote to the stale copy: the time tells.
    """
    return f"{_COPY}-{old}-{new}-{time % 2**64:x}"


def copy_name_parts(name: str) -> tuple[int, int, int] | None:
    """Both inode numbers and the time (as an unsigned number); None for any other name."""
    first, *numbers = name.split("-")
    if first != _COPY or len(numbers) != 3:  # noqa: PLR2004
        return None
    try:
        found = int(numbers[0]), int(numbers[1]), int(numbers[2], 16)
    except ValueError:
        return None
    return found if copy_name(*found) == name else None


def second(name: str, new: int) -> str:
    """The name that a copy keeps which was written to, as the image was too: its inode number."""
    longest = 200  # bytes, of 255 that a name may have
    while len(name.encode("utf-8", "surrogateescape")) > longest:
        name = name[:-1]
    return f"{name}{_SECOND}{new}"


def is_second(name: str, number: int) -> bool:
    """Whether ``second`` names a file of that inode number so; a copy of it has another one."""
    return name.endswith(f"{_SECOND}{number}")


def is_stale_copy(name: str) -> bool:
    """Whether a file name is one that only ``copy_name`` gives."""
    return copy_name_parts(name) is not None
