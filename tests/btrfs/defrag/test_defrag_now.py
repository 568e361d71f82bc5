"""``vmtune defrag`` on a real Btrfs: what it puts together, what it leaves alone and writes."""

import hashlib
import json
import os
import random
import re
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests import patience
from tests.btrfs.commands.test_json import check
from tests.btrfs.outside import attributes, fragments, run, sync
from tests.btrfs.sandbox import PROGRAM
from tests.btrfs.world import NOBODY, Image, Ran, World
from tests.terminal import screen

KIB, MIB = 1 << 10, 1 << 20


def scattered(path: Path, size: int = 8 * MIB, block: int = 16 * KIB, seed: int = 0) -> Path:
    """Written in random order, each block to the disk before the next: as many pieces as blocks."""
    order = list(range(0, size, block))
    random.Random(seed).shuffle(order)  # noqa: S311 - the same each time, no secret
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_SYNC, 0o644)
    try:
        for at in order:
            os.pwrite(fd, os.urandom(block), at)
    finally:
        os.close(fd)
    return path


def laid(path: Path, sizes: Sequence[int]) -> Path:
    """Pieces of these sizes, the last one written first: none is behind the one before it."""
    fd, end = os.open(path, os.O_RDWR | os.O_CREAT, 0o644), sum(sizes)
    try:
        for size in reversed(sizes):
            end -= size
            os.pwrite(fd, os.urandom(size), end)
            os.fsync(fd)
    finally:
        os.close(fd)
    return path


def roomy(host: World) -> Image:
    """Where free space is in one piece, and the device's bytes are this test's alone."""
    return host.image("data", "noatime", ("-d", "single", "-m", "single"), size=8)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def kept(path: Path) -> tuple[object, ...]:
    """What a file is, but for where it lies."""
    of = path.stat()
    return digest(path), attributes(path), of.st_ino, of.st_mtime_ns, of.st_mode, of.st_uid


def where(path: Path) -> str:
    """The place on disk of each extent, as filefrag -v has it."""
    return run("filefrag", "-v", path)


def defrag(host: World, *arguments: object, expect: int = 0, user: int = 0, **env: str) -> Ran:
    ran = host.vmtune("defrag", *map(str, arguments), user=user, env=env)
    assert ran.code == expect, ran
    return ran


def written(image: Image, work: Callable[[], object]) -> int:
    """Bytes that the devices of a Btrfs wrote meanwhile (/proc/diskstats)."""

    def now() -> int:
        rows = (line.split() for line in Path("/proc/diskstats").read_text("ascii").splitlines())
        return sum(int(row[9]) * 512 for row in rows if f"/dev/{row[2]}" in devices)

    devices = re.findall(r"path (\S+)", run("btrfs", "filesystem", "show", image.path))
    assert len(devices) == 8

    sync()
    before = now()
    work()
    sync()
    return now() - before


def result(ran: Ran) -> dict[str, Any]:
    """The document at the end of the lines; each of them is as the schemas say."""
    found = [json.loads(line) for line in ran.out.splitlines()]
    for line in found:
        check("events", line)
    (document,) = [line["document"] for line in found if line.get("event") == "result"]
    check("defrag", document)
    assert found[-1] == {"event": "exit", "code": ran.code}
    return dict(document)


@pytest.mark.parametrize("letter", ["", "C", "m"])
def test_it_puts_files_together_and_keeps_them(host: World, letter: str):
    folder = host.area / "vm"
    folder.mkdir()
    if letter:
        run("chattr", f"+{letter}", folder)
    files = [scattered(folder / name, seed=n) for n, name in enumerate(("a.raw", "sub/b.raw"))]
    files[0].chmod(0o640)
    before = [kept(file) for file in files]
    assert min(map(fragments, files)) > 200
    ran = defrag(host, folder)
    assert [kept(file) for file in files] == before
    assert all(set(letter) <= attributes(file) for file in files)
    assert max(map(fragments, files)) <= 2
    assert re.search(
        r"2 files defragmented, [\d,]{3,5} -> [234] fragments, 16.0 MiB rewritten", ran.out
    )


