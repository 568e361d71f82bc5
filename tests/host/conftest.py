"""Booted containers for tests, one per test file and made only when a test asks for it."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).parents[2]
sys.path.insert(0, str(CHECKOUT))  # tests are no package; this names helpers by their full path

from tests import tiers  # noqa: E402
from tests.host import sandbox, wheels  # noqa: E402
from tests.host.container import EXT4_FSTAB, ZSTD_FSTAB, Container  # noqa: E402


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.host)


def pytest_runtest_setup() -> None:
    """Skips where containers cannot be booted, and says why; fails where they are demanded."""
    tiers.require("host", sandbox.missing(), sandbox.APT_PACKAGES)


@pytest.fixture(scope="module")
def make_container() -> Iterator[Callable[..., Container]]:
    """Boots containers that are destroyed after the test file; takes what Container takes."""
    with contextlib.ExitStack() as stack:

        def make(**options: Any) -> Container:
            return stack.enter_context(Container(sandbox.cache_folder(), **options))

        yield make


@pytest.fixture(scope="module")
def container(make_container: Callable[..., Container]) -> Container:
    """A host as the Debian how-to leaves it: Btrfs, @rootfs, and the how-to's line in fstab."""
    return make_container()


@pytest.fixture(scope="module")
def zstd_container(make_container: Callable[..., Container]) -> Container:
    """The same with compress=zstd, in fstab and so in the mount."""
    return make_container(fstab=ZSTD_FSTAB)


@pytest.fixture(scope="module")
def ext4_container(make_container: Callable[..., Container]) -> Container:
    """A host with no Btrfs."""
    return make_container(fstab=EXT4_FSTAB)


@pytest.fixture(scope="session")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with this checkout's wheel and all that it takes to install it offline."""
    return wheels.wheelhouse(sandbox.cache_folder(), CHECKOUT, tmp_path_factory.mktemp("wheels"))
