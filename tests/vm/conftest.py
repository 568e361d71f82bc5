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
Build = Callable[..., system.System]
_STEP = "step of docs/systems.md"
_SEEN: dict[tuple[str, str], bool] = {}
_KERNELS: dict[str, str] = {}
# As the run begins: who works on the checkout meanwhile changes nothing in what was seen.
_AT = seen.commit()


def _here(item: pytest.Item) -> bool:
    return item.path.is_relative_to(Path(__file__).parent)


_LONG = ("test_power_cuts.py", "test_suspended.py")
"""Files that take longest: behind the others, one process would end alone with them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in filter(_here, items):
        item.add_marker(pytest.mark.vm)
        # A guest without KVM takes minutes for what takes seconds.
        item.add_marker(pytest.mark.timeout(3600))
    items.sort(key=lambda item: not (_here(item) and item.path.name in _LONG))


def pytest_runtest_setup() -> None:
    """Skips where guests cannot be booted, and says why; fails where they are demanded."""
    tiers.require("vm", system.missing(), system.APT_PACKAGES)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Has the report say which step of the table was taken, and where."""
    report = yield
    step = item.get_closest_marker("step")
    built = item.funcargs.get("built") if step else None
    if built and _here(item):
        report.user_properties.append((_STEP, [step.args[0], built.name, built.kernel]))
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Notes each such test, and whether it passed; also those that other processes ran."""
    if report.skipped or not (report.when == "call" or report.failed):
        return
    for step, name, kernel in (value for key, value in report.user_properties if key == _STEP):
        _SEEN[step, name] = _SEEN.get((step, name), True) and report.passed
        _KERNELS[name] = kernel


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Writes the table where `make vm` asks for it; a part of the steps is no reason to."""
    if _SEEN and os.environ.get("VMTUNE_VM_TABLE") and not hasattr(session.config, "workerinput"):
        seen.update(_SEEN, _KERNELS, _AT)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if _SEEN:
        terminalreporter.section("seen on these systems")
        for (step, name), passed in sorted(_SEEN.items(), key=lambda each: each[0][1]):
            word = "seen" if passed else "FAILED"
            terminalreporter.line(f"{name} ({_KERNELS.get(name)}): {step}: {word}")


@pytest.fixture(scope="session")
def build() -> Build:
    """Builds the system of a release, with what a flavour adds."""

    def made(suite: str, flavour: system.Flavour = system.PLAIN) -> system.System:
        return system.build(suite, sandbox.cache_folder(), flavour)

    return made


@pytest.fixture(scope="session", params=system.SUITES)
def built(request: pytest.FixtureRequest, build: Build) -> system.System:
    """A system that guests boot; each test is taken on each of them."""
    return build(request.param)


@pytest.fixture(scope="module")
def make_guest(built: system.System) -> Iterator[MakeGuest]:
    """Boots guests that are destroyed after the test file; takes what Guest takes."""
    with contextlib.ExitStack() as stack:

        def make(**options: Any) -> Guest:
            return stack.enter_context(Guest(built, **options))

        yield make
