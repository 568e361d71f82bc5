"""Writing the journal: synced before and after every action."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from reconciler import __version__
from reconciler.engine import document
from reconciler.engine.directory import Directory
from reconciler.engine.last_applied import fold
from reconciler.engine.place import Swap
from reconciler.errors import HostError
from reconciler.linux import directory, files, machine, users
from reconciler.run import journal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.engine.last_applied import Seen
    from reconciler.engine.model import Action


KEPT = 100
"""Runs kept one by one; older ones only count towards what was written."""


class Recorder:
    """The record of the run that is under way. Only the holder of the lock makes one."""

    def __init__(self, command: str, config: str, actions: Sequence[Action]) -> None:
        """Write the plan down before anything of it is done; HostError when that fails."""
        self._path, self._actions = journal.RUNS, tuple(actions)
        with self._refusing():
            os.makedirs(journal.RUNS, mode=0o755, exist_ok=True)
            if not journal.secret():
                files.create(journal.SECRET, os.urandom(32), 0o600)
            _prune()
            self.number = journal.last() + 1
            self._path = journal.path(self.number)
            head = {
                "format": journal.FORMAT,
                "version": __version__,
                "run": self.number,
                "started": machine.now(),
                "user": users.caller().name,
                "command": command,
                "config": config,
                "actions": [document.plain_action(document.redacted(action)) for action in actions],
            }
            if apart := [
                n for n, action in enumerate(actions, 1) if document.redacted(action) != action
            ]:
                head["kept_apart"] = apart
                named = {str(n): document.plain_action(actions[n - 1]) for n in apart}
                private = {"format": journal.FORMAT, "run": self.number, "actions": named}
                files.create(journal.private(self.number), _line(private), 0o600)
            # Whole or not at all: half a first line would take the number for nothing.
            files.replace(self._path, _line(head))
            for folder in (journal.STATE, os.path.dirname(journal.STATE)):
                files.sync_directory(folder)

    def begin(self, number: int) -> None:
        """Action ``number`` (from 1) is about to be done; of a directory, say which it is."""
        thing = _thing(self._actions[number - 1])
        self._append({"begin": number, "at": machine.now(), **({"thing": thing} if thing else {})})

    def step(self, number: int, doing: str) -> None:
        """Put a step of action ``number`` on record, before it is begun or after it is done."""
        self._append({"step": number, "doing": doing, "at": machine.now()})

    def end(self, number: int, outcome: str, why: str) -> None:
        """What became of it; why it went wrong may name files, and is for root to read."""
        if why:
            line = _line({"end": number, "why": why})
            with self._refusing():
                files.append(journal.private(self.number), line, 0o600)
        self._append({"end": number, "outcome": outcome, "at": machine.now()})

    def images(self, when: str, seen: Sequence[Seen]) -> None:
        """How images lie, "before" the first action or "after" the last."""
        if seen:
            plain = [document.plain_value(each) for each in seen]
            self._append({"images": when, "seen": plain, "at": machine.now()})

    def finish(self, result: str) -> None:
        """The run is over."""
        self._append({"finish": machine.now(), "result": result})

    def give_up(self) -> None:
        """The same after a fault that nobody foresaw: said where that can still be written."""
        with suppress(HostError):
            self.finish("part way")

    def _append(self, line: dict[str, Any]) -> None:
        with self._refusing():
            files.append(self._path, _line(line))

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise HostError(
                f"the journal {self._path} cannot be written: {error.strerror}"
            ) from None


def _thing(action: Action) -> str:
    """Tell which directory an action changes; "" for one that is not there, and for all else."""
    if not isinstance(action, Swap) or not isinstance(action.place, Directory):
        return ""
    try:
        found = directory.identity(action.place.path)
    except OSError:  # the action itself says what is wrong
        return ""
    return "" if found == "missing" else found


def _line(data: dict[str, Any]) -> bytes:
    return json.dumps(data).encode("ascii") + b"\n"


def _prune() -> None:
    """Fold the oldest runs, then forget them, in this order: a crash in between loses nothing."""
    runs, base = journal.runs(), journal.base()
    if len(runs) >= KEPT:
        old = runs[: len(runs) - KEPT + 1]
        base = journal.Base(old[-1].number, fold(base.written, old))
        # The one that root reads first: without the other, users just read older runs.
        files.create(journal.PRIVATE_BASE, _line(journal.plain_base(base)), 0o600)
        files.replace(journal.BASE, _line(journal.plain_base(journal.veiled(base))))
    last = os.path.basename(journal.path(base.through)).partition(".")[0]
    for name in os.listdir(journal.RUNS):
        number, _, kind = name.partition(".")
        if kind in {"jsonl", "private"} and number <= last:
            files.remove(f"{journal.RUNS}/{name}")
