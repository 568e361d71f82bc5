"""Programs of the Python ecosystem that packages are built and judged by, from .ci/tools."""

import os
import subprocess
from functools import cache
from pathlib import Path

from tests import tiers

CHECKOUT = Path(__file__).parents[2]
FOLDER = CHECKOUT / ".cache" / "tools"


def tool(name: str) -> str:
    """Return the program's path; skip the test, by the program's name, where it cannot be had."""
    lacks = _made()
    path = FOLDER / "bin" / name
    if not os.access(path, os.X_OK):
        tiers.absent("packages", name, lacks[-500:])
    return str(path)


@cache
def _made() -> str:
    """Make the environment, once in a run; return what pip said of tools that it did not get."""
    return subprocess.run(
        ["sh", ".ci/tools", FOLDER], cwd=CHECKOUT, capture_output=True, text=True, check=False
    ).stderr


def library(name: str) -> str:
    """Return the Python that has a library; skip the test where it cannot be had."""
    python = tool("python")
    if subprocess.run(
        [python, "-c", f"import {name}"], capture_output=True, check=False
    ).returncode:
        tiers.absent("packages", f"the library {name}")
    return python
