"""``apply --wait``: all else is done, then each image once it is let go, by real holders."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.btrfs.each import records
from tests.btrfs.outside import is_nocow, run
from tests.btrfs.rewriting import MIB, beside, digest, written
from tests.btrfs.sandbox import PROGRAM
from tests.btrfs.world import _ENV, World, until

LOCK = Path("/run/vmtune.lock")
HOLD = "import sys; f = open(sys.argv[1], 'rb'); print('open', flush=True); sys.stdin.read()"


@pytest.fixture
def images(host: World) -> Path:
    """Three images; the directory is nocow already, so that they are all there is to do."""
    top = host.area / "vm"
    top.mkdir()
    for number, name in enumerate(("a.raw", "b.raw", "c.raw")):
        written(top / name, MIB, seed=number)
    run("chattr", "+C", top)
    host.nocow(top, existing="rewrite")
    return top


@contextlib.contextmanager
def holding(path: Path, code: str = HOLD) -> Iterator[subprocess.Popen[str]]:
    """A program that has the image open until its standard input ends."""
    with subprocess.Popen(
        [PROGRAM[0], "-c", code, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
        env=_ENV,
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "open\n"
            yield process
        finally:
            process.kill()


def let_go(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.close()
    process.wait(20)


class Waiting:
    """A run of vmtune beside the test, its standard error read as it comes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process, self.seen = process, ""

    def see(self, words: str) -> None:
        assert self.process.stderr
        while words not in self.seen:
            line = self.process.stderr.readline()
            assert line, f"{words!r} is not in\n{self.seen}\n{self.process.stdout.read()}"
            self.seen += line

    def end(self, code: int) -> str:
        """All that it printed; it ended with that code."""
        out, err = self.process.communicate(timeout=30)
        self.seen += err
        assert self.process.returncode == code, out + self.seen
        assert "Traceback" not in self.seen
        return out


@contextlib.contextmanager
def waiting(host: World, *options: str) -> Iterator[Waiting]:
    process = host.start("apply", "--yes", *(options or ("--wait",)))
    try:
        yield Waiting(process)
    finally:
        process.kill()
        process.communicate()


def test_all_else_first_then_each_image_as_it_is_let_go(host: World, images: Path):
    whats = {path: digest(path) for path in images.iterdir()}
    with holding(images / "b.raw") as one, holding(images / "c.raw") as other, waiting(host) as run_:
        run_.see(f"waiting for image {images}/b.raw: in use by python")
        assert f"(pid {one.pid}); 1 more" in run_.seen
        assert is_nocow(images / "a.raw")
        let_go(other)
        until("c.raw is done", lambda: is_nocow(images / "c.raw"))
        assert not is_nocow(images / "b.raw")
        assert one.poll() is None
        let_go(one)
        out = run_.end(0)
    assert "3 of 3 read back as planned" in out
    assert {path: digest(path) for path in images.iterdir()} == whats
    assert all(map(is_nocow, whats))
    assert beside(images) == []
    assert "[2/3] done   image" in out
    host.plan()


def test_while_it_waits_nothing_is_held_and_another_run_works(host: World, images: Path):
    with holding(images / "b.raw") as holder, waiting(host) as run_:
        run_.see("waiting for image")
        number = images.stat().st_ino
        assert "LEASE" not in "".join(
            line for line in Path("/proc/locks").read_text().splitlines() if f":{number} " in line
        )
        other = host.area / "other"
        before = host.file.read_text()
        host.declare(
            paths=[
                {"path": str(images), "nocow": True, "existing": "rewrite"},
                {"path": str(other), "nocow": True},
            ]
        )
        host.vmtune("apply", "--yes")
        assert is_nocow(other)
        host.file.write_text(before)
        let_go(holder)
        run_.end(3)
