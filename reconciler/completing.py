"""What a shell offers behind a command: files where files belong, codes, kinds, runs.

Called by click, which knows the commands and the options by itself.
"""

from __future__ import annotations

from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from click.shell_completion import CompletionItem


def files(_context: Any, _parameter: Any, begun: str) -> list[CompletionItem]:
    """The shell knows them best."""
    return [_item(begun, type="file")]


def subjects(_context: Any, _parameter: Any, begun: str) -> list[CompletionItem]:
    """Of ``explain``: a file, or a code in either case, a kind, a topic."""
    if begun.startswith(("/", "~", ".")):
        return [_item(begun, type="file")]
    from reconciler.commands import explain  # noqa: PLC0415 - only where it is asked for

    names = (name for name in explain.names() if name.lower().startswith(begun.lower()))
    return [_item(name, help=explain.sentence(name)) for name in names]


def runs(_context: Any, _parameter: Any, begun: str) -> list[CompletionItem]:
    """Of ``history`` and ``revert``, the newest first; none where the journal cannot be read."""
    from reconciler.host.refused import Refused  # noqa: PLC0415 - the same
    from reconciler.run import journal  # noqa: PLC0415

    with suppress(Refused, OSError):
        found = [run for run in reversed(journal.runs()) if str(run.number).startswith(begun)]
        return [_item(str(run.number), help=f"{run.started[:10]} {run.command}") for run in found]
    return []


def _item(value: str, **more: str) -> CompletionItem:
    from click.shell_completion import CompletionItem  # noqa: PLC0415 - only a shell asks

    return CompletionItem(value, **more)
