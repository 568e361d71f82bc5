"""Which machines have the images open, and whether each may be saved, rewritten and started again.

A machine is saved by libvirt (managed save), its images are rewritten while it is off, and it goes
on where it stood. QEMU's own ways to copy a disk under a running machine lose data, see
docs/design.md. What cannot be judged is a reason to leave a machine alone.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from reconciler.engine.model import Apart, Desired
from reconciler.facts import limits
from reconciler.facts.diagnostics import ALSO, COST, Note
from reconciler.facts.host import FilesystemOf
from reconciler.facts.images import PAUSED, RUNNING, Machine, Machines, NotStarted
from reconciler.formats.sizes import binary, counted, span
from reconciler.resources.images.places import MachineImages, SavedMachine, as_wanted, needed
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.facts.host import Filesystem
    from reconciler.facts.host_view import HostView
    from reconciler.facts.tree import CowFile


RISK = "suspend-machines"

FOR_GOOD = Note("`revert` cannot take a rewrite back", "V709", COST)

_RATE = 100 << 20
"""Bytes in a second that a plan counts with: a disk that turns does that, and a faster one more.

The measurements in docs/images.md took less in all ten cases, and 93% of it where the image was
large."""


class Guest(Value):
    """A machine with those of its images that would be rewritten; ``why`` not, "" where it may."""

    machine: Machine
    files: tuple[CowFile, ...]
    why: str = ""

    @property
    def allocated(self) -> int:
        return sum(file.allocated for file in self.files)

    @property
    def kept(self) -> int:
        return sum(file.kept for file in self.files)


def is_qemu(file: CowFile) -> bool:
    """Tell whether a process that may be a machine's has an image open."""
    return any("qemu" in who or "kvm" in who for who in file.holders)


def guests(path: str, files: Sequence[CowFile], host: HostView) -> tuple[Guest, ...]:
    """Return the machines that have open images, each with its images, sorted by name.

    ``path`` is the directory, ``files`` what is open there.
    """
    if not any(map(is_qemu, files)):
        return ()
    found: dict[Machine, list[CowFile]] = {}
    for file in files:
        for machine in host.maybe(Machines()) or ():
            if machine.pid and any(f"(pid {machine.pid})" in who for who in file.holders):
                found.setdefault(machine, []).append(file)
    rows = [Guest(machine, tuple(its), _why(path, machine, its)) for machine, its in found.items()]
    return tuple(sorted(rows, key=lambda guest: (guest.machine.name, guest.machine.uuid)))


def with_room(guest: Guest, filesystem: Filesystem, kept: int, host: HostView) -> Guest:
    """Return a machine, and why it must stand back where there is no room.

    ``kept`` are the bytes that all else of the plan takes, and does not give back.
    """
    if guest.why:
        return guest
    machine = guest.machine
    images = needed(max(file.allocated for file in guest.files)) + max(guest.kept, 0) + kept
    where = host.maybe(FilesystemOf(machine.saves))
    why = ""
    if where is None:
        why = f"the room for its memory in {machine.saves} cannot be seen"
    elif machine.memory > machine.free:
        why = (
            f"its memory needs {binary(machine.memory)} in {machine.saves}; "
            f"{binary(machine.free)} are free"
        )
    elif images > limits.free(filesystem):
        why = f"its images need {binary(images)} of free space; {limits.have(filesystem)}"
    elif where.uuid == filesystem.uuid and machine.memory + images > limits.free(filesystem):
        both = binary(machine.memory + images)
        why = f"its memory and its images need {both} of free space; {limits.have(filesystem)}"
    return Guest(machine, guest.files, why)


def rows(name: str, path: str, aim: str, chosen: Sequence[Guest]) -> Iterator[Apart]:
    """Yield a row for each machine that is to be suspended; ``name`` is that of the entry."""
    for guest in chosen:
        machine = guest.machine
        files = tuple(sorted(file.path for file in guest.files))
        place = MachineImages(path, aim, machine.uuid, machine.name, files)
        goal = Desired(place, MachineImages.ALIKE)
        its = counted(len(files), "image is", "images are")
        text = f"machine {machine.name} is saved, its {its} rewritten, and it goes on: no reboot"
        yield Apart(goal, f"{name}/{files[0]}", text, tuple(_notes(guest, aim)), "V725")


def unfinished(host: HostView) -> Iterator[Apart]:
    """Yield a row for each machine that a run saved and did not start again."""
    for saved in host(NotStarted()):
        goal = Desired(SavedMachine(saved.uuid, saved.name), SavedMachine.ON)
        yield Apart(goal, f"machine {saved.name}", saved.told, code="V726")


def resting(path: str, files: Sequence[CowFile], host: HostView) -> dict[str, str]:
    """Return which files are images of machines that are started first, each with the machine."""
    saved = {file: each.name for each in host(NotStarted()) for file in each.files}
    found = {file.path: saved.get(f"{path}/{file.path}", "") for file in files}
    return {file: name for file, name in found.items() if name}


def _why(path: str, machine: Machine, files: Sequence[CowFile]) -> str:
    """Say why a machine is left alone; "" where nothing is known against it."""
    for file in files:
        if f"{path}/{file.path}" not in machine.files:
            return f"its disks do not name {path}/{file.path}, which it has open"
        if len(file.holders) != 1:
            return f"another program has {file.path} open, too"
    if machine.state not in {RUNNING, PAUSED}:
        return f"it is {machine.state}"
    return machine.problem


def seconds(guest: Guest) -> int:
    """Return for how long a machine stands still: memory out and in, images once.

    Saving and starting take two seconds beside what is copied.
    """
    return 2 + math.ceil((2 * guest.machine.memory + guest.allocated) / _RATE)


def _notes(guest: Guest, aim: str) -> Iterator[Note]:
    machine = guest.machine
    for file in guest.files:
        yield Note(f"{file.path}: {binary(file.size)}, becomes {as_wanted(aim)}", label=ALSO)
    yield Note(
        f"the machine is {machine.state}, and stands still for up to about {span(seconds(guest))} "
        f"(at {binary(_RATE)}/s): its clock is behind by that, and connections to it may break",
        label=COST,
    )
    largest = needed(max(file.allocated for file in guest.files)) + max(guest.kept, 0)
    yield Note(
        f"needs up to {binary(machine.memory)} in {machine.saves} for its memory, "
        f"{binary(machine.free)} are free; and up to {binary(largest)} of free space for its "
        "images",
        label=COST,
    )
    if guest.kept > 0:
        shared = "snapshots and clones keep the old data that they share"
        encoded = "data that was compressed is so no longer"
        whys = [shared] * any(f.shared for f in guest.files)
        whys += [encoded] * any(f.encoded for f in guest.files)
        text = f"afterwards up to {binary(guest.kept)} more are in use, because"
        yield Note(f"{text} {' and '.join(whys)}", label=COST)
    yield FOR_GOOD
