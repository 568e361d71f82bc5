"""``vmtune plan``: read, compare, show. Nothing it loads can change the host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler import __version__, exit_codes
from reconciler.commands import host_view
from reconciler.commands.load import guarded, load_chosen
from reconciler.engine.plan import declare, make_plan
from reconciler.errors import Misused
from reconciler.facts import limits
from reconciler.facts.diagnostics import Op
from reconciler.linux import trusted_input, users
from reconciler.report import text
from reconciler.resources.registry import KINDS
from reconciler.run import claims

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.commands.load import Loaded
    from reconciler.console import Terminal
    from reconciler.engine.document import Document, World
    from reconciler.engine.model import Change, Plan
    from reconciler.facts.host_view import HostView


def run(  # noqa: PLR0913 - one per option
    terminal: Terminal,
    config: str | None,
    host: str | None,
    output: str | None,
    *,
    allow: Sequence[str] = (),
    entries: Sequence[str] = (),
    stands_at: str | None = None,
    detailed: bool,
) -> int:
    """Print the plan, save it where asked to; the exit code as in exits."""

    def command() -> int:
        if output is not None and config in trusted_input.STANDARD_INPUT:
            raise Misused(
                "-o saves no plan of a draft", "save the draft as a file, and name it with --config"
            )
        saved = None if output is None else _free(output)
        loaded = load_chosen(config, host, allow, entries, stands_at, drafts=True)
        view = host_view.look(terminal)
        plan = make(loaded, view)
        show(terminal, loaded, plan, "read only: nothing was changed")
        if saved or terminal.json:
            _write(terminal, document_of(loaded, plan, view), saved)
        code = exit_code(plan, detailed=detailed)
        tell_refused(terminal, plan, code)
        return code

    return guarded(terminal, command)


def _free(output: str) -> str:
    """The absolute path: a file of someone's is refused before a long look at the host."""
    from reconciler.run import planfile  # noqa: PLC0415 - nothing here is needed to show a plan

    return planfile.free(output)


def _write(terminal: Terminal, made: Document, output: str | None) -> None:
    import shlex  # noqa: PLC0415 - nothing here is needed to show a plan

    from reconciler.engine import document  # noqa: PLC0415
    from reconciler.run import planfile  # noqa: PLC0415

    if output:
        planfile.save(output, made)
        terminal.say(f"Saved: `{shlex.join(['vmtune', 'apply', output])}` does exactly this.")
    terminal.data(document.plain(made))


def make(loaded: Loaded, host: HostView) -> Plan:
    """Return the plan for this host as it is seen, of the chosen entries or of all.

    Raises Misused where an argument names no entry.
    """
    declared = declare(loaded.items, KINDS)
    made = make_plan(declared, KINDS, host, claims.history(loaded.file, host), loaded.choice)
    return loaded.choice.check(made) if loaded.choice else made


def world(loaded: Loaded) -> World:
    """What a plan made now rests on, beside its places."""
    from reconciler.engine.document import World  # noqa: PLC0415
    from reconciler.linux import machine  # noqa: PLC0415

    made_on = (loaded.host, machine.identity(), machine.kernel())
    return World(*made_on, loaded.path, loaded.digest, loaded.allowed)


def document_of(loaded: Loaded, plan: Plan, host: HostView) -> Document:
    """The plan with all that it rests on, as it is saved and printed."""
    from reconciler.engine import preconditions  # noqa: PLC0415
    from reconciler.engine.document import Document  # noqa: PLC0415
    from reconciler.linux import machine  # noqa: PLC0415

    facts = preconditions.facts(plan.actions, host)
    return Document(plan, world(loaded), machine.now(), __version__, facts)


def show(terminal: Terminal, loaded: Loaded, plan: Plan, remark: str) -> None:
    """Which host and file, then the rows, then what to type to have it done."""
    head = f"host {loaded.host}   config {loaded.shown}"
    head += text.allowed(loaded.allowed)
    for line in text.header(head, remark, terminal.width):
        terminal.say(line)
    terminal.say()
    rows = text.plan(plan, terminal.width, terminal.paint, verbose=terminal.verbose)
    terminal.say("\n".join(rows))
    for line in text.beside(plan, terminal.width):
        terminal.say(terminal.dim(line))
    if plan.actions:
        needs = "" if users.is_root() else "Needs root. "
        terminal.say(
            needs + ("One option waits for a fresh mount." if plan.waits else "No reboot.")
        )
    if more := text.more(plan):
        terminal.say(more)
    if any(_root_sees(change) for change in plan.changes) and not users.is_root():
        from reconciler.commands import root  # noqa: PLC0415

        line = root.line(loaded, "plan", *loaded.allow_words, *loaded.entry_words)
        also = ", with the draft on standard input again" if loaded.draft else ""
        terminal.say(f"To see what is `?` here: {line}{also}")


def _root_sees(change: Change) -> bool:
    """Whether a row is unknown, and not for want of an image that another process holds."""
    return change.op is Op.UNKNOWN and change.code != limits.LEASED


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


def tell_refused(terminal: Terminal, plan: Plan, code: int) -> None:
    """Say in the last line what is refused, where that is why the exit code is 7."""
    if code == exit_codes.REFUSED:
        for line in text.counted_rows(plan, Op.BLOCKED, terminal.width):
            terminal.say(line)
