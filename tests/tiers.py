"""Test tiers that need more than Python: not run where that is missing, and loud about it."""

import os
import shutil
from collections.abc import Sequence
from typing import NoReturn

import pytest

NOT_IN_DEBIAN = ("chezmoi",)


def require(tier: str, lacks: Sequence[str], packages: Sequence[str]) -> None:
    """Skips the test when something lacks; fails it where VMTUNE_REQUIRE_TIERS names the tier."""
    if not lacks:
        return
    reason = (
        f"{tier.upper()} TIER NOT RUN, missing: {', '.join(lacks)}. "
        f"apt-get install -y {' '.join(packages)}"
    )
    _left_out(tier, reason)


def absent(tier: str, program: str, more: str = "") -> NoReturn:
    """The same of one program of a tier, or one library, that is not here.

    What can be had nowhere in Debian is skipped in any case.
    """
    reason = f"NOT CHECKED: {program} cannot be had here. {more}".rstrip()
    if program in NOT_IN_DEBIAN:
        pytest.skip(reason)
    _left_out(tier, reason)


def _left_out(tier: str, reason: str) -> NoReturn:
    if tier in os.environ.get("VMTUNE_REQUIRE_TIERS", "").replace(",", " ").split():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def judge(program: str, package: str) -> None:
    """The same for one program whose word a test goes by: the tier "judges"."""
    require("judges", [] if shutil.which(program) else [program], [package])
