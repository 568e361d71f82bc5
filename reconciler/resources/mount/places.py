"""A live option of a mounted filesystem, and the options of a line in /etc/fstab."""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from reconciler.engine.model import WAITS
from reconciler.engine.place import Place, Swap
from reconciler.facts import boot_layouts
from reconciler.facts.diagnostics import WHY, Note
from reconciler.facts.host import FilesystemOf, FstabLines, FstabObstacle, Locate, Mounts
from reconciler.facts.host_view import NotVisible
from reconciler.formats import datamode, jsondata, mountinfo, options, unit
from reconciler.resources.mount import lines

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from reconciler.engine.place import LastApplied
    from reconciler.facts.diagnostics import Refusal
    from reconciler.facts.host_view import HostView


ENDED = "compression had ended it"


def waits(name: str) -> Note:
    """Say that an option stays until the filesystem is mounted afresh."""
    text = f"{name} stays as it is until the filesystem is mounted again, as at a reboot"
    return Note(text, WAITS, WHY)


class LiveOption(Place[str]):
    """One option of a mounted filesystem, as the kernel has it now ("" when absent)."""

    target: str
    name: str
    rank: ClassVar[int] = 20

    @staticmethod
    def decoded(data: Any) -> str:
        return jsondata.name(data)

    def lasting(self, want: str) -> Note | None:
        """No word has the kernel show nothing, but for an option with a word for off."""
        return None if want or options.option(self.name).off else waits(self.name)

    def stays(self, original: str) -> bool:
        """What compression had ended was not vmtune's: put back, it stays."""
        del original
        return self.name in options.RESTORED

    def kept_off(self, want: str, host: HostView) -> Note | None:
        """Compression is not put back where it would end nodatacow or nodatasum."""
        if self.name != "compress" or not want:
            return None
        mount = mountinfo.at(host(Mounts()), self.target)
        plain = datamode.of_live(mount.super_options).plain if mount else ""
        text = f"{want} is not put back live: {self.target} is mounted {plain}, which it would end"
        return Note(text) if plain else None

    def restores_also(self, swap: Swap, swaps: Sequence[Swap], host: HostView) -> Iterator[Swap]:
        """Yield what brings nodatacow or nodatasum back, where vmtune's compression ended it live.

        Older versions of vmtune recorded only the compress option. Known is what the line says
        once the swaps are done: where that has nodatacow and the filesystem has it no more,
        compression ended it.
        """
        if self.name != "compress" or swap.want:
            return
        if ended := self.ended(_line_of(self, swap.owner, swaps, host), host):
            yield Swap(ended, "", ended.name, ENDED, swap.owner)

    def ended(self, line_options: str, host: HostView) -> LiveOption | None:
        """Return the option that a line has and its mounted filesystem has lost to compression."""
        mount = mountinfo.at(host(Mounts()), self.target)
        if mount is None or not options.well_formed(line_options):
            return None
        said = datamode.of_line(line_options).plain
        is_lost = said and not datamode.of_live(mount.super_options).plain
        return LiveOption(self.target, said) if is_lost else None

    def rests_on(self, host: HostView) -> Iterator[tuple[str, str]]:
        del host
        yield "filesystem at", self.target

    def compress_option(self, targets: Collection[str], want: str) -> str | None:
        return want if self.name == "compress" and self.target in targets else None

    @property
    def label(self) -> str:
        return "live"

    @property
    def full(self) -> str:
        return f"{self.name} live on {self.target}"

    def words(self, value: str) -> str:
        return value or f"no {self.name}"

    def shown(self, value: str) -> str:
        return value or ("off" if self.name == "compress" else f"no {self.name}")

    def thing(self, host: HostView) -> tuple[object, ...]:
        """A setting of the filesystem is one, by whichever of its mount points it is named."""
        mount = mountinfo.at(host(Mounts()), host(Locate(self.target)).path)
        if mount is None:
            return ("LiveOption", self.name, self.target)
        if options.option(self.name).per_mount:
            return ("LiveOption", self.name, str(mount.mount_id))
        return ("LiveOption", self.name, host(FilesystemOf(mount.target)).uuid)


class FstabOptions(Place[str | None]):
    """The options field of the one /etc/fstab line for a mount point.

    ``line`` is where it stood when it was looked at; other lines come and go,
    so it does not tell places apart.
    """

    target: str
    line: int = field(compare=False)
    rank: ClassVar[int] = 30
    in_parts: ClassVar[bool] = True

    part_names: ClassVar[frozenset[str]] = frozenset(option.name for option in options.ALL)
    loaded_by_systemd: ClassVar[bool] = True

    @staticmethod
    def decoded(data: Any) -> str | None:
        return jsondata.optional(data)

    def original(self, was: LastApplied, have: str | None) -> str | None:
        """Return the line before vmtune, with the words that others changed since as they are."""
        if have is not None and lines.all_words(have, [was]):
            return lines.restored(have, was)
        found: str | None = was.original
        return found

    def restored_part(
        self, now: str | None, records: Sequence[LastApplied], kept: frozenset[str]
    ) -> str | None:
        if now is None:
            return None
        if lines.all_words(now, records):
            return lines.all_restored(
                now, records, frozenset(option for option in options.ALL if option.name in kept)
            )
        return now if kept else None

    def changed_parts(self, was: LastApplied) -> frozenset[str]:
        return frozenset(option.name for option in lines.changed(was))

    def as_called_now(self, host: HostView) -> FstabOptions:
        found = host.maybe(FstabLines()) or ()
        numbers = [line.number for line in found if line.target == self.target]
        return replace(self, line=numbers[0]) if len(numbers) == 1 else self

    def not_undone(self, have: str | None, want: str | None) -> Iterator[str]:
        if "compress" in str(want) and "compress" not in str(have):
            yield "taking compress= out of the line does not switch compression on or off by itself"

    def obstacle(self, host: HostView) -> Refusal | None:
        """Return why /etc/fstab cannot be replaced by a new file."""
        try:
            why = host(FstabObstacle())
        except NotVisible as hidden:
            why = hidden.why
        return boot_layouts.fixed(why) if why else None

    def rests_on(self, host: HostView) -> Iterator[tuple[str, str]]:
        yield "line of fstab for", self.target
        for line in host(FstabLines()):
            if line.target == self.target:
                yield "filesystem of", line.source

    def units(self) -> tuple[str, ...]:
        return (unit.mount_unit(self.target),)

    @property
    def label(self) -> str:
        return f"/etc/fstab:{self.line}"

    def words(self, value: str | None) -> str:
        return value or "defaults"


def _line_of(place: LiveOption, owner: str, swaps: Sequence[Swap], host: HostView) -> str:
    """Return the options that the entry's line will have; "" where it has none."""
    target = owner.partition(" ")[2] or place.target
    now = {line.target: line.options for line in host.maybe(FstabLines()) or ()}
    new = {s.place.target: s.want for s in swaps if isinstance(s.place, FstabOptions)}
    return str({**now, **new}.get(target) or "")
