"""What a shell offers as a value where that takes a look: entries, subjects, runs, hosts."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from click.shell_completion import CompletionItem

from reconciler.commands import explain
from reconciler.config import load
from reconciler.errors import HostError
from reconciler.linux import trusted_input
from reconciler.resources.registry import KINDS
from reconciler.run import journal

_PATHS = ("/", "~", ".")
"""How a path begins, and nothing else that is offered."""


def entries(_context: Any, _parameter: Any, begun: str) -> list[CompletionItem]:
    """Offer what names entries, or a saved plan: a file, or a kind once it is begun."""
    found = [CompletionItem(begun, type="file")]
    if not begun or begun.startswith(_PATHS):
        return found
    # Click's bash drops what stands before a file.
    return [*found, *(CompletionItem(each.name) for each in KINDS if each.name.startswith(begun))]


def subjects(_context: Any, _parameter: Any, begun: str) -> list[CompletionItem]:
    """Offer what ``explain`` takes: a file, or a code in either case, a kind, a topic."""
    if begun.startswith(_PATHS):
        return [CompletionItem(begun, type="file")]
    names = (name for name in explain.names() if name.lower().startswith(begun.lower()))
    return [CompletionItem(name, help=explain.sentence(name)) for name in names]


def runs(_context: Any, _parameter: Any, begun: str) -> list[CompletionItem]:
    """Offer the numbers of runs, the newest first; none where the journal cannot be read."""
    with suppress(HostError, OSError):
        found = [run for run in reversed(journal.runs()) if str(run.number).startswith(begun)]
        return [
            CompletionItem(str(run.number), help=f"{run.started[:10]} {run.command}")
            for run in found
        ]
    return []


def hosts(context: Any, _parameter: Any, begun: str) -> list[CompletionItem]:
    """Offer the hosts that the configuration names; none where it cannot be read."""
    above = context.parent.params if context.parent else {}
    with suppress(HostError, OSError):
        found = trusted_input.find(context.params.get("config") or above.get("config"))
        names = {*load.hosts_named(found.text, found.shown), *trusted_input.overlays(found)}
        return [CompletionItem(name) for name in sorted(names) if name.startswith(begun)]
    return []
