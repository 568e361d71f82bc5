"""A disk that fails, or is full, where other threads read and write: strace(1) follows them."""

import re
from pathlib import Path

import pytest

from tests.btrfs.outside import is_nocow, run
from tests.btrfs.rewriting import KIB, MIB, beside, described, written
from tests.btrfs.world import World

# A piece is read, written and read back; the calls of each thread are counted on their own. The
# first piece of each file is the main thread's, all others are those of four more: of 51 pieces
# one of these has thirteen. The main thread, of two files, has two writes and four reads; where
# room is missing, the large file is tried once more, which makes three writes.
FAILURES = {
    "no space for a write": ("pwritev2", "4+", "ENOSPC", "not enough space for its copy", "V706"),
    "no quota for a write": ("pwritev2", "4+", "EDQUOT", "the quota of its subvolume", "V717"),
    "a write fails": ("pwritev2", 3, "EIO", "Input/output error; it is as it was", "V718"),
    "a read fails": ("preadv2", 5, "EIO", "Input/output error; it is as it was", "V718"),
    "what was written cannot be read": ("preadv2", 6, "EIO", "Input/output error", "V718"),
    "all reads fail from then on": ("preadv2", "5+", "EIO", "cannot be read at byte ", "V716"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_an_error_in_another_thread_leaves_the_image(host: World, name: str):
    call, when, error, words, code = FAILURES[name]
    disk = host.image("disk", mkfs=["-m", "single"]).path  # given back after the test
    folder = disk / "vm"
    folder.mkdir()
    run("chattr", "+C", folder)
    large = written(disk / "new", 26 * MIB).rename(folder / "large.raw")
    small = written(disk / "new", 100 * KIB, seed=2).rename(folder / "small.raw")
    host.nocow(folder, existing="rewrite")
    before, inode = {image: described(image) for image in (large, small)}, large.stat().st_ino
    log = host.area / "log"
    inject = f"inject={call}:error={error}:when={when}"
    under = ["strace", "-f", "-qq", "-o", log, "-e", f"trace={call},execve", "-e", inject]
    ran = host.apply(expect=3, under=under)
    assert _failing(log, call) - {_main(log)}, "it was no other thread that failed"
    assert _main(log) not in _failing(log, call)
    assert re.search(rf"^ *large.raw: {re.escape(words)}.*   {code}$", ran.err, re.MULTILINE), ran
    assert "1 of 2 files left as it was" in ran.err
    assert large.stat().st_ino == inode
    assert (is_nocow(large), is_nocow(small)) == (False, True)
    assert beside(disk) == []
    assert {image: described(image) for image in (large, small)} == before
    host.apply()
    assert is_nocow(large)
    assert {image: described(image) for image in (large, small)} == before
    assert sorted(path.name for path in folder.iterdir()) == ["large.raw", "small.raw"]
    host.plan(expect=0)


def _failing(log: Path, call: str) -> set[str]:
    """Threads, by number, that were told of an error."""
    lines = log.read_text().splitlines()
    return {line.split()[0] for line in lines if call in line and "(INJECTED)" in line}


def _main(log: Path) -> str:
    """The one that began the program."""
    return next(line.split()[0] for line in log.read_text().splitlines() if "execve(" in line)