def test_one_image_and_its_fragments_are_filefrags(host: World):
    file, other = scattered(host.area / "a.raw"), scattered(host.area / "b.raw", seed=1)
    there, lies = fragments(file), where(other)
    document = result(defrag(host, "--json", file))
    assert document["paths"][0]["files"] == [
        {"path": "a.raw", "size": 8 * MIB, "before": there, "after": fragments(file)}
    ]
    assert where(other) == lies


LAYOUTS = {
    "many": [64 * KIB] * 40,
    "two": [MIB, MIB],
    "three": [MIB, MIB, MIB],
    "two in a cluster": [64 * KIB, 64 * KIB],
    "a short end": [MIB, 4 * KIB],
    "an end across clusters": [100 * KIB, 300 * KIB],
    "larger than the threshold": [40 * MIB, 33 * MIB],
    "around a large one": [MIB, MIB, MIB, 33 * MIB, MIB, MIB, MIB],
    "over several flushes": [10 * MIB] * 15,
    "uneven": [number * 4 * KIB for number in random.Random(3).sample(range(1, 300), 60)],  # noqa: S311
}


@pytest.mark.parametrize("sizes", LAYOUTS.values(), ids=LAYOUTS)
def test_a_second_run_writes_nothing(host: World, sizes: list[int]):
    """Also where `btrfs filesystem defragment` moves the same bytes again and again."""
    image = roomy(host)
    file = laid(image.path / "disk.raw", sizes)
    there, content = fragments(file), digest(file)
    defrag(host, file)
    assert (digest(file), fragments(file) <= there) == (content, True)
    lies = where(file)
    second = lambda: defrag(host, image.path)  # noqa: E731
    # No more than superblocks; a commit of the filesystem's own may fall into one run.
    assert any(written(image, second) <= 512 * KIB for _ in range(3))
    assert where(file) == lies
    assert "nothing to do; 1 file needs no defragmenting" in second().out


def test_no_more_pieces_than_btrfs_leaves(host: World):
    image = roomy(host)
    ours, theirs = (laid(image.path / name, LAYOUTS["uneven"]) for name in ("ours", "theirs"))
    defrag(host, ours)
    run("btrfs", "filesystem", "defragment", theirs)
    sync()
    assert fragments(ours) <= fragments(theirs) <= 3


def test_what_lies_well_is_not_touched(host: World):
    """Holes and preallocated space stay, and no gap is closed."""
    folder = host.area / "vm"
    folder.mkdir()
    (folder / "linear.raw").write_bytes(os.urandom(4 * MIB))
    (folder / "small.xml").write_text("<domain/>")
    (folder / "empty").touch()
    run("fallocate", "-l", "4M", folder / "preallocated.raw")
    with open(folder / "sparse.raw", "wb") as file:
        for at in range(0, 64 * MIB, 4 * MIB):
            file.seek(at)
            file.write(os.urandom(64 * KIB))
    sync()
    lies = [where(path) for path in sorted(folder.iterdir())]
    ran = defrag(host, folder)
    assert "nothing to do; 5 files need no defragmenting" in ran.out
    assert [where(path) for path in sorted(folder.iterdir())] == lies


def test_what_is_shared_is_left_and_named(host: World):
    folder = host.area / "vm"
    base, own = scattered(folder / "base.raw"), scattered(folder / "own.raw", seed=1)
    run("cp", "--reflink=always", base, host.area / "clone.raw")
    sync()
    lies = where(base)
    ran = defrag(host, folder, expect=1)
    assert "share its data, so up to 8.0 MiB more would be in use" in " ".join(ran.out.split())
    assert where(base) == lies
    assert fragments(own) <= 2
    ran = defrag(host, "--allow", "snapshots", folder)
    assert "so up to 8.0 MiB more will be in use afterwards" in " ".join(ran.out.split())
    assert fragments(base) <= 2
    assert digest(base) == digest(host.area / "clone.raw")


