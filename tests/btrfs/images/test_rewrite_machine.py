"""A machine that runs, under a real QEMU without a guest: its monitor writes as a guest would."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import patience, tiers
from tests.btrfs.outside import is_nocow, run
from tests.btrfs.rewriting import KIB, MIB, beside, digest, written
from tests.btrfs.world import _ENV, World, until

QEMU = "qemu-system-x86_64"


@pytest.fixture(autouse=True)
def _qemu(_inside: None) -> None:
    lacks = [] if shutil.which(QEMU) else [f"the program {QEMU}"]
    tiers.require("btrfs", lacks, ["qemu-system-x86"])


class Machine:
    """Stopped before its first instruction; ``drive0`` is the image."""

    def __init__(self, image: Path, form: str) -> None:
        drive = f"if=none,id=drive0,file={image},format={form},cache=none"
        argv = [QEMU, "-machine", "pc,accel=tcg", "-m", "16", "-nodefaults", "-display", "none"]
        argv += ["-S", "-drive", drive, "-device", "virtio-blk-pci,drive=drive0"]
        self.process = subprocess.Popen(
            [*argv, "-monitor", "stdio"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=_ENV,
        )
        self._answer()

    def _answer(self) -> str:
        """Up to the next prompt."""
        assert self.process.stdout
        told = b""
        while not told.endswith(b"(qemu) "):
            more = os.read(self.process.stdout.fileno(), 4096)
            assert more, f"it ended: {told.decode()}"
            told += more
        return told.decode()

    def __call__(self, command: str) -> str:
        assert self.process.stdin
        self.process.stdin.write(f"{command}\n".encode())
        self.process.stdin.flush()
        return self._answer()

    def io(self, command: str) -> None:
        told = self(f'qemu-io drive0 "{command}"')
        assert "bytes at offset" in told or command == "flush", told
        assert "rror" not in told.replace("Error-", ""), told
        assert "failed" not in told, told

    def quit(self) -> None:
        self.process.communicate(b"quit\n", timeout=patience.SECONDS)
        assert self.process.returncode == 0


@contextlib.contextmanager
def machine(image: Path, form: str) -> Iterator[Machine]:
    found = Machine(image, form)
    try:
        yield found
    finally:
        found.process.kill()
        found.process.communicate()


def _reads(image: Path, form: str, **blocks: int) -> None:
    """What qemu-io finds: blocks of a megabyte at m<number>, each of one byte value."""
    words = [f"read -P {value} {at[1:]}M 1M" for at, value in blocks.items()]
    argv = [word for command in words for word in ("-c", command)]
    assert "failed" not in run("qemu-io", "-r", "-f", form, *argv, image)


@pytest.mark.parametrize("form", ["raw", "qcow2"])
def test_an_image_that_a_machine_has_is_left_to_it(host: World, form: str):
    """Planned, applied, asked anew while it writes; when it ended, rewritten to the byte."""
    folder = host.image("disk", mkfs=["-m", "single"]).path / "vm"
    folder.mkdir()
    image = folder / f"disk.{form}"
    run("qemu-img", "create", "-q", "-f", form, image, "64M")
    run("qemu-io", "-f", form, "-c", "write -P 5 0 4M", image)
    free = written(folder / "free.raw", MIB)
    host.nocow(folder, existing="rewrite")
    with machine(image, form) as guest:
        assert "paused" in guest("info status") or "prelaunch" in guest("info status")
        guest.io("write -P 7 8M 3M")
        who = f"{QEMU[:15]} (pid {guest.process.pid})"
        inode = image.stat().st_ino
        row = host.plan(expect=2).row(f"! images {image}")
        assert f"in use by {who}" in row
        assert "V702" in row
        ran = host.apply(expect=7)
        assert is_nocow(free)
        assert image.stat().st_ino == inode
        guest.io("write -P 9 40M 1M")
        guest.io("flush")
        guest.io("read -P 7 8M 3M")
        host.apply(expect=7)
        guest.io("write -P 11 41M 1M")
        assert ran.out.count(who) == 1, ran
        guest.quit()
    assert image.stat().st_ino == inode
    before = digest(image)
    host.apply()
    host.plan(expect=0)
    assert is_nocow(image)
    assert image.stat().st_ino != inode
    assert digest(image) == before
    assert beside(folder) == []
    _reads(image, form, m0=5, m8=7, m10=7, m40=9, m41=11)
    if form == "qcow2":
        assert "No errors were found" in run("qemu-img", "check", image)
    with machine(image, form) as guest:  # it boots from the new one, and its writes arrive there
        guest.io("read -P 9 40M 1M")
        guest.io("write -P 13 50M 1M")
        guest.quit()
    _reads(image, form, m50=13)


def test_a_machine_that_starts_in_the_middle_has_its_image(host: World):
    """It waits for a moment at most; the rewrite gives way and names it."""
    folder = host.image("disk", mkfs=["-m", "single"]).path / "vm"
    folder.mkdir()
    image = written(folder / "disk.raw", 60 * MIB)
    inode = image.stat().st_ino
    host.nocow(folder, existing="rewrite")
    slow = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=pwritev2:delay_enter=200000"]
    process = host.start("apply", "--yes", under=slow)
    _until_leased(process.pid)
    with machine(image, "raw") as guest:
        guest.io("write -P 7 8M 3M")
        _, err = process.communicate(timeout=patience.SECONDS)
        assert process.returncode == 3, err
        assert f"({QEMU[:15]} (pid {guest.process.pid}))   V702" in err, err
        assert image.stat().st_ino == inode
        guest.io("read -P 7 8M 3M")
        guest.quit()
    _reads(image, "raw", m8=7, m10=7)
    assert not is_nocow(image)
    before = digest(image)
    host.apply()
    assert is_nocow(image)
    assert digest(image) == before
    assert image.stat().st_size == 60 * MIB
    assert image.stat().st_blocks * 512 <= 60 * MIB + 64 * KIB


def _until_leased(strace: int) -> None:
    """By the program behind strace(1): others' files may have the same number."""

    def leased() -> bool:
        its = Path(f"/proc/{strace}/task/{strace}/children").read_text(encoding="ascii").split()
        rows = map(str.split, Path("/proc/locks").read_text(encoding="ascii").splitlines())
        # A look takes a write lease for a moment; while it is copied there is a read lease.
        return any(row[1::2][:2] == ["LEASE", "READ"] and row[4] in its for row in rows)

    until("the image is being copied", leased)
