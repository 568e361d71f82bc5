"""Who comes at the worst moment, a disk that loses writes, and a user who swaps the names."""

import contextlib
import fcntl
import os
import random
import re
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from reconciler.linux import inode, tree_walk
from reconciler.resources.images import copy as images_copy
from reconciler.resources.images import rewrite
from reconciler.resources.images.places import NOCOW
from tests import patience
from tests.btrfs.each import contents
from tests.btrfs.engine.test_races import swapping
from tests.btrfs.outside import is_nocow, run, sync
from tests.btrfs.rewriting import KIB, MIB, beside, described, digest, rewriter, written
from tests.btrfs.sandbox import PROGRAM
from tests.btrfs.world import _ENV, ALICE, World, until

pytestmark = pytest.mark.sweep

STRACE = ["strace", "-f", "-qq", "-o", "/dev/null", "-e"]


def found_before(image: Path) -> socket.socket:
    """What a path walk ends with: the file is found, not yet opened, and no lease knows of it.

    Nor does any look at processes: the handle is on its way through a socket.
    """
    here, there = socket.socketpair(socket.AF_UNIX)
    found = os.open(image, os.O_PATH)
    with there:
        socket.send_fds(there, [b"found"], [found])
    os.close(found)
    return here


def found_by(walk: socket.socket) -> int:
    """The descriptor that was found; from now on a look at processes sees it."""
    return socket.recv_fds(walk, 10, 1)[1][0]


def opened(walk: socket.socket, marker: bytes) -> None:
    """The rest of open(2), as late as one likes; then something is written."""
    with walk:
        found = found_by(walk)
    fd = os.open(f"/proc/self/fd/{found}", os.O_RDWR)
    os.pwrite(fd, marker, 0)
    os.close(fd)
    os.close(found)


def exchanged(image: Path, before: int) -> None:
    deadline = time.monotonic() + patience.SECONDS
    while image.stat().st_ino == before:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_who_found_the_name_before_the_exchange_gets_it_back(host: World):
    image = written(host.area / "disk.raw", 2 * MIB)
    with rewriter() as rewrite:
        for number in range(20):
            inode, found = image.stat().st_ino, found_before(image)
            rewrite.begin(host.area)
            exchanged(image, inode)
            time.sleep(random.Random(number).uniform(0, 0.15))  # noqa: S311 - moments
            opened(found, b"<mine %d>" % number)
            ended = rewrite.end()
            assert ended.how == "refused", ended
            assert "opened by somebody as it was exchanged; it is as it was" in ended.message
            assert image.stat().st_ino == inode
            assert image.read_bytes().startswith(b"<mine %d>" % number)
            assert os.listdir(host.area) == ["disk.raw"]
        rewrite.done(host.area)
    assert is_nocow(image)


def test_a_slow_disk_takes_nothing_of_the_time_after_the_exchange(host: World):
    """The copy's fsync comes before it: who found the name has a quarter second from then on."""
    image = written(host.area / "disk.raw", MIB)
    with rewriter([*STRACE, "inject=fsync:delay_enter=700000:when=1"]) as rewrite:
        inode, found = image.stat().st_ino, found_before(image)
        rewrite.begin(host.area)
        exchanged(image, inode)
        time.sleep(0.1)
        opened(found, b"<mine>")
        assert "opened by somebody as it was exchanged" in rewrite.end().message
    assert image.stat().st_ino == inode
    assert image.read_bytes().startswith(b"<mine>")


def _waited(image: Path, inode: int) -> float:
    """Seconds for who opens an image once it has been exchanged."""
    exchanged(image, inode)
    before = time.monotonic()
    os.close(os.open(image, os.O_RDWR))
    return time.monotonic() - before


def test_nobody_waits_for_a_look_at_what_needs_nothing(host: World):
    """One image before many files that are as wanted, on a machine that looks at them slowly."""
    image = written(host.area / "disk.raw", MIB)
    run("chattr", "+C", host.area)
    for number in range(60):
        (host.area / f"{number}.raw").write_bytes(b"nocow")
    sync()
    with rewriter([*STRACE, "inject=ioctl:delay_enter=25000"]) as rewrite:
        inode = image.stat().st_ino
        rewrite.begin(host.area)
        waited = _waited(image, inode)
        assert rewrite.end().how == "done"
    assert is_nocow(image)
    assert waited < 2.5, "a look at mounts and loop devices makes ioctls of its own"


def test_who_waits_is_let_go_before_the_disk_is_waited_for(host: World):
    """One image held, the next one ready: its fsync takes as long as the disk likes."""
    images = [written(host.area / f"{number}.raw", MIB, seed=number) for number in range(2)]
    times = min(patience.FACTOR, 4)  # the disk is slow beside a slow machine, too
    fsync, fchown = int(1_500_000 * times), int(500_000 * times)
    slow = ["-e", f"inject=fsync:delay_enter={fsync}", "-e", f"inject=fchown:delay_enter={fchown}"]
    with rewriter([*STRACE[:-1], *slow]) as rewrite:
        inode = images[0].stat().st_ino
        rewrite.begin(host.area)
        waited = _waited(images[0], inode)
        assert rewrite.end().how == "done"
    assert all(map(is_nocow, images))
    assert waited < 2.8 * times, "not only for the fsync of its directory"