def test_a_scheduled_run_that_leaves_what_is_shared_has_not_failed(host: World):
    """It does the rest, and says what it left; a file that it may not write to is a failure."""
    folder = host.area / "vm"
    shared, alone = scattered(folder / "shared.raw"), scattered(folder / "alone.raw")
    run("cp", "--reflink=always", shared, host.area / "clone.raw")
    sync()
    before = fragments(shared)
    assert "shared.raw: left as it is: snapshots" in defrag(host, "--scheduled", folder).out
    assert fragments(shared) == before
    assert fragments(alone) < 10
    for path in (folder, shared, alone):
        path.chmod(0o755)
    again = scattered(folder / "again.raw")
    assert fragments(again) > 10
    defrag(host, "--scheduled", folder, user=NOBODY, expect=1)


def test_a_snapshot_shares_too(host: World):
    file = scattered(host.area / "vm" / "disk.raw")
    run("btrfs", "subvolume", "snapshot", "-r", host.area, host.area / "snap")
    lies = where(file)
    ran = defrag(host, file, expect=1)
    assert "snapshots or clones share its data" in ran.out
    assert where(file) == lies
    ran = defrag(host, host.area / "snap" / "vm", expect=1)
    assert f"{host.area}/snap/vm is in a subvolume or a mount that is read-only" in ran.err


def test_shared_data_that_does_not_fit_twice_is_refused(host: World):
    image = host.image("data", mkfs=("--mixed",))
    file = scattered(image.path / "disk.raw", 150 * MIB, 512 * KIB)
    run("cp", "--reflink=always", file, image.path / "clone.raw")
    sync()
    lies = where(file)
    ran = defrag(host, "--allow", "snapshots", image.path, expect=1)
    assert "share 300.0 MiB of what would be rewritten" in ran.err
    assert where(file) == lies


def test_a_mount_that_compresses_is_told_of(host: World):
    image = host.image("data", "compress=zstd")
    plain, nocow = image.path / "plain", image.path / "nocow"
    for folder, letter in ((plain, ""), (nocow, "C")):
        folder.mkdir()
        run("chattr", f"+{letter}", folder) if letter else None
        scattered(folder / "disk.raw")
    assert "will be compressed" not in defrag(host, nocow).out
    ran = defrag(host, plain)
    assert (
        "1 file will be compressed where vmtune rewrites it (the mount: compression zstd:3)"
        in ran.out
    )


def test_what_is_not_entered_is_named(host: World):
    run("btrfs", "subvolume", "create", host.area / "nested")
    file = scattered(host.area / "nested" / "disk.raw")
    there = fragments(file)
    bound = host.area / "bound"
    bound.mkdir()
    host.bind(bound)
    ran = defrag(host, host.area)
    assert "nested: a subvolume of its own, left out" in ran.out
    assert "bound: a mount of its own, left out" in ran.out
    assert fragments(file) == there
    link = host.area / "link"
    link.symlink_to("nested")
    assert "1 file defragmented" in defrag(host, host.area, link, file).out
    assert fragments(file) <= 2


def test_it_works_as_the_caller(host: World):
    """An owner needs no root; what another one owns is named, and the others are still done."""
    folder = host.area / "vm"
    mine = scattered(folder / "mine.raw")
    others, closed = scattered(folder / "others.raw", seed=1), scattered(folder / "closed.raw")
    os.chown(mine, NOBODY, NOBODY)
    closed.chmod(0o600)
    lies = where(others), where(closed)
    ran = defrag(host, folder, user=NOBODY, expect=1)
    assert fragments(mine) <= 2
    assert "others.raw: left as it is: you may not write to it; root may" in ran.out
    assert "closed.raw: you may not open it" in ran.out
    assert (where(others), where(closed)) == lies
    others.unlink()
    assert "nothing to do; 1 file" in defrag(host, folder, user=NOBODY, expect=6).out


