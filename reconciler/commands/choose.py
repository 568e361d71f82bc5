"""The entries that a command line names: by kind, or as the path or mount point they are about."""

from __future__ import annotations

import difflib
import os
import shlex
from contextlib import suppress
from dataclasses import field, replace
from typing import TYPE_CHECKING

from reconciler.config.hosts import PathError, expand
from reconciler.errors import HostError, Misused
from reconciler.facts.tree import REDACTED
from reconciler.formats import mountinfo
from reconciler.formats.paths import is_below
from reconciler.linux import filesystems, users
from reconciler.resources.registry import KINDS
from reconciler.run import planfile
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from reconciler.engine.model import Change, Plan
    from reconciler.engine.resource import Declared


def _kinds() -> frozenset[str]:
    return frozenset(kind.name for kind in KINDS)


class Word(Value):
    """One argument: the name of a kind, or a path with the absolute forms it has."""

    typed: str
    kind: str = ""
    paths: frozenset[str] = frozenset()

    @property
    def anywhere(self) -> str:
        """Return it for a command that may stand in another directory."""
        return self.kind or min(self.paths, key=len)

    def is_about(self, change: Change) -> bool:
        """Tell whether the word names the row's entry."""
        if self.kind:
            return change.kind == self.kind
        return any(path in self.paths or self.leads_to(path) for path in _paths(change))

    def leads_to(self, path: str) -> bool:
        """Tell whether a path leads to the same thing, as by a link or a second mount."""
        if os.path.realpath(path) in self.paths:
            return True
        try:
            return any(os.path.samefile(path, other) for other in self.paths)
        except OSError:
            return False

    def name_below(self, folder: str) -> str:
        """Name what the word leads to as seen from a directory above it; "" for no such.

        The two lie in one subvolume, whatever the names by which they are reached.
        """
        for path in map(os.path.realpath, self.paths):
            if name := _below(path, folder) or _below_by_mounts(path, os.path.realpath(folder)):
                return name
        return ""


class Choice(Value):
    """Which rows of a plan a command is about; it remembers which arguments named one."""

    words: tuple[Word, ...]
    """Where there are none, it is about all rows."""
    command: str
    names: dict[str, None] = field(default_factory=dict)
    matched: set[str] = field(default_factory=set)
    folders: dict[str, None] = field(default_factory=dict)
    """Directories of entries of which one file may be chosen."""
    within: dict[str, str] = field(default_factory=dict)
    """Arguments that are one file of an entry, each with the entry's path."""

    def __call__(self, change: Change) -> bool:
        """Tell whether an argument names the row's entry."""
        self.names.update(dict.fromkeys((change.name, change.about)))
        mine = [word for word in self.words if word.is_about(change)]
        self.matched.update(word.typed for word in mine)
        return bool(mine)

    def narrowed(self, declared: Sequence[Declared]) -> tuple[Declared, ...]:
        """Return the entries; those of which only some files are chosen once for each of these."""
        if not self.words:
            return tuple(declared)
        parts: dict[int, list[Declared]] = {}
        self.folders.update(
            dict.fromkeys(entry.item.path for entry in declared if _has_parts(entry))
        )
        for word in self.words:
            for number, name in _holding(word, declared):
                entry, known = declared[number], parts.get(number, [])
                self.matched.add(word.typed)
                if self(entry.row):  # all of it is chosen, by another argument
                    continue
                self.within[word.typed] = entry.item.path
                if all(each.part != name for each in known):
                    spec = entry.kind.part(entry.spec, name)
                    parts[number] = [*known, replace(entry, spec=spec, part=name)]
        return tuple(part for n, entry in enumerate(declared) for part in parts.get(n, [entry]))

    def again(self) -> Choice:
        """Return the choice for a plan after the run: what is done needs no row any more."""
        return replace(self, names={}, matched={word.typed for word in self.words})

    def check(self, made: Plan) -> Plan:
        """Return the plan; raises Misused where an argument names no row of it.

        Raises HostError where it is a file that is no saved plan either, as ``apply`` takes one.
        """
        for word in self.words:
            if word.typed not in self.matched:
                alone = self.command == "apply" and len(self.words) == 1
                if alone and _sort_of(word.typed) == planfile.OTHER:
                    planfile.load(absolute(word.typed))  # a file of no entry was to be a plan
                near = [users.tilde(path) for path in near_files(word, self.folders)]
                near += near_plans(word) if alone else []
                raise unmatched(word, tuple(filter(None, self.names)), near)
        return made

    @property
    def as_words(self) -> list[str]:
        """Return the arguments for another run, which may stand in another directory."""
        return [word.anywhere for word in self.words]

    @property
    def for_all(self) -> list[str]:
        """Return the arguments as everybody may read them: names of files are their owner's."""
        return [
            f"{self.within[word.typed].rstrip('/')}/{REDACTED}"
            if word.typed in self.within
            else word.anywhere
            for word in self.words
        ]


