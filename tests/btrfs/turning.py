"""One directory that is turned into a subvolume again and again, and what must hold each time."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from tests.btrfs.each import contents
from tests.btrfs.outside import run, sync
from tests.btrfs.trees import is_subvolume, planted, strays
from tests.btrfs.world import World


def declared(host: World, plant: Callable[[Path], Path] = planted) -> Path:
    """A directory that is to be a subvolume, for ``Again``."""
    pristine = host.image("own").subvolume("pristine")
    plant(pristine / "images")
    path = pristine.parent / "try" / "images"
    host.declare(paths=[{"path": str(path), "subvolume": True}])
    return path


def sown(top: Path) -> Path:
    """As little as makes a turn call all that it ever calls: see ``planted`` for what there is."""
    top.mkdir()
    run("chattr", "+C", top)
    (top / "nocow.raw").write_bytes(os.urandom(12_000))
    run("fallocate", "-n", "-o", "64K", "-l", "64K", top / "nocow.raw")
    run("setfattr", "-n", "user.note", "-v", "mine", top / "nocow.raw")
    sub = top / "sub"
    sub.mkdir()
    run("chattr", "-C", sub)
    run("btrfs", "property", "set", sub, "compression", "zstd")
    (sub / "squeezed.raw").write_bytes(b"squeeze me " * 5000)
    os.link(sub / "squeezed.raw", top / "also.raw")
    (sub / "closed.txt").write_text("inherits a property, and loses it")
    run("btrfs", "property", "set", sub / "closed.txt", "compression", "")
    (sub / "ends").symlink_to("../nocow.raw")
    os.chown(sub / "ends", 1003, 1003, follow_symlinks=False)
    run("setfattr", "-h", "-n", "trusted.note", "-v", "root's", sub / "ends")
    later = time.time_ns() + 3600 * 10**9  # with relatime, looking leaves no time later than now
    for path in (*sorted(top.rglob("*"), reverse=True), top):
        os.utime(path, ns=(later, later), follow_symlinks=False)
    sync()
    return top


class Again:
    """The same directory for each try: in a snapshot of the subvolume in which it was made."""

    def __init__(self, images: Path) -> None:
        self.images, self.top = images, images.parent
        self.reset()
        self.before = self._whole()

    def _whole(self) -> dict[str, object]:
        """Content, owner, mode, times and attributes by name; not vmtune's own mark on the top."""
        found: dict[str, object] = dict(contents(self.images))
        mode, *rest, names = contents(self.images)[str(self.images)]
        ours = [pair for pair in names if not pair[0].startswith("trusted.vmtune")]  # type: ignore[attr-defined]
        found[str(self.images)] = (mode, *rest, ours)
        found["find"] = sorted(run("find", self.images, "-printf", r"%p %n %T@ %l\n").splitlines())
        return found

    def is_whole(self) -> None:
        """Every file under its own name, as it was."""
        now = self._whole()
        assert {name: now.get(name) for name in self.before} == self.before
        assert now.keys() == self.before.keys()

    def reset(self) -> None:
        if self.top.exists():
            inside = [self.images, *(self.top / name for name in strays(self.top))]
            for path in (path for path in inside if is_subvolume(path)):
                run("btrfs", "subvolume", "delete", path)
            run("btrfs", "subvolume", "delete", self.top)
        run("btrfs", "subvolume", "snapshot", self.top.parent / "pristine", self.top)
        run("rm", "-rf", "/var/lib/vmtune")
