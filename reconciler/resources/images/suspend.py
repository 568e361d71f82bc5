"""A machine saved, its images rewritten while it is off, and the machine started again.

    record     the machine is put on record, synced, before anything is done to it
    save       libvirt saves its memory and ends it; it is seen to be off, and its save to be whole
    rewrite    its images, one by one, as any others: who else has one ends that rewrite
    start      libvirt starts it from its save; it is seen to be as it was, on the new inodes
    forget     it is taken off the record

Whatever fails in between, the machine is started again with its images as they are by then. Each
step is in the journal before it begins. A run that is killed leaves the record, so the next plan
says that the machine is off because of vmtune, and starts it first.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.errors import HostError
from reconciler.facts.images import OFF, PAUSED, RUNNING, Saved
from reconciler.formats.sizes import binary
from reconciler.linux import libvirt, saved_machines
from reconciler.resources.images import machine_states, worklist
from reconciler.resources.images.places import Image, SavedMachine

if TYPE_CHECKING:
    from reconciler.engine.reporter import Reporter
    from reconciler.facts.images import Machine
    from reconciler.resources.images.places import MachineImages


def put(place: MachineImages, watch: Reporter) -> None:
    """Save the machine, rewrite its images, and start it again; HostError says what failed.

    Cancelled where the run was asked to end: the machine goes on as well.
    """
    machine = _judged(place)
    saved = Saved(
        machine.uuid, machine.name, machine.state, machine.files, watch.run, owner=machine.owner
    )
    saved_machines.note(saved)
    with libvirt.of(saved.owner).kept():
        try:
            watch.step(_called(saved), f"saving {binary(machine.memory)} at most")
            saved = _saved(saved, watch)
            for image in place.each:
                worklist.put(image, Image.UNLIKE, Image.ALIKE, watch)
        except BaseException as error:
            _go_on(place, saved, watch, error)
            raise
        _go_on(place, saved, watch, None)


def _judged(place: MachineImages) -> Machine:
    """Return the machine as it is now; HostError where it must not be saved any more."""
    machine = libvirt.machine(place.uuid)
    problem = machine.problem
    if machine.state not in {RUNNING, PAUSED}:
        problem = f"it is {machine.state}"
    elif machine.memory > machine.free:
        problem = f"its memory needs {binary(machine.memory)}, {binary(machine.free)} are free"
    elif not {f"{place.path}/{name}" for name in place.files} <= set(machine.files):
        problem = "it has other images by now"
    if problem:
        raise HostError(f"machine {place.name} is left as it is: {problem}", "apply again")
    return machine


def _called(saved: Saved) -> str:
    return f"machine {saved.name}"


def _saved(saved: Saved, watch: Reporter) -> Saved:
    """Save the machine, and put on record in which file its memory is."""
    try:
        found = libvirt.of(saved.owner).save(saved.uuid, saved.name, saved.was)
    except HostError as error:
        raise HostError(f"machine {saved.name} was not saved: {error.message}") from None
    saved = replace(saved, save=found)
    saved_machines.note(saved)
    watch.step(_called(saved), "saved; rewriting its images")
    return saved


def _go_on(
    place: MachineImages, saved: Saved, watch: Reporter, cause: BaseException | None
) -> None:
    """Have the machine go on; HostError, which tells of the ``cause`` too, where it does not."""
    with suppress(HostError):  # where the journal cannot be written the machine must go on, too
        watch.step(_called(saved), "starting it again")
    try:
        _start(saved)
        moved = _not_new(place, saved)
    except HostError as error:
        because = f"; before that: {cause}" if cause else ""
        raise HostError(
            f"machine {saved.name} is not seen to be {saved.was} again: {error.message}{because}",
            error.hint or _mend(saved),
        ) from cause
    saved_machines.forget(saved.uuid)
    watch.step(_called(saved), f"{saved.was} again")
    if moved and cause is None:
        raise HostError(
            f"machine {saved.name} is {saved.was} again, but it has other files open than "
            f"{', '.join(moved)}",
            "shut it down and start it again; look at its definition (virsh dumpxml) before",
        )


def _mend(saved: Saved) -> str:
    """Say how it goes on, by what is left of it."""
    its = libvirt.of(saved.owner)
    is_on = bool(its.pid(saved.name))
    command = replace(saved, is_held=is_on).command(saved.uuid)
    if is_on:
        return f"once what is in the way is mended, {command} or `vmtune apply` has it go on"
    if its.save_of(saved.name):
        return (
            f"its memory is kept: {command} starts it where it stood, once what is in the way is "
            "mended; `vmtune apply` does that, too"
        )
    return f"it was ended while it was on, and its memory is gone: {command} boots it"


def _start(saved: Saved) -> None:
    """Start a machine, if it is off and its save is the one that was made for it; HostError."""
    its = libvirt.of(saved.owner)
    its.wake()
    if its.settled(saved.uuid) == OFF:
        found = its.save_of(saved.name)
        if not found and its.has_save(saved.uuid):
            raise HostError(
                "libvirt has a save of it that is not whole, or cannot be read",
                f"{saved.command(saved.uuid)} starts it; that may be a reboot",
            )
        if not found or (saved.save and found != saved.save):
            saved_machines.forget(saved.uuid)
            raise HostError(
                "its save is not there any more, or is another one: somebody else started, ended "
                "or saved it, and a start would be a reboot",
                f"{saved.command(saved.uuid)} boots it",
            )
    its.start(saved.uuid, saved.name, saved.was)


def _not_new(place: MachineImages, saved: Saved) -> list[str]:
    """Name the images that the machine's process does not have open as they are now."""
    paths = [f"{place.path}/{name}" for name in place.files]
    number = libvirt.of(saved.owner).pid(saved.name)
    return [path for path in paths if not libvirt.has_open(number, path)]


def start(place: SavedMachine, watch: Reporter) -> None:
    """Start a machine that a run saved; HostError where it does not go on."""
    saved = next((each for each in saved_machines.every() if each.uuid == place.uuid), None)
    if saved is None:
        raise HostError(f"machine {place.name} is not on record any more", "apply again")
    watch.step(_called(saved), "starting it again")
    try:
        _start(saved)
    except HostError as error:
        text = f"machine {saved.name} is not seen to be {saved.was} again: {error.message}"
        raise HostError(text, error.hint or _mend(saved)) from None
    saved_machines.forget(saved.uuid)
    watch.step(_called(saved), f"{saved.was} again")


def sweep() -> None:
    """Take machines off the record that are on by now: somebody else started them."""
    with suppress(HostError):  # one that is damaged is told by the plan
        for each in saved_machines.every():
            if libvirt.of(each.owner).is_running() and not machine_states.is_left(each):
                saved_machines.forget(each.uuid)
