"""``vmtune explain``: the long text behind a code, a kind of resource, or a path.

The paragraph of a code lies in the ``codes.py`` of the folder whose module speaks the code. So a
code that a kind itself speaks is explained in the kind's folder. A code that a module of facts/ or
engine/ speaks is explained there, whichever hundred it is of.

A path is an entry of the configuration, or a file below one.
"""

from __future__ import annotations

import difflib
import inspect
import os
import re
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler import exit_codes
from reconciler.commands import choose, host_view
from reconciler.commands import plan as planning
from reconciler.commands.load import load_chosen, tell
from reconciler.discovery import codes as of_doctor
from reconciler.engine import codes as of_engine
from reconciler.errors import HostError, Misused
from reconciler.facts import codes as of_facts
from reconciler.facts.host import FilesystemOf, Locate
from reconciler.facts.host_view import NotVisible
from reconciler.facts.images import LayoutOf
from reconciler.facts.locate import stub_refusal
from reconciler.linux import users
from reconciler.report import bar as bars
from reconciler.report import status as status_report
from reconciler.report import text
from reconciler.report.standing import Effect
from reconciler.report.wrap import hanging, printable, wrapped
from reconciler.resources.registry import KINDS, SECTIONS, modules_of_kinds
from reconciler.run import journal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from reconciler.console import Chosen, Terminal
    from reconciler.engine.item import Item
    from reconciler.engine.model import Change
    from reconciler.facts.host_view import HostView


def _paragraphs(text: str) -> dict[str, str]:
    """Return the paragraphs, each on one line, by the code that it begins with."""
    return {part[:4]: " ".join(part[5:].split()) for part in text.strip().split("\n\n")}


CODES = dict(
    sorted(
        (code, text)
        for part in (of_engine, of_facts, of_doctor, *modules_of_kinds("codes"))
        for code, text in _paragraphs(part.TEXT).items()
    )
)
"""What each code means, on one line; in the order of their numbers."""

_SEGMENTS = """\
Images cut into segments: why nocow makes that unnecessary.

Some people cut an image into many small files (VMDK extents, or a folder of 64 MiB segments), so
that a copy-on-write filesystem has smaller files to scatter. It scatters them all the same: what
counts is how many blocks are rewritten, not in how many files they lie.

Measured on a loop-mounted Btrfs (Linux 6.18, mkfs -m single): 1 GiB written once, then 20,000
random writes of 4 KiB, data synced after each 32, as a guest's flush does; three rounds in turn,
median (lowest to highest). "Written" is how many bytes the device was given for each byte of data.

@copy-on-write, one file: 37,116 fragments (37,045 to 37,188), written 3.8, 7.7 s (6.5 to 12.6)
@copy-on-write, 16 segments: 37,130 fragments (37,059 to 37,200), written 9.8, 43 s (39 to 93)
@nocow, one file: 2 fragments, written 1.3, 5.2 s (5.0 to 15.6)
@nocow, 16 segments: 16 fragments (16 to 19), written 4.9, 36 s (25 to 78)

Segments saved no fragment. They cost 2.6 times the writes copy-on-write, and 3.8 times nocow, since
a flush of the guest becomes one fsync(2) for each segment that it touched. Times on that machine,
which others used too, are rough; fragments and bytes are not. `python3 tests/bench/segments.py`
measures it again.

With nocow an image of any size stays in the place where it was first written, while no snapshot
shares it. What segments would cost besides: a descriptor or a chain that must stay whole, more
files to keep together in a backup, and tools that know raw and qcow2 only. vmtune recognises images
of several files (a backing file, a data file, extents) and treats them as one: no part is rewritten
while another is open.
"""

TOPICS = {"segments": _SEGMENTS}


def paragraphs(topic: str) -> list[str]:
    """Each on one line; those that begin with @ are rows of a table, and stay apart."""
    return [
        row
        for block in TOPICS[topic].strip().split("\n\n")
        for row in (block.split("\n") if block.startswith("@") else [" ".join(block.split())])
    ]


_CODE = 6
"""Columns of a code in the list, the space behind it counted."""

_KINDS = {kind.name: kind for kind in KINDS}

_OF_DIRECTORIES = {section.name for section in SECTIONS if section.about == "directory"}
"""Sections whose entries are about what lies below their paths as well."""


