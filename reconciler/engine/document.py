"""Places, actions and whole plans as JSON data, and back: what is printed, saved and done.

What is read back is checked as it is built: a file that says something else is a FormatError,
never a half-understood plan. What everybody may read has no names of files in it (redacted).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING, Any

from reconciler import exit_codes
from reconciler.engine import preconditions
from reconciler.engine.model import Change, Notify, Plan, Wait
from reconciler.engine.order import DAEMON_RELOAD
from reconciler.engine.place import Place, Swap, numbered
from reconciler.errors import SourceLocation
from reconciler.facts.diagnostics import ALSO, LABELS, Note, Op
from reconciler.facts.tree import REDACTED, NameList
from reconciler.formats import jsondata
from reconciler.formats.jsondata import FormatError
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.engine.claims import Part
    from reconciler.engine.model import Action, Desired
    from reconciler.engine.place import LastApplied, Who
    from reconciler.engine.preconditions import Precondition


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


FORMAT = "vmtune.plan/1"

ACTIONS = {
    Op.ADD: "create",
    Op.CHANGE: "update",
    Op.REMOVE: "delete",
    Op.BLOCKED: "refused",
    Op.UNKNOWN: "unknown",
    Op.WAITS: "reboot",
    Op.SAME: "none",
}
"""What a row says, in a word for programs."""


class World(Value):
    """What a plan rests on besides its places: which machine, kernel and configuration.

    ``config`` is the absolute path, ``digest`` the SHA-256 of the text and of
    the overlay for ``host``, in hexadecimal; ``machine`` that of machine-id(5).
    """

    host: str
    machine: str
    kernel: str
    config: str
    digest: str
    allow: tuple[str, ...] = ()
    """Risks that the command line allowed for once: the plan is done with them."""
    entries: tuple[str, ...] = ()
    """Entries that the command line named: the plan is about them only; () for all."""


class Document(Value):
    """A plan with the world it was made for; ``created`` is ISO 8601, ``version`` vmtune's."""

    plan: Plan
    world: World
    created: str
    version: str
    facts: tuple[Precondition, ...] | None = None
    """None in plans from before vmtune wrote them down."""


def exit_code(plan: Plan, *, detailed: bool = True) -> int:
    """Choose the exit code that a plan stands for: of several that hold the first of 2, 7, 6, 0.

    Every command asks this function: ``plan``, ``status``, ``apply``, ``apply PLAN``.
    Without ``detailed`` (a ``plan`` that was not asked for it) 2 and 7 are 0.
    """
    if plan.actions:
        return exit_codes.DIFFERENCES if detailed else exit_codes.DONE
    if plan.count(Op.BLOCKED):
        return exit_codes.REFUSED if detailed else exit_codes.DONE
    return exit_codes.UNSEEN if plan.count(Op.UNKNOWN) else exit_codes.DONE


def summary(of: Plan) -> dict[str, Any]:
    """Count the rows, by what they say; ``exit`` is that of ``plan --detailed-exitcode``."""
    return {
        "changes": len(of.steps),
        **{word: of.count(op) for op, word in ACTIONS.items() if op is not Op.WAITS},
        "waiting": of.count(Op.WAITS),
        "not_applicable": sum(not change.applicable for change in of.changes),
        "not_chosen": of.left_out,
        "exit": exit_code(of),
        "needs_root": bool(of.actions),
        "reboot": of.waits,
    }


def plain(document: Document, who: Who = numbered) -> dict[str, Any]:
    """The document as JSON data, in a stable order."""
    world = document.world
    facts = (
        {} if document.facts is None else {"facts": list(map(preconditions.plain, document.facts))}
    )
    return {
        "format": FORMAT,
        "version": document.version,
        "created": document.created,
        "host": world.host,
        "machine": world.machine,
        "kernel": world.kernel,
        "config": {
            "path": world.config,
            "sha256": world.digest,
            "allow": list(world.allow),
            **({"entries": list(world.entries)} if world.entries else {}),
        },
        "summary": summary(document.plan),
        "changes": [plain_change(change, who) for change in document.plan.changes],
        "actions": [plain_action(action) for action in document.plan.actions],
        **facts,
    }


