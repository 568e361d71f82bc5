"""Images of several files, as QEMU's programs make them, follow them and have them open."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.btrfs.outside import run, sync
from tests.btrfs.world import until


def create(path: Path, *options: str | Path, size: str = "16M") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    run("qemu-img", "create", "-q", *options, path, size)
    sync()
    return path


def over(path: Path, backing: str, kind: str = "qcow2", *, new: str = "qcow2") -> Path:
    """An overlay that names its backing file as given."""
    return create(path, "-f", new, "-b", backing, "-F", kind)


def chain(path: Path) -> list[Path]:
    """All files of an image, as QEMU follows them: itself, what it stands on, their extents."""
    info = ("qemu-img", "info", "--backing-chain", "--output=json", path.name)
    found: list[str] = []
    for image in json.loads(run(*info, cwd=path.parent)):
        data = image.get("format-specific", {}).get("data", {})
        extents = [extent["filename"] for extent in data.get("extents", [])]
        found += [image["filename"], *extents, data.get("data-file", image["filename"])]
    return list(dict.fromkeys((path.parent / name).resolve() for name in found))


def opened(path: Path) -> set[Path]:
    """The files beside an image or below that QEMU opens to read it, started where it lies."""
    log = Path("/run/opened")
    read = ("qemu-io", "-r", "-f", "qcow2", "-c", "read 0 512", path.name)
    argv = ["strace", "-f", "-qq", "-e", "trace=openat", "-o", str(log), *read]
    subprocess.run(argv, cwd=path.parent, capture_output=True, check=False)
    names = re.findall(r'openat\(AT_FDCWD, "([^"]+)"', log.read_text())
    paths = {(path.parent / name).resolve() for name in names}
    return {each for each in paths if each.is_relative_to(path.parent) and each.is_file()} - {path}


@contextmanager
def served(path: Path, kind: str = "qcow2") -> Iterator[int]:
    """A QEMU program that has an image open, with all that it is made of."""
    socket = f"/run/nbd-{path.stat().st_ino}"
    argv = ["qemu-nbd", "--persistent", "--socket", socket, "--format", kind, str(path)]
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as process:
        try:
            until("qemu-nbd to serve", lambda: Path(socket).exists())
            yield process.pid
        finally:
            process.kill()
            process.wait()
            Path(socket).unlink(missing_ok=True)
