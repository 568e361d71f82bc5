"""Images that somebody has open, or opens while they are rewritten: nothing of theirs is lost."""

import contextlib
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import patience
from tests.btrfs.outside import is_nocow, run
from tests.btrfs.rewriting import KIB, MIB, Comers, Rewriter, beside, digest, rewriter, written
from tests.btrfs.sandbox import PROGRAM
from tests.btrfs.world import _ENV, World, until

pytestmark = pytest.mark.sweep


@pytest.fixture(scope="module")
def rewrite(_inside: None) -> Iterator[Rewriter]:
    with rewriter() as found:
        yield found


@contextlib.contextmanager
def program(*argv: str | Path, ready: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """Beside the test; ``ready`` is what it prints when it has opened what it opens."""
    with subprocess.Popen(
        [str(word) for word in argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        env=_ENV,
    ) as process:
        try:
            assert process.stdout
            if ready:
                assert ready.encode() in process.stdout.readline()
            yield process
        finally:
            process.send_signal(signal.SIGKILL)


OPENERS = {
    "a reader": "f = open(sys.argv[1], 'rb')",
    "a writer": "f = open(sys.argv[1], 'r+b')",
    "one that maps and closes": (
        "f = open(sys.argv[1], 'rb'); m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ); f.close()"
    ),
}


@pytest.mark.parametrize("opener", OPENERS)
def test_who_has_it_open_is_named(host: World, rewrite: Rewriter, opener: str):
    image = written(host.area / "disk.raw", MIB)
    other = written(host.area / "free.raw", MIB)
    inode = image.stat().st_ino
    code = f"import mmap, sys, time; {OPENERS[opener]}; print('open', flush=True); time.sleep(99)"
    with program(PROGRAM[0], "-c", code, image, ready="open") as process:
        ended = rewrite.refused(host.area, "disk.raw: in use by ", f"(pid {process.pid})")
        assert ended.left == 1
        assert is_nocow(other)
        assert image.stat().st_ino == inode
    rewrite.done(host.area)
    assert is_nocow(image)


def test_a_carriage_return_in_a_name_ends_no_line(host: World, rewrite: Rewriter, tmp_path: Path):
    """In maps and mountinfo the kernel escapes a newline of a name, but no carriage return."""
    image = written(host.area / "disk.raw", MIB)
    mapped, mounted = written(tmp_path / "a\rb", MIB), tmp_path / "m\rn"
    mounted.mkdir()
    run("mount", "-t", "tmpfs", "t", mounted)
    code = f"import mmap, sys, time; {OPENERS['a reader']}; "
    code += "m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ); print('open', flush=True); "
    try:
        with program(PROGRAM[0], "-c", f"{code}time.sleep(99)", mapped, ready="open"):
            rewrite.done(host.area)
    finally:
        run("umount", mounted)
    assert is_nocow(image)


def test_a_loop_device_is_named(host: World, rewrite: Rewriter):
    image = written(host.area / "disk.raw", MIB)
    device = run("losetup", "--find", "--show", image).strip()
    try:
        rewrite.refused(host.area, f"disk.raw: in use by {device}")
    finally:
        run("losetup", "--detach", device)
    rewrite.done(host.area)


def test_one_who_has_it_in_another_mount_namespace(host: World, rewrite: Rewriter):
    image = written(host.area / "disk.raw", MIB)
    code = "import sys, time; f = open(sys.argv[1]); print('open', flush=True); time.sleep(99)"
    apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    with program(*apart, PROGRAM[0], "-c", code, image, ready="open"):
        rewrite.refused(host.area, "disk.raw: in use by ")


@pytest.mark.parametrize("form", ["raw", "qcow2"])
def test_a_qemu_writing_to_it(host: World, rewrite: Rewriter, form: str):
    """Refused and named; after it ends, rewritten, and as good as QEMU left it."""
    image = host.area / f"disk.{form}"
    run("qemu-img", "create", "-q", "-f", form, image, "64M")
    with program("qemu-io", "-f", form, image) as qemu:
        assert qemu.stdin
        assert qemu.stdout

        def say(command: str) -> None:
            qemu.stdin.write(f"{command}\n".encode())
            qemu.stdin.flush()

        say("write -P 7 1M 3M")
        say("flush")
        until("qemu-io has written", lambda: image.stat().st_blocks > 6 * KIB)
        rewrite.refused(host.area, f"in use by qemu-io (pid {qemu.pid})")
        say("write -P 9 40M 1M")
        until("qemu-io has written more", lambda: image.stat().st_blocks > 8 * KIB)
        say("quit")
        assert qemu.wait(patience.SECONDS) == 0
    before = digest(image)
    rewrite.done(host.area)
    assert digest(image) == before
    assert is_nocow(image)
    if form == "qcow2":
        assert "No errors" in run("qemu-img", "check", image)
    checks = [word for at, of in ((1, 7), (40, 9)) for word in ("-c", f"read -P {of} {at}M 1M")]
    assert "failed" not in run("qemu-io", "-r", "-f", form, *checks, image)


def test_qemu_with_its_locks_off(host: World, rewrite: Rewriter):
    image = written(host.area / "disk.raw", 2 * MIB)
    options = f"driver=raw,file.driver=file,file.filename={image},file.locking=off"
    with program("qemu-io", "--image-opts", options) as qemu:
        until("qemu-io has it open", lambda: str(image) in open_files(qemu.pid))
        rewrite.refused(host.area, f"in use by qemu-io (pid {qemu.pid})")


def open_files(pid: int) -> list[str]:
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(os.readlink(entry))
    return found


# --- opened meanwhile


@pytest.fixture(scope="module")
def comers(_inside: None) -> Iterator[Comers]:
    found = Comers()
    yield found
    found.close()


@pytest.mark.parametrize(
    ("rounds", "count", "size", "least"),
    [pytest.param(14, 16, MIB, 0, id="small"), pytest.param(12, 3, 24 * MIB, 4, id="large")],
)
def test_at_any_moment_what_an_opener_writes_is_under_the_name(  # noqa: PLR0913, PLR0917
    host: World, rewrite: Rewriter, comers: Comers, rounds: int, count: int, size: int, least: int
):
    """Before, in the copy, around the exchange, after: each image has an opener of its own."""
    chance = random.Random(4)  # noqa: S311 - moments
    backed_off, waited = 0, []
    for number in range(4 * rounds):
        if number >= rounds and backed_off >= least and sum(s > 0.01 for s in waited) >= 15:
            break  # on a fast machine fewer meet it in one round
        folder = host.area / f"round{number}"
        folder.mkdir()
        size += 4097
        images = [written(folder / f"{n}.raw", size, seed=n) for n in range(count)]
        orders = [
            {
                "path": str(image),
                "delay": chance.uniform(0, 0.2 if least else 0.4),
                "at": chance.randrange(0, size - 32),
                "marker": f"<{number}.{n}: written by somebody>",
            }
            for n, image in enumerate(images)
        ]
        if not least:
            comers.begin(orders)
        rewrite.begin(folder)
        if least:  # in the copy and later, however long a busy machine takes to begin it
            until("it begins", rewrite.leases)
            comers.begin(orders)
        waited += comers.end()
        ended = rewrite.end()
        assert ended.how in {"done", "refused"}, ended
        backed_off += ended.left
        _whole(folder, orders, size)
        rewrite.done(folder)
        _whole(folder, orders, size)
        assert all(is_nocow(image) for image in images)
        run("rm", "-r", folder)
    assert backed_off >= least, "the moments miss the work"
    assert sum(seconds > 0.01 for seconds in waited) >= 15, "nobody had to wait"
    assert max(waited) < 1.5


def _whole(folder: Path, orders: list[dict[str, object]], size: int) -> None:
    """Each under its name with what was written to it, and nothing else is there."""
    for order in orders:
        data = Path(str(order["path"])).read_bytes()
        assert data[order["at"] :].startswith(str(order["marker"]).encode()), order
        assert len(data) == size
    assert len(os.listdir(folder)) == len(orders)


@pytest.mark.parametrize("call", ["linkat", "renameat2", "unlinkat"])
def test_one_who_comes_at_the_very_moment(host: World, comers: Comers, call: str):
    """Held up by strace before and after the calls that change names."""
    image = written(host.area / "disk.raw", 3 * MIB)
    for effect in ("delay_enter=400000", "delay_exit=400000"):
        slow = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={call}:{effect}:when=1"]
        with rewriter(slow) as rewrite:
            for number in range(6):
                run("rm", "-f", image)
                written(image, 3 * MIB)
                marker = f"<{call} {number}>"
                order = {"path": str(image), "delay": number / 8, "at": 99, "marker": marker}
                comers.begin([order])
                rewrite.begin(host.area)
                comers.end()
                rewrite.end()
                assert image.read_bytes()[99:].startswith(marker.encode()), number
                assert beside(host.area) == []


def test_in_the_middle_of_the_copy_it_backs_off_at_once(host: World, rewrite: Rewriter):
    image = written(host.area / "disk.raw", 200 * MIB)
    before = image.stat().st_ino
    rewrite.begin(host.area)
    until("it begins", rewrite.leases)
    begun = time.monotonic()
    with open(image, "r+b") as mine:  # by this very process: another would come too late
        waited = time.monotonic() - begun
        mine.seek(5)
        mine.write(b"<mine>")
    ended = rewrite.end()
    assert ended.how == "refused"
    assert re.search(
        "disk.raw: opened by somebody while it was copied; it is as it was", ended.message
    )
    assert waited < 1
    assert image.stat().st_ino == before
    assert beside(host.area) == []
    with open(image, "rb") as file:
        assert file.read(11)[5:] == b"<mine>"


def test_on_a_slow_disk_it_backs_off_at_once_too(host: World, comers: Comers):
    """Each piece but a thread's first takes two seconds, as those of a disk that others use do."""
    image = written(host.area / "disk.raw", 120 * MIB)
    slow = ["strace", "-f", "-qq", "-o", "/dev/null", "-e"]
    with rewriter([*slow, "inject=pwritev2:delay_enter=2000000:when=2+"]) as rewrite:
        rewrite.begin(host.area)
        until("it begins", rewrite.leases)
        comers.begin([{"path": str(image), "delay": 0.7, "at": 5, "marker": "<mine>"}])
        (waited,) = comers.end()
        assert "opened by somebody while it was copied" in rewrite.end().message
    assert image.read_bytes()[5:11] == b"<mine>"
    assert beside(host.area) == []
    assert waited < 1


def test_an_opener_that_will_not_wait_gets_an_error_and_loses_nothing(
    host: World, rewrite: Rewriter
):
    """O_NONBLOCK: the kernel says EWOULDBLOCK, and tells vmtune, which gives way."""
    image = written(host.area / "disk.raw", 200 * MIB)
    rewrite.begin(host.area)
    time.sleep(0.15)
    refused = 0
    deadline = time.monotonic() + patience.SECONDS
    while not refused and time.monotonic() < deadline:
        try:
            os.close(os.open(image, os.O_RDWR | os.O_NONBLOCK))
        except BlockingIOError:
            refused += 1
    assert refused
    assert rewrite.end().how == "refused"
    rewrite.done(host.area)


def test_what_is_moved_or_changed_meanwhile_is_left(host: World):
    """Renaming, a new owner and a new link break no lease."""
    slow = [
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "inject=fsync:delay_enter=500000:when=1",
    ]
    for change in (
        "mv $1/disk.raw $1/other.raw",
        "chmod 600 $1/disk.raw",
        "ln $1/disk.raw $1/link",
    ):
        folder = host.area / str(abs(hash(change)))
        folder.mkdir()
        image = written(folder / "disk.raw", MIB)
        was = digest(image)
        with rewriter(slow) as rewrite:
            rewrite.begin(folder)
            until("the copy has its name", lambda folder=folder: beside(folder))
            run("sh", "-c", change, "sh", folder)
            ended = rewrite.end()
            assert ended.how == "refused", (change, ended)
            assert re.search("while it was copied", ended.message), ended
        assert beside(folder) == []
        assert not any(is_nocow(path) for path in folder.iterdir())
        assert {digest(path) for path in folder.iterdir()} == {was}
