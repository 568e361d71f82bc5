"""A live option of a mounted filesystem, and the options of a line in /etc/fstab."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from reconciler.engine.place import Place
from reconciler.facts.host import FilesystemOf, Locate, Mounts
from reconciler.formats import mountinfo, options
from reconciler.value import dataclass, field

if TYPE_CHECKING:
    from reconciler.facts.host_view import HostView


@dataclass(frozen=True, slots=True)
class LiveOption(Place[str]):
    """One option of a mounted filesystem, as the kernel has it now ("" when absent)."""

    target: str
    name: str
    rank: ClassVar[int] = 20

    @property
    def label(self) -> str:
        return "live"

    @property
    def full(self) -> str:
        return f"{self.name} live on {self.target}"

    def words(self, value: str) -> str:
        return value or f"no {self.name}"

    def thing(self, see: HostView) -> tuple[object, ...]:
        """A setting of the filesystem is one, by whichever of its mount points it is named."""
        mounts = see(Mounts())
        mount = mountinfo.at(mounts, see(Locate(self.target)).path)
        if mount is None:
            return ("LiveOption", self.name, self.target)
        if options.option(self.name).per_mount:
            return ("LiveOption", self.name, str(mount.mount_id))
        return ("LiveOption", self.name, see(FilesystemOf(mount.target)).uuid)


@dataclass(frozen=True, slots=True)
class FstabOptions(Place[str | None]):
    """The options field of the one /etc/fstab line for a mount point.

    ``line`` is where it stood when it was looked at; other lines come and go,
    so it does not tell places apart.
    """

    target: str
    line: int = field(compare=False)
    rank: ClassVar[int] = 30
    in_parts: ClassVar[bool] = True
    loaded_by_systemd: ClassVar[bool] = True

    @property
    def label(self) -> str:
        return f"/etc/fstab:{self.line}"

    def words(self, value: str | None) -> str:
        return value or "defaults"
