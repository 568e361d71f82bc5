"""A live option of a mounted filesystem, and the options of a line in /etc/fstab.

Both are put back as they were before vmtune set them, a line word by word, by what the journal
knows of one entry.
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from reconciler.engine.model import WAITS, Desired
from reconciler.engine.place import Place, Swap
from reconciler.engine.restore import PUT_BACK
from reconciler.facts import boot_layouts
from reconciler.facts.diagnostics import WHY, Note
from reconciler.facts.host import FilesystemOf, FstabLines, FstabObstacle, Locate, Mounts
from reconciler.facts.host_view import NotVisible
from reconciler.formats import datamode, jsondata, mountinfo, options, unit
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from reconciler.engine.place import LastApplied
    from reconciler.engine.resource import Kept
    from reconciler.facts.diagnostics import Refusal
    from reconciler.facts.host_view import HostView


def restored(line: str, was: LastApplied | None, declared: Collection[options.Option] = ()) -> str:
    """Return the options with what vmtune put for others than the declared ones as it was before.

    Only where the word is still the one that vmtune wrote.
    """
    if was is None or not _all_read(line, was):
        return line
    found = line
    for option in options.ALL:
        before = options.value(was.original, option.rivals)
        ours = {options.value(value, option.rivals) for value in was.values} - {before}
        if option not in declared and options.value(line, option.rivals) in ours:
            found = options.replace(found, option.rivals, before)
    # Nothing of ours is left in it: then in the order in which it was, too.
    alike = sorted(options.split(found)) == sorted(options.split(was.original))
    return was.original if found != line and alike else found


def all_restored(
    line: str, records: Sequence[LastApplied], declared: Collection[options.Option] = ()
) -> str:
    """Return the options with what every record wrote as it was before, the last record first."""
    for was in reversed(records):
        line = restored(line, was, declared)
    return line


def _all_read(line: str | None, was: LastApplied) -> bool:
    texts = (line, was.original, *was.values)
    return all(isinstance(text, str) and options.well_formed(text) for text in texts)


def all_words(line: str | None, records: Iterable[LastApplied]) -> bool:
    """Tell whether a line and all that was written of it can be read word by word."""
    return all(_all_read(line, was) for was in records)


def changed(was: LastApplied) -> Iterator[options.Option]:
    """Yield the options of a line that a record changed."""
    for option in options.ALL:
        before = options.value(was.original or "", option.rivals)
        if any(options.value(value or "", option.rivals) != before for value in was.values):
            yield option


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
        if have is not None and all_words(have, [was]):
            return restored(have, was)
        found: str | None = was.original
        return found

    def restored_part(
        self, now: str | None, records: Sequence[LastApplied], kept: frozenset[str]
    ) -> str | None:
        if now is None:
            return None
        if all_words(now, records):
            return all_restored(
                now, records, frozenset(option for option in options.ALL if option.name in kept)
            )
        return now if kept else None

    def changed_parts(self, was: LastApplied) -> frozenset[str]:
        return frozenset(option.name for option in changed(was))

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


class Former(Value):
    """The options field of a line, and live options by their place, as the journal knows them.

    ``kept`` are the options of the line that other files declare: they stay as they are.
    ``others`` are the records of other lines, and the options of each that stay, by their targets.
    """

    lines: tuple[LastApplied, ...] = ()
    live: tuple[tuple[LiveOption, LastApplied], ...] = ()
    kept: frozenset[options.Option] = frozenset()
    others: Mapping[str, tuple[tuple[LastApplied, ...], frozenset[options.Option]]] = field(
        default_factory=dict
    )


def former(
    written: Mapping[Place[Any], tuple[LastApplied, ...]],
    target: str,
    declared: Collection[options.Option],
    kept: Kept,
) -> Former:
    """Return what was written for ``target``, but for the options that are still declared."""
    live = (
        (place, records[-1])
        for place, records in written.items()
        if isinstance(place, LiveOption)
        if place.name not in options.RESTORED and options.option(place.name) not in declared
    )
    mine = FstabOptions(target, 0)
    others = {
        place.target: (records, _kept(place, kept))
        for place, records in written.items()
        if isinstance(place, FstabOptions) and place != mine
    }
    return Former(written.get(mine, ()), tuple(live), _kept(mine, kept), others)


def _kept(line: FstabOptions, kept: Kept) -> frozenset[options.Option]:
    """Return the options of a line that other files decide."""
    return frozenset(map(options.option, kept(line)))


def live(
    of: Former, line_options: str, mounted: Collection[str], host: HostView
) -> Iterator[Desired[str] | Note]:
    """Yield the live options as they were, on the mount points of the entry's filesystem.

    ``line_options`` are those that its line will have.
    """
    for place, was in of.live:
        if place.target not in mounted or host(place) not in was.values:
            continue
        if note := place.lasting(was.original) or place.kept_off(was.original, host):
            yield note
        elif host(place) != was.original:
            # Weak: another entry may declare it for the same filesystem.
            yield Desired(place, was.original, PUT_BACK, weak=True)
            ended = place.ended(line_options, host)
            if ended and place.name == "compress" and not was.original:
                yield Desired(ended, ended.name, ENDED, weak=True)
