"""The host as the plan will leave it: for advice that rests on more than the entry that gives it.

A kind looks at the host as it is, and at its own entry. Whether a directory of
images is nocow once all is done, and compression off, is for other kinds to
say, and they may refuse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from reconciler.engine.directory import Directory
from reconciler.engine.model import Desired, is_end
from reconciler.facts import compression
from reconciler.facts.diagnostics import Note, Refusal
from reconciler.facts.host import FilesystemOf, Fixed, Locate, Mounts, SharedBelow, TreeOf
from reconciler.formats import mountinfo
from reconciler.resources.compression.places import alike
from reconciler.resources.images.places import NOCOW, Images
from reconciler.resources.mount.places import LiveOption

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from reconciler.engine.directory import Folder
    from reconciler.engine.model import Said
    from reconciler.engine.place import Place
    from reconciler.engine.plan import Declared, Spoken
    from reconciler.facts.host_view import HostView
    from reconciler.facts.tree import Tree


V = TypeVar("V")


class Outlook:
    """What places will hold, whichever kind wants it; ``see`` is how the host is now."""

    def __init__(self, see: HostView, goals: Mapping[Place[Any], Any]) -> None:
        self.see = see
        self._goals = goals

    def __call__(self, place: Place[V]) -> V | None:
        """None where that cannot be seen."""
        wanted: V | None = self._goals[place] if place in self._goals else self.see.maybe(place)
        return wanted

    def is_all_nocow(self, path: str, apart: tuple[str, ...]) -> bool:
        """As is_nocow, and nothing lies below but what was looked at."""
        tree = self._tree(path, apart)
        is_whole = tree and not (tree.subvolumes or tree.mounts or tree.unseen.count)
        return bool(is_whole) and self.is_nocow(path, apart)

    def is_nocow(self, path: str, apart: tuple[str, ...] = ()) -> bool:
        """The declared directory will be, and no file below that can be seen stays otherwise."""
        folder, tree = self._folder(path), self._tree(path, apart)
        if tree is None or not folder or not folder.nocow:
            return False
        return not tree.cow.count or self.rewrites(path)

    def rewrites(self, path: str) -> bool:
        """All of its images become nocow, and none is left as it is."""
        where = self.see(Locate(path)).path
        mine = [p for p in self._goals if isinstance(p, Images) and p.path == where]
        return any(place.aim == NOCOW and not place.spared for place in mine)

    def stays_shared(self, path: str) -> bool:
        """Some data below the path will be shared with snapshots or clones all the same."""
        where = self.see(Locate(path)).path
        sharing = self.see.maybe(SharedBelow(where))
        mine = [p for p in self._goals if isinstance(p, Images)]
        ended = sum(self._unshared(place, where) for place in mine)
        return sharing is None or sharing.shared > ended

    def _unshared(self, place: Images, below: str) -> int:
        """Count the bytes below a path that are shared now, of images that are rewritten.

        A rewritten image is a new file: who keeps the old data shares it with nobody there.
        """
        tree = self.see.maybe(TreeOf(place.path, place.apart, close=True))
        host = self.see.known(FilesystemOf(place.path))
        is_fixed = self.see.maybe(Fixed(place.path)) or (host and host.read_only)
        if tree is None or is_fixed:
            return 0
        lot = tree.cow if place.aim == NOCOW else tree.compressed
        files = {file.path: file for file in (*lot.largest, *lot.hindered)}
        if not all(name in files for name in place.spared):
            return 0
        if _is_at_or_below(place.path, below):
            return lot.shared - sum(files[name].shared for name in place.spared)
        if lot.count > len(lot.largest):
            return 0  # which of them lie below the path is not known of all
        todo = (file for file in lot.largest if file.path not in place.spared)
        inside = (f for f in todo if _is_at_or_below(f"{place.path}/{f.path}", below))
        return sum(file.shared for file in inside)

    def compresses(self, path: str) -> bool:
        """What is written below the declared directory will be compressed by the mount option."""
        where = self.see(Locate(path)).path
        token, folder = self._option(where), self._folder(path)
        is_spared = folder and alike(folder.compression, "none") and "-force" not in token
        return bool(token) and not is_spared and not self.is_nocow(path)

    def _option(self, path: str) -> str:
        mounts = self.see(Mounts())
        mount = mountinfo.containing(mounts, path)
        same = {other.target for other in mounts if mount and other.device == mount.device}
        for place, want in self._goals.items():
            if isinstance(place, LiveOption) and place.name == "compress" and place.target in same:
                return str(want)
        return compression.live(path, self.see)

    def _folder(self, path: str) -> Folder | None:
        where = self.see.maybe(Locate(path))
        return self(Directory(where.path)) if where else None

    def _tree(self, path: str, apart: tuple[str, ...]) -> Tree | None:
        where = self.see.maybe(Locate(path))
        return self.see.maybe(TreeOf(where.path, apart)) if where else None


def _is_at_or_below(path: str, top: str) -> bool:
    return f"{path}/".startswith(f"{top.rstrip('/')}/")


def weighed(said: Iterable[Spoken], see: HostView) -> list[Spoken]:
    """Without the notes and refusals that do not hold of the host as the plan will leave it."""
    all_said = list(said)
    goals = {
        word.place: word.want
        for _, words in all_said
        if not any(map(is_end, words))
        for word in words
        if isinstance(word, Desired)
    }
    outlook = Outlook(see, goals)
    return [(d, tuple(_holding(d, words, outlook))) for d, words in all_said]


def _holding(of: Declared, words: Iterable[Said], outlook: Outlook) -> Iterator[Said]:
    """Leave out what does not hold, and all that stands behind a refusal that does."""
    for word in words:
        if not isinstance(word, Note | Refusal) or of.kind.holds(of.spec, word, outlook):
            yield word
            if isinstance(word, Refusal):
                return
