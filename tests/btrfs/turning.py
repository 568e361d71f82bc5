"""One directory that is turned into a subvolume again and again, and what must hold each time."""

from pathlib import Path

from tests.btrfs.each import contents
from tests.btrfs.outside import run
from tests.btrfs.trees import is_subvolume, planted, strays
from tests.btrfs.world import World


def declared(host: World) -> Path:
    """A directory that is to be a subvolume, for ``Again``."""
    pristine = host.image("own").subvolume("pristine")
    planted(pristine / "images")
    path = pristine.parent / "try" / "images"
    host.declare(paths=[{"path": str(path), "subvolume": True}])
    return path


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