def test_who_came_before_the_copy_is_synced_does_not_wait_for_that(host: World):
    image = written(host.area / "disk.raw", MIB)
    slow = ["-e", "inject=fsync:delay_enter=2500000", "-e", "inject=linkat:delay_exit=500000"]
    with rewriter([*STRACE[:-1], *slow]) as rewrite:
        rewrite.begin(host.area)
        until("the copy has its name", lambda: beside(host.area))
        before = time.monotonic()
        with image.open("r+b") as mine:
            waited = time.monotonic() - before
            mine.write(b"<mine>")
        assert "opened by somebody while it was copied; it is as it was" in rewrite.end().message
    assert waited < 1.5
    assert image.read_bytes().startswith(b"<mine>")
    assert os.listdir(host.area) == ["disk.raw"]


def test_two_who_found_different_files_both_keep_theirs(host: World):
    image = written(host.area / "disk.raw", 2 * MIB)
    inode, found = image.stat().st_ino, found_before(image)
    with rewriter() as rewrite:
        rewrite.begin(host.area)
        exchanged(image, inode)
        comers = [
            threading.Thread(target=opened, args=(which, text))
            for which, text in ((found, b"<early>"), (found_before(image), b"<late>"))
        ]
        for comer in comers:
            comer.start()
        for comer in comers:
            comer.join()
        ended = rewrite.end()
    assert ended.how == "refused", ended
    assert "opened twice in the moment when it was exchanged" in ended.message
    names = sorted(path.name for path in host.area.iterdir())
    assert len(names) == 2
    assert all(name in ended.message for name in names), (names, ended)
    assert {(host.area / name).read_bytes()[:4] for name in names} == {b"<ear", b"<lat"}
    assert image.read_bytes().startswith(b"<early>")
    assert beside(host.area) == []


def test_a_write_that_never_reaches_the_disk_is_found(host: World):
    """The call says that it wrote four megabytes, and did nothing."""
    image = written(host.area / "disk.raw", 17 * MIB)
    before = described(image)
    for when in range(1, 6):
        size = 4 * MIB if when < 5 else MIB
        lost = [*STRACE, f"inject=pwritev2:retval={size}:when={when}"]
        if when > 1:
            lost = [*STRACE, f"inject=pwritev2:retval={4 * MIB}:when=1"]
        with rewriter(lost) as rewrite:
            ended = rewrite(host.area)
        assert ended.how == "refused", ended
        assert re.search(r"disk.raw: what was written at byte [\d,]+ reads back as", ended.message)
        assert described(image) == before
        assert not is_nocow(image)
        assert beside(host.area) == []


def test_a_byte_changed_in_the_copy_is_found(host: World):
    """By another program, on the way: between writing a piece and reading it back."""
    image = written(host.area / "disk.raw", MIB)
    before = described(image)
    with rewriter([*STRACE, "inject=preadv2:delay_enter=700000:when=2"]) as rewrite:
        rewrite.begin(host.area)
        child = Path(f"/proc/{rewrite.process.pid}/task/{rewrite.process.pid}/children")
        folder = Path(f"/proc/{child.read_text().split()[0]}/fd")
        until("there is a copy", lambda: any(map(_is_copy, folder.iterdir())))
        (copy,) = [path for path in folder.iterdir() if _is_copy(path)]
        time.sleep(0.2)  # written, and not yet read back
        with open(copy, "r+b") as file:
            file.seek(500 * KIB)
            byte = file.read(1)
            file.seek(500 * KIB)
            file.write(bytes([byte[0] ^ 1]))
            file.flush()
            os.fsync(file.fileno())
        ended = rewrite.end()
    assert ended.how == "refused", ended
    assert "reads back as something else" in ended.message
    assert described(image) == before
    assert os.listdir(host.area) == ["disk.raw"]


def _is_copy(path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):  # closed since it was listed
        status = os.stat(path)
        return status.st_nlink == 0 and status.st_size == MIB
    return False


# --- who had it open until a moment ago

_SWEEP = """
import sys
from reconciler.resources.images import stale_copies
stale_copies.put(sys.argv[1], (sys.argv[2],), ())
"""


def _asks(pid: str) -> bool:
    """Held up as it asks for a lease: proc(5), /proc/pid/syscall."""
    with contextlib.suppress(OSError):  # strace(1) itself has a child for a moment
        words = Path(f"/proc/{pid}/syscall").read_text().split()
        return words[2:3] == [hex(fcntl.F_SETLEASE)]
    return False


