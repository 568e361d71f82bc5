"""fstab(5), held to the two programs that read it: libmount and systemd's generator.

Every case is a file in fstab/. Its characters stand for bytes (Latin-1).
"""

from __future__ import annotations

import json
import os
import posixpath
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from reconciler.formats import fstab

if TYPE_CHECKING:
    from reconciler.formats.fstab import Line

FILES = sorted((Path(__file__).parent / "fstab").glob("*.yaml"))
CASES = [pytest.param(yaml.safe_load(file.read_text()), id=file.stem) for file in FILES]
EDITS = [case for case in CASES if "after" in case.values[0]]

# systemd makes no mount unit of swap, of a second line, nor of what it mounts itself.
UNITS = [
    case
    for case in EDITS
    if re.match("/(?!sys/)", case.values[0]["target"]) and len(case.values[0]["found"]) == 1
]

FINDMNT = shutil.which("findmnt")
GENERATOR = shutil.which(
    "systemd-fstab-generator",
    path="/usr/lib/systemd/system-generators:/lib/systemd/system-generators",
)
needs_findmnt = pytest.mark.skipif(FINDMNT is None, reason="NOT CHECKED: no findmnt here")
needs_generator = pytest.mark.skipif(GENERATOR is None, reason="NOT CHECKED: no systemd here")


def as_bytes(text: str) -> bytes:
    return text.encode("latin-1")


def as_text(text: str) -> str:
    return as_bytes(text).decode("utf-8", "surrogateescape")


def expected(case) -> bytes:
    """The file with the one line put in by hand, not by the code under test."""
    rows = as_bytes(case["fstab"]).split(b"\n")
    rows[case["line"] - 1] = as_bytes(case["after"])
    return b"\n".join(rows)


def test_there_are_cases():
    assert len(CASES) > 100
    assert len(UNITS) > 60


@pytest.mark.parametrize("case", CASES)
def test_lines_of_a_mount_point(case):
    lines = fstab.parse(as_bytes(case["fstab"]))
    wanted = as_text(case["target"])
    assert [line.number for line in lines if line.target == wanted] == case["found"]


@pytest.mark.parametrize("case", CASES)
def test_edit_or_refusal(case):
    data, options = as_bytes(case["fstab"]), as_text(case["options"])
    if "after" in case:
        assert fstab.with_options(data, case["line"], options) == expected(case)
    else:
        with pytest.raises(ValueError, match=re.escape(case["refused"])):
            fstab.with_options(data, case["line"], options)


@pytest.mark.parametrize("case", CASES)
def test_the_reason_is_told_before_anyone_tries(case):
    """A line without a problem takes back the options it has."""
    data = as_bytes(case["fstab"])
    for line in fstab.parse(data):
        if line.problem:
            with pytest.raises(ValueError, match=re.escape(line.problem)):
                fstab.with_options(data, line.number, line.options)
        else:
            assert fstab.with_options(data, line.number, line.options) == data


# -- libmount ----------------------------------------------------------------

Row = tuple[str, str, str, str]


def seen_by_libmount(data: bytes, folder: Path) -> list[Row]:
    table = folder / "fstab"
    table.write_bytes(data)
    command = [FINDMNT, "--fstab", "--tab-file", table, "-J", "-o", "SOURCE,TARGET,FSTYPE,OPTIONS"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode < 0:  # util-linux 2.41, of a line that is none: no other may
        told = subprocess.check_output([FINDMNT, "--version"], text=True)
        assert "util-linux 2.41" in told, done
        pytest.skip(f"NOT CHECKED: findmnt died of signal {-done.returncode}: {told}")
    found = json.loads(done.stdout.decode("utf-8", "surrogateescape") or "{}").get(
        "filesystems", []
    )
    return [
        (
            re.sub("[\"']", "", row["source"]),
            re.sub("^//", "/", posixpath.normpath(row["target"])),
            row["fstype"],
            row["options"] or "",
        )
        for row in found
    ]


def decoded(options: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), options)


def as_row(line: Line) -> Row:
    return (line.source, line.target, line.fstype, decoded(line.options))


def is_among(few: list[Row], many: list[Row]) -> bool:
    """Whether the few are among the many, in the same order."""
    rest = iter(many)
    return all(row in rest for row in few)


