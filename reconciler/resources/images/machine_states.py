"""How the machines that have images are: on, saved by a run, held, or off; asked of libvirt."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.facts.host_view import NotVisible
from reconciler.facts.images import OFF, RUNNING, Machines, NotStarted, Saved
from reconciler.facts.tree import REDACTED
from reconciler.linux import libvirt, lock, saved_machines, users
from reconciler.resources.images import scan
from reconciler.resources.images.places import Image, MachineImages, SavedMachine

if TYPE_CHECKING:
    from reconciler.engine.place import Reads


def state(place: MachineImages) -> str:
    """How the data of the images of one machine lies; NotVisible where that cannot be told."""
    if REDACTED in {place.uuid, *place.files}:
        raise users.not_visible("see which images they were")
    found = {scan.image_state(image) for image in place.each}
    return next((each for each in (Image.UNLIKE, Image.GONE) if each in found), Image.ALIKE)


def not_started() -> tuple[Saved, ...]:
    """Return the machines that a run saved, and that are off; NotVisible while a run is at work."""
    if lock.is_held():
        raise NotVisible("another run of vmtune is at work with a machine, and starts it again")
    each = (replace(saved, is_held=_is_held(saved)) for saved in saved_machines.every())
    return tuple(saved for saved in each if saved.is_held or _is_off(saved))


def is_left(saved: Saved) -> bool:
    """Tell whether a machine stands still where a run left it: held, or off."""
    return _is_held(saved) or _is_off(saved)


def _is_held(saved: Saved) -> bool:
    """Tell whether a machine was started, and the run ended before it had the machine go on."""
    its = libvirt.of(saved.owner)
    may = saved.was == RUNNING and its.may_be_asked() and its.is_running()
    return may and its.reason(saved.uuid) == libvirt.HELD


def _is_off(saved: Saved) -> bool:
    """Tell whether a machine is off with the save that was made for it, or is being saved.

    Where no libvirt runs, its save tells: a start takes that away. Another save than that is
    somebody else's.
    HostError where libvirt does not answer: nothing may be concluded from that.
    """
    its = libvirt.of(saved.owner)
    if not its.may_be_asked():
        raise users.not_visible(f"see which machines of {saved.owner} are off")
    if its.pid(saved.name):
        return its.is_running() and its.reason(saved.uuid) == libvirt.SAVING
    if its.is_running():
        if not its.is_defined(saved.uuid):
            return False
        if its.state(saved.uuid) != OFF or not its.has_save(saved.uuid):
            return False
    is_hidden = bool(os.geteuid()) and not saved.owner  # libvirt keeps its saves from others
    if is_hidden or not its.keeps_saves():
        return True
    found = its.save_of(saved.name)
    return found == saved.save if saved.save else _is_of_then(saved, found)


_AT_MOST = 3600.0
"""Seconds from the record to the end of the save, where a kill left it open which save it is."""


def _is_of_then(saved: Saved, found: str) -> bool:
    """Tell whether a save was made right behind a record that does not know its save yet."""
    ended = int(found.split()[1]) / 1e9 if found else 0.0
    return 0 <= ended - saved_machines.since(saved.uuid) <= _AT_MOST


def saved(place: SavedMachine) -> str:
    """Tell whether a machine that a run saved is on; NotVisible where that cannot be told."""
    if place.uuid == REDACTED:
        raise users.not_visible("see which machine it was")
    found = next((each for each in not_started() if each.uuid == place.uuid), None)
    if found is None:
        return SavedMachine.ON
    return SavedMachine.HELD if found.is_held else SavedMachine.SAVED


READS: Reads = {
    MachineImages: lambda q, _: state(q),
    Machines: lambda _, __: libvirt.machines(),
    NotStarted: lambda _, __: not_started(),
    SavedMachine: lambda q, _: saved(q),
}
