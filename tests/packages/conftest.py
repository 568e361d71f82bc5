"""What is packaged, built and installed as its ecosystem does it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
sys.path.insert(0, str(CHECKOUT))  # tests are no package; this names helpers by their full path

from tests import tiers  # noqa: E402
from tests.documents import as_typed  # noqa: E402
from tests.fleet.nodes import PACKAGES  # noqa: E402
from tests.host import sandbox  # noqa: E402
from tests.host.container import Container  # noqa: E402
from tests.packages import debs  # noqa: E402


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.packages)


@pytest.fixture(scope="session")
def deb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Debian package of this checkout, built by the release that VMTUNE_TEST_SUITE names."""
    tiers.require("packages", sandbox.missing(), sandbox.APT_PACKAGES)
    return debs.build(sandbox.cache_folder(), tmp_path_factory.mktemp("deb"), as_typed("make deb"))


@pytest.fixture(scope="module")
def host(deb: Path) -> Iterator[Container]:
    """A booted host, on which root has installed the package; apt asks nothing there."""
    with Container(sandbox.cache_folder(), packages=PACKAGES) as container:
        answers = b'APT::Get::Assume-Yes "true";\nAPT::Install-Recommends "false";\n'
        container.write("/etc/apt/apt.conf.d/90answers", answers)
        container.push(deb, f"/root/dist/{deb.name}")
        container.run(as_typed("sudo apt install ./dist/vmtune_0.1.0_all.deb"))
        yield container
