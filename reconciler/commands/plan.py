"""``vmtune plan``: read, compare, show. Nothing it loads can change the host."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler import __version__
from reconciler.commands import approval, host_view
from reconciler.commands.load import heading, host_title, load_chosen, tell
from reconciler.engine import document, preconditions
from reconciler.engine.document import Document, World
from reconciler.engine.plan import declare, make_plan
from reconciler.errors import Misused
from reconciler.facts import limits
from reconciler.facts.diagnostics import Op
from reconciler.linux import machine, trusted_input, users
from reconciler.report import text, wrap
from reconciler.resources.registry import KINDS
from reconciler.run import claims, planfile

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from reconciler.commands.load import Loaded
    from reconciler.console import Chosen, Terminal
    from reconciler.engine.model import Plan
    from reconciler.engine.place import Who
    from reconciler.facts.host_view import HostView


def run(
    chosen: Chosen,
    entries: Sequence[str],
    output: str | None,
    allow: Sequence[str],
    *,
    detailed_exitcode: bool,
) -> int:
    """Print the plan, save it where asked to; return the exit code (exit_codes.py)."""
    terminal = chosen.terminal
    if output is not None and chosen.config in trusted_input.STANDARD_INPUT:
        raise Misused(
            "-o saves no plan of a draft", "save the draft as a file, and name it with --config"
        )
    # A file of someone's is refused before a long look at the host.
    saved = "" if output is None else planfile.free(output)
    loaded = load_chosen(chosen, allow, entries, drafts=True)
    tell(terminal, loaded)
    if loaded.is_draft and not loaded.path:
        terminal.progress("without --as PATH, what the draft would take back is not shown")
    view = host_view.look(terminal)
    plan = make(loaded, view)
    made = document_of(loaded, plan, view) if saved or terminal.json else None
    if made and saved:
        planfile.save(saved, made)
    show(terminal, loaded, plan, "read only", saved=saved)
    if made:
        terminal.data(document.plain(made, users.owner))
    return document.exit_code(plan, detailed=detailed_exitcode)


def make(loaded: Loaded, host: HostView) -> Plan:
    """Return the plan for this host as it is seen, of the chosen entries or of all.

    Raises Misused where an argument names no entry.
    """
    choice = loaded.choice
    declared = choice.narrowed(declare(loaded.items, KINDS))
    history = claims.history(loaded.file, host)
    made = make_plan(declared, KINDS, host, history, choice if choice.words else None)
    return at_home(choice.check(made))


def at_home(of: Plan) -> Plan:
    """Name what lies in the caller's home as they do, where no configuration names it any more."""
    rows = (row if row.origin else replace(row, name=users.tilde(row.name)) for row in of.changes)
    return replace(of, changes=tuple(rows))


def world(loaded: Loaded) -> World:
    """What a plan made now rests on, beside its places."""
    made_on = (loaded.host, machine.identity(), machine.kernel())
    entries = tuple(loaded.choice.as_words)
    return World(*made_on, loaded.path, loaded.digest, loaded.allowed, entries)


def document_of(loaded: Loaded, plan: Plan, host: HostView) -> Document:
    """The plan with all that it rests on, as it is saved and printed."""
    facts = preconditions.facts(plan.actions, host)
    return Document(plan, world(loaded), machine.now(), __version__, facts)


def show(terminal: Terminal, loaded: Loaded, plan: Plan, remark: str, *, saved: str = "") -> None:
    """Which host and file, then the rows, then how to go on, and the count in the last line."""
    beside: list[str] = []
    is_user = not users.is_root()
    unseen = [change for change in plan.changes if change.op is Op.UNKNOWN]
    # Root sees no more of an image that another process holds.
    if is_user and any(change.code != limits.LEASED for change in unseen):
        line = approval.root_line(loaded, "plan", *loaded.allow_words, *loaded.choice.as_words)
        also = ", with the draft on standard input again" if loaded.is_draft else ""
        lead = f"To see what is `?` here{also}: "
        beside += wrap.command(line, terminal.width, 0, lead)
    if saved:
        beside.append(_saved_as(loaded, saved))
    parts = (
        f"host {host_title(loaded.host)}",
        f"config {loaded.shown}",
        text.allowed(loaded.allowed),
        remark,
    )
    show_rows(
        terminal,
        parts,
        plan,
        text.beside(plan, users.tilde),
        beside,
        needs_root=is_user,
    )


def show_rows(  # noqa: PLR0913 - what stands around the rows
    terminal: Terminal,
    parts: Iterable[str],
    plan: Plan,
    before: Iterable[str] = (),
    behind: Iterable[str] = (),
    *,
    who: Who = users.owner,
    needs_root: bool = False,
) -> None:
    """Print a plan below a heading of ``parts``; codes are explained between the two others."""
    heading(terminal, parts)
    more = text.more(plan)
    told = text.plan(
        plan,
        terminal.width,
        terminal.paint,
        verbose=terminal.verbose,
        who=who,
        beside=[*before, *[more] * bool(more), *behind],
        needs_root=needs_root,
    )
    terminal.tell(told)


def _saved_as(loaded: Loaded, file: str) -> str:
    """Say what a saved plan is good for: that of another host rests on what is seen on this one."""
    if loaded.is_of_another_host:
        return (
            f"Saved, to be looked at: `{shlex.join(['vmtune', 'show', file])}`. No host applies it."
        )
    return f"Saved: `{shlex.join(['vmtune', 'apply', file])}` does exactly this."
