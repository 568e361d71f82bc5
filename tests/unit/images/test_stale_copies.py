"""Names of unfinished copies: only what vmtune makes is one."""

import pytest

from reconciler.facts.images import copy_name, copy_name_parts, is_second, is_stale_copy, second


@pytest.mark.parametrize("time", [0, 1, 10**18, -5, 2**63 - 1])
def test_what_is_made_is_read(time: int):
    name = copy_name(257, 2**64 - 1, time)
    assert is_stale_copy(name)
    assert copy_name_parts(name) == (257, 2**64 - 1, time % 2**64)
    assert len(name) < 100


@pytest.mark.parametrize(
    "name",
    ["", ".vmtune", ".vmtune-1-2", ".vmtune-1-2-", ".vmtune-1-2-3-4", ".vmtune-01-2-3",
     ".vmtune-1-2-0a", ".vmtune-1-2-A", ".vmtune-1-x-3", ".vmtune-1--3", "vmtune-1-2-3",
     ".vmtune-\u0661-2-3", "x.vmtune-1-2-3"],
)  # fmt: skip
def test_nothing_else_is(name: str):
    assert not is_stale_copy(name)


@pytest.mark.parametrize("name", ["disk.raw", "\u56fd" * 85, "x" * 255, "\udcff" * 255, ""])
def test_the_second_copy_has_room_for_its_name(name: str):
    """255 bytes, and no character cut in two."""
    found = second(name, 2**64 - 1)
    assert len(found.encode("utf-8", "surrogateescape")) <= 255
    assert found.startswith(name[:20])
    assert found.isascii() or "\udcff" in name or found.encode()
    assert is_second(found, 2**64 - 1)
    assert not is_second(found, 257)
    assert not is_stale_copy(found)