def run(chosen: Chosen, subject: Sequence[str], *, as_list: bool) -> int:
    """Print it; looks at the host only for a path. ``subject`` may be a kind and a path."""
    if as_list:
        return _listed(chosen.terminal)
    if not subject:
        raise Misused(
            "name a code, a kind or a path, or say --list",
            "`vmtune help explain` says what it takes",
        )
    kind, name = _parted(" ".join(subject))
    if kind or _is_path(name):
        return _explain_path(chosen, kind, name)
    _say(chosen.terminal, _paragraphs_of(name))
    return exit_codes.DONE


def _listed(terminal: Terminal) -> int:
    """Each of them with its first sentence: the codes under each other, and what is no code."""
    longest = max(len(name) for name in names() if name not in CODES) + 2
    for name in names():
        indent = _CODE if name in CODES else longest
        first, *rest = wrapped(sentence(name), terminal.width, indent)
        terminal.tell([name.ljust(indent) + first[indent:], *rest])
    return exit_codes.DONE


def _say(terminal: Terminal, paragraphs: Sequence[str]) -> None:
    """With a blank line between two, but for the rows of a table."""
    above = ""
    for paragraph in paragraphs:
        is_row = paragraph.startswith("@")
        if above and not (is_row and above.startswith("@")):
            terminal.say()
        terminal.tell(wrapped(paragraph.removeprefix("@"), terminal.width, 4 * is_row))
        above = paragraph


def _coded(code: str) -> str:
    """A code and what it means."""
    return f"{code}  {CODES[code]}"


def _parted(subject: str) -> tuple[str, str]:
    """``nocow ~/images``, as a plan prints it, or ``nocow[~/images]``: its kind, and its path."""
    if found := re.fullmatch(r"([a-z]+)(?:\[(.*)\]| +([/~].*))", subject):
        return found[1], found[2] or found[3]
    return "", subject


def _paragraphs_of(subject: str) -> Sequence[str]:
    code = subject.upper()
    if code in CODES:
        return [_coded(code)]
    if subject in _KINDS:  # the docstring of its module
        module = sys.modules[_KINDS[subject].want.__module__]
        return (inspect.getdoc(module) or "").split("\n\n")
    if subject in TOPICS:
        return paragraphs(subject)
    close = difflib.get_close_matches(code, CODES, 1, 0.7) or difflib.get_close_matches(
        subject.lower(), [*_KINDS, *TOPICS], 1, 0.7
    )
    raise Misused(
        f"nothing is known of {subject!r}",
        f"did you mean {close[0]}?"
        if close
        else "name a code, a kind or a path; `vmtune explain --list` shows which",
    )


def _explain_path(chosen: Chosen, kind: str, written: str) -> int:
    """Where it is declared, how the file lies, what the plan says of it, each code explained."""
    terminal = chosen.terminal
    loaded = replace(load_chosen(chosen, (), [written]), choice=choose.ALL)
    tell(terminal, loaded)
    view = host_view.look(terminal)
    word = choose.word_of(written)
    path, items = _declared(loaded.items, word, view)
    name = inside(items, path)
    if name:
        _there(items, path, view)
    changes = planning.make(loaded, view).changes
    if items:
        found = rows_about(changes, items, path)
    else:  # no entry declares it any more
        found = tuple(row for row in changes if not row.origin and word.is_about(row))
    mine = [row for row in found if kind in {"", row.kind}]
    if not mine and found:
        hint = f"did you mean {found[0].kind} {found[0].name}?"
        raise Misused(f"{loaded.shown} declares no {kind} at {written}", hint)
    if not mine:
        names = [name for row in changes for name in (row.name, row.about) if name]
        hint = choose.unmatched(word, names, _near(word, loaded.items)).hint
        raise Misused(f"{loaded.shown} declares nothing at {written}", hint)
    for item in items:
        of = f"for {printable(item.name)} and what is below it" if name else ""
        terminal.tell(hanging(f"declared at {item.origin}  ", of, terminal.width, 2))
    if name:
        terminal.tell(["", *_layout(terminal, path, name, view), ""])
    _told(terminal, mine)
    return exit_codes.DONE


def _is_path(subject: str) -> bool:
    """Tell a path from a name that is known without a look at a configuration."""
    if subject.startswith(("/", "~")):
        return True
    is_known = subject.upper() in CODES or subject in _KINDS or subject in TOPICS
    return not is_known and ("/" in subject or os.path.lexists(subject))


