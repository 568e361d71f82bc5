"""Places, values and actions as plain JSON data, and back.

What is read back is checked as it is built: a file that says something else is a FormatError,
never a half-understood plan. What everybody may read has no names of files in it (redacted).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from reconciler.engine import directory as directory_place
from reconciler.engine.last_applied import Seen
from reconciler.engine.model import Notify, Swap
from reconciler.engine.order import DAEMON_RELOAD
from reconciler.facts import tree
from reconciler.facts.tree import NameList
from reconciler.resources.compression import places as compression_places
from reconciler.resources.defrag import places as defrag_places
from reconciler.resources.images import places as images_places
from reconciler.resources.images.places import Images
from reconciler.resources.mount import places as mount_places
from reconciler.resources.nocow import places as nocow_places
from reconciler.resources.subvolume import places as subvolume_places
from reconciler.value import replace, types_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from reconciler.engine import place as places
    from reconciler.engine.last_applied import LastApplied
    from reconciler.engine.model import Action
    from reconciler.engine.place import Place


T = TypeVar("T")


class FormatError(Exception):
    """The data is no plan or journal of this version: says what is wrong with it."""


def text(data: Any) -> str:
    """The data, which is a string that stands for bytes (PEP 383)."""
    found = _a(str, data)
    try:
        found.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise FormatError(f"no text: {found!r:.60}") from None
    return found


def name(data: Any) -> str:
    """The data, which is a text that the kernel takes as a name."""
    found = text(data)
    if "\0" in found:
        raise FormatError(f"no name: {found!r:.60}")
    return found


def number(data: Any) -> int:
    """The data, which is an integer; JSON's true is none."""
    return _a(int, data)


def flag(data: Any) -> bool:
    """The data, which is true or false."""
    return _a(bool, data)


def items(data: Any) -> list[Any]:
    """The data, which is a list."""
    return _a(list, data)


def mapping(data: Any) -> dict[str, Any]:
    """The data, which is an object."""
    return _a(dict, data)


def _a(kind: type[T], data: Any) -> T:
    if type(data) is not kind:
        raise FormatError(f"expected {kind.__name__}, found {data!r:.60}")
    return data


def _optional(data: Any) -> str | None:
    return None if data is None else text(data)


def _names(data: Any) -> tuple[str, ...]:
    return tuple(name(entry) for entry in items(data))


def _folder(data: Any) -> directory_place.Folder | None:
    return None if data is None else _built(directory_place.Folder, mapping(data))


def _standing(data: Any) -> tree.NameList:
    return _built(tree.NameList, mapping(data))


def _below(data: Any) -> tree.NameList:
    if isinstance(data, list):  # records named all of them before
        return tree.NameList(len(data), _names(data)[: tree.MOST])
    return _standing(data)


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "bool": flag,
    "int": number,
    "str": name,
    "tuple[str, ...]": _names,
}
"""By the annotation of a field."""

_VALUES: Mapping[type[places.Place[Any]], Callable[[Any], Any]] = {
    nocow_places.Below: _below,
    directory_place.Directory: _folder,
    mount_places.FstabOptions: _optional,
    mount_places.LiveOption: name,
    defrag_places.TextFile: _optional,
    defrag_places.Timer: name,
    defrag_places.UnitFile: _optional,
    images_places.Images: _standing,
    compression_places.PropertyBelow: _standing,
    images_places.Strays: _names,
    subvolume_places.Subvolume: name,
}
"""What each place may hold."""

_PLACES = {kind.__name__: kind for kind in _VALUES}


def plain_place(place: places.Place[Any]) -> dict[str, Any]:
    """``{"place": "FstabOptions", "target": "/", "line": 7}``."""
    return {"place": type(place).__name__, **_fields(place)}


def place(data: Any) -> places.Place[Any]:
    """The place again; tuples come back as tuples."""
    fields = dict(mapping(data))
    name = fields.pop("place", None)
    kind = _PLACES.get(name) if isinstance(name, str) else None
    if kind is None:
        raise FormatError(f"unknown place {name!r:.60}: made by a newer vmtune?")
    return _built(kind, fields)


def _built(kind: type[T], data: Mapping[str, Any]) -> T:
    """A dataclass from all of its fields, each of its type."""
    fields = types_of(kind)
    if fields.keys() != data.keys():
        names = ", ".join(sorted(fields.keys() ^ data.keys()))
        raise FormatError(f"{kind.__name__} with other fields than expected: {names:.60}")
    return kind(**{name: _READERS[fields[name]](value) for name, value in data.items()})


def plain_value(value: Any) -> Any:
    """JSON data for a value; a Folder becomes an object, a tuple a list."""
    if isinstance(value, tuple):
        return list(value)
    return _fields(value) if types_of(value) else value


def value(of: places.Place[Any], data: Any) -> Any:
    """A value of that place again."""
    return _VALUES[type(of)](data)


def seen(data: Any) -> Seen:
    """How an image lay."""
    return _built(Seen, mapping(data))


def plain_action(action: Action) -> dict[str, Any]:
    """An action with all that is needed to do it, or to undo it."""
    if isinstance(action, Notify):
        return {"poke": action.name}
    return {
        **plain_place(action.place),
        "have": plain_value(action.have),
        "want": plain_value(action.want),
        "why": action.why,
        "owner": action.owner,
    }


def action(data: Any) -> Action:
    """The action again."""
    fields = dict(mapping(data))
    if "poke" in fields:
        if fields["poke"] != DAEMON_RELOAD.name:
            raise FormatError(f"unknown effect {fields['poke']!r:.60}: made by a newer vmtune?")
        return DAEMON_RELOAD
    try:
        have, want = fields.pop("have"), fields.pop("want")
        why, owner = text(fields.pop("why")), text(fields.pop("owner"))
    except KeyError as missing:
        raise FormatError(f"an action without {missing}") from None
    where = place(fields)
    return Swap(where, value(where, have), value(where, want), why, owner)


def digest(actions: Iterable[Action]) -> str:
    """SHA-256 over all that the actions would do: equal only when they are."""
    import hashlib  # noqa: PLC0415 - OpenSSL takes 3 ms to load
    import json  # noqa: PLC0415

    data = json.dumps([plain_action(action) for action in actions], sort_keys=True)
    return hashlib.sha256(data.encode()).hexdigest()


def _fields(of: Any) -> dict[str, Any]:
    return {name: plain_value(getattr(of, name)) for name in types_of(of)}


_NAME = "?"


def redacted_value(of: Any) -> Any:
    """A value of any place; tuples of texts are always names."""
    if isinstance(of, NameList):
        return NameList(of.count, redacted_value(of.named))
    return tuple(_NAME for _ in of) if isinstance(of, tuple) else of


def redacted_place(of: Place[Any]) -> Place[Any]:
    """The place; images that are spared were found, too."""
    return replace(of, spared=redacted_value(of.spared)) if isinstance(of, Images) else of


def redacted(of: Action) -> Action:
    """The action as everybody may read it."""
    if not isinstance(of, Swap):
        return of
    return replace(
        of,
        place=redacted_place(of.place),
        have=redacted_value(of.have),
        want=redacted_value(of.want),
    )


def redacted_record(of: LastApplied) -> LastApplied:
    """The same for what is folded from the records."""
    return replace(
        of, original=redacted_value(of.original), values=tuple(map(redacted_value, of.values))
    )
