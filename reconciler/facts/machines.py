"""Virtual machines that run, and those that a run saved: as libvirt tells of them."""

from __future__ import annotations

from reconciler.facts.host_view import Fact
from reconciler.value import Value

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
