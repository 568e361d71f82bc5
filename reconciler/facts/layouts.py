"""How one image lies.

One figure more: linux/layouts.py fills it; what moves with the clock is worked out there, and told
coarsely, because tests compare two runs. In report/status.py ``_figures`` shows it as a column, and
``told`` shows it in explain and beside the bar of the page: behind the fragments, as
test_explain.py has it. ``_plain_image`` of report/standing.py and status.schema.json have it for
programs. docs/status.md says what it is; a case in tests/unit/status/cases/ prints it. Its judge is
in tests/btrfs/commands/test_status_effect.py, and its name in STATUS of tests/oracles.py. A column
or a hover text of its own on the page: report/html.py, page_style.py.
"""

from __future__ import annotations

from typing import ClassVar

from reconciler.facts.host_view import Fact, PathFact
from reconciler.value import Value

GIB = 1 << 30

_PLAIN_KEY, SEALED_KEY = 16, 24
"""Characters of a key without a secret, and with one."""


class ImageLayout(Value):
    """One file, as FIEMAP tells it; ``path`` is absolute, all sizes are in bytes.

    ``fragments`` counts as filefrag(8) does: where reading on means to go elsewhere.
    ``data`` is what has a place on disk, preallocated space too; the rest of
    ``size`` is holes. ``shared`` and ``compressed`` are parts of it, and ``both``
    is what is one and the other. ``fragments`` is None for a file that was not
    read: one that may not be opened, or too many extents before it.
    """

    path: str
    size: int
    nocow: bool = False
    fragments: int | None = None
    data: int = 0
    compressed: int = 0
    shared: int = 0
    both: int = 0
    inode: int = 0

    def key(self, secret: bytes) -> str:
        """What the journal, which all may read, calls it: its name may be nobody's business.

        Only who knows the secret of this host can tell whether a name that they guess is right.
        Without a secret: as journals called it before there was one.
        """
        import hashlib  # noqa: PLC0415 - OpenSSL takes 3 ms to load
        import hmac  # noqa: PLC0415

        raw = self.path.encode("utf-8", "surrogateescape")
        if not secret:
            return hashlib.sha256(raw).hexdigest()[:_PLAIN_KEY]
        return hmac.digest(secret, raw, "sha256").hex()[:SEALED_KEY]

    @property
    def per_gib(self) -> int | None:
        """Fragments for each GiB of data; None where there is nothing to tell."""
        if not self.data or self.fragments is None:
            return None
        return round(self.fragments * GIB / self.data)

    @property
    def parts(self) -> tuple[tuple[str, int], ...]:
        """The whole size by what it is, each byte once: shared counts before compressed."""
        own = self.data - self.compressed - self.shared + self.both
        return (
            ("nocow" if self.nocow else "cow", own),
            ("compressed", self.compressed - self.both),
            ("shared", self.shared),
            ("hole", self.size - self.data),
        )


class Layouts(Value):
    """The largest files below a directory, largest first, of ``count`` with ``size`` in all.

    ``unseen`` are the first of ``unseen_count`` files and directories that may
    not be opened: for files that show it anyway, with their size.
    """

    measured: tuple[ImageLayout, ...]
    count: int
    size: int
    unseen: tuple[ImageLayout, ...] = ()
    unseen_count: int = 0


class LayoutsOf(Fact[Layouts]):
    """How the files below a path lie; not those in the absolute paths ``apart``."""

    grows: ClassVar[bool] = True
    path: str
    apart: tuple[str, ...] = ()


class LayoutOf(PathFact[ImageLayout | None]):
    """How one file lies; None for what is no regular file."""
