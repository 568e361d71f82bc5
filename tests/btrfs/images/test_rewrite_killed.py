"""A rewrite that is killed, or told that the disk is full or broken, at every call it makes."""

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.btrfs.forked import Call, Forked, among, told
from tests.btrfs.outside import is_nocow, run, sync
from tests.btrfs.rewriting import KIB, MIB, beside, described, rewriter, written
from tests.btrfs.world import World, until

CHANGING = {
    "fallocate": r".",
    "fchmod": r".",
    "fchown": r".",
    "fcntl": r"F_SETLEASE",
    "fsetxattr": r".",
    "fsync": r".",
    "ftruncate": r".",
    "ioctl": r"FS_IOC_SETFLAGS",
    "linkat": r".",
    "openat": r"O_TMPFILE",
    "pwritev2": r".",
    "renameat2": r".",
    "syncfs": r".",
    "unlinkat": r".",
    "utimensat": r".",
}
FAILING = {**CHANGING, "preadv2": r".", "fstatfs": r".", "lseek": r"SEEK_(DATA|HOLE)"}
del FAILING["fcntl"]  # EAGAIN is its only error, and has tests of its own


class Pool:
    """A nocow directory with images that are not: two small ones, one of three pieces."""

    def __init__(self, host: World) -> None:
        self.host, self.folder = host, host.area / "vm"
        self.folder.mkdir()
        run("chattr", "+C", self.folder)
        self.images = [self.folder / name for name in ("one.raw", "two.raw", "three.raw")]
        self.reset()
        self.before = {image: described(image) for image in self.images}
        host.nocow(self.folder, existing="rewrite")

    def reset(self) -> None:
        """As it was at first: made outside, where nothing is inherited, and moved in."""
        run("rm", "-rf", "/var/lib/vmtune", *beside(self.folder))
        for number, image in enumerate(self.images):
            image.unlink(missing_ok=True)
            new = self.host.area / "new"
            written(new, [10 * KIB, 5 * KIB, 9 * MIB][number], seed=number)
            os.truncate(new, 12 * MIB)
            run("setfattr", "-n", "user.note", "-v", "kept", new)
            os.utime(new, ns=(10**18, 10**18))
            new.rename(image)
            assert not is_nocow(image)

    def whole(self) -> None:
        """Each under its own name, whatever its layout."""
        for image in self.images:
            assert described(image) == self.before[image]

    def done(self) -> None:
        self.whole()
        assert all(is_nocow(image) for image in self.images)
        assert set(os.listdir(self.folder)) == {image.name for image in self.images}


@pytest.fixture
def pool(host: World) -> Pool:
    return Pool(host)


@pytest.fixture
def forked(pool: Pool) -> Iterator[Forked]:
    found = Forked(pool.host.file)
    yield found
    found.close()


@pytest.fixture
def quick(pool: Pool) -> Iterator[Forked]:
    """Where nobody comes late."""
    found = Forked(pool.host.file, hold=0.01)
    yield found
    found.close()


def _calls(forked: Forked, patterns: dict[str, str]) -> list[Call]:
    """Those of the rewrite itself: between the first lease and the last unlink."""
    calls = forked.calls("apply", "--yes")
    numbers = [n for n, c in enumerate(calls) if "F_SETLEASE" in c.line or c.name == "unlinkat"]
    assert numbers
    return among(calls[numbers[0] : numbers[-1] + 3], patterns)


def _ends_well(pool: Pool, forked: Forked) -> None:
    pool.whole()
    again = forked("apply", "--yes")
    assert again.code == 0, again
    pool.done()
    plan = forked("plan", "--detailed-exitcode")
    assert plan.code == 0, plan


@pytest.mark.sweep
def test_killed_at_any_call_each_image_is_whole_and_one_more_run_ends_it(pool: Pool, quick: Forked):
    def counted() -> list[Call]:
        calls = _calls(quick, CHANGING)
        pool.done()
        assert len(calls) >= 35, calls
        assert {call.name for call in calls} >= {"linkat", "renameat2", "unlinkat", "pwritev2"}
        return calls

    strays = 0
    swept = quick.sweep(CHANGING, counted, pool.reset, "signal=KILL", "apply", "--yes")
    for call, killed in swept:
        with told(call, killed):
            assert killed.code == -9
            strays += len(beside(pool.folder))
            _ends_well(pool, quick)
    assert strays >= 4


@pytest.mark.sweep
def test_an_error_of_any_call_leaves_the_image_as_it_was(pool: Pool, quick: Forked):
    def counted() -> list[Call]:
        calls = _calls(quick, FAILING)
        assert len(calls) >= 35, calls
        return calls

    # EIO: where room is missing once, a second try is made.
    swept = quick.sweep(FAILING, counted, pool.reset, "error=EIO", "apply", "--yes")
    for call, ran in swept:
        with told(call, ran):
            # A question that is asked in passing may do without an answer; nothing else may.
            passing = call.name in {"ioctl", "fstatfs", "fsync", "syncfs", "lseek"}
            assert ran.code in ({0, 1, 3} if passing else {1, 3})
            said = r"Input/output error|the data on disk is damaged"
            assert not ran.code or re.search(said, ran.err)
            _ends_well(pool, quick)


