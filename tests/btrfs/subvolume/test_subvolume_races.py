"""A user who owns the parent swaps names while root turns a directory in it into a subvolume."""

import os
import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.btrfs.engine.test_races import ALICE, Alice, swapping
from tests.btrfs.outside import run
from tests.btrfs.sandbox import PROGRAM
from tests.btrfs.subvolume.test_subvolume_used import Turner, filled
from tests.btrfs.trees import is_subvolume, strays
from tests.btrfs.world import _ENV, World

pytestmark = pytest.mark.sweep

ROUNDS = 25

# Swaps whatever appears under vmtune's name with a directory of root's that lies in the home.
SIBLINGS = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
os.chdir(sys.argv[1])
print("ready", flush=True)
while True:
    for name in os.listdir("."):
        if name.startswith(".vmtune-subvolume-"):
            libc.renameat2(-100, os.fsencode(name), -100, b"roots", 2)  # RENAME_EXCHANGE
"""


@pytest.fixture
def alice(host: World) -> Alice:
    return Alice(host)


def owned(path: Path) -> Path:
    for entry in (path, *path.rglob("*")):
        os.chown(entry, ALICE, ALICE)
    return path


@pytest.mark.parametrize("what", ["the path", "its parent"])
def test_the_path_is_swapped_with_a_link(alice: Alice, what: str):
    """Each round in a place of its own: done, refused, or found to be another's; root's stays."""
    for name in ("mine", "images"):
        filled(alice.secret / name, files=2)
    said = Counter()
    turner = Turner(0.01)
    before = None
    for number in range(ROUNDS):
        top = alice.makes(alice.home / f"t{number}")
        link = top / "link"
        if what == "the path":
            path = owned(filled(top / "images", files=3))
            swapped, target = path, alice.secret / "images"
        else:
            up = alice.makes(top / "up")
            path = owned(filled(up / "mine", files=3))
            swapped, target = up, alice.secret
        link.symlink_to(target)
        os.lchown(link, ALICE, ALICE)
        before = before or alice.roots()
        with swapping(swapped, link):
            for _ in range(3):
                said[turner.turn(path).rpartition(": ")[2]] += 1
        whole = [folder for folder, _, files in os.walk(top) if "2.raw" in files]
        assert whole, said
        assert all(Path(folder, "2.raw").read_bytes() == b"2" * 20_000 for folder in whole)
    turner.close()
    assert alice.roots() == before, said
    assert {"done", "Not a directory"} <= said.keys(), said


def test_the_name_beside_it_is_swapped_with_something_of_roots(alice: Alice):
    """A directory, and a subvolume, of root's lies in her home: neither is removed or changed."""
    roots = alice.home / "roots"
    run("btrfs", "subvolume", "create", roots)
    (roots / "kept").write_bytes(b"root's")
    roots.chmod(0o700)
    turner = Turner(0.01)
    argv = [PROGRAM[0], "-c", SIBLINGS, str(alice.home)]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, user=ALICE, group=ALICE, extra_groups=[], env=_ENV, cwd="/"
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        said = []
        for number in range(ROUNDS):
            path = owned(filled(alice.home / f"images{number}", files=3))
            said.append(turner.turn(path))
        process.send_signal(signal.SIGKILL)
    turner.close()
    found = [path for path in alice.home.iterdir() if (path / "kept").exists()]
    assert len(found) == 1, said
    assert (found[0] / "kept").read_bytes() == b"root's"
    assert found[0].stat().st_uid == 0
    assert found[0].stat().st_mode & 0o777 == 0o700
    whole = [path for path in alice.home.iterdir() if (path / "2.raw").exists()]
    assert len(whole) >= ROUNDS, said
    assert all((path / "2.raw").read_bytes() == b"2" * 20_000 for path in whole)
    assert len(set(said)) > 1, said


def test_left_alone_it_is_done(alice: Alice):
    owned(filled(alice.mine, files=3))
    turner = Turner(0.01)
    assert turner.turn(alice.mine) == "done"
    turner.close()
    assert is_subvolume(alice.mine)
    assert alice.mine.stat().st_uid == ALICE
    assert strays(alice.home) == []
