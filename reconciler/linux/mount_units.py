"""Mount units that are files (systemd.mount(5)), beside those that systemd makes of /etc/fstab."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from reconciler.facts.boot_order import MountUnit
from reconciler.formats import options, unit
from reconciler.linux import files, systemd

if TYPE_CHECKING:
    from collections.abc import Iterator


_BELOW_USR = ("/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
"""Where a unit has no effect beside a line for the same mount point (systemd.mount(5), FSTAB)."""

_PULLING = (".wants", ".requires")
"""Folders of links to the units that another one pulls in (systemd.unit(5))."""

_SETTING = re.compile(rb"^[ \t]*(What|Where|Type|Options)[ \t]*=[ \t]*(.*?)[ \t]*$", re.MULTILINE)

_ESCAPED = re.compile(r"\\x([0-9a-f]{2})")


def found() -> tuple[MountUnit, ...]:
    """Return each unit once, the file that counts; and drop-ins that set other options."""
    hiding = systemd.hiding_folders()
    listed = {folder: files.listed(folder) for folder in (*hiding, *_BELOW_USR)}
    wanting = [each for of in listed.values() for each in of if each.endswith(_PULLING)]
    seen: set[str] = set()
    units: list[MountUnit] = []
    for folder, names in listed.items():
        for file in names:
            name = os.path.basename(file)
            if name.endswith(".mount") and name not in seen:
                seen.add(name)
                units += _unit(file, name, wanting, hides=folder in hiding)
    folders = (each for of in listed.values() for each in of if each.endswith(".mount.d"))
    dropped = dict.fromkeys(os.path.basename(each).removesuffix(".d") for each in folders)
    return (*units, *(unit for name in dropped if name not in seen for unit in _drop_in(name)))


def _unit(file: str, name: str, wanting: list[str], *, hides: bool) -> Iterator[MountUnit]:
    """Yield what a unit says, if it may be of a Btrfs; one that is masked says nothing."""
    said = _settings(file)
    if said.get("Type", "") not in {"", "auto", "btrfs"}:
        return
    for each in systemd.drop_ins_of(name):
        said.update(_settings(each))
    yield MountUnit(
        file,
        said.get("Where", "") or _target(name),
        said.get("What", ""),
        said.get("Type", ""),
        _options(said),
        is_wanted=any(os.path.lexists(f"{folder}/{name}") for folder in wanting),
        hides=hides,
    )


def _drop_in(name: str) -> Iterator[MountUnit]:
    """Yield the drop-in that sets Options= of a unit that is made of a line of /etc/fstab."""
    target = _target(name)
    file = systemd.shadowing_unit(target) if unit.mount_unit(target) == name else ""
    said = _settings(file) if file else {}
    if "Options" in said:
        yield MountUnit(file, target, "", "", _options(said), is_wanted=True, hides=True)


def _settings(file: str) -> dict[str, str]:
    found = _SETTING.findall(files.read(file) or b"")
    return {key.decode(): value.decode("utf-8", "surrogateescape") for key, value in found}


def _options(said: dict[str, str]) -> str:
    value = said.get("Options", "")
    return value if options.well_formed(value) else ""


def _target(name: str) -> str:
    """Return the mount point that the name of a unit stands for (systemd-escape(1))."""
    path = "/" + name.removesuffix(".mount").removeprefix("-").replace("-", "/")
    raw = _ESCAPED.sub(lambda hit: chr(int(hit[1], 16)), path)
    return raw.encode("latin-1", "replace").decode("utf-8", "replace")