ALL = Choice((), "plan")
"""What a command is about whose arguments name no entry."""


def choice(words: Sequence[str], command: str) -> Choice:
    """Return the choice that arguments of a command make.

    Raises Misused where one is a configuration or a saved plan: neither is an entry.
    """
    for word in words:
        sort, name = _sort_of(word), shlex.quote(word)
        if sort == planfile.CONFIGURATION:
            raise Misused(
                f"{word} is a configuration: name it with --config",
                f"vmtune {command} --config {name}",
            )
        if sort == planfile.PLAN:
            raise Misused(
                f"{word} is a saved plan, not an entry",
                f"`vmtune show {name}` shows it, `vmtune apply {name}` does it",
            )
    return Choice(tuple(map(word_of, words)), command)


def is_saved_plan(words: Sequence[str]) -> bool:
    """Tell whether the arguments of ``apply`` are one saved plan; Misused where they mix."""
    plans = [word for word in words if _sort_of(word) == planfile.PLAN]
    if plans and len(words) > 1:
        raise Misused(
            f"{plans[0]} is a saved plan, and a saved plan stands alone",
            "name one saved plan, or entries",
        )
    return bool(plans)


def _sort_of(word: str) -> str:
    """Tell what kind of file an argument is, as planfile does; "" where it is none of its own.

    A file that may not be read is an image, as far as can be told: a plan is its owner's.
    """
    if word in _kinds() or not os.path.isfile(absolute(word)):
        return ""
    try:
        return planfile.sort_of(absolute(word))
    except HostError:
        return planfile.OTHER


def near_files(word: Word, folders: Iterable[str]) -> list[str]:
    """Find the files below directories of entries of whose paths one part is misspelt."""
    if word.kind:
        return []
    path = absolute(word.typed)
    there, wrong = os.path.split(path)
    while wrong and not os.path.isdir(there):
        there, wrong = os.path.split(there)
    rest = path[len(os.path.join(there, wrong)) :]
    found = [f"{there.rstrip('/')}/{name}{rest}" for name in _near_names(there, wrong)]
    tops = [*folders]
    files = [word_of(path) for path in found if path != word.typed and os.path.isfile(path)]
    return [file.typed for file in files if any(file.name_below(top) for top in tops)]


def near_plans(word: Word) -> list[str]:
    """Find the saved plans in the folder of a misspelt one, as they would be typed."""
    folder, wrong = os.path.split(word.typed)
    found = (os.path.join(folder, name) for name in _near_names(absolute(folder or "."), wrong))
    return [name for name in found if _sort_of(name) == planfile.PLAN]


def _near_names(folder: str, wrong: str) -> list[str]:
    """Find the names in a folder that are near; none where the folder may not be read."""
    with suppress(OSError):
        return difflib.get_close_matches(wrong, os.listdir(folder))
    return []


