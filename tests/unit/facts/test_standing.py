"""Whether what is below a directory may be what is left of what was there before."""

from __future__ import annotations

import pytest

from reconciler.facts.tree import MOST, NONE_LEFT, NameList
from reconciler.resources.nocow.places import Below


def of(*names: str, count: int = 0) -> NameList:
    return NameList(count or len(names), names)


MANY = of(*(f"s{number:04}" for number in range(MOST)), count=MOST + 5)


@pytest.mark.parametrize(
    ("now", "before", "is_it"),
    [
        (NONE_LEFT, of("a"), True),
        (of("a"), of("a", "b"), True),
        (of("a", "b"), of("a", "b"), True),
        (of("a", "b", "c"), of("a", "b"), False),
        (of("a", "c"), of("a", "b"), False),
        (of("c"), of("a", "b"), False),
        (of("s0003", "t", "u"), MANY, True),  # behind the last that it names it may have had any
        (of("s0003", "s0003x"), MANY, False),
        (of(*MANY.named[1:], "t", count=MOST + 4), MANY, True),
        (of(*MANY.named, count=MOST + 6), MANY, False),
        (of("a"), of(count=5), False),  # as no look at a host says it, but a file may
    ],
)
def test_no_more_and_none_that_is_new(now: NameList, before: NameList, is_it: bool):
    assert now.is_left_of(before) is is_it
    assert Below("/vm").half_done(before, now, NONE_LEFT) is is_it
