"""A saved plan from anyone, shown: no text in it moves the cursor or sets a colour."""

from __future__ import annotations

import json

import pytest

from reconciler.commands.call import call
from reconciler.console import Chosen, Terminal
from reconciler.engine import document
from reconciler.engine.directory import Directory, Folder
from reconciler.engine.document import Document, World
from reconciler.engine.model import Change, Plan
from reconciler.engine.place import Swap
from reconciler.engine.preconditions import Precondition
from reconciler.engine.schedule import TextFile, Timer
from reconciler.errors import SourceLocation
from reconciler.facts.diagnostics import Note, Op
from reconciler.facts.tree import NONE_LEFT, NameList
from reconciler.resources.images.places import NOCOW, Images
from reconciler.resources.mount.places import FstabOptions, LiveOption

MARKER = "\x1b[2J\x1b]0;mine\x07\r"
PLAIN = Folder(nocow=False, compression="zstd", mode=0o755, uid=0, gid=0)
SWAPS = (
    Swap(Directory("/srv/vm"), PLAIN, Folder(True, "", 0o700, 1, 0), "why", "nocow /srv/vm"),
    Swap(Images("/srv/vm", NOCOW, ("/srv/vm/a",), ("b",)), NameList(1, ("c",)), NONE_LEFT),
    Swap(FstabOptions("/", 2), "ro", "ro,noatime", "why", "mount /"),
    Swap(LiveOption("/", "compress"), "compress=zstd:3", "", "", "mount /"),
    Swap(TextFile("/etc/cron.d/x"), "old\n", "new\n"),
    Swap(Timer("x.timer"), "off", "on"),
)
ROWS = tuple(
    Change(op, "nocow", "/srv/vm", "text", SWAPS, (Note("note", "V101"),), "hint", "V102", True,
           SourceLocation("vmtune.yaml", 2, 3))
    for op in Op
)  # fmt: skip
SAVED = document.plain(
    Document(
        Plan(ROWS, SWAPS),
        World("atlas", "0" * 64, "6.18", "/home/a/vmtune.yaml", "0" * 64, ("raid",)),
        "2026-11-23T12:00:00+00:00",
        "1.0",
        (Precondition("directory", "/srv/vm", "inode 5"),),
    )
)


def leaves(data, path=()):
    """The way to each string."""
    if isinstance(data, str):
        yield path
    elif isinstance(data, dict | list):
        for key in data if isinstance(data, dict) else range(len(data)):
            yield from leaves(data[key], (*path, key))


def marked(path):
    data = json.loads(json.dumps(SAVED))
    *above, last = path
    inner = data
    for key in above:
        inner = inner[key]
    inner[last] += MARKER
    return data


@pytest.mark.parametrize("width", [60, 400])
def test_none_reaches_the_terminal(tmp_path, capsys, monkeypatch, width):
    monkeypatch.setattr(Terminal, "width", width)
    file = tmp_path / "plan"
    shown = 0
    for path in leaves(SAVED):
        file.write_text(json.dumps(marked(path)))
        file.chmod(0o600)
        shown += call("show", Chosen(Terminal("never", verbose=True)), plan=str(file)) == 0
        said = capsys.readouterr()
        for line in (said.out + said.err).split("\n"):
            assert line.isprintable(), (path, line)
    assert shown > 100
