"""Which stretches of a file are put together, and in which calls: values in, values out."""

from __future__ import annotations

import pytest

from reconciler.resources.defrag.ranges import (
    ENCODED_EXTENT,
    SHARED_EXTENT,
    THRESHOLD,
    Call,
    Pieces,
    Stretch,
    calls,
    pieces,
    step,
)

KIB, MIB = 1 << 10, 1 << 20
PREALLOCATED, INLINE = 0x0800, 0x0200
EDGE = 256 * KIB


def extents(*sizes, flags=0, gap=0):
    """Pieces of these sizes, each far from the one before; ``gap`` bytes of hole between them."""
    found, at = [], 0
    for number, size in enumerate(sizes):
        found.append((at, (len(sizes) - number) << 34, size, flags))
        at += size + gap
    return found


CASES = {
    "empty": ([], (0, [])),
    "one": (extents(MIB), (1, [])),
    "three": (extents(MIB, MIB, MIB), (3, [(0, 3 * MIB, 0)])),
    "two: the kernel leaves two": (extents(MIB, MIB), (2, [])),
    "two in one cluster": (extents(64 * KIB, 64 * KIB), (2, [(0, 128 * KIB, 0)])),
    "the second up to the cluster's end": (extents(4 * KIB, 252 * KIB), (2, [(0, EDGE, 0)])),
    "the second past the cluster's end": (extents(4 * KIB, 256 * KIB), (2, [])),
    "three, shared": (extents(MIB, MIB, MIB, flags=SHARED_EXTENT), (3, [(0, 3 * MIB, 3 * MIB)])),
    "holes between": (extents(MIB, MIB, MIB, gap=MIB), (3, [])),
    "preallocated": (extents(MIB, MIB, MIB, flags=PREALLOCATED), (3, [])),
    "inline": ([(0, 0, 4096, INLINE)], (1, [])),
    "compressed, whole": (extents(*[128 * KIB] * 9, flags=ENCODED_EXTENT), (9, [])),
    "compressed, small": (extents(*[4 * KIB] * 9, flags=ENCODED_EXTENT), (9, [(0, 36 * KIB, 0)])),
    "at the threshold": (extents(THRESHOLD, THRESHOLD, THRESHOLD), (3, [])),
    "large on average": (extents(20 * MIB, 20 * MIB, 20 * MIB), (3, [])),
    "around a large one": (
        extents(MIB, MIB, MIB, THRESHOLD, MIB, MIB),
        (6, [(0, 3 * MIB, 0)]),
    ),
    "neighbours on disk": ([(n * MIB, (9 << 30) + n * MIB, MIB, 0) for n in range(5)], (1, [])),
    "neighbours that differ in sharing": (
        [(n * MIB, (9 << 30) + n * MIB, MIB, SHARED_EXTENT * (n % 2)) for n in range(5)],
        (1, []),
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_what_is_put_together(given, expected):
    fragments, stretches = expected
    assert pieces(given) == Pieces(fragments, tuple(Stretch(*each) for each in stretches))


@pytest.mark.parametrize("size", [0, 1, MIB, 100 * MIB, 1 << 30, 1 << 40])
def test_a_step_is_less_than_a_percent_or_small(size):
    assert step(size) in {MIB, 2 * MIB, 4 * MIB, 8 * MIB, 16 * MIB}
    assert step(size) <= max(MIB, size / 100)


@pytest.mark.parametrize("most", [MIB, 16 * MIB])
def test_calls_cover_each_stretch_once_and_flush_in_large_parts(most):
    stretches = [Stretch(12 * KIB, 200 * MIB + 4096, 0), Stretch(300 * MIB, 301 * MIB, 0)]
    found = list(calls(stretches, most))
    assert sum(call.length for call in found) == sum(each.end - each.start for each in stretches)
    at = 0
    for call in found:
        assert call.start >= at
        assert call.length <= most
        at = call.start + call.length
        assert not at % most or at in {each.end for each in stretches}, "clusters stay whole"
    assert found[-1] == Call(300 * MIB, MIB, flush=True)
    parts, part = [], 0
    for call in found:
        part += call.length
        if call.flush:
            parts.append(part)
            part = 0
    assert part == 0
    assert all(64 * MIB <= size <= 80 * MIB for size in parts[:-1])
