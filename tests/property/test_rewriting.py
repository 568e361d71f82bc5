"""Which images can be rewritten, and what room that takes: laws over generated trees."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.facts.tree import CowFile, Lot, Parts, Tree
from reconciler.resources.images import kind as images_kind
from reconciler.resources.images import room as images_room
from reconciler.resources.images.places import needed

QUICK = settings(max_examples=200, deadline=None, derandomize=True)
sizes = st.integers(0, 1 << 40)
names = st.sampled_from([*"abcdefgh", "/elsewhere"])
relative = st.sampled_from("abcdefgh")
parts = st.builds(
    Parts, relative, st.sampled_from(["backing file", "extent"]), st.lists(names, max_size=4)
)


@st.composite
def lots(draw: st.DrawFn) -> Lot:
    """Files that are all named, so that all is known of them."""
    rows = draw(st.lists(st.tuples(sizes, st.integers(0, 100)), max_size=8))
    files = [
        CowFile(str(number), size, 1, size, shared=size * percent // 100)
        for number, (size, percent) in enumerate(sorted(rows, reverse=True))
    ]
    return Lot(
        tuple(files),
        len(files),
        sum(file.size for file in files),
        sum(file.allocated for file in files),
        kept=sum(file.kept for file in files),
    )


@QUICK
@given(lots(), sizes)
def test_what_is_left_has_room_and_nothing_else_is_left_out(lot: Lot, free: int):
    left = images_room.too_large(lot, (), free)
    rest = [file for file in lot.largest if file not in left]
    if rest:
        used = 0
        for file in rest:  # one after the other, whatever the order: the largest comes first here
            assert needed(file.allocated) + used <= free
            used += file.kept
    if left:
        assert images_room.room(lot, left[:-1]).free > free


@QUICK
@given(st.lists(parts, max_size=8, unique_by=lambda found: found.path), relative)
def test_a_part_is_left_out_exactly_when_an_image_it_is_in_is_open(found: list[Parts], held: str):
    """Also where files name each other in a circle."""
    tree = Tree(parts=tuple(found), held_parts=(CowFile(held, 1, holders=("qemu",)),))
    lot = Lot()
    named = {name for name, _ in images_kind.open_elsewhere(tree, lot)}
    direct = {each.path: set(each.others) for each in found}
    expected: set[str] = set()
    for top in direct:
        image, before = {top}, set()
        while image != before:
            before = set(image)
            image |= {name for path in before for name in direct.get(path, ())}
        expected |= image if held in image else set()
    assert named == expected - {held, "/elsewhere"}
    assert {chain.path for chain in images_kind.chains(tree)} <= direct.keys()
