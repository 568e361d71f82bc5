"""Brings the checkout into a container that has no network, the way a user would install it."""

import os
import shutil
import sys
import tomllib
from pathlib import Path

from tests.host import sandbox
from tests.host.container import Container

IN_CONTAINER = "/opt/wheels"

# pipx wants to renew these in each environment that it makes.
_PIPX = ["pip", "setuptools", "wheel"]


def _pip(*args: str, **env: str) -> None:
    sandbox.checked([sys.executable, "-m", "pip", "--quiet", *args], env={**os.environ, **env})


def dependencies(cache: Path, checkout: Path) -> Path:
    """Downloads, once for given requirements, what it takes to build and run the project.

    That happens out here because out here pip may have settings, certificates or local indexes
    that the container would not have.
    """
    project = tomllib.loads((checkout / "pyproject.toml").read_text("utf-8"))
    wanted = [*project["project"]["dependencies"], *project["build-system"]["requires"], *_PIPX]
    only = ["--only-binary=:all:", f"--python-version={sandbox.PYTHON}"]
    return sandbox.made_once(
        cache,
        "wheels",
        (sandbox.PYTHON, wanted),
        lambda part: _pip("download", *only, f"--dest={part}", *wanted),
    )


def wheelhouse(cache: Path, checkout: Path, folder: Path) -> Path:
    """Fills a folder with the checkout's own wheel and all that it depends on."""
    shutil.copytree(dependencies(cache, checkout), folder, dirs_exist_ok=True)
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder)}
    _pip("wheel", "--no-deps", f"--wheel-dir={folder}", str(checkout), **offline)
    return folder


def offer(container: Container, folder: Path) -> None:
    """Makes the wheels what pip and pipx find in the container, for each of its users."""
    container.push(folder, IN_CONTAINER)
    conf = f"[global]\nno-index = true\nfind-links = {IN_CONTAINER}\n"
    container.write("/etc/pip.conf", conf.encode())


def install(container: Container, folder: Path) -> None:
    """Installs the program next to Debian's own libraries, and puts it on everyone's path."""
    offer(container, folder)
    # Debian's pip serves: to unpack another into each environment takes longer than to install.
    container.run(
        "python3 -m venv --system-site-packages --without-pip /opt/vmtune "
        "&& python3 -m pip --python /opt/vmtune/bin/python install vmtune "
        "&& ln -s /opt/vmtune/bin/vmtune /usr/local/bin/vmtune"
    )
