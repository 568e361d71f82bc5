"""The few names of vmtune that it takes to read a golden file; they move with the code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.engine import document
from reconciler.run import journal

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def journal_at(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Have the journal read from a copy of /var/lib/vmtune instead."""
    patch.setattr(journal, "RUNS", str(folder / "runs"))
    patch.setattr(journal, "BASE", str(folder / "folded.json"))
    patch.setattr(journal, "PRIVATE_BASE", str(folder / "folded.private"))


def runs() -> list[list[Any]]:
    """Each run, as ``expected.json`` has it."""
    return [
        [
            *(run.number, run.command, run.config, run.user, run.result, len(run.actions)),
            *(sorted(run.begun), {str(n): how for n, how in run.outcomes.items()}),
            *(len(run.before), len(run.after)),
        ]
        for run in journal.runs()
    ]


def written() -> list[dict[str, Any]]:
    """What vmtune wrote into which place, and what was there before, as JSON data."""
    base = journal.Base(journal.last(), journal.written())
    entries: list[dict[str, Any]] = journal.plain_base(base)["written"]
    return entries


def again(plan: Any) -> dict[str, Any]:
    """A saved plan, read and written once more."""
    return document.plain(document.read_document(plan))