def test_an_open_image_stays_right_while_it_is_written_to(host: World):
    file = scattered(host.area / "disk.raw", 16 * MIB, 4 * KIB)
    with open(file, "r+b", buffering=0) as guest:
        process = host.start("defrag", str(file))
        while process.poll() is None:
            guest.seek(random.randrange(4096) * 4096)  # noqa: S311
            guest.write(b"\0" * 4096)
        out, err = process.communicate()
        assert process.returncode == 0, (out, err)
        guest.seek(5 * MIB)
        guest.write(b"last words")
    sync()
    assert file.read_bytes()[5 * MIB :].startswith(b"last words")


@pytest.mark.parametrize("path", ["/proc", "/nowhere", "/dev/null"])
def test_where_there_is_nothing_to_do(host: World, path: str):
    """Said before any other path is touched."""
    file = scattered(host.area / "disk.raw")
    lies = where(file)
    ran = defrag(host, file, path, expect=1)
    assert path in ran.err
    assert where(file) == lies


def test_ctrl_c_stops_between_two_steps_and_it_goes_on(host: World):
    files = [scattered(host.area / "vm" / f"{n}.raw", seed=n) for n in range(4)]
    content = [digest(file) for file in files]
    slow = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=ioctl:delay_exit=30000"]
    process = host.start("defrag", str(host.area / "vm"), under=slow)
    deadline = time.monotonic() + patience.SECONDS
    while where(files[0]).count("\n") > 100:
        assert time.monotonic() < deadline
        sync()
        time.sleep(0.02)
    child = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0]
    os.kill(int(child), signal.SIGINT)
    out, err = process.communicate(timeout=patience.SECONDS)
    assert process.returncode == 130, (out, err)
    assert "interrupted" in err
    assert "running it again goes on from there" in err
    assert "defragmented" in out
    assert fragments(files[-1]) > 200
    defrag(host, host.area / "vm")
    assert max(map(fragments, files)) <= 2
    assert [digest(file) for file in files] == content


def test_events_tell_each_percent_to_who_waits(host: World):
    file = scattered(host.area / "disk.raw")
    ran = defrag(host, "--json", file)
    result(ran)
    steps = [json.loads(line) for line in ran.out.splitlines() if '"progress"' in line]
    assert steps[0]["subject"] == "disk.raw"
    assert steps[0]["all_size"] == 8 * MIB
    error = host.vmtune("defrag", "--json", "/nowhere")
    first, last = (json.loads(line) for line in error.out.splitlines())
    check("error", first)
    assert last == {"event": "exit", "code": 1}


def test_a_terminal_has_one_line_redrawn(host: World):
    folder = host.area / "vm"
    for number in range(60):
        scattered(folder / f"{number}.raw", 512 * KIB, seed=number)
    with host.typed("defrag", str(folder), TERM="xterm", COLUMNS="80") as typed:
        typed.see("60 files defragmented")
        assert typed.end() == 0
    drawn = [text for text in re.findall(r"\r([^\r\n\x1b]*)\x1b\[K", typed.screen) if text]
    assert all(re.match(r" +\d+%  [\d.]+ \w+ of 30.0 MiB", text) for text in drawn), drawn


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_it_fits_and_is_ascii(host: World, columns: int):
    folder = host.area / "vm"
    scattered(folder / "disk.raw")
    base = scattered(folder / "base.raw", seed=1)
    run("cp", "--reflink=always", base, folder / "clone.raw")
    sync()
    env = {"PATH": os.environ["PATH"], "TERM": "dumb", "LC_ALL": "C"}
    seen = screen([*PROGRAM, "defrag", str(folder)], columns, env)
    assert seen.isascii()
    assert max(map(len, seen.splitlines())) <= columns
