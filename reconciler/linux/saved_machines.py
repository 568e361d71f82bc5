"""Which machines a run has saved, on record until each is seen to be on again.

One file for each machine, synced before the machine is saved: whoever comes after a kill or a
power cut knows which machines are off because of vmtune. For everybody to read, as the journal is:
what is in it is the name of a machine, which ps(1) tells while it is on. The names of its images
lie beside it, for root.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from typing import Any

from reconciler.errors import HostError
from reconciler.facts.images import Saved
from reconciler.formats import jsondata
from reconciler.formats.jsondata import FormatError
from reconciler.linux import files

FOLDER = f"{files.STATE}/machines"

_FORMAT = "vmtune.machine/1"


def note(saved: Saved) -> None:
    """Put a machine on record, durably; HostError where that fails: then nothing may be saved."""
    told = ("uuid", "name", "was", "run", "save", *(["owner"] if saved.owner else []))
    plain = {"format": _FORMAT, **{name: getattr(saved, name) for name in told}}
    try:
        os.makedirs(FOLDER, mode=0o755, exist_ok=True)
        names = json.dumps(list(saved.files)).encode("ascii")
        files.create(f"{FOLDER}/{saved.uuid}.private", names + b"\n", 0o600)
        files.replace(_path(saved.uuid), json.dumps(plain).encode("ascii") + b"\n")
        files.sync_directory(files.STATE)
    except OSError as error:
        raise HostError(f"{_path(saved.uuid)} cannot be written: {error.strerror}") from None


def forget(uuid: str) -> None:
    """Take a machine off the record, durably."""
    for path in (_path(uuid), f"{FOLDER}/{uuid}.private"):
        with suppress(FileNotFoundError):
            files.remove(path)


def is_any() -> bool:
    """Tell whether any machine is on record."""
    return bool(files.listed(FOLDER))


def since(uuid: str) -> float:
    """Return when the record of a machine was written last; 0 where there is none."""
    with suppress(OSError):
        return os.stat(_path(uuid)).st_mtime
    return 0.0


def every() -> tuple[Saved, ...]:
    """Return all that is on record; HostError where one is damaged."""
    found = []
    for path in files.listed(FOLDER):
        if not path.endswith(".json"):
            continue
        try:
            text = files.read(path)
            if text is not None:
                found.append(_built(jsondata.mapping(json.loads(text)), _names(path)))
        except OSError as error:
            raise HostError(f"{path}: {error.strerror}") from None
        except (ValueError, RecursionError, FormatError) as error:
            hint = (
                "move it away; `virsh list --all --with-managed-save` shows machines that are saved"
            )
            raise HostError(f"{path} is damaged: {error}", hint) from None
    return tuple(found)


def _path(uuid: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", uuid):
        raise HostError(f"{uuid!r} is no machine's UUID")
    return f"{FOLDER}/{uuid}.json"


def _built(data: dict[str, Any], names: list[str]) -> Saved:
    if data.pop("format", None) != _FORMAT:
        raise FormatError("its format is another one")
    # A machine of the system's libvirt is written as it was before there were others.
    return jsondata.built(Saved, {"owner": "", **data, "files": names, "is_held": False})


def _names(path: str) -> list[str]:
    """Return the files of a machine; none for who may not read them."""
    try:
        text = files.read(f"{path.removesuffix('.json')}.private")
    except PermissionError:
        return []
    return [] if text is None else jsondata.items(json.loads(text))