@needs_findmnt
@pytest.mark.parametrize("case", CASES)
def test_libmount_sees_the_same_lines(case, tmp_path):
    data = as_bytes(case["fstab"])
    seen, lines = seen_by_libmount(data, tmp_path), fstab.parse(data)
    assert is_among([as_row(line) for line in lines if not line.problem], seen)
    assert is_among(seen, [as_row(line) for line in lines])


@needs_findmnt
@pytest.mark.parametrize("case", EDITS)
def test_libmount_sees_one_line_changed(case, tmp_path):
    before = seen_by_libmount(as_bytes(case["fstab"]), tmp_path)
    after = seen_by_libmount(expected(case), tmp_path)
    assert len(before) == len(after)
    options = decoded(as_text(case["options"]))
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert all(old[:3] == new[:3] and new[3] == options for old, new in changed)
    assert len(changed) == (0 if expected(case) == as_bytes(case["fstab"]) else 1)


# -- systemd -----------------------------------------------------------------


def seen_by_systemd(data: bytes, folder: Path) -> set[tuple[bytes, bytes]]:
    """(mount point, options) of every mount unit generated."""
    table, units = folder / "fstab", folder / "units"
    units.mkdir()
    table.write_bytes(data)
    subprocess.run(
        [GENERATOR, units, units, units],
        env=os.environ | {"SYSTEMD_FSTAB": str(table), "SYSTEMD_LOG_LEVEL": "emerg"},
        capture_output=True,
        check=False,
    )
    found = set()
    for unit in units.glob("*.mount"):
        # The unit loader takes a CR off the end of a line.
        rows = [row.removesuffix(b"\r") for row in unit.read_bytes().split(b"\n")]
        settings = dict(row.replace(b"%%", b"%").split(b"=", 1) for row in rows if b"=" in row)
        where = settings[b"Where"].rstrip(b"/") or b"/"  # systemd 257 leaves a slash at the end
        found.add((where, settings.get(b"Options", b"")))
    return found


@needs_generator
@pytest.mark.parametrize("case", UNITS)
def test_systemd_generates_the_new_options(case, tmp_path):
    seen = seen_by_systemd(expected(case), tmp_path)
    options = case.get("systemd", decoded(case["options"]))
    assert (as_bytes(case["target"]), as_bytes(options)) in seen


# -- sizes -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "problem"),
    [(fstab.LONGEST, ""), (fstab.LONGEST + 1, "longer than"), (1 << 20, "longer than")],
)
def test_long_lines(length, problem):
    start = b"UUID=b /b btrfs "
    data = start + b"o" * (length - len(start)) + b"\nUUID=c /c btrfs noatime 0 0\n"
    line, after = fstab.parse(data)
    assert line.problem.startswith(problem)
    assert bool(line.problem) == bool(problem)
    assert (after.target, after.problem) == ("/c", "")


def test_a_line_does_not_grow_too_long():
    data = b"UUID=b /b btrfs noatime 0 0\n"
    with pytest.raises(ValueError, match="would be longer"):
        fstab.with_options(data, 1, "o" * fstab.LONGEST)


@needs_generator
def test_systemd_cuts_a_long_line(tmp_path):
    """Why such lines are refused."""
    for length, end in ((fstab.LONGEST, b"ox"), (fstab.LONGEST + 1, b"oo")):
        (folder := tmp_path / str(length)).mkdir()
        start = b"/dev/b /b btrfs "
        data = start + b"o" * (length - len(start) - 1) + b"x\n/dev/c /c btrfs ro 0 0\n"
        seen = dict(seen_by_systemd(data, folder))
        assert (seen[b"/b"][-2:], seen[b"/c"]) == (end, b"ro")


@needs_generator
def test_systemd_skips_the_line_after_a_nul(tmp_path):
    data = b"# a\0b\n/dev/b /b btrfs ro 0 0\n/dev/c /c btrfs ro 0 0\n"
    assert seen_by_systemd(data, tmp_path) == {(b"/c", b"ro")}


def test_many_fields_and_many_lines_take_no_time():
    assert len(fstab.parse(b"a " * (1 << 20))) == 1
    assert len(fstab.parse(b"a /b btrfs\n" * 20_000)) == 20_000
