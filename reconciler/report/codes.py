"""All codes with what they mean; the topics of explain.

The paragraph of a code lies in the ``codes.py`` of the folder whose module speaks the code. So a
code that a kind itself speaks is explained in the kind's folder. A code that a module of facts/ or
engine/ speaks is explained there, whichever hundred it is of.
"""

from __future__ import annotations

from reconciler.discovery import codes as of_doctor
from reconciler.engine import codes as of_engine
from reconciler.facts import codes as of_facts
from reconciler.resources.registry import codes_of_each_kind


def _paragraphs(text: str) -> dict[str, str]:
    """Return the paragraphs, each on one line, by the code that it begins with."""
    return {part[:4]: " ".join(part[5:].split()) for part in text.strip().split("\n\n")}


CODES = dict(
    sorted(
        (code, text)
        for part in (of_engine.TEXT, of_facts.TEXT, of_doctor.TEXT, *codes_of_each_kind())
        for code, text in _paragraphs(part).items()
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
