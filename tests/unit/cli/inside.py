"""vmtune called within the tests' own process: as ever, but for the start of a program."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler import cli

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


_UNWANTED = ("VMTUNE_", "XDG_", "SUDO_", "DOAS_", "CLICOLOR", "FORCE_COLOR", "NO_COLOR")


@dataclass(frozen=True)
class Done:
    """How it ended, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


def vmtune(
    *words: object, text: str = "version: 1\n", cwd: Path | str = "/", **environment: str
) -> Done:
    """Call it with ``text`` on standard input, in the directory ``cwd``."""
    with _streams(text) as (out, err), contextlib.chdir(cwd), _environment(environment):
        code = cli.run([*map(str, words)])
        out.flush()
        err.flush()
        printed = (stream.buffer.getvalue().decode() for stream in (out, err))  # type: ignore[attr-defined]
    return Done(code, *printed)


@contextlib.contextmanager
def _streams(text: str) -> Iterator[tuple[io.TextIOWrapper, io.TextIOWrapper]]:
    """Standard input as a descriptor, which is what is read; the others as objects."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    with tempfile.TemporaryFile() as file:
        file.write(text.encode())
        file.seek(0)
        before = os.dup(0)
        os.dup2(file.fileno(), 0)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                yield out, err
        finally:
            os.dup2(before, 0)
            os.close(before)


@contextlib.contextmanager
def _environment(more: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    kept = {name: value for name, value in before.items() if not name.startswith(_UNWANTED)}
    os.environ.clear()
    os.environ.update({**kept, "COLUMNS": "300", "TERM": "xterm", **more})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