def test_killed_while_other_threads_write(host: World):
    """At moments of its own, with pieces under way: nothing is left but the image."""
    image = written(host.area / "disk.raw", 120 * MIB)
    before = described(image)
    for number in range(8):
        with rewriter() as rewrite:
            rewrite.begin(host.area)
            time.sleep(0.03 + 0.04 * number)
            rewrite.process.send_signal(signal.SIGKILL)
        assert described(image) == before
        assert set(os.listdir(host.area)) <= {"disk.raw", *map(os.path.basename, beside(host.area))}


def test_a_full_filesystem(host: World):
    """Too little for a copy: said with figures, nothing is changed; what fits is done."""
    disk = host.image("small", mkfs=["-m", "single"])
    large, small = disk.path / "large.raw", disk.path / "small.raw"
    written(large, 90 * MIB)
    written(small, MIB)
    before = {image: described(image) for image in (large, small)}
    written(disk.path / "ballast", 110 * MIB)
    run("chattr", "+i", disk.path / "ballast")
    with rewriter() as rewrite:
        ended = rewrite(disk.path)
        assert ended.how == "refused"
        assert re.search(
            r"large.raw: not enough space: it needs (9|10)[0-9.]+ MiB.* are free", ended.message
        )
        assert is_nocow(small)
        assert not is_nocow(large)
        run("chattr", "-i", disk.path / "ballast")
        (disk.path / "ballast").unlink()
        sync()
        rewrite.done(disk.path)
    assert {image: described(image) for image in (large, small)} == before


def test_a_filesystem_that_fills_up_meanwhile(host: World):
    disk = host.image("small", mkfs=["-m", "single"])
    (disk.path / "vm").mkdir()
    image = written(disk.path / "vm" / "disk.raw", 90 * MIB)
    before = described(image)
    slow = [
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "inject=fallocate:delay_enter=900000:when=1",
    ]
    with rewriter(slow) as rewrite:
        rewrite.begin(disk.path / "vm")
        time.sleep(0.3)
        run("fallocate", "-l", "100M", disk.path / "ballast")
        ended = rewrite.end()
    assert ended.how == "refused", ended
    assert "not enough space" in ended.message
    assert described(image) == before
    assert not is_nocow(image)
    assert beside(disk.path) == []


# --- what a kill leaves, and when it may go


def _stray(pool: Pool, forked: Forked, call: str) -> Path:
    """One that a real kill left: before the exchange, or before the old name is removed."""
    calls = [c for c in forked.calls("apply", "--yes") if c.name == call]
    pool.reset()
    forked.at(calls[0], "signal=KILL", "apply", "--yes")
    return Path(beside(pool.folder)[0])  # of two, where neither was given up yet


@pytest.mark.parametrize("call", ["renameat2", "unlinkat"])
def test_a_stray_that_was_written_to_stays_and_is_named(pool: Pool, forked: Forked, call: str):
    """Somebody had found the image, not yet opened it, and got the old data after the kill."""
    stray = _stray(pool, forked, call)
    with open(stray, "r+b") as file:
        file.write(b"theirs")
    for _ in range(2):
        forked("apply", "--yes")
        assert stray.read_bytes()[:6] == b"theirs"
    row = forked("plan").row(f"! images {stray}")
    assert "looks like an unfinished copy, and is left there: it was written to" in row
    pool.whole()


@pytest.mark.parametrize("call", ["renameat2", "unlinkat"])
def test_the_only_whole_copy_is_never_removed(pool: Pool, forked: Forked, call: str):
    stray = _stray(pool, forked, call)
    numbers = set(stray.name.split("-")[1:3])
    image = next(path for path in pool.images if str(path.stat().st_ino) in numbers)
    image.unlink()
    forked("apply", "--yes")
    assert stray.exists()


@pytest.mark.parametrize("name", [".vmtune-1-2-3", ".vmtune-5", ".vmtune-1-2-3-4", ".vmtune-x-y-z"])
def test_what_only_looks_like_a_stray_is_left_alone(pool: Pool, forked: Forked, name: str):
    path = written(pool.folder / name, 5000)
    forked("apply", "--yes")
    assert path.exists()


def test_a_stray_that_is_open_stays(pool: Pool, forked: Forked):
    stray = _stray(pool, forked, "renameat2")
    with open(stray, "rb"):
        ran = forked("apply", "--yes")
        assert ran.code == 3, ran
        assert f"{stray}: somebody has it open" in ran.err
        assert stray.exists()
    _ends_well(pool, forked)


def test_the_copy_has_no_name_while_it_is_made(host: World):
    """Nothing to see, and 0600 until it has its owner."""
    image = written(host.area / "disk.raw", 60 * MIB)
    image.chmod(0o644)
    slow = [
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "inject=fchown:delay_enter=800000:when=1",
    ]
    with rewriter(slow) as rewrite:
        rewrite.begin(host.area)
        pid = Path(f"/proc/{rewrite.process.pid}/task/{rewrite.process.pid}/children").read_text()

        def copies() -> list[os.stat_result]:
            found = []
            for path in Path(f"/proc/{pid.split()[0]}/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                    found.append(path.stat())
            return [s for s in found if s.st_nlink == 0 and s.st_size >= 60 * MIB]

        until("the copy is whole", copies)
        assert {status.st_mode & 0o777 for status in copies()} == {0o600}
        assert os.listdir(host.area) == ["disk.raw"]
        assert rewrite.end().how == "done"
