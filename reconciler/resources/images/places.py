"""The places of image files: how their data lies, what a rewrite left over, subvolumes.

They hold for a directory as a whole: an action is "the images below it",
however many there are, and never a list of a million names.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from reconciler.engine.directory import Directory
from reconciler.engine.place import Place, V, directory_thing
from reconciler.facts.diagnostics import Note
from reconciler.facts.host import FilesystemOf, Fixed, TreeOf
from reconciler.facts.tree import REDACTED, NameList
from reconciler.formats import jsondata
from reconciler.formats.paths import is_at_or_below
from reconciler.formats.sizes import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.facts.host_view import HostView


ELSEWHERE = {
    "open": "end that program, then apply again",
    "mounted": "stop the container or service that has this mount, or unmount it, then apply again",
    "exported": "stop what uses it there, take the export back (exportfs -u), then apply again",
    "unseen": "apply where root may look at every mount, outside of a container",
}
"""What to do about an image that is in use although nobody has it open."""

NOCOW, PLAIN = "nocow", "plain"
"""What images should be: written in place, or copy-on-write without compressed extents."""


def as_found(aim: str) -> str:
    """Return the word for data that is not as wanted yet."""
    return "copy-on-write" if aim == NOCOW else "compressed"


def as_wanted(aim: str) -> str:
    """Return the word for data that is."""
    return "nocow" if aim == NOCOW else "uncompressed"


def needed(allocated: int) -> int:
    """Bytes that must be free to rewrite an image with as many on disk.

    1/128 more is for metadata, 16 MiB for who else writes.
    """
    return allocated + allocated // 128 + (16 << 20)


class _DataBelow(Place[V]):
    """How the data of images below a directory lies: as ``aim`` says (NOCOW or PLAIN), or not yet.

    A rewrite writes them in the directory, is not undone, and needs no claim: whoever
    declares the directory declares what its images are.
    """

    path: str
    aim: str
    rank: ClassVar[int] = 12
    in_a_tree: ClassVar[bool] = True
    is_claimed: ClassVar[bool] = False

    def lasting(self, want: V) -> Note | None:
        del want
        return Note("images stay as they were rewritten")

    def written_paths(self, have: V, want: V) -> Iterator[str]:
        del have, want
        yield self.path

    def thing(self, host: HostView) -> tuple[object, ...]:
        """Return what all images of the directory are, of which these may be some."""
        all_of_them = Images(self.path, self.aim)
        return (*directory_thing(all_of_them, self.path, host), self.aim)

    def stays(self, original: V) -> bool:
        """Written in place is written in place."""
        del original
        return True


class _Chosen(_DataBelow[str]):
    """Images that are called by name, rewritten or not.

    The value is UNLIKE while they are not ``aim`` yet, and ALIKE once they are.
    Putting ALIKE rewrites them.
    """

    UNLIKE: ClassVar[str] = "as it is"
    ALIKE: ClassVar[str] = "as wanted"

    def words(self, value: str) -> str:
        """Say how the data lies."""
        known = {self.UNLIKE: as_found(self.aim), self.ALIKE: as_wanted(self.aim)}
        return known.get(value, value)

    @staticmethod
    def decoded(data: Any) -> str:
        return jsondata.text(data)


class Images(_DataBelow[NameList]):
    """Files with data below a directory that are not ``aim`` (NOCOW or PLAIN) yet.

    Putting NONE_LEFT rewrites each of them, one whole image at a time.
    ``apart`` (absolute) are declared on their own; ``spared`` (relative) are
    left as they are, because the plan said why they cannot be rewritten.
    """

    apart: tuple[str, ...] = ()
    spared: tuple[str, ...] = ()
    in_words: ClassVar[bool] = True

    @property
    def label(self) -> str:
        return "images"

    @property
    def full(self) -> str:
        return f"images below {self.path}"

    @property
    def tree(self) -> TreeOf:
        """The close look that tells which files they are."""
        return TreeOf(self.path, self.apart, close=True)

    def words(self, value: NameList) -> str:
        count = value.count
        return f"{counted(count, 'file')} {as_found(self.aim)}" if count else as_wanted(self.aim)

    decoded = staticmethod(NameList.decoded)

    @property
    def left_out(self) -> frozenset[str]:
        return frozenset(self.spared)

    def without_left_out(self) -> Self:
        return replace(self, spared=())

    def parts(self, have: NameList) -> frozenset[Place[Any]] | None:
        """Return each image as a place of its own."""
        if not have.is_whole:
            return None
        return frozenset(Image(self.path, self.aim, name) for name in have.named)

    def redacted(self) -> Images:
        """Images that are spared were found, too."""
        return replace(self, spared=tuple(REDACTED for _ in self.spared))

    def is_rest(self, now: NameList, then: NameList, want: NameList) -> bool:
        """An image that nobody was shown is not rewritten."""
        del want
        return now.is_left_of(then)

    def staying(self, now: NameList, host: HostView) -> Note | None:
        del now
        is_gone = host.maybe(Directory(self.path)) is None
        return None if is_gone else Note("images that were rewritten are left as they are")

    def makes_images_nocow(self, path: str) -> bool:
        return self.path == path and self.aim == NOCOW and not self.spared

    def ends_sharing(self, below: str, host: HostView) -> int:
        """A rewritten image is a new file: who keeps the old data shares it with nobody there."""
        tree = host.maybe(self.tree)
        filesystem = host.known(FilesystemOf(self.path))
        is_fixed = host.maybe(Fixed(self.path)) or (filesystem and filesystem.read_only)
        if tree is None or is_fixed:
            return 0
        lot = tree.cow if self.aim == NOCOW else tree.compressed
        files = {file.path: file for file in (*lot.largest, *lot.hindered)}
        if not all(name in files for name in self.spared):
            return 0
        if is_at_or_below(self.path, below):
            return lot.shared - sum(files[name].shared for name in self.spared)
        if lot.count > len(lot.largest):
            return 0  # which of them lie below the path is not known of all
        todo = (file for file in lot.largest if file.path not in self.spared)
        inside = (f for f in todo if is_at_or_below(f"{self.path}/{f.path}", below))
        return sum(file.shared for file in inside)

    def half_done(self, have: NameList, now: NameList, want: NameList) -> bool:
        """Some of them rewritten, others not yet."""
        return want.count <= now.count <= have.count


class Image(_Chosen):
    """One image below a directory (``name``, relative): GONE where there is no such file."""

    name: str
    GONE: ClassVar[str] = "missing"
    nothing: ClassVar[str] = GONE

    @property
    def label(self) -> str:
        return "image"

    @property
    def full(self) -> str:
        return f"image {self.path}/{self.name}"

    def redacted(self) -> Image:
        """Its name was found."""
        return replace(self, name=REDACTED)


class MachineImages(_Chosen):
    """Images below a directory that a machine has open (``files``, relative, sorted).

    Putting ALIKE saves the machine (libvirt's managed save), rewrites the images, and has the
    machine go on.
    """

    uuid: str
    name: str
    files: tuple[str, ...]
    rank: ClassVar[int] = 13

    @property
    def label(self) -> str:
        return "images"

    @property
    def full(self) -> str:
        return f"images of the machine {self.name} below {self.path}"

    @property
    def each(self) -> tuple[Image, ...]:
        """Each image as a place of its own."""
        return tuple(Image(self.path, self.aim, name) for name in self.files)

    def redacted(self) -> MachineImages:
        """Machine and images were found."""
        files = tuple(REDACTED for _ in self.files)
        return replace(self, uuid=REDACTED, name=REDACTED, files=files)

    def lasting(self, want: str) -> Note | None:
        del want
        return Note("images stay as they were rewritten, and the machine is left as it is")


class SavedMachine(Place[str]):
    """A machine that a run saved: saved still, started again but held, or on.

    Putting ON has it go on.
    """

    uuid: str
    name: str
    rank: ClassVar[int] = 1  # before all else: somebody waits for it
    is_claimed: ClassVar[bool] = False
    SAVED: ClassVar[str] = "saved, and off"
    HELD: ClassVar[str] = "started, but paused"
    ON: ClassVar[str] = "on"

    @property
    def label(self) -> str:
        return "machine"

    @property
    def full(self) -> str:
        return f"machine {self.name}"

    @staticmethod
    def decoded(data: Any) -> str:
        return jsondata.text(data)

    def redacted(self) -> SavedMachine:
        return replace(self, uuid=REDACTED, name=REDACTED)

    def lasting(self, want: str) -> Note | None:
        del want
        return Note("a machine that was started is left on")

    def stays(self, original: str) -> bool:
        """Whoever uses the machine now decides."""
        del original
        return True


class OneImage(Images):
    """The files of one image below a directory, where only that image was chosen.

    ``file`` is the image, relative to the path. The files that it names are parts of it.
    """

    file: str = ""

    @property
    def full(self) -> str:
        return f"image {self.path}/{self.file}"

    @property
    def tree(self) -> TreeOf:
        return TreeOf(self.path, self.apart, close=True, only=self.file)

    def redacted(self) -> OneImage:
        spared = tuple(REDACTED for _ in self.spared)
        return replace(self, spared=spared, file=REDACTED)

    def makes_images_nocow(self, path: str) -> bool:
        del path
        return False


class Strays(Place[tuple[str, ...]]):
    """Stale copies, which a rewrite that was killed left beside their images: names, sorted.

    The class has the name that saved plans and journals know it by.
    """

    path: str
    apart: tuple[str, ...] = ()
    rank: ClassVar[int] = 9
    in_a_tree: ClassVar[bool] = True
    is_claimed: ClassVar[bool] = False

    @property
    def label(self) -> str:
        return "left over"

    @property
    def full(self) -> str:
        return f"left over below {self.path}"

    def words(self, value: tuple[str, ...]) -> str:
        return counted(len(value), "unfinished copy", "unfinished copies") if value else "nothing"

    @staticmethod
    def decoded(data: Any) -> tuple[str, ...]:
        return jsondata.names(data)

    def written_paths(self, have: tuple[str, ...], want: tuple[str, ...]) -> Iterator[str]:
        del have, want
        yield self.path

    def half_done(self, have: tuple[str, ...], now: tuple[str, ...], want: tuple[str, ...]) -> bool:
        """Some of them gone."""
        return set(want) <= set(now) <= set(have)

    def stays(self, original: tuple[str, ...]) -> bool:
        """Nobody wants them back."""
        return bool(original)
