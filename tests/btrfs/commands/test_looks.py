"""Looks at images that another process has a lease on: they wait, say who it is, break nothing."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import patience
from tests.btrfs.outside import PYTHON, is_nocow, run
from tests.btrfs.world import NOBODY, World, until

_HOLDING = """
import fcntl, os, signal, sys, time
broken = []
signal.signal(signal.SIGIO, lambda *_: broken.append(1))
fds = [os.open(name, os.O_RDWR) for name in sys.argv[3:]]
for fd in fds:
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
if sys.argv[1]:
    lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
print("held", flush=True)
if float(sys.argv[2]):
    time.sleep(float(sys.argv[2]))
    for fd in fds:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
sys.stdin.readline()
print(len(broken), flush=True)
"""


@contextmanager
def held(*images: Path, lock: str = "", seconds: float = 0) -> Iterator[int]:
    """Write leases of another process, which gives its pid; none may be broken.

    They are let go after some seconds, else at the end. ``lock`` is a file that it locks.
    """
    argv = [sys.executable, "-c", _HOLDING, lock, str(seconds), *images]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(argv, text=True, **pipes) as holder:
        assert holder.stdin
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        yield holder.pid
        holder.stdin.write("\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == "0\n"


@pytest.fixture
def images(host: World) -> list[Path]:
    """A small and a large one, in a nocow directory."""
    folder = host.area / "vm"
    folder.mkdir()
    run("chattr", "+C", folder)
    found = [folder / "small.raw", folder / "large.raw"]
    for path, size in zip(found, (4096, 2 << 20), strict=True):
        path.write_bytes(os.urandom(size))
    host.nocow(folder)
    return found


def test_a_program_that_holds_them_is_named(host: World, images: list[Path]):
    host.nocow(images[0].parent, existing="rewrite")
    (images[0].parent / "cow").mkdir()
    run("chattr", "-C", images[0].parent / "cow")
    (images[0].parent / "cow" / "b.raw").write_bytes(b"data")
    with held(*images) as pid:
        who = f"(pid {pid}) has a lease on it"
        since = time.monotonic()
        plan = host.plan(expect=2)
        took = time.monotonic() - since
        assert 1 <= took < 4 * patience.FACTOR, "asked again for a second, once for all of them"
        for image in images:
            assert f"V720   why {PYTHON} {who}" in plan.row(f"? nocow {image}")
            assert who in host.plan(expect=2, user=NOBODY).row(f"? nocow {image}")
        assert who in host.vmtune("status").row(f"? nocow {images[0]}")
        defrag = host.vmtune("defrag", *map(str, (images[0].parent, images[1])))
        assert defrag.out.count(who) == 3
        assert defrag.code == 6
        host.vmtune("doctor")
    host.plan(expect=2)


def test_a_lease_that_ends_soon_is_waited_for(host: World, images: list[Path]):
    with held(*images, seconds=0.3):
        host.plan()


def test_a_run_of_vmtune_is_named_by_its_number(host: World, images: list[Path]):
    (images[0].parent / "new").mkdir()
    run("chattr", "-C", images[0].parent / "new")
    host.apply()  # run 1
    with held(images[0], lock="/run/vmtune.lock") as pid:
        for user in (0, NOBODY):
            row = host.plan(expect=6, user=user).row(f"? nocow {images[0]}")
            assert f"being rewritten by run 1 (pid {pid})" in row
            assert "V720" in row


def test_readers_of_a_read_lease_are_let_in(host: World, images: list[Path]):
    code = _HOLDING.replace("F_WRLCK", "F_RDLCK").replace("os.O_RDWR)", "os.O_RDONLY)")
    argv = [sys.executable, "-c", code, "", "0", *images]
    with subprocess.Popen(argv, text=True, stdin=-1, stdout=-1) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        host.plan()
        out, _ = holder.communicate("\n")
        assert out == "0\n"


def test_looks_at_random_moments_of_a_rewrite(host: World):
    """Nothing of the rewrite fails, and nothing is left beside the images."""
    folder = host.area / "vm"
    folder.mkdir()
    for number in range(150):
        (folder / f"{number:03}.raw").write_bytes(os.urandom(40_000 if number % 30 else 6 << 20))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    host.nocow(folder, existing="rewrite")
    chance, looks = random.Random(), 0  # noqa: S311 - not for secrets
    with host.start("apply", "--yes") as applying:
        while applying.poll() is None:
            command = chance.choice(["status", "plan", "doctor"])
            ran = host.vmtune(command, user=chance.choice([0, 0, NOBODY]))
            assert ran.code in {0, 1, 2, 6, 7}, ran
            looks += 1
        out, err = applying.communicate()
        assert applying.returncode == 0, out + err
    assert looks > 3
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert all(is_nocow(path) for path in folder.iterdir())


def _copies(pid: int) -> bool:
    rows = map(str.split, Path("/proc/locks").read_text(encoding="ascii").splitlines())
    return any(row[1::2][:2] == ["LEASE", "READ"] and row[4] == str(pid) for row in rows)


def test_an_image_under_way_is_said_to_be_so(host: World):
    """Its run has a read lease: another plan names the run, and takes it for no other user."""
    folder = host.area / "vm"
    folder.mkdir()
    (folder / "large.raw").write_bytes(os.urandom(16 << 20) * 8)
    host.nocow(folder, existing="rewrite")
    with host.start("apply", "--yes") as applying:
        until("the lease of the copy", lambda: _copies(applying.pid))
        applying.send_signal(signal.SIGSTOP)
        ran = host.vmtune("plan", "--detailed-exitcode")
        applying.send_signal(signal.SIGCONT)
        out, err = applying.communicate()
    words = f"being rewritten by run 1 (pid {applying.pid})"
    assert words in ran.row("? nocow") or words in ran.row("? images"), ran
    assert "V702" not in ran.out, ran
    assert applying.returncode == 0, out + err
    assert is_nocow(folder / "large.raw")
