"""The figures of a trial, the room it needs, and what is said before it begins."""

from __future__ import annotations

import re

import pytest

from reconciler.facts.benchmark import Room, Sample, Shape, figures, order, refusal, way_out
from reconciler.formats import sizes
from reconciler.report import benchmark as benchmark_report

MIB, GIB = 1 << 20, 1 << 30
SHAPE = Shape(128 * MIB, 3)
ROUNDS = [
    (Sample("cow", 4096_000, 2.0, 24_576_000, 900, 100.0),
     Sample("nocow", 4096_000, 1.0, 6_144_000, 1, 200.0)),
    (Sample("cow", 4096_000, 4.0, 28_672_000, 1100, 90.0),
     Sample("nocow", 4096_000, 1.0, 6_144_000, 2, 210.0)),
    (Sample("cow", 4096_000, 3.0, 26_624_000, 1000, 110.0),
     Sample("nocow", 4096_000, 2.0, 8_192_000, 1, 190.0)),
]  # fmt: skip
SAMPLES = [sample for pair in ROUNDS for sample in pair]


def test_figures():
    found = {of.name: of for of in figures(SAMPLES)}
    device = found["disk bytes per byte"]
    assert (device.cow, device.nocow) == (6.5, 1.5)
    assert device.ratio == pytest.approx(6.5 / 1.5)
    assert (device.low, device.high) == (pytest.approx(3.25), pytest.approx(7 / 1.5))
    pieces = found["fragments"]
    assert (pieces.cow, pieces.nocow, pieces.low, pieces.high) == (1000, 1, 550, 1000)
    speed = found["writes a second"]
    assert (speed.cow, speed.nocow, speed.low, speed.high) == (
        pytest.approx(1000 / 3),
        1000,
        0.25,
        pytest.approx(2 / 3),
    )
    assert found["read, bytes a second"].ratio == 0.5


def test_what_the_disks_do_not_say_has_no_ratio():
    silent = [Sample(s.kind, s.payload, s.seconds, None, s.fragments, s.read) for s in SAMPLES]
    device = figures(silent)[0]
    assert (device.cow, device.nocow, device.ratio) == (None, None, None)


def test_each_round_begins_with_the_other_sort():
    assert list(order(3)) == ["cow", "nocow", "nocow", "cow", "cow", "nocow"]


def test_what_it_writes_by_default_needs_no_yes():
    assert SHAPE.writes == 8192
    assert SHAPE.payload == 6 * 160 * MIB < GIB


@pytest.mark.parametrize(
    ("free", "size", "said"),
    [
        (10 * 128 * MIB - 1, 2 * GIB, "ten times the size of the image must be free"),
        (10 * 128 * MIB, 2 * GIB, ""),
        (10 * GIB, 100 * GIB, "more than a tenth of the filesystem must stay free"),
        (11 * GIB, 100 * GIB, ""),
    ],
)
def test_room(free, size, said):
    assert refusal(SHAPE, Room(free, size, None)) == said


@pytest.mark.parametrize(
    ("text", "size"),
    [("128M", 128 * MIB), ("1g", GIB), ("1GiB", GIB), ("4096", 4096), ("2KB", 2048)],
)
def test_sizes(text, size):
    assert sizes.parsed(text) == size


@pytest.mark.parametrize("text", ["", "M", "-1M", "1.5G", "1T", "0x10", "1 M", "9" * 16])
def test_no_sizes(text):
    with pytest.raises(ValueError, match="is not a size"):
        sizes.parsed(text)


@pytest.mark.parametrize("width", [60, 80, 200])
def test_lines_fit(width):
    room = Room(10 * GIB, 100 * GIB, rotational=None)
    shown = [
        *benchmark_report.announced("/srv/vm", SHAPE, room, width),
        *benchmark_report.disturbed(5 * MIB, width),
        *benchmark_report.disturbed(None, width),
        *benchmark_report.table(figures(SAMPLES), width),
    ]
    assert all(len(line) <= width for line in shown)
    assert any("960.0 MiB" in line for line in shown), "what it writes is said"


def test_quiet_disks_are_not_mentioned():
    assert not list(benchmark_report.disturbed(4096, 80))


def test_the_table():
    rows = [" ".join(line.split()) for line in benchmark_report.table(figures(SAMPLES), 80)]
    assert rows == [
        "copy-on-write nocow ratio lowest-highest",
        "disk bytes per byte 6.50 1.50 4.33 3.25-4.67",
        "fragments 1,000 1 1,000 550-1,000",
        "writes a second 333 1,000 0.33 0.25-0.67",
        "read, a second 100 bytes 200 bytes 0.50 0.43-0.58",
    ]


def test_the_last_line_is_a_sentence():
    assert benchmark_report.sentence(figures(SAMPLES)) == (
        "nocow: a quarter of the disk writes, 3.0 times the writes a second, 1 fragment instead of "
        "1,000, 2.0 times the reading speed."
    )
    (line,) = benchmark_report.verdict(figures(SAMPLES), 3, 500)
    assert "Measured once" not in line
    (line,) = benchmark_report.verdict(figures(SAMPLES[:2]), 1, 500)
    assert line.endswith("Measured once: more --rounds make it more certain.")


def sample(kind, seconds=1.0, device=8192, read=100.0):
    return Sample(kind, 4096, seconds, device, 1, read)


DIFFERENCES = [
    # What the disks do not say is left out.
    ({"device": None}, {"device": None},
     "nocow: about as many writes a second, 1 fragment as well, about the same reading speed."),
    # Less than anybody would notice is no difference, and what is worse is said as well.
    ({"device": 8192, "seconds": 1.0, "read": 100.0},
     {"device": 16384, "seconds": 2.0, "read": 103.0},
     ("nocow: 2.0 times the disk writes, 0.5 times the writes a second, 1 fragment as well, "
      "about the same reading speed.")),
]  # fmt: skip


@pytest.mark.parametrize(("cow", "nocow", "words"), DIFFERENCES)
def test_a_difference_is_told_only_where_there_is_one(cow, nocow, words):
    assert benchmark_report.sentence(figures([sample("cow", **cow), sample("nocow", **nocow)])) == (
        words
    )


def test_rounds_that_do_not_agree_are_no_difference():
    samples = [sample("cow", 1.0), sample("nocow", 2.0), sample("nocow", 1.0), sample("cow", 4.0)]
    assert "about as many writes a second" in benchmark_report.sentence(figures(samples))


WAYS = [
    (Shape(128 * MIB, 3), Room(290 * MIB, 512 * MIB, None), "--size 29M fits"),
    (Shape(128 * MIB, 1), Room(290 * MIB, 512 * MIB, None), "--size 29M fits"),
    (Shape(128 * MIB, 30), Room(3 * GIB, 10 * GIB, None), "--size 27M or --rounds 6 fits"),
    (Shape(128 * MIB, 30), Room(MIB, 512 * MIB, None), "make room first"),
]


@pytest.mark.parametrize(("shape", "room", "words"), WAYS)
def test_the_way_out_fits_and_names_rounds_only_where_they_count(shape, room, words):
    assert refusal(shape, room)
    assert way_out(shape, room) == words
    for word, size, rounds in re.findall(r"(--size (\d+)M|--rounds (\d+))", words):
        smaller = Shape(int(size or 0) * MIB or shape.size, int(rounds or shape.rounds))
        assert not refusal(smaller, room), word