def plain_change(change: Change, who: Who = numbered) -> dict[str, Any]:
    """One row with its swaps, as JSON data.

    ``before`` and ``after`` are what a person reads, by the names of the places: of a file the
    text, null where there is none.
    """
    values = {s.place.full: s.place.in_full(s.have, s.want, who) for s in change.swaps}
    return {
        "op": change.op.value,
        "action": ACTIONS[change.op],
        "kind": change.kind,
        "name": change.name,
        "path": change.about or None,
        "text": change.text,
        "code": change.code,
        "hint": change.hint,
        "applicable": change.applicable,
        "origin": str(change.origin) if change.origin else None,
        "notes": [
            {
                "text": note.text,
                "code": note.code,
                "label": note.label,
                "of_host": note.is_of_host,
            }
            for note in change.notes
        ],
        "before": {name: before for name, (before, _) in values.items()},
        "after": {name: after for name, (_, after) in values.items()},
        "swaps": [plain_action(swap) for swap in change.swaps],
        **({"poke": change.notify.name} if change.notify else {}),
        **({"waits_for": list(map(_plain_wait, change.waits))} if change.waits else {}),
    }


def _plain_wait(of: Wait) -> dict[str, Any]:
    return {"why": of.why, "paths": list(of.paths), "then": plain_action(of.swap)}


def _wait(data: Any) -> Wait:
    fields = jsondata.mapping(data)
    swap = action(fields["then"])
    if not isinstance(swap, Swap):
        raise FormatError("what is waited for is no change of a place")
    return Wait(swap, jsondata.text(fields["why"]), jsondata.names(fields["paths"]))


def read_document(data: Any) -> Document:
    """The document again; FormatError says what is not as it should be."""
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        found = data.get("format") if isinstance(data, dict) else None
        raise FormatError(
            f"not a plan of this version: format is {found!r:.60}, expected {FORMAT!r}"
        )
    try:
        changes = tuple(_change(change) for change in jsondata.items(data["changes"]))
        actions = tuple(map(action, jsondata.items(data["actions"])))
        made = jsondata.text(data["created"]), jsondata.text(data["version"])
        facts = jsondata.items(data["facts"]) if "facts" in data else None
        rested = None if facts is None else tuple(map(preconditions.fact, facts))
        return Document(Plan(changes, actions), _world(data), *made, rested)
    except KeyError as missing:
        raise FormatError(f"a damaged plan: without {missing}") from None
    except ValueError as error:
        raise FormatError(f"a damaged plan: {error}") from None


def _world(data: dict[str, Any]) -> World:
    config = jsondata.mapping(data["config"])
    return World(
        jsondata.text(data["host"]),
        jsondata.text(data["machine"]),
        jsondata.text(data["kernel"]),
        jsondata.text(config["path"]),
        jsondata.text(config["sha256"]),
        tuple(map(jsondata.text, jsondata.items(config.get("allow", [])))),
        tuple(map(jsondata.text, jsondata.items(config.get("entries", [])))),
    )


def _change(data: Any) -> Change:
    fields = jsondata.mapping(data)
    swaps = tuple(action(swap) for swap in jsondata.items(fields["swaps"]))
    return Change(
        Op(jsondata.text(fields["op"])),
        jsondata.text(fields["kind"]),
        jsondata.text(fields["name"]),
        jsondata.text(fields["text"]),
        tuple(swap for swap in swaps if isinstance(swap, Swap)),
        tuple(_note(note) for note in jsondata.items(fields["notes"])),
        jsondata.text(fields["hint"]),
        jsondata.text(fields["code"]),
        jsondata.flag(fields["applicable"]),
        None if fields["origin"] is None else _origin(jsondata.text(fields["origin"])),
        jsondata.optional(fields.get("path")) or "",
        notify(fields["poke"]) if "poke" in fields else None,
        tuple(map(_wait, jsondata.items(fields.get("waits_for", [])))),
    )


def _note(data: Any) -> Note:
    fields = jsondata.mapping(data)
    label = jsondata.text(fields.get("label", ALSO))
    if label not in LABELS:
        raise ValueError(f"unknown label {label!r:.60}")
    of_host = jsondata.flag(fields.get("of_host", False))
    return Note(jsondata.text(fields["text"]), jsondata.text(fields["code"]), label, of_host)


def _origin(text: str) -> SourceLocation:
    file, line, column = text.rsplit(":", 2)
    return SourceLocation(file, int(line), int(column))
