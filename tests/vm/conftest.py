"""Guests with kernels of their own: built once, booted for each file; what is seen is noted."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).parents[2]
sys.path.insert(0, str(CHECKOUT))  # tests are no package; this names helpers by their full path

from tests import tiers  # noqa: E402
from tests.host import sandbox  # noqa: E402
from tests.vm import seen, system  # noqa: E402
from tests.vm.machine import Guest  # noqa: E402

MakeGuest = Callable[..., Guest]
_SEEN: dict[tuple[str, str], bool] = {}
_KERNELS: dict[str, str] = {}
# As the run begins: who works on the checkout meanwhile changes nothing in what was seen.
_AT = seen.commit()


def _here(item: pytest.Item) -> bool:
    return item.path.is_relative_to(Path(__file__).parent)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in filter(_here, items):
        item.add_marker(pytest.mark.vm)
        # A guest without KVM takes minutes for what takes seconds.
        item.add_marker(pytest.mark.timeout(3600))


def pytest_runtest_setup() -> None:
    """Skips where guests cannot be booted, and says why; fails where they are demanded."""
    tiers.require("vm", system.missing(), system.APT_PACKAGES)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Notes each test that takes a step of the table, and whether it passed."""
    report = yield
    step = item.get_closest_marker("step")
    if step and _here(item) and (report.when == "call" or report.failed):
        built = item.funcargs.get("built")
        if built and not report.skipped:
            key = (step.args[0], built.name)
            _SEEN[key] = _SEEN.get(key, True) and report.passed
    return report


def pytest_sessionfinish() -> None:
    """Writes the table where `make vm` asks for it; a part of the steps is no reason to."""
    if _SEEN and os.environ.get("VMTUNE_VM_TABLE"):
        seen.update(_SEEN, _KERNELS, _AT)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if _SEEN:
        terminalreporter.section("seen on these systems")
        for (step, name), passed in _SEEN.items():
            word = "seen" if passed else "FAILED"
            terminalreporter.line(f"{name} ({_KERNELS.get(name)}): {step}: {word}")


@pytest.fixture(scope="session", params=system.SUITES)
def built(request: pytest.FixtureRequest) -> system.System:
    """A system that guests boot; each test is taken on each of them."""
    made = system.build(request.param, sandbox.cache_folder())
    _KERNELS[made.name] = made.kernel
    return made


@pytest.fixture(scope="module")
def make_guest(built: system.System) -> Iterator[MakeGuest]:
    """Boots guests that are destroyed after the test file; takes what Guest takes."""
    with contextlib.ExitStack() as stack:

        def make(**options: Any) -> Guest:
            return stack.enter_context(Guest(built, **options))

        yield make
