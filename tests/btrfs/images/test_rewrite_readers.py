"""Who only reads an image comes at any moment of its rewriting; who writes loses no byte."""

import fcntl
import mmap
import os
import random
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import patience
from tests.btrfs.images.test_rewrite_late import exchanged, found_before, found_by
from tests.btrfs.images.test_rewrite_open import open_files, program
from tests.btrfs.outside import is_nocow, run
from tests.btrfs.rewriting import (
    KIB,
    MIB,
    READERS,
    WRITERS,
    Comers,
    Ended,
    Rewriter,
    beside,
    described,
    digest,
    rewriter,
    written,
)
from tests.btrfs.world import World, until

STRACE = ["strace", "-f", "-qq", "-o", "/dev/null", "-e"]
ROUNDS, EACH = 5, 20
"""A hundred rewrites: twenty images a round, each with a comer of its own."""


@pytest.fixture(scope="module")
def rewrite(_inside: None) -> Iterator[Rewriter]:
    with rewriter() as found:
        yield found


@pytest.fixture
def comers(_inside: None) -> Iterator[Comers]:
    found = Comers()
    yield found
    found.close()


def _orders(images: list[Path], hows: tuple[str, ...], chance: random.Random, seconds: float):
    """Each image has one comer: half of them at any moment, half about when it is its turn.

    ``seconds`` is what the round before took; images are met in the order of their names' making.
    """
    found = []
    for number, image in enumerate(images):
        turn = seconds * number / len(images)
        near = chance.uniform(turn - 0.1, turn + seconds / len(images) + 0.2)
        size = image.stat().st_size
        found.append(
            {
                "path": str(image),
                "delay": chance.choice([chance.uniform(0, seconds), max(0.0, near)]),
                "size": size,
                "at": chance.randrange(0, size - 99),
                "marker": f"<{image.name}: written by somebody>",
                "how": hows[(number + number // len(hows)) % len(hows)],
            }
        )
    return found


def _rounds(
    area: Path, rewrite: Rewriter, comers: Comers, hows: tuple[str, ...]
) -> Iterator[tuple[list[dict[str, object]], Ended]]:
    """Rewrites with a comer for each image; what the images held is for the caller to look at."""
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")  # shown where the test fails
    chance, seconds = random.Random(seed), 1.0  # noqa: S311 - moments
    for number in range(ROUNDS):
        folder = area / f"round{number}"
        folder.mkdir()
        images = [folder / f"{n}.raw" for n in range(EACH)]
        for n, image in enumerate(images):
            image.write_bytes(random.Random(n).randbytes(chance.randrange(8 * KIB, 2 * MIB)))  # noqa: S311
        run("btrfs", "filesystem", "sync", folder)
        orders = _orders(images, hows, chance, seconds)
        comers.begin(orders)
        ended = rewrite(folder)
        comers.end()
        seconds = ended.seconds
        yield orders, ended
        assert beside(folder) == []
        run("rm", "-r", folder)


@pytest.fixture
def waits(_inside: None) -> Iterator[Rewriter]:
    """Waits longer for who has an image open in passing: this machine may not let them close it."""
    with rewriter(PASSING=str(patience.SECONDS / 12)) as found:
        yield found


def test_a_hundred_rewrites_each_with_a_reader(host: World, waits: Rewriter, comers: Comers):
    """All of them done, each image whole, and nothing is left beside one."""
    for orders, ended in _rounds(host.area, waits, comers, READERS):
        assert (ended.how, ended.left) == ("done", 0), ended
        images = [Path(str(order["path"])) for order in orders]
        assert sorted(images[0].parent.iterdir()) == sorted(images)
        for number, image in enumerate(images):
            assert is_nocow(image)
            size = image.stat().st_size
            assert image.read_bytes() == random.Random(number).randbytes(size)  # noqa: S311
    # Between the first lease and the one that lets readers in are some microseconds.
    assert comers.turned_away <= 1


def test_a_hundred_rewrites_each_with_a_writer(host: World, rewrite: Rewriter, comers: Comers):
    """Whichever way it ends, what was written is under the name, and all else is as it was."""
    ended_by_them = 0
    for orders, ended in _rounds(host.area, rewrite, comers, WRITERS):
        assert ended.how in {"done", "refused"}, ended
        ended_by_them += ended.left
        _check(orders)
        rewrite.done(Path(str(orders[0]["path"])).parent)
        _check(orders)
    assert ended_by_them, "the moments miss the work"


def _check(orders: list[dict[str, object]]) -> None:
    for number, order in enumerate(orders):
        image, at, marker = Path(str(order["path"])), int(str(order["at"])), str(order["marker"])
        data, rest = image.read_bytes(), at + len(marker)
        if order["how"] == "replacer":
            assert data == b" " * at + marker.encode(), order
            continue
        before = random.Random(number).randbytes(int(str(order["size"])))  # noqa: S311
        if order["how"] == "shortener":
            assert data == before[:at], order
        else:
            assert data == before[:at] + marker.encode() + before[rest:], order
    names = {str(order["path"]) for order in orders}
    assert {str(path) for path in Path(str(orders[0]["path"])).parent.iterdir()} == names


# --- those who stay


def test_who_reads_on_keeps_what_they_read_and_cannot_write_to_it(host: World, rewrite: Rewriter):
    """A backup that is slower than the rewrite, and a map: the old data has no name by then."""
    image = written(host.area / "disk.raw", 120 * MIB)
    before = digest(image)
    rewrite.begin(host.area)
    until("it begins", rewrite.leases)
    with open(image, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        begun = image.stat().st_ino
        ended = rewrite.end()
        assert (ended.how, ended.left) == ("done", 0), ended
        assert image.stat().st_ino != begun == os.fstat(file.fileno()).st_ino
        assert os.listdir(host.area) == ["disk.raw"]
        assert os.fstat(file.fileno()).st_nlink == 0
        assert mapped[-1000:] == image.read_bytes()[-1000:]
        again = f"/proc/self/fd/{file.fileno()}"
        for flags in (os.O_RDWR, os.O_WRONLY, os.O_RDWR | os.O_NONBLOCK):
            with pytest.raises(PermissionError):
                os.open(again, flags)
        with pytest.raises(PermissionError):
            os.truncate(again, 5)
        os.close(os.open(again, os.O_RDONLY))
    assert digest(image) == before
    assert is_nocow(image)


def test_who_found_the_name_long_ago_cannot_write_to_what_has_none(host: World, rewrite: Rewriter):
    """An O_PATH handle that nobody could see: opened afterwards, it fails aloud."""
    image = written(host.area / "disk.raw", MIB)
    with found_before(image) as walk:
        rewrite.done(host.area)
        found = found_by(walk)
    try:
        with pytest.raises(PermissionError):
            os.open(f"/proc/self/fd/{found}", os.O_RDWR)
    finally:
        os.close(found)


def test_a_qemu_that_reads_it_and_writes_later_writes_under_the_name(host: World):
    """As a backing file that is committed to: QEMU opens the file again, by its name."""
    image = written(host.area / "disk.raw", 16 * MIB)
    data = bytearray(image.read_bytes())
    with rewriter([*STRACE, "inject=pwritev2:delay_enter=500000"]) as rewrite:
        rewrite.begin(host.area)
        until("it begins", rewrite.leases)
        with program("qemu-io", "-r", "-f", "raw", image) as qemu:
            assert qemu.stdin
            assert qemu.stdout
            until("QEMU has it open", lambda: str(image) in open_files(qemu.pid))
            ended = rewrite.end()
            assert (ended.how, ended.left) == ("done", 0), ended
            assert any(name.endswith(" (deleted)") for name in open_files(qemu.pid))
            for command in ("reopen -w", "write -P 9 1M 64k", "flush", "quit"):
                said = b""
                while not said.endswith(b"qemu-io> "):  # lines that come together are one to it
                    said += os.read(qemu.stdout.fileno(), 999)
                qemu.stdin.write(f"{command}\n".encode())
                qemu.stdin.flush()
            assert qemu.wait(patience.SECONDS) == 0
    data[MIB : MIB + 64 * KIB] = bytes([9]) * 64 * KIB
    assert image.read_bytes() == data
    assert is_nocow(image)


def _ask_all(folder: Path, stop: threading.Event, turned_away: list[str], seen: set[str]) -> None:
    """As libvirt refreshes a pool, again and again: every file in it, without a wait."""
    while not stop.is_set():
        for name in os.listdir(folder):
            try:
                os.close(os.open(folder / name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY))
                seen.add(name.partition("-")[0])
            except BlockingIOError:
                turned_away.append(name)
            except FileNotFoundError:
                pass
        time.sleep(0.002)


def test_a_pool_that_is_refreshed_all_the_time_is_never_turned_away(host: World):
    """Also around the exchange, held up there, and at the name of the copy beside the image."""
    image = written(host.area / "disk.raw", 9 * MIB)
    stop, turned_away, seen = threading.Event(), [], set()
    slow = ["inject=linkat,renameat2,unlinkat,fsync:delay_enter=150000:delay_exit=150000"]
    with rewriter([*STRACE, *slow]) as rewrite:
        refresh = threading.Thread(target=_ask_all, args=(host.area, stop, turned_away, seen))
        rewrite.begin(host.area)
        refresh.start()
        try:
            ended = rewrite.end()
        finally:
            stop.set()
            refresh.join()
    assert (ended.how, ended.left) == ("done", 0), ended
    assert is_nocow(image)
    assert seen == {"disk.raw", ".vmtune"}
    assert len(turned_away) <= 1
    assert os.listdir(host.area) == ["disk.raw"]


def test_vmtunes_own_looks_end_no_rewrite(host: World, rewrite: Rewriter):
    """`status` at any moment, as a prompt or a monitor calls it."""
    folder = host.area / "vm"
    folder.mkdir()
    images = [written(folder / f"{n}.raw", 300 * KIB, seed=n) for n in range(12)]
    before = list(map(described, images))
    host.nocow(folder, existing="rewrite")
    for _ in range(4):
        for image in images:
            run("cp", "--reflink=never", image, host.area / "new")
            run("touch", "-r", image, host.area / "new")
            (host.area / "new").rename(image)
        stop = threading.Event()

        def look(stop: threading.Event = stop) -> None:
            while not stop.is_set():
                host.vmtune("status")

        looking = threading.Thread(target=look)
        looking.start()
        try:
            ended = rewrite(folder)
        finally:
            stop.set()
            looking.join()
        assert (ended.how, ended.left) == ("done", 0), ended
        assert sorted(os.listdir(folder)) == sorted(image.name for image in images)
    assert [each["data"] for each in map(described, images)] == [each["data"] for each in before]


@pytest.mark.parametrize("call", ["fsync", "renameat2"])
def test_a_reader_that_puts_the_time_of_access_back_changes_nothing(host: World, call: str):
    """As tar --atime-preserve=replace does: the file has another time of change afterwards."""
    image = written(host.area / "disk.raw", 3 * MIB)
    run("setfattr", "-n", "user.note", "-v", "kept", image)
    before, number = described(image), image.stat().st_ino
    with rewriter([*STRACE, f"inject={call}:delay_exit=500000:when=1"]) as rewrite:
        rewrite.begin(host.area)
        until("a copy has its name", lambda: beside(host.area))
        with open(image, "rb") as file:
            if call == "renameat2":
                exchanged(image, number)
            os.utime(file.fileno(), ns=(10**18, os.fstat(file.fileno()).st_mtime_ns))
        ended = rewrite.end()
    assert (ended.how, ended.left) == ("done", 0), ended
    assert described(image)["attributes"] == before["attributes"]
    assert os.listdir(host.area) == ["disk.raw"]


# --- what no lease tells


@pytest.mark.parametrize("call", ["fallocate", "fsync", "renameat2"])
def test_who_empties_a_file_that_they_open_only_to_read(host: World, call: str):
    """O_RDONLY | O_TRUNC breaks no read lease; size and time tell it."""
    image = written(host.area / "disk.raw", 3 * MIB)
    with rewriter([*STRACE, f"inject={call}:delay_exit=700000:when=1"]) as rewrite:
        walk = found_before(image)
        rewrite.begin(host.area)
        if call == "fallocate":
            until("it copies", lambda: rewrite.copies(host.area))  # what it copies is known by then
        elif call == "fsync":
            until("the copy has its name", lambda: beside(host.area))
        else:
            exchanged(image, image.stat().st_ino)
        with walk:
            found = found_by(walk)
        os.close(os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_TRUNC))
        os.close(found)  # which a look would see
        ended = rewrite.end()
    assert ended.how == "refused", ended
    assert re.search("changed.*   V719$", ended.message), ended
    assert image.read_bytes() == b""
    assert os.listdir(host.area) == ["disk.raw"]


def test_an_image_that_is_replaced_at_the_very_moment_stays_replaced(host: World):
    """rename(2) over it between the last look at the name and the exchange."""
    image = written(host.area / "disk.raw", MIB)
    with rewriter([*STRACE, "inject=renameat2:delay_enter=700000:when=1"]) as rewrite:
        new = written(host.area.parent / f"{host.area.name}-new", MIB, seed=9)
        run("cp", new, host.area / "new")
        new.unlink()
        wanted = digest(host.area / "new")
        number = (host.area / "new").stat().st_ino
        rewrite.begin(host.area, spared=["new"])
        until("the copy has its name", lambda: beside(host.area))
        time.sleep(0.3)  # synced, and about to be exchanged
        os.rename(host.area / "new", image)
        ended = rewrite.end()
    assert ended.how == "refused", ended
    assert "replaced" in ended.message
    assert (image.stat().st_ino, digest(image)) == (number, wanted)
    assert os.listdir(host.area) == ["disk.raw"]


def test_a_lease_of_another_program_is_a_use(host: World, rewrite: Rewriter):
    """A file server's, for one: it opens what its client writes to later."""
    image = written(host.area / "disk.raw", MIB)
    fd = os.open(image, os.O_RDONLY)
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    try:
        rewrite.refused(host.area, "disk.raw: in use by ")
    finally:
        os.close(fd)
    rewrite.done(host.area)
