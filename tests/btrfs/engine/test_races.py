"""A user who owns the parent directory swaps names while root works: nothing of root's moves.

The user's loop is a process of its own; root's side calls the writers over and over in another
one, which is the program's code without the start of the interpreter.
"""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import patience
from tests.btrfs.each import contents, records
from tests.btrfs.outside import run
from tests.btrfs.sandbox import PROGRAM
from tests.btrfs.world import _ENV, ALICE, World

pytestmark = pytest.mark.sweep

ROUNDS = 400
SECONDS = 3

SWAPPER = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
one, other = (os.fsencode(name) for name in sys.argv[1:])
print("ready", flush=True)
while True:
    libc.renameat2(-100, one, -100, other, 2)  # RENAME_EXCHANGE
"""

# For the names that are swapped, whatever the two are at this moment.
WRITER = """
import collections, json, os, subprocess, sys, time
from dataclasses import replace
from reconciler.engine.directory import Directory, Folder
from reconciler.errors import HostError
from reconciler.facts.host_view import NotVisible
from reconciler.facts.tree import NONE_LEFT, NameList
from reconciler.resources import reads, writes
from reconciler.resources.nocow.places import Below

what, path, rounds, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
uid = int(sys.argv[5])
plain = Folder(False, "", 0o755, uid, uid)
ended = collections.Counter()


nocow, new = replace(plain, nocow=True), replace(plain, nocow=True, mode=0o711)
top, name = os.path.split(path)
STEPS = {
    "directory": [(Directory(path), plain, nocow), (Directory(path), nocow, plain)],
    "missing": [(Directory(path + "/new"), None, new), (Directory(path + "/new"), new, None)],
    "below": [(Below(top), NameList(1, (name,)), NONE_LEFT)],
}


def read():
    found = reads.look()(Below(top))
    assert not [name for name in found.named if "secret" in name], found


def step():
    # To and fro: a round that does not fit is refused, and the next one does.
    if what == "reading":
        return read()
    writes.put(*STEPS[what][sum(ended.values()) % len(STEPS[what])])
    if what == "below" and os.path.exists(path):
        subprocess.run(["chattr", "-C", path], stderr=subprocess.DEVNULL)


deadline = time.monotonic() + seconds
while sum(ended.values()) < rounds or (time.monotonic() < deadline and len(ended) < 2):
    try:
        step()
        ended["done"] += 1
    except HostError:
        ended["refused"] += 1
    except NotVisible:
        ended["hidden"] += 1
print(json.dumps(ended))
"""


@contextmanager
def swapping(one: Path, other: Path) -> Iterator[None]:
    argv = [PROGRAM[0], "-c", SWAPPER, str(one), str(other)]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, user=ALICE, group=ALICE, extra_groups=[], env=_ENV, cwd="/"
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        try:
            yield
        finally:
            process.send_signal(signal.SIGKILL)


def write(what: str, path: Path, *, rounds: int = ROUNDS, seconds: int = SECONDS) -> dict[str, int]:
    """How often it was done, and how often it was refused."""
    argv = [PROGRAM[0], "-c", WRITER, what, str(path), str(rounds), str(seconds), str(ALICE)]
    done = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        check=False,
        env=_ENV,
        cwd="/",
        timeout=patience.SECONDS,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    return found


class Alice:
    """Her home, a directory of hers, and something of root's on the same filesystem."""

    def __init__(self, host: World) -> None:
        self.host = host
        self.home = host.alice()
        self.mine, self.link = self.home / "mine", self.home / "link"
        self.secret = host.area / "root"
        (self.secret / "secret").mkdir(parents=True)
        (self.secret / "secret" / "secret.raw").touch()
        (self.secret / "secret.raw").touch()
        self.secret.chmod(0o700)

    def makes(self, path: Path, *, folder: bool = True) -> Path:
        path.mkdir() if folder else path.touch()
        os.chown(path, ALICE, ALICE)
        return path

    def links(self, to: Path) -> None:
        self.link.symlink_to(to)
        os.lchown(self.link, ALICE, ALICE)

    def roots(self) -> tuple[object, ...]:
        return contents(self.secret), run("lsattr", "-aR", self.secret)


@pytest.fixture
def alice(host: World) -> Alice:
    return Alice(host)


CASES = {
    # What root does, where, and the name that is swapped with a link meanwhile.
    "directory": ("directory", "mine", "mine"),
    "its parent": ("directory", "mine/images", "mine"),
    "the parent of a missing one": ("missing", "mine", "mine"),
    "the parent of its parent": ("missing", "mine/images", "mine"),
    "a file below": ("below", "mine/empty", "mine/empty"),
    "a directory below": ("below", "mine/sub", "mine/sub"),
    "the parent of one below": ("below", "mine/sub", "mine"),
    "what is read": ("reading", "mine/sub", "mine/sub"),
}


@pytest.mark.parametrize("case", CASES)
def test_nothing_of_roots_is_changed(alice: Alice, case: str):
    what, name, swapped = CASES[case]
    path = alice.home / name
    alice.makes(alice.mine)
    if path != alice.mine:
        alice.makes(path, folder=path.name != "empty")
    (alice.secret / path.name).mkdir(exist_ok=True)
    alice.links(alice.secret / "secret.raw" if path.name == "empty" else alice.secret)
    before = alice.roots()
    with swapping(alice.home / swapped, alice.link):
        ended = write(what, path)
    assert alice.roots() == before, ended
    assert sum(ended.values()) >= ROUNDS, ended
    for folder, folders, files in os.walk(alice.home):
        for entry in (*folders, *files):
            assert os.lstat(f"{folder}/{entry}").st_uid == ALICE, entry


def test_the_rounds_meet_both(alice: Alice):
    """Some are done and some are refused: the names are swapped while root is at it."""
    alice.makes(alice.mine)
    alice.links(alice.secret)
    with swapping(alice.mine, alice.link):
        ended = write("directory", alice.mine)
    assert ended["done"], ended
    assert ended["refused"], ended


def test_the_whole_program_meets_it_too(alice: Alice):
    """What root planned on is the directory; a link in its place is stale, refused or not there."""
    alice.makes(alice.mine)
    alice.links(alice.secret)
    alice.host.nocow(alice.mine)
    before = alice.roots()
    with swapping(alice.mine, alice.link):
        found = [alice.host.vmtune("apply", "--yes") for _ in range(5)]
    assert {ran.code for ran in found} <= {0, 1, 3, 5, 6, 7}
    for ran in found:  # what is refused by now is not told as done
        assert "done meanwhile" not in ran.out or ran.code == 0, ran
    # Where the link was there when it was planned, it is root's directory that was shown.
    shown = {action["path"] for record in records() for action in record[0]["actions"]}
    assert shown <= {str(alice.mine), str(alice.secret)}
    if str(alice.secret) not in shown:
        assert alice.roots() == before
