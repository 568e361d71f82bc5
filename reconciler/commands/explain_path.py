"""``vmtune explain PATH``: an entry of the configuration, or a file below one."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from reconciler import exits
from reconciler.commands import looking
from reconciler.commands import plan as planning
from reconciler.commands.explain import coded, say
from reconciler.commands.load import load
from reconciler.config.paths import PathError, expand
from reconciler.core import about, stub
from reconciler.core.effect import Effect
from reconciler.core.facts import Locate, StubOf
from reconciler.core.layout import LayoutOf
from reconciler.core.snapshot import Hidden
from reconciler.host.people import caller
from reconciler.host.refused import Refused
from reconciler.render import bars, text
from reconciler.render import effect as lines
from reconciler.render.layout import hanging, printable
from reconciler.run import journal
from reconciler.value import replace

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from reconciler.commands.load import Loaded
    from reconciler.console import Terminal
    from reconciler.core.item import Item
    from reconciler.core.model import Change
    from reconciler.core.snapshot import Snapshot

_SHOWN = "`vmtune plan` shows what is declared"


def run(terminal: Terminal, kind: str, written: str, config: str | None, host: str | None) -> int:
    """Where it is declared, how the file lies, what the plan says of it, each code explained."""
    loaded = load(config, host)
    see = looking.look(terminal)
    path = _absolute(written)
    items = about.entries(loaded.items, path)
    if not items:  # by another way round: a link on it
        path = _real(path, see)
        items = about.entries([_moved(item, see) for item in loaded.items], path)
    if not items:
        raise Refused(f"{loaded.shown} declares nothing at {written}", _close(written, loaded))
    _there(items, path, see)
    found = about.rows(planning.make(loaded, see).changes, items, path)
    mine = [row for row in found if kind in {"", row.kind}]
    if not mine:
        hint = f"did you mean {found[0].kind} {found[0].name}?" if found else _SHOWN
        raise Refused(f"{loaded.shown} declares no {kind} at {written}", hint)
    _file(terminal, items, path, see)
    _told(terminal, mine)
    return exits.DONE


def _absolute(written: str) -> str:
    try:
        return expand(written, caller.home_of)
    except PathError as error:
        raise Refused(str(error), error.hint) from None


def _real(path: str, see: Snapshot) -> str:
    where = see.maybe(Locate(path))
    return where.path if where else path


def _moved(item: Item, see: Snapshot) -> Item:
    return replace(item, path=_real(item.path, see))


def _close(written: str, loaded: Loaded) -> str:
    names = dict.fromkeys(name for item in loaded.items for name in (item.name, item.path))
    close = difflib.get_close_matches(written.rstrip("/"), names, 1, 0.8)
    return f"did you mean {close[0]}?" if close else _SHOWN


def _there(items: Sequence[Item], path: str, see: Snapshot) -> None:
    """An entry may be one that is yet to be made; what is below it is there, or is nothing."""
    where = see.maybe(Locate(path))
    if about.inside(items, path) and where and where.stub:
        told = stub.refusal(where.stub, see.maybe(StubOf(where.stub)))
        raise Refused(told.text, told.hint)
    if about.inside(items, path) and where and where.kind == "missing":
        raise Refused(f"{path} is not there", "`vmtune status` names the largest files")


def _file(terminal: Terminal, items: Sequence[Item], path: str, see: Snapshot) -> None:
    """Which entries it belongs to; below them, how it lies."""
    name = about.inside(items, path)
    for item in items:
        of = f"for {printable(item.name)} and what is below it" if name else ""
        for line in hanging(f"declared at {item.origin}  ", of, terminal.width, 2):
            terminal.say(line)
    if name:
        terminal.say()
        for line in _layout(terminal, path, name, see):
            terminal.say(line)
        terminal.say()


def _layout(terminal: Terminal, path: str, name: str, see: Snapshot) -> Iterable[str]:
    try:
        where = see(Locate(path))
        found = see(LayoutOf(where.path))
    except Hidden as hidden:
        return [f"    {name}: ? {hidden.why}"]
    if not found:
        return [f"    {name}: {where.kind}"]
    style = bars.style(terminal.tint, unicode=terminal.unicode)
    return lines.alone(found, name, Effect(before=journal.seen()), terminal.width, style)


def _told(terminal: Terminal, rows: Sequence[Change]) -> None:
    for line in text.rows(rows, terminal.width, terminal.paint):
        terminal.say(line)
    for code in sorted({row.code for row in rows} | {n.code for row in rows for n in row.notes}):
        if code:
            terminal.say()
            say(terminal, [coded(code)])
