"""Others use the directory while it becomes a subvolume: nothing that they wrote is lost.

vmtune's side is a process that turns one directory after the other, without the start of the
interpreter each time; the others are threads here, whose system calls know nothing of it.
"""

import json
import os
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import patience
from tests.btrfs.each import contents
from tests.btrfs.outside import run
from tests.btrfs.sandbox import PROGRAM
from tests.btrfs.trees import is_subvolume, strays
from tests.btrfs.world import _ENV, World, until

DRIVER = """
import json, sys
from reconciler.engine.directory import Subvolume
from reconciler.errors import HostError
from reconciler.facts.host_view import NotVisible
from reconciler.resources import reads, writes
from reconciler.resources.subvolume import writes as subvolume_writes

subvolume_writes.HOLD = float(sys.argv[1])
for line in sys.stdin:
    place = Subvolume(json.loads(line), 0o711, 0, 0)
    print("go", flush=True)
    try:
        have = reads.look()(place)
        if have != "subvolume":
            writes.put(place, have, "subvolume")
        print(json.dumps("done"), flush=True)
    except HostError as refused:
        print(json.dumps(refused.message), flush=True)
    except NotVisible as hidden:
        print(json.dumps(hidden.why), flush=True)
"""


class Turner:
    """A vmtune that turns what it is told."""

    def __init__(self, hold: float) -> None:
        self._process = subprocess.Popen(
            [PROGRAM[0], "-c", DRIVER, str(hold)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=_ENV,
            cwd="/",
        )

    def turn(self, path: Path, meanwhile: Callable[[], object] = lambda: None) -> str:
        """Say "done", or why not."""
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps(str(path)), file=self._process.stdin, flush=True)
        assert self._process.stdout.readline() == "go\n"
        meanwhile()
        said: str = json.loads(self._process.stdout.readline())
        return said

    def close(self) -> None:
        self._process.communicate(timeout=patience.SECONDS)
        assert self._process.returncode == 0


@pytest.fixture
def turner() -> Iterator[Turner]:
    found = Turner(0.05)
    yield found
    found.close()


def filled(path: Path, files: int = 8) -> Path:
    path.mkdir()
    run("chattr", "+C", path)
    for number in range(files):
        (path / f"{number}.raw").write_bytes(b"%d" % number * 20_000)
    (path / "sub").mkdir()
    (path / "sub" / "x.raw").write_bytes(b"x" * 20_000)
    return path


def kept(path: Path) -> Iterator[Path]:
    """Where what was written may be: under the path, or in the old directory that was named."""
    yield path
    yield from path.parent.glob(".vmtune-subvolume-*")


def holds(path: Path, name: str, text: bytes) -> bool:
    files = [folder / name for folder in kept(path)]
    return any(file.exists() and text in file.read_bytes() for file in files)


def is_told(path: Path, said: str) -> bool:
    """What stays beside the path was refused, never passed over in silence."""
    return said != "done" if strays(path.parent) else True


ROUNDS = 60


@pytest.mark.parametrize("number", [0, 7])
def test_a_file_that_is_opened_in_the_middle(host: World, turner: Turner, number: int):
    """Appended to as soon as it can be had: the words are in the file of that name afterwards."""
    ended: Counter[str] = Counter()
    before = time.monotonic()
    assert turner.turn(filled(host.area / "alone")) == "done"
    took = time.monotonic() - before  # it looks at every process: with how many there are
    for count in range(ROUNDS):
        folder = host.area / f"t{count}"
        folder.mkdir()
        path = filled(folder / "images")

        def writer(path: Path = path, count: int = count) -> None:
            # Every other one soon, the rest over the turn and as long again.
            time.sleep(count % 15 * 0.0015 if count % 2 else 2.5 * took * count / ROUNDS)
            fd = os.open(path / f"{number}.raw", os.O_WRONLY | os.O_APPEND)
            time.sleep(0.001)
            os.write(fd, b"written meanwhile")
            os.close(fd)

        said = turner.turn(path, writer)
        ended["done" if said == "done" else "refused"] += 1
        assert holds(path, f"{number}.raw", b"written meanwhile"), (count, said)
        assert (path / f"{number}.raw").read_bytes().startswith(b"%d" % number * 20_000)
        assert is_told(path, said), (count, said)
        if said == "done" or not strays(folder):
            assert b"written meanwhile" in (path / f"{number}.raw").read_bytes(), (count, said)
    assert ended["done"] > 5, ended
    assert ended["refused"] > 5, ended


def test_files_that_are_made_all_the_time(host: World, turner: Turner):
    """By the full name, and in a directory that was opened just before."""
    ended: Counter[str] = Counter()
    for count in range(ROUNDS // 2):
        folder = host.area / f"t{count}"
        folder.mkdir()
        path = filled(folder / "images")
        made: list[str] = []
        going = threading.Event()

        def maker(
            path: Path = path, made: list[str] = made, going: threading.Event = going
        ) -> None:
            number = 0
            while not going.is_set():
                number += 1
                name = f"{'sub/' if number % 2 else ''}new{number}"
                try:
                    if number % 3:
                        (path / name).write_text(name)
                    else:
                        _in_an_open_directory(path, name)
                except FileNotFoundError:
                    continue  # it was told: the directory that it opened is gone
                made.append(name)
                time.sleep(0.02)

        thread = threading.Thread(target=maker)
        thread.start()
        said = turner.turn(path, lambda: time.sleep(0.01))
        going.set()
        thread.join()
        ended["done" if said == "done" else "refused"] += 1
        lost = [name for name in made if not holds(path, name, name.encode())]
        assert made
        assert not lost, (count, said, lost, made)
        assert is_told(path, said), (count, said)
    assert ended["refused"], ended


def _in_an_open_directory(path: Path, name: str) -> None:
    folder = os.open(path / os.path.dirname(name), os.O_RDONLY | os.O_DIRECTORY)
    try:
        time.sleep(0.002)
        fd = os.open(os.path.basename(name), os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=folder)
        os.write(fd, name.encode())
        os.close(fd)
    finally:
        os.close(folder)


def test_one_who_waits_gets_the_file_at_once(host: World):
    """Who opens a file while it is held waits for the rest of the turn, and no longer."""
    turner, path = Turner(1.0), filled(host.area / "images")
    took: list[float] = []

    def opener() -> None:
        time.sleep(0.4)
        before = time.monotonic()
        os.close(os.open(path / "3.raw", os.O_RDONLY))
        took.append(time.monotonic() - before)

    said = turner.turn(path, opener)
    turner.close()
    assert took[0] < 2 * patience.FACTOR
    assert is_subvolume(path) or "used" in said


def test_ctrl_c_leaves_it_a_directory(host: World):
    """Before the exchange; afterwards it is ended, and nothing is left to do."""
    path = filled(host.area / "images")
    for number in range(6000):
        (path / f"{number}.xml").write_bytes(b"<domain/>" * 10)
    host.declare(paths=[{"path": str(path), "subvolume": True}])
    before = contents(path)
    process = host.start("apply", "--yes")
    until("the turn to begin", lambda: strays(host.area))
    process.send_signal(2)
    out, err = process.communicate(timeout=patience.SECONDS)
    assert process.returncode == 130, (out, err)
    assert not is_subvolume(path)
    assert strays(host.area) == []
    assert contents(path) == before
    host.apply()
    assert contents(path) == before
