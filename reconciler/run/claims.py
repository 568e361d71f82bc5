"""Who declares what, on record: one file, replaced whole when a claim changes.

The file is for everybody to read, as the journal is: a plan made as a user must know what
root's configuration declares. It names directories, mount points and unit files.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from reconciler.engine import document
from reconciler.engine.claims import Claims, History
from reconciler.errors import HostError
from reconciler.formats import jsondata
from reconciler.linux import files, filesystems
from reconciler.run import journal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.engine.place import Written
    from reconciler.facts.host_view import HostView


PATH = f"{journal.STATE}/claims.json"

FORMAT = "vmtune.claims/1"

_MOVE_AWAY = "move it away to go on without it: each apply notes anew what its file declares"


def history(config: str, host: HostView) -> History:
    """Return all that is on record, for the configuration of that resolved path ("": for none).

    Raise HostError where a record is damaged.
    """
    written = _resolved(journal.written())
    claims = _read()
    known = {was.config for found in written.values() for was in found} | claims.keys()
    homes = {path: each.home for path, each in claims.items()}
    others = known - {config, ""}
    gone = frozenset(path for path in others if _is_gone(path, homes.get(path, ""), host))
    home = filesystems.home_of(config, host) if config else ""
    return History(config, home, written, claims, gone)


def note(claims: Claims) -> None:
    """Put on record what a configuration declares now; only for the holder of the lock.

    Raise HostError where the file cannot be written.
    """
    known = {**_read(), claims.config: claims}
    text = json.dumps({"format": FORMAT, "configs": [_plain(each) for each in known.values()]})
    try:
        os.makedirs(journal.STATE, mode=0o755, exist_ok=True)
        files.replace(PATH, text.encode("ascii") + b"\n")
    except OSError as error:
        raise HostError(f"{PATH} cannot be written: {error.strerror}") from None


def _resolved(written: Written) -> Written:
    """Return the records with each configuration by its resolved path: older ones have links."""
    configs = {was.config for found in written.values() for was in found}
    real = {config: os.path.realpath(config) if config else "" for config in configs}
    return {
        place: tuple(replace(was, config=real[was.config]) for was in found)
        for place, found in written.items()
    }


def _is_gone(config: str, home: str, host: HostView) -> bool:
    """Tell whether a configuration's file is surely there no more.

    It is gone only where what lies above it is on the filesystem and subvolume that it was
    on: a home that is not mounted now has not lost its files.
    """
    try:
        if stat.S_ISREG(os.stat(config).st_mode):
            return False
    except (FileNotFoundError, NotADirectoryError):
        if os.path.lexists(config):  # a link, to what may only not be mounted now
            return False
    except OSError:
        return False
    if home:
        return filesystems.home_of(config, host) == home
    # A record from before homes were noted: its own directory must still be there.
    return os.path.isdir(os.path.dirname(config))


def _read() -> dict[str, Claims]:
    text = journal.text(PATH, _MOVE_AWAY)
    if not text:
        return {}
    with journal.checked(PATH, _MOVE_AWAY):
        data = jsondata.mapping(json.loads(text))
        journal.expect(FORMAT, data)
        found = [_claims(jsondata.mapping(each)) for each in jsondata.items(data["configs"])]
    return _by_file(found)


def _by_file(found: Sequence[Claims]) -> dict[str, Claims]:
    """Return the claims by the file that each name leads to now.

    A file that was moved, and to which a link now leads from its old name, is one
    configuration. What its other names had declared is its own as well.
    """
    files: dict[str, Claims] = {}
    for each in sorted(found, key=_is_link):  # what a file declared by its own name counts more
        path = os.path.realpath(each.config) if _is_link(each) else each.config
        known = files.get(path)
        files[path] = each if known is None else _with(known, each)
    return files


def _is_link(claims: Claims) -> bool:
    """Tell whether the recorded name leads to a file of another name now."""
    path = claims.config
    return os.path.realpath(path) != path and os.path.isfile(path)


def _with(known: Claims, other: Claims) -> Claims:
    wanted = {**other.wanted, **known.wanted}
    return replace(known, wanted=wanted, owed=(known.owed | other.owed) - wanted.keys())


def _claims(data: dict[str, Any]) -> Claims:
    wanted = [jsondata.mapping(each) for each in jsondata.items(data["wanted"])]
    return Claims(
        jsondata.text(data["path"]),
        jsondata.text(data["home"]),
        {document.place(each["at"]): jsondata.mapping(each["part"]) for each in wanted},
        frozenset(document.place(each) for each in jsondata.items(data["owed"])),
    )


def _plain(of: Claims) -> dict[str, Any]:
    wanted = [{"at": document.plain_place(at), "part": part} for at, part in of.wanted.items()]
    owed = sorted((document.plain_place(place) for place in of.owed), key=json.dumps)
    return {"path": of.config, "home": of.home, "wanted": wanted, "owed": owed}
