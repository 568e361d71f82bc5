"""Test tiers that need more than Python: not run where that is missing, and loud about it."""

import os
import shutil
from collections.abc import Sequence

import pytest


def require(tier: str, lacks: Sequence[str], packages: Sequence[str]) -> None:
    """Skips the test when something lacks; fails it where VMTUNE_REQUIRE_TIERS names the tier."""
    if not lacks:
        return
    reason = (
        f"{tier.upper()} TIER NOT RUN, missing: {', '.join(lacks)}. "
        f"apt-get install -y {' '.join(packages)}"
    )
    if tier in os.environ.get("VMTUNE_REQUIRE_TIERS", "").replace(",", " ").split():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def judge(program: str, package: str) -> None:
    """The same for one program whose word a test goes by: the tier "judges"."""
    require("judges", [] if shutil.which(program) else [program], [package])
