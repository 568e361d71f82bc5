"""Places, values and actions as plain JSON data, and back.

What is read back is checked as it is built: a file that says something else is a FormatError,
never a half-understood plan. What everybody may read has no names of files in it (redacted).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING, Any

from reconciler.engine.model import Notify
from reconciler.engine.order import DAEMON_RELOAD
from reconciler.engine.place import Place, Swap
from reconciler.facts.tree import REDACTED, NameList
from reconciler.formats import jsondata

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.engine.claims import Part
    from reconciler.engine.model import Action, Desired
    from reconciler.engine.place import LastApplied


def _places(of: Any = Place) -> dict[str, type[Place[Any]]]:
    """Find every place that a kind brought by the name of its class, but for mere bases."""
    found: dict[str, type[Place[Any]]] = {}
    for kind in of.__subclasses__():
        own = {} if kind.__abstractmethods__ else {kind.__name__: kind}
        found |= {**own, **_places(kind)}
    return found


def plain_place(place: Place[Any]) -> dict[str, Any]:
    """``{"place": "FstabOptions", "target": "/", "line": 7}``."""
    return {"place": type(place).__name__, **_fields(place)}


def place(data: Any) -> Place[Any]:
    """The place again; tuples come back as tuples."""
    fields = dict(jsondata.mapping(data))
    name = fields.pop("place", None)
    kind = _places().get(name) if isinstance(name, str) else None
    if kind is None:
        raise jsondata.FormatError(f"unknown place {name!r:.60}: made by a newer vmtune?")
    return jsondata.built(kind, fields)


def plain_value(value: Any) -> Any:
    """JSON data for a value; a Folder becomes an object, a tuple a list."""
    if isinstance(value, tuple):
        return list(map(plain_value, value))
    return _fields(value) if dataclasses.is_dataclass(value) else value


def part_of(goal: Desired[Any]) -> Part:
    """Return what of the value an entry decides, as JSON data."""
    if goal.part is not None:
        return goal.part
    return {"is": plain_value(goal.want)}


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


def notify(name: Any) -> Notify:
    """Return the one effect that there is, by its name."""
    if name != DAEMON_RELOAD.name:
        raise jsondata.FormatError(f"unknown effect {name!r:.60}: made by a newer vmtune?")
    return DAEMON_RELOAD


def action(data: Any) -> Action:
    """The action again."""
    fields = dict(jsondata.mapping(data))
    if "poke" in fields:
        return notify(fields["poke"])
    try:
        have, want = fields.pop("have"), fields.pop("want")
        why, owner = jsondata.text(fields.pop("why")), jsondata.text(fields.pop("owner"))
    except KeyError as missing:
        raise jsondata.FormatError(f"an action without {missing}") from None
    where = place(fields)
    return Swap(where, where.decoded(have), where.decoded(want), why, owner)


def digest(actions: Iterable[Action]) -> str:
    """SHA-256 over all that the actions would do: equal only when they are."""
    data = json.dumps([plain_action(action) for action in actions], sort_keys=True)
    return hashlib.sha256(data.encode()).hexdigest()


def _fields(of: Any) -> dict[str, Any]:
    return {each.name: plain_value(getattr(of, each.name)) for each in dataclasses.fields(of)}


def _redacted(of: Any) -> Any:
    """A value of any place; tuples of texts are always names."""
    if isinstance(of, NameList):
        return of.redacted()
    return tuple(REDACTED for _ in of) if isinstance(of, tuple) else of


def redacted(of: Action) -> Action:
    """The action as everybody may read it."""
    if not isinstance(of, Swap):
        return of
    return dataclasses.replace(
        of,
        place=of.place.redacted(),
        have=_redacted(of.have),
        want=_redacted(of.want),
    )


def redacted_record(of: LastApplied) -> LastApplied:
    """The same for what is folded from the records."""
    return dataclasses.replace(
        of, original=_redacted(of.original), values=tuple(map(_redacted, of.values))
    )