def test_a_stray_that_was_open_until_the_lease_is_looked_at_under_it(host: World):
    """Whoever had found the image before the exchange, and wrote and closed only now."""
    image = written(host.area / "disk.raw", MIB)
    with rewriter() as server:
        before = image.stat().st_ino
        server.begin(host.area)
        exchanged(image, before)
        server.process.kill()
    (stray,) = beside(host.area)
    slow = [*STRACE, "inject=fcntl:delay_enter=400000"]
    argv = [*slow, PROGRAM[0], "-c", _SWEEP, host.area, os.path.basename(stray)]
    with (
        open(stray, "r+b") as holder,
        subprocess.Popen(argv, cwd="/", env=_ENV, stderr=subprocess.PIPE, text=True) as sweep,
    ):
        children = Path(f"/proc/{sweep.pid}/task/{sweep.pid}/children")
        until("it asks for a lease", lambda: any(map(_asks, children.read_text().split())))
        holder.write(b"<mine>")
        holder.close()
        assert (
            "it was written to since it was copied"
            in sweep.communicate(timeout=patience.SECONDS)[1]
        )
    assert Path(stray).read_bytes()[:6] == b"<mine>"


def test_a_lease_that_was_lost_is_not_taken_for_one_that_was_kept(host: World):
    """The kernel ends one for which somebody waits 45 s; they write, and set the time back."""
    image = written(host.area / "disk.raw", 5 * MIB)
    number, status = image.stat().st_ino, image.stat()
    with inode.directory(str(host.area)) as within, images_copy.Copier() as copier:
        with inode.opened("disk.raw", within) as fd:
            entry = tree_walk.Entry("disk.raw", fd, os.fstat(fd), within)
            copied = rewrite.copy(entry, NOCOW, copier, lambda _: None)
            changed = rewrite.exchange(copied)
        fcntl.fcntl(changed.old, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        with open(f"/proc/self/fd/{changed.old}", "r+b") as file:
            file.write(b"<mine>")
        os.utime(changed.old, ns=(status.st_atime_ns, status.st_mtime_ns))
        with pytest.raises(images_copy.InUse, match="it is as it was"):
            rewrite.finish(changed)
    assert image.stat().st_ino == number
    assert image.read_bytes().startswith(b"<mine>")
    assert os.listdir(host.area) == ["disk.raw"]


# --- in a user's directory


def test_a_user_who_swaps_the_names_gains_nothing(host: World):
    """A directory that turns into a link to root's, an image that turns into a link."""
    home = host.alice()
    mine, theirs = home / "mine", host.area / "root"
    mine.mkdir()
    theirs.mkdir(mode=0o700)
    secret = written(theirs / "disk.raw", 100 * KIB, seed=9)
    secret.chmod(0o600)
    (home / "link").symlink_to(theirs)
    (mine / "image-link").symlink_to(secret)
    for path in (mine, home / "link", mine / "image-link"):
        os.lchown(path, ALICE, ALICE)
    before = contents(theirs), secret.stat().st_ino, run("lsattr", secret)
    ways: dict[str, int] = {}
    for one, other in ((mine, home / "link"), (mine / "disk.raw", mine / "image-link")):
        with rewriter() as rewrite, swapping(one, other):
            for number in range(60):
                _fresh(home, number)
                ended = rewrite(mine)
                ways[ended.how] = ways.get(ended.how, 0) + 1
    assert (contents(theirs), secret.stat().st_ino, run("lsattr", secret)) == before
    assert ways.get("done"), ways
    for folder, folders, files in os.walk(home):
        for name in (*folders, *files):
            path = Path(folder) / name
            assert path.lstat().st_uid == ALICE, path
            assert path.is_symlink() or path.is_dir() or digest(path) != digest(secret)


def _fresh(home: Path, number: int) -> None:
    """Another image of hers, whatever her names stand for just now."""
    new = written(home / "new", 100 * KIB, seed=number)
    os.chown(new, ALICE, ALICE)
    for folder in (home / "mine", home / "link"):
        if not folder.is_symlink() and folder.is_dir():
            try:
                fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            except OSError:
                continue
            os.rename(new, f"other{number % 5}.raw", dst_dir_fd=fd)
            os.close(fd)
            return


def test_in_a_users_directory_it_works_as_the_user(host: World):
    """Their own image stays theirs; one of root's stays root's, and closed to them."""
    home = host.alice()
    mine = written(home / "mine.raw", MIB)
    os.chown(mine, ALICE, ALICE)
    roots = written(home / "roots.raw", MIB, seed=2)
    roots.chmod(0o600)
    before = described(mine), described(roots)
    log = host.area / "log"
    calls = "--trace=openat,linkat,renameat2,unlinkat,setresuid"
    with rewriter(["strace", "-f", "-qq", "-o", log, calls]) as rewrite:
        rewrite.done(home)
    assert (described(mine), described(roots)) == before
    assert is_nocow(mine)
    assert is_nocow(roots)
    uid, by = 0, {}
    for line in log.read_text().splitlines():
        if found := re.search(r"setresuid\(-1, (\d+), -1\)", line):
            uid = int(found[1])
        if found := re.search(r"renameat2\(\d+, \"(\w+)\.raw\"", line):
            by[found[1]] = uid
    assert by == {"mine": ALICE, "roots": 0}
