"""What status says of the effect: cases as data, and what holds for all values."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.facts.images import ImageLayout
from reconciler.report import bar as bars
from tests.unit.status.cases_lib import CASES, load, printed

PARTS = st.lists(
    st.tuples(st.sampled_from(["nocow", "cow", "shared", "hole"]), st.integers(1, 1 << 50)),
    min_size=1,
    max_size=4,
    unique_by=lambda part: part[0],
)


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_printed(file):
    case = load(file)
    assert {columns: printed(case, columns) for columns in case["text"]} == case["text"]


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
@pytest.mark.parametrize("columns", ["40", "60", "70", "80", "100", "200"])
def test_it_fits(file, columns):
    assert all(len(line) <= int(columns) for line in printed(load(file), columns).splitlines())


def test_a_legend_of_everything_fits_and_is_whole():
    images = [
        ImageLayout("/a", 9, nocow=True, fragments=1, data=4, compressed=1, shared=2),
        ImageLayout("/b", 9, fragments=1, data=9),
        ImageLayout("/c", 9),
    ]
    images.append(ImageLayout("/d", 9, fragments=1, data=9, shared=4))
    for width in (40, 60, 80):
        lines = list(bars.legend(images, bars.PLAIN, width))
        assert all(len(line) <= width for line in lines)
        assert all(word in " ".join(lines) for word in bars.WORDS.values())


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_a_c_locale_gets_ascii(file):
    assert printed(load(file), "80 ascii").isascii()


@settings(max_examples=200, deadline=None, derandomize=True)
@given(PARTS, st.integers(1, 300))
def test_a_bar_is_as_wide_as_asked_and_shows_every_part_that_it_has_room_for(parts, width):
    cells = list(bars.cells(parts, width))
    shown = [name for name, _ in cells]
    assert shown == [name for name, _ in parts if name in shown]
    assert len(shown) == min(len(parts), width)
    assert sum(count for _, count in cells) == width
    assert all(count >= 1 for _, count in cells)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(PARTS, st.integers(40, 300))
def test_a_bar_is_in_proportion(parts, width):
    total = sum(size for _, size in parts)
    for (_, size), (_, count) in zip(parts, bars.cells(parts, width), strict=True):
        assert abs(count - width * size / total) <= len(parts)


def test_bars_of_all_images_have_one_scale():
    """Half the size is half as long, and what is too small to be seen has one column."""
    sizes = {"/a": 200, "/b": 100, "/c": 50, "/d": 1}
    images = [ImageLayout(path, size, fragments=1, data=size) for path, size in sizes.items()]
    longest = bars.scale(images)
    assert [len(bars.bar(each, longest, 40, bars.PLAIN)) for each in images] == [40, 20, 10, 1]


@pytest.mark.parametrize(("nocow", "own", "shared"), [(True, "#", "+"), (False, "=", "-")])
def test_sharing_does_not_hide_the_sort(nocow, own, shared):
    image = ImageLayout("/a", 100, nocow=nocow, fragments=1, data=80, shared=40)
    assert bars.bar(image, 100, 10, bars.PLAIN) == own * 4 + shared * 4 + ".."
    tinted = bars.style(lambda text, part: f"<{part.partition('-')[0]}>{text}", unicode=False)
    sort = "nocow" if nocow else "cow"
    assert bars.bar(image, 100, 10, tinted).count(f"<{sort}>") == 2


def test_fragments_per_gib_are_told_of_a_gib_and_more():
    small, large = (
        {"paths": [{"name": "/v", "path": "/v", "images": [
            {"name": "a", "size": size, "data": size, "fragments": 64}]}]}
        for size in (4, 2048)
    )  # fmt: skip
    assert "per GiB" not in printed(small, "80")
    assert re.search(r"per GiB .* 64 +32 ", " ".join(printed(large, "80").split("\n")))


def test_parts_are_the_whole_size():
    image = ImageLayout(
        "/x", 100, nocow=False, fragments=9, data=80, compressed=30, shared=20, both=10
    )
    assert image.parts == (("cow", 40), ("compressed", 20), ("shared", 20), ("hole", 20))
    assert sum(size for _, size in image.parts) == image.size
