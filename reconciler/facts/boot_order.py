"""In which order a boot mounts one Btrfs, and which compression that ends in.

A Btrfs that is mounted has one superblock, and so one compression setting, however many of its
subvolumes are mounted. The rules are those of fs/btrfs/super.c, measured on Linux 6.18; the tests
hold them to the running kernel with random sequences of mounts:

- The first mount sets everything, by its own options alone.
- A later mount changes nothing, with one exception: where the filesystem is read-only so far, the
  first writable mount makes it writable, and its algorithm takes the place of the one before.
  Whether there is compression at all stays as it was. So compression that was off stays off; and
  where compression was on and the new mount names none, the kernel shows ``compress=`` with no
  algorithm behind it, and nothing is compressed.
- A remount changes what it names, and keeps the rest.

What one option makes of those before it is in ``datamode``.

Sources: systemd-fstab-generator(8), systemd-remount-fs.service(8), systemd.mount(5), bootup(7),
dracut.cmdline(7), ostree-prepare-root(1).

1. The initramfs mounts the root filesystem with ``rootflags=``, read-only unless the command line
   has ``rw``; or with the options of the line of /, where that is marked x-initrd.mount (NixOS).
   Where / is an overlay that shows an image (composefs), this is the mount at /sysroot.
2. The initramfs mounts the lines that are marked x-initrd.mount, and that of /usr.
3. systemd-remount-fs.service applies the line of /. Where / is an overlay, this remounts the
   overlay, and so changes nothing here.
4. systemd mounts the other lines and the mount units that something wants, those above before those
   below, and else in no order that can be known.
5. What is marked noauto or x-systemd.automount is mounted when somebody asks for it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.formats import datamode, options
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from reconciler.formats.fstab import Line


OFF = "off"


class Superblock(Value):
    """One mounted filesystem, as far as it concerns compression.

    ``algorithm`` is "zstd:3", or "" for none. It stays, hidden, where ``nodatacow`` ended
    compression: for the mount that takes it over.
    """

    is_read_only: bool
    mode: datamode.DataMode = datamode.DEFAULT
    algorithm: str = ""

    @property
    def shown(self) -> str:
        """The option as mountinfo shows it; "" for none."""
        compress = self.mode.compress
        return f"{options.name(compress)}={self.algorithm}" if compress else ""

    @property
    def words(self) -> str:
        """What happens to data that is written now: "off", "zstd:3" or "zstd:3, forced"."""
        return OFF if self.mode.plain else live_words(self.shown)


def live_words(shown: str) -> str:
    """An option as mountinfo shows it ("" for none), in words.

    ``compress=`` without an algorithm compresses nothing, other than in /etc/fstab, where it means
    zlib (btrfs(5)).
    """
    name, _, algorithm = shown.partition("=")
    if not name or algorithm in {"", *options.OFF}:
        return OFF
    forced = ", forced" if name == "compress-force" else ""
    return f"{options.LEVELS.get(algorithm, algorithm)}{forced}"


def first(line_options: str, *, is_read_only: bool) -> Superblock:
    """The superblock after the first mount."""
    return _given(Superblock(is_read_only), line_options)


def later(now: Superblock, line_options: str, *, is_read_only: bool) -> Superblock:
    """The superblock after a mount of another subvolume."""
    if is_read_only or not now.is_read_only:
        return now
    own = first(line_options, is_read_only=False)
    return replace(now, is_read_only=False, algorithm=own.algorithm)


def remounted(now: Superblock, line_options: str, *, is_read_only: bool) -> Superblock:
    """The superblock after a remount with these options."""
    return _given(replace(now, is_read_only=is_read_only), line_options)


def _given(block: Superblock, line_options: str) -> Superblock:
    token = options.value(line_options, options.COMPRESS)
    algorithm = block.algorithm if token is None else options.effective(token).partition("=")[2]
    return replace(block, mode=datamode.of_line(line_options, block.mode), algorithm=algorithm)


ROOT, SYSROOT = "/", "/sysroot"


class MountUnit(Value):
    """A mount unit that is a file of its own (systemd.mount(5)), and not made of fstab's lines.

    ``hides``: it takes the place of a line for the same mount point. ``is_wanted``: something
    pulls it in at boot.
    """

    file: str
    where: str
    source: str
    options: str
    is_wanted: bool
    hides: bool


class BootLayout(Value):
    """One filesystem, as a boot finds it.

    ``root`` is where the initramfs mounts it: "/", "/sysroot", or "" where it does not.
    ``is_writable``: what is mounted at / now is writable. ``lines`` and ``units`` are those of this
    filesystem alone.
    """

    root: str
    is_writable: bool
    command_line: str
    lines: tuple[Line, ...]
    units: tuple[MountUnit, ...] = ()
    unseen: str = ""
    """What decides at boot but cannot be seen here, in words; "" where all can be seen."""


class Step(Value):
    """One mount of a boot, or one remount. ``line`` or ``unit`` is where its options are from."""

    target: str
    options: str
    line: Line | None = None
    unit: MountUnit | None = None
    is_remount: bool = False

    @property
    def is_unread(self) -> bool:
        """Its options cannot be told: its line is damaged."""
        return bool(self.line and self.line.problem)

    @property
    def is_read_only(self) -> bool:
        return options.value(self.options, {"ro", "rw"}) == "ro"

    @property
    def says(self) -> str:
        """The compress option that it names; "" for none."""
        return options.value(self.options, options.COMPRESS) or ""

    @property
    def name(self) -> str:
        """Where its options are written."""
        if self.line:
            return f"/etc/fstab:{self.line.number}"
        return self.unit.file if self.unit else "the kernel's command line"


class Outcome(Value):
    """The setting after a boot, and the step that decided it (None: no step mounts it).

    ``takes_over``: the filesystem was mounted read-only before, and the step is the first one that
    mounts it writable.
    """

    setting: str
    by: Step | None
    takes_over: bool = False


def rootflags(command_line: str) -> str:
    """All options of rootflags=, joined as systemd joins them where there are several."""
    flags = ",".join(options.rootflags(command_line))
    return flags if options.well_formed(flags) else ""


def is_clear(command_line: str) -> bool:
    """Tell whether all initramfs read the same of rootflags=: some take the last one alone."""
    if len(options.rootflags(command_line)) < 2:  # noqa: PLR2004
        return True
    all_of_them, last = rootflags(command_line), datamode.rootflags(command_line)
    return options.value(all_of_them, options.COMPRESS) == options.value(last, options.COMPRESS)


def outcomes(of: BootLayout) -> tuple[Outcome, ...]:
    """Every outcome that a boot can have, each once; one where the order is known."""
    block, decided = None, Outcome("", None)
    for step in _fixed(of):
        block, decided = _done(block, decided, step)
    rest = list(_at_boot(of))
    if block is None and not rest:
        rest = list(_on_demand(of))
    found = []
    for order in _orders(rest, any_first=block is None):
        now, by = block, decided
        for step in order:
            now, by = _done(now, by, step)
        found.append(by)
    return tuple(dict.fromkeys(found))


def settings(of: BootLayout) -> set[str]:
    """Every compression setting that a boot can end in."""
    return {each.setting for each in outcomes(of)}


def _done(block: Superblock | None, decided: Outcome, step: Step) -> tuple[Superblock, Outcome]:
    """What a step makes of the filesystem, and who has decided by then."""
    read_only = step.is_read_only
    if block is None:
        now = first(step.options, is_read_only=read_only)
        return now, _outcome(now, step)
    if step.is_remount:
        now = remounted(block, step.options, is_read_only=read_only)
        # A line that names nothing leaves what was there; it is the one to say so, though.
        is_silent = not step.says and not step.is_unread and now.words == block.words
        by = decided.by if is_silent and now.words != OFF else step
        return now, _outcome(now, by)
    now = later(block, step.options, is_read_only=read_only)
    if now.is_read_only == block.is_read_only or not block.shown:
        return now, decided
    return now, _outcome(now, step, takes_over=True)


def _outcome(now: Superblock, by: Step | None, *, takes_over: bool = False) -> Outcome:
    is_unread = by is not None and by.is_unread
    return Outcome("" if is_unread else now.words, by, takes_over)


def _fixed(of: BootLayout) -> Iterator[Step]:
    """The steps whose order is known: those of the initramfs, and the remount of /."""
    line = next((line for line in of.lines if line.target == ROOT), None)
    if line and of.root == ROOT and _is_marked(line, "x-initrd.mount"):
        yield _of_line(line)
    elif of.root:
        modes = ["ro", *(word for word in of.command_line.split() if word in {"ro", "rw"})]
        yield Step(of.root, f"{modes[-1]},{rootflags(of.command_line)}".strip(","))
    yield from (_of_line(other) for other in of.lines if is_early(other))
    if line and of.root == ROOT:
        yield replace(_of_line(line), is_remount=True)
    elif of.root == ROOT and of.is_writable:
        # systemd-gpt-auto-generator(8), or whoever else made it writable
        yield Step(ROOT, "rw", is_remount=True)


def _at_boot(of: BootLayout) -> Iterator[Step]:
    """What systemd mounts without being asked, beside the fixed steps."""
    hidden = {unit.where: unit for unit in of.units if unit.hides}
    named = {line.target for line in of.lines}
    for line in of.lines:
        if is_early(line) or (line.target == ROOT and of.root):
            continue
        if line.target in hidden:
            if hidden[line.target].is_wanted:
                yield _of_unit(hidden[line.target])
        elif not _is_marked(line, "noauto", "x-systemd.automount"):
            yield _of_line(line)
    for unit in of.units:
        if unit.where not in named and unit.is_wanted and unit.where != of.root:
            yield _of_unit(unit)


def _on_demand(of: BootLayout) -> Iterator[Step]:
    """What is mounted when somebody asks for it."""
    marks = ("noauto", "x-systemd.automount")
    yield from (_of_line(line) for line in of.lines if _is_marked(line, *marks))
    named = {line.target for line in of.lines}
    yield from (_of_unit(unit) for unit in of.units if unit.where not in named)


def _of_line(line: Line) -> Step:
    return Step(line.target, "" if line.problem else line.options, line=line)


def _of_unit(unit: MountUnit) -> Step:
    return Step(unit.where, unit.options, unit=unit)


def is_early(line: Line) -> bool:
    """The initramfs mounts it, beside /."""
    if line.target == ROOT:
        return False
    return line.target == "/usr" or _is_marked(line, "x-initrd.mount")


def _is_marked(line: Line, *names: str) -> bool:
    return not line.problem and not set(names).isdisjoint(options.split(line.options))


def _orders(steps: Sequence[Step], *, any_first: bool) -> Iterable[tuple[Step, ...]]:
    """The orders that can differ in their outcome: by who is first, and first writable."""
    if not steps:
        return [()]
    writable = [step for step in steps if not step.is_read_only]
    tops = [step for step in writable if not _is_below_one(step, writable)]
    seconds: list[tuple[Step, ...]] = [(step,) for step in tops] or [()]
    if not any_first:
        return seconds
    firsts = [step for step in steps if not _is_below_one(step, steps)]
    return [tuple(dict.fromkeys((one, *other))) for one in firsts for other in seconds]


def _is_below_one(step: Step, steps: Sequence[Step]) -> bool:
    others = (other for other in steps if other is not step)
    return any(step.target.startswith(other.target.rstrip("/") + "/") for other in others)
