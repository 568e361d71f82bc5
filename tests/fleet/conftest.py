"""Fleets: two booted hosts of different releases of Debian, reached by ssh as any host is."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
sys.path.insert(0, str(CHECKOUT))  # tests are no package; this names helpers by their full path

from tests import tiers  # noqa: E402
from tests.fleet.nodes import Fleet, Node  # noqa: E402
from tests.host import sandbox, wheels  # noqa: E402


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.fleet)


@pytest.fixture(scope="session")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with this checkout's wheel and all that it takes to install it offline."""
    tiers.require("fleet", sandbox.missing(), sandbox.APT_PACKAGES)
    return wheels.wheelhouse(sandbox.cache_folder(), CHECKOUT, tmp_path_factory.mktemp("wheels"))


@pytest.fixture(scope="session")
def node(wheelhouse: Path) -> Iterator[Node]:
    """One booted Debian 12 with root's vmtune; each test takes away what it did."""
    with Node("bookworm") as host:
        wheels.install(host, wheelhouse)
        yield host


@pytest.fixture(scope="module")
def fleet(wheelhouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A Debian 12 and a Debian 13, on which no vmtune is installed yet; alice may use sudo."""
    with contextlib.ExitStack() as stack:
        hosts = {suite: stack.enter_context(Node(suite)) for suite in ("bookworm", "trixie")}
        wheels.offer(hosts["bookworm"], wheelhouse)
        yield Fleet(hosts, tmp_path_factory.mktemp("control"))
