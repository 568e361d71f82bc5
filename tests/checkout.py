"""The checkout, for tests that copy it, or run a target of its Makefile."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
_COPY = """
git ls-files -z --cached --others --exclude-standard |
  xargs -0 cp --parents --no-dereference --target-directory="$0"
"""


def copy(folder: Path) -> None:
    """Copy all files that are tracked, or would be, into a folder that is there."""
    subprocess.run(["sh", "-euc", _COPY, folder], cwd=ROOT, check=True)


def make(line: str, *more: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a line such as `make man` with what is set up already, and fail where it fails.

    The make that runs the tests has nothing to say to it.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MF"))}
    argv = [*line.split(), "--assume-old=setup", f"PYTHON={sys.executable}", *more]
    done = subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done