def _declared(
    items: Sequence[Item], word: choose.Word, host: HostView
) -> tuple[str, tuple[Item, ...]]:
    """Return the path that a word names, as entries call it, and those; none where none is there.

    The word may go round another way: a link on it, or another mount.
    """
    path = choose.absolute(word.typed)
    if found := entries_about(items, path):
        return path, found
    real = _real(path, host)
    moved = [replace(item, path=_real(item.path, host)) for item in items]
    if found := entries_about(moved, real):
        return real, found
    for item in items:
        if word.leads_to(item.path):
            return item.path, entries_about(items, item.path)
        if item.section in _OF_DIRECTORIES and (name := word.name_below(item.path)):
            whole = f"{item.path.rstrip('/')}/{name}"
            return whole, entries_about(items, whole)
    return path, ()


def _real(path: str, host: HostView) -> str:
    where = host.maybe(Locate(path))
    return where.path if where else path


def _there(items: Sequence[Item], path: str, host: HostView) -> None:
    """An entry may be one that is yet to be made; what is below it is there, or is nothing."""
    where = host.maybe(Locate(path))
    if where and where.stub:
        told = stub_refusal(where.stub, host)
        raise HostError(told.text, told.hint)
    if where and where.kind == "missing":
        near = _near(choose.word_of(path), items)
        meant = f"did you mean {' or '.join(near)}?" if near else ""
        raise Misused(f"{path} is not there", meant or "`vmtune status` names the largest files")


def _near(word: choose.Word, items: Sequence[Item]) -> list[str]:
    """Name the files below entries that are called nearly as a word."""
    tops = [item.path for item in items if item.section in _OF_DIRECTORIES]
    return [users.tilde(path) for path in choose.near_files(word, tops)]


def _layout(terminal: Terminal, path: str, name: str, host: HostView) -> Iterable[str]:
    try:
        where = host(Locate(path))
        kind = host(FilesystemOf(where.path)).type
        if kind != "btrfs":  # whether it copies on write, and how, is not known there
            return [f"    {name}: on {kind}, not on Btrfs"]
        found = host(LayoutOf(where.path))
    except NotVisible as hidden:
        return [f"    {name}: ? {hidden.why}"]
    if not found:
        return [f"    {name}: {where.kind}"]
    style = bars.style(terminal.paint, unicode=terminal.unicode)
    return status_report.alone(found, name, Effect(before=journal.seen()), terminal.width, style)


def _told(terminal: Terminal, rows: Sequence[Change]) -> None:
    terminal.tell(text.rows(rows, terminal.width, terminal.paint))
    for code in sorted({row.code for row in rows} | {n.code for row in rows for n in row.notes}):
        if code:
            terminal.say()
            _say(terminal, [_coded(code)])


def names() -> tuple[str, ...]:
    """Return all that is known without a look at a configuration."""
    return (*_KINDS, *TOPICS, *CODES)


def sentence(name: str) -> str:
    """Return the first sentence of what is said of a name."""
    first = CODES.get(name) or " ".join(_paragraphs_of(name)[0].split())
    return re.split(r"(?<=\.)\s", first, maxsplit=1)[0]


def entries_about(items: Sequence[Item], path: str) -> tuple[Item, ...]:
    """Those of the path itself, else the nearest directory above it of each section."""
    own = tuple(item for item in items if item.path == path)
    if own:
        return own
    above = [item for item in items if item.section in _OF_DIRECTORIES and below(item, path)]
    return tuple(
        max((item for item in above if item.section == section), key=lambda item: len(item.path))
        for section in dict.fromkeys(item.section for item in above)
    )


def below(item: Item, path: str) -> str:
    """The path as seen from the entry's; "" for the entry's own, and for what lies elsewhere."""
    above = item.path.rstrip("/") + "/"
    return path.removeprefix(above) if path.startswith(above) else ""


def inside(of: Sequence[Item], path: str) -> str:
    """The path as seen from the first of the entries that it lies below; "" for an entry's own."""
    return next((name for item in of if (name := below(item, path))), "")


def rows_about(changes: Iterable[Change], of: Sequence[Item], path: str) -> tuple[Change, ...]:
    """Those about the path by its name; without any, those of its entries as a whole."""
    origins = {item.origin for item in of}
    mine = [change for change in changes if change.origin in origins]
    files = {f"{item.name.rstrip('/')}/{name}" for item in of if (name := below(item, path))}
    if not files:
        return tuple(mine)
    names = {item.name for item in of}
    return tuple(
        [change for change in mine if change.name in files]
        or [change for change in mine if change.name in names]
    )
