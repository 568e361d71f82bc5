"""The state of a filesystem as a whole, and what it forbids.

A new state is a field of Condition, which linux/btrfs.py fills, and a refusal. An ioctl that it
asks is in ASKING of tests/btrfs/engine/test_plan.py. One that only root may ask tells None to
others, as ``Quota.unseen`` does: ``want`` of resources/images/kind.py says ``?`` then. The code of
the refusal has its paragraph in facts/codes.py; a command that the paragraph names has a line in
PUT of tests/host/test_documents.py, or ``as_typed`` in the test of its judge. The state has its row
in docs/design.md, where the list below the table names what is no such state, and a word in
docs/configuration.md. doctor tells by itself what a plan refuses of what is declared; of what is
not declared ``_whole`` of discovery/checks.py asks.

A state with words of its own makes saved plans stale that were made in another state, whatever they
would do there: a state that forbids rewriting alone has none. Tests: a case in
tests/unit/plan/cases/images/, and tests/btrfs/engine/test_filesystem_not_whole.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.facts.diagnostics import COST, Note, Refusal
from reconciler.formats.sizes import counted
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator


class Condition(Value):
    """What the kernel says of a mounted filesystem as a whole.

    ``devices`` counts all that belong to it, ``missing`` those that were not there when it was
    mounted, or went since. ``degraded`` is the mount option, which stays when a device comes back.
    ``replacing``: a device is being replaced, or that was interrupted. ``failed``: the kernel
    made it read-only after an error. ``errors`` has a text for each device whose counters of
    errors are not zero: the counters are kept over a reboot (btrfs-device(8), stats).
    """

    devices: int = 1
    missing: int = 0
    degraded: bool = False
    replacing: bool = False
    failed: bool = False
    errors: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The state in a word or two, as a saved plan keeps it: "whole", "device missing" ..."""
        if self.failed:
            return "read-only after an error"
        if self.missing:
            return "device missing"
        if self.degraded:
            return "mounted degraded"
        return "device being replaced" if self.replacing else "whole"


WHOLE = Condition()


REDUNDANT = frozenset({"dup", "raid1", "raid1c3", "raid1c4", "raid10", "raid5", "raid6"})
"""Profiles that keep data twice, or so that a lost device can be made up for."""


def refusal(of: Condition, profiles: tuple[str, ...]) -> Refusal | None:
    """Say why nothing may be made nocow or rewritten there; None where it may.

    ``profiles`` are those of the data block groups, () where they are not known.

    All that is made nocow, moved or defragmented asks this: its kinds, engine.restore,
    init and doctor; defrag.now before it begins. Rewriting asks ``rewriting``.
    """
    if of.failed:
        return Refusal(
            "the kernel made this filesystem read-only after an error",
            "`dmesg` says which error: mend that, then unmount the filesystem and mount it again",
            "V113",
        )
    if of.missing:
        are = "is" if of.missing == 1 else "are"
        return Refusal(
            f"{of.missing} of the {counted(of.devices, 'device')} of this filesystem {are} "
            f"missing, so {_NOTHING}: {_price(profiles)}",
            "put the device back or replace it (`btrfs replace`), mount the filesystem without "
            "`degraded`, then run `btrfs scrub start`",
            "V111",
        )
    if of.degraded:
        return Refusal(
            f"this filesystem is mounted with the option `degraded`, so {_NOTHING}: a device that "
            "was away may hold old data, and nocow data has no checksums that tell it from new",
            "run `btrfs scrub start`, then mount the filesystem without `degraded`",
            "V111",
        )
    if of.replacing:
        return Refusal(
            f"a device of this filesystem is being replaced, so {_NOTHING}: nocow data has no "
            "checksums that tell a wrong copy",
            "apply again when `btrfs replace status` says that it has finished",
            "V112",
        )
    return None


def rewriting(of: Condition, profiles: tuple[str, ...]) -> Refusal | None:
    """Say why no image may be rewritten there; None where one may.

    A plan asks this of each entry; during a run images.worklist asks anew. What forbids rewriting
    alone belongs here.
    """
    return refusal(of, profiles)


_NOTHING = "nothing is made nocow and no image is moved"


def _price(profiles: tuple[str, ...]) -> str:
    if profiles and not REDUNDANT.intersection(profiles):
        return "what lies there cannot be read"
    return (
        "what is written to nocow files now has no checksum, and when the device is back, its old "
        "copy is read as often as the new one"
    )


def errors(of: Condition) -> Iterator[Note]:
    """Say which errors the devices have made so far: what they return is what nocow rests on."""
    if of.errors:
        yield Note(f"errors counted on its devices: {'; '.join(of.errors)}", "V115", COST)
