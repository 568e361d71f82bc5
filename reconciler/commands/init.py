"""``vmtune init``: look at the host, and write down what could be declared for it."""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from typing import TYPE_CHECKING

from reconciler import exit_codes
from reconciler.commands import approval, host_view, schema
from reconciler.discovery.suggest import suggest
from reconciler.errors import HostError
from reconciler.formats.sizes import counted
from reconciler.linux import files, trusted_input, users
from reconciler.report import discovery, wrap

if TYPE_CHECKING:
    from reconciler.console import Chosen
    from reconciler.facts.discovered import Suggestion


_WIDEST = 80
"""Columns of the file; on a narrower terminal as many as that has."""


def run(chosen: Chosen, output: str | None) -> int:
    """Print it, or write it to a file that is not there yet; 1 when there is one."""
    terminal = chosen.terminal
    path = files.checked_output(output) if output is not None else ""
    found = suggest(chosen.host or trusted_input.short_hostname(), host_view.look(terminal))
    width = _WIDEST if path else min(_WIDEST, terminal.width)
    as_root = approval.root_line(None, "init") if found.unseen and not users.is_root() else ""
    told = discovery.suggestion(found, width, has_schema=bool(path), as_root=as_root)
    text = "".join(f"{line}\n" for line in told)
    if not path:
        terminal.say(text.removesuffix("\n"), as_is=True)
        return exit_codes.DONE
    files.write_output(path, text.encode())
    terminal.say(_written(path, found))
    terminal.say(_schema_beside(path))
    if as_root:
        terminal.tell(wrap.command(as_root, terminal.width, 0, "What only root can see: "))
    terminal.say(_next(path, found))
    return exit_codes.DONE


def _schema_beside(path: str) -> str:
    """Write the schema that the first line names, and say what became of it."""
    file = os.path.join(os.path.dirname(path), discovery.SCHEMA)
    text = schema.text_of("vmtune").encode()
    try:
        files.write_output(file, text)
    except HostError as error:
        is_same = False
        with suppress(OSError):
            is_same = files.read(file) == text
        if not is_same:
            return f"{error.message}: the schema for editors was not written"
    return f"{users.tilde(file)}: the schema, for editors"


def _written(path: str, found: Suggestion) -> str:
    active = sum(entry.active for entry in found.entries)
    offered = len(found.entries) - active
    entries = counted(active, "entry", "entries")
    comments = "a comment" if offered == 1 else "comments"
    more = f", {offered:,} more as {comments}" if offered else ""
    return f"{users.tilde(path)}: {entries} declared{more}"


def _next(path: str, found: Suggestion) -> str:
    if found.is_right:
        return "All is right already: nothing that is declared would change."
    named = ["--config", path]
    with suppress(HostError):
        if trusted_input.find(None).path == path:  # it is found without an option
            named = []
    return f"Next: {shlex.join(['vmtune', 'plan', *named])}"
