"""Other programs for the same job, and vmtune installed as a user has it: in .cache/bench."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.bench.measure import Contestant

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "bench"


def _venv(name: str, *packages: str) -> Path | None:
    """A virtual environment with some packages; None where pip cannot get them."""
    folder = CACHE / name
    ready = folder / ".ready"
    if not ready.exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        pip = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python"]
        options = ["install", "-qq", "--disable-pip-version-check", *packages]
        if subprocess.run([*pip, *options], check=False).returncode:
            return None
        ready.touch()
    return folder / "bin"


def vmtune() -> Path:
    """The folder of its console script; the code is the checkout's, compiled, as pip leaves it."""
    programs = _venv("vmtune", str(ROOT))
    if programs is None:
        raise SystemExit("vmtune's own libraries cannot be installed here: nothing to measure")
    package = next(programs.parent.glob("lib/python*/site-packages")) / "reconciler"
    shutil.rmtree(package)
    no_cache = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "reconciler", package, symlinks=False, ignore=no_cache)
    subprocess.run([programs / "python", "-m", "compileall", "-q", package], check=True)
    return programs


def pyinfra() -> Path | None:
    """The program, where it can be had."""
    found = _venv("pyinfra", "pyinfra>=3")
    return found and found / "pyinfra"


def ansible() -> Path | None:
    """The program, where it can be had."""
    found = _venv("ansible", "ansible-core>=2.15")
    return found and found / "ansible-playbook"


def program(name: str, *arguments: object) -> Contestant | None:
    """One that the system may have."""
    found = shutil.which(name)
    return Contestant([found, *map(str, arguments)]) if found else None
