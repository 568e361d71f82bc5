"""What a scheduled defragmentation runs: vmtune itself, or btrfs-progs behind a look.

``-t 32M`` is the target extent size, ``-f`` writes each file out before the
next, which bounds dirty data. No ``-c``: it would compress what it rewrites.

btrfs-progs copies what snapshots and clones share (btrfs-filesystem(8), defragment), and a run is
far from the moment at which somebody looked. So a run looks for itself, in one of two ways
(``guarded``, ``own``), unless the entry allows such copies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.engine.schedule import Job, Work

if TYPE_CHECKING:
    from collections.abc import Sequence


JOB = Job(
    "vmtune-defrag",
    "defragments",
    "Defragment",
    "man:btrfs-filesystem(8)",
    # It opens files of every owner, and writes extents, not names.
    "CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_SYS_ADMIN",
    skips="snapshots or clones share data there",
)


def copying(btrfs: str) -> Work:
    """Defragment all files, also those that snapshots or clones share: the entry allows that."""
    return Work((btrfs, "filesystem", "defragment", "-r", "-f", "-t", "32M"))


def guarded(btrfs: str) -> Work:
    """Defragment all files, but skip the run while any data below the path is shared.

    ``btrfs filesystem du -s`` prints a heading of five words, and below it the bytes in all, those
    of one file alone, and those that are shared. Where btrfs fails, or prints anything else, the
    eighth word is not 0, and the run is skipped.
    """
    return Work(
        copying(btrfs).command,
        check=f'set -f; set -- $({btrfs} filesystem du -s --raw "$p"); [ "$8" = 0 ]',
        skipped="$p: run skipped. Bytes that snapshots or clones share: ${8:-not known}",
    )


def own(vmtune: Sequence[str]) -> Work:
    """Have vmtune defragment the files that share nothing, and leave the others."""
    return Work((*vmtune, "defrag", "--scheduled"), prints=True)