def unmatched(word: Word, names: Sequence[str], files: Sequence[str] = ()) -> Misused:
    """Say that an argument names no entry, with the names and the ``files`` that are near."""
    if word.kind:
        return Misused(
            f"nothing of the kind {word.kind} is declared, or left of what was",
            "`vmtune plan` shows the entries",
        )
    forms = (word.typed, *sorted(word.paths))
    known = dict.fromkeys([*names, *sorted(_kinds())])
    close = dict.fromkeys(files) or dict.fromkeys(
        name for form in forms for name in difflib.get_close_matches(form, known, 3, 0.8)
    )
    shown = [*dict.fromkeys(map(users.tilde, close))][:3]
    named = f"did you mean {' or '.join(shown)}?" if shown else ""
    return Misused(
        f"{word.typed!r} is no entry and no saved plan",
        named or "`vmtune plan` shows the entries; name one by its path",
    )


def word_of(typed: str) -> Word:
    """Return an argument as what it names; Misused where it is no path that can be."""
    if typed in _kinds():
        return Word(typed, kind=typed)
    path = absolute(typed)
    return Word(typed, paths=frozenset({path, os.path.realpath(path)}))


def absolute(typed: str) -> str:
    """Return the absolute path of an argument, also where a shell did not expand its ``~``."""
    try:
        return expand(typed, users.home_of) if typed[:1] in "/~" else users.absolute(typed)
    except PathError as error:
        raise Misused(str(error), error.hint) from None


def _holding(word: Word, declared: Sequence[Declared]) -> Iterator[tuple[int, str]]:
    """Yield the entries nearest above a file that can be done for that file alone."""
    if word.kind or not os.path.isfile(absolute(word.typed)):
        return
    found = {
        number: name
        for number, entry in enumerate(declared)
        if _has_parts(entry) and (name := word.name_below(entry.item.path))
    }
    nearest = min((name.count("/") for name in found.values()), default=0)
    yield from ((n, name) for n, name in found.items() if name.count("/") == nearest)


def _has_parts(entry: Declared) -> bool:
    """Tell whether an entry can be done for one file alone."""
    return entry.kind.part(entry.spec, "") is not None


def _below_by_mounts(file: str, folder: str) -> str:
    """Name a resolved file below a directory that its own path does not lead through.

    A bind mount of what lies below the directory hides the way to it. Its mount says where in the
    filesystem it is (the field root of proc_pid_mountinfo(5)); the name is right if it leads to
    the same inode.
    """
    inner, outer = _spot(file), _spot(folder)
    if not (inner and outer) or inner[0] != outer[0] or not is_below(inner[1], outer[1]):
        return ""
    name = inner[1][len(outer[1].rstrip("/")) + 1 :]
    same = f"{folder.rstrip('/')}/{name}"
    with suppress(OSError):
        if os.path.samefile(same, file) and os.path.realpath(same) == same:
            return _below(same, folder)
    return ""


def _spot(path: str) -> tuple[str, str] | None:
    """Return the superblock that a path is on, and its path there; None where that is not seen."""
    with suppress(OSError, ValueError):
        mount = mountinfo.containing(filesystems.mounts(), path)
        if mount:
            rest = path[len(mount.target.rstrip("/")) :]
            return mount.device, f"{mount.root.rstrip('/')}{rest}" or "/"
    return None


def _below(file: str, folder: str) -> str:
    """Name a resolved file below a directory that its path leads through."""
    with suppress(OSError):
        top = os.stat(folder)
        above = file if os.stat(file).st_dev == top.st_dev else "/"
        while above != "/":
            above = os.path.dirname(above)
            if os.path.samestat(os.stat(above), top):
                return file[len(above.rstrip("/")) + 1 :]
    return ""


def _paths(change: Change) -> Iterable[str]:
    """The paths that a row is about: absolute, links resolved or not."""
    if change.about:
        yield change.about
    if change.name.startswith(("/", "~")):
        with suppress(PathError):
            yield expand(change.name, users.home_of)
