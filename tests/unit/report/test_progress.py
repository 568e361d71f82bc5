"""Lines of progress: they fit, and say how far, how fast, and how long."""

import pytest

from reconciler.engine.reporter import Progress
from reconciler.report import progress as progress_report

GIB = 1 << 30
STEP = Progress("pool/win11.qcow2", "copying", GIB, 2 * GIB, 2, 14, 3 * GIB, 12 * GIB)


@pytest.mark.parametrize("width", [40, 60, 79, 80, 120, 200])
def test_it_fits(width: int):
    for path in ("a", "x" * 300, "\x1b[2J"):
        step = Progress(path, "copying", 1, 2, 999_999, 1_000_000, 5 << 40, 6 << 40)
        line = progress_report.line(step, 12345, width)
        assert len(line) <= width
        assert line.isascii()
        assert line.isprintable()


@pytest.mark.parametrize("width", range(40, 130))
def test_a_name_of_wide_characters_fits_too(width: int):
    """Each of them takes two columns."""
    step = Progress("\u65e5\u672c\u8a9e" * 30, "copying", 1, 2, 1, 2, 5 << 40, 6 << 40)
    line = progress_report.line(step, 12345, width)
    assert sum(1 + (not each.isascii()) for each in line) <= width


def test_what_it_says():
    assert progress_report.line(STEP, 30, 99) == (
        "   25%  3.0 GiB of 12.0 GiB  102.4 MiB/s  1:30 left  2 of 14 (50%): pool/win11.qcow2"
    )
    wide = progress_report.line(STEP, 30, 200)
    assert wide.startswith("  [#####...............]   25%  3.0 GiB")


def test_the_end_of_a_long_name_is_kept():
    line = progress_report.line(STEP, 30, 80)
    assert "  ..." in line
    assert line.endswith("pool/win11.qcow2")


def test_one_image_has_no_number():
    step = Progress("disk.raw", "copying", GIB, 2 * GIB, 1, 1, GIB, 2 * GIB)
    assert progress_report.line(step, 10, 79).endswith("0:10 left  disk.raw")


def test_nothing_done_yet_has_no_rate():
    assert "left" not in progress_report.line(Progress("a", "copying", 0, 0), 0, 80)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (750, "12:30"), (3723, "1:02:03")]
)
def test_durations(seconds: float, text: str):
    assert progress_report.duration(seconds) == text


@pytest.mark.parametrize("width", [40, 59, 79, 119])
def test_what_is_waited_for_is_named_at_each_width(width: int):
    for why in ("in use by x (pid 1)", "in use by qemu-system-x86_64 (pid 1234567)"):
        line = progress_report.awaited_for("image /srv/vm/win 11.qcow2", why, 3, 3600, width)
        assert len(line) <= width
        assert "11.qcow2" in line
        assert ("(pid" in line) == (why in line), "whole or not at all"
