"""One private mount namespace and one Btrfs for the session, one subvolume for each test."""

import contextlib
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # tests are no package; helpers by full path

from tests import tiers
from tests.btrfs import forking, sandbox, world
from tests.btrfs.outside import run

_numbers = itertools.count(1)
FIRST_INODE = 256  # of every subvolume


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.btrfs)


def pytest_runtest_setup() -> None:
    """Skips where there is no Btrfs to be had, and says why; fails where it is demanded."""
    tiers.require("btrfs", sandbox.missing(), sandbox.APT_PACKAGES)


@pytest.fixture(scope="session")
def _sandbox() -> sandbox.Sandbox:
    # mount(8) believes the machine's cache of UUIDs for two seconds after another process wrote
    # it: a loop device that was made since is "can't find UUID=...". blkid(8), ENVIRONMENT.
    os.environ["BLKID_FILE"] = os.devnull
    return sandbox.Sandbox()


@pytest.fixture(scope="module", autouse=True)
def _inside(_sandbox: sandbox.Sandbox) -> Iterator[None]:
    """Other folders' tests see the machine as it is."""
    with _sandbox.entered():
        yield


@pytest.fixture(scope="session")
def _shared(_sandbox: sandbox.Sandbox) -> Path:
    """The filesystem on which most tests have a subvolume: data is kept once, uncompressed."""
    image, target = sandbox.TOP / "images" / "shared.img", sandbox.TOP / "shared"
    with _sandbox.entered():
        target.mkdir()
        with open(image, "wb") as new:
            new.truncate(6 << 30)
        run("mkfs.btrfs", "-q", image)
        run("mount", "-o", "loop", image, target)
    return target


@pytest.fixture(scope="session")
def _server(_sandbox: sandbox.Sandbox) -> Iterator[forking.Server]:
    """In the sandbox it sees what is mounted at any time, as every process there."""
    with _sandbox.entered():
        found = forking.Server(world._ENV)
    yield found
    found.close()


@pytest.fixture
def host(_shared: Path, _inside: None, _server: forking.Server) -> Iterator[world.World]:
    """A host on which vmtune may do as it likes."""
    world.fresh()
    area = _shared / f"t{next(_numbers)}"
    run("btrfs", "subvolume", "create", area)
    with contextlib.ExitStack() as cleanup:
        yield world.World(area, cleanup, _server)
    _delete(area)


def _delete(area: Path) -> None:
    """With all subvolumes inside, the innermost first; or a day's tests fill the disk."""
    inside = [Path(top) for top, _, _ in os.walk(area) if os.lstat(top).st_ino == FIRST_INODE]
    for subvolume in reversed(inside):
        subprocess.run(["btrfs", "-q", "subvolume", "delete", subvolume], check=False)
