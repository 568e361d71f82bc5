"""Places of schedules: a text file, a unit file, whether a timer is on.

What they should hold: schedule.py.
"""

# ruff: noqa: ARG002 - a method of a place need not use all that every place is given

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from reconciler.engine.place import Place
from reconciler.facts.host import OFF
from reconciler.formats import jsondata
from reconciler.formats.paths import parent
from reconciler.formats.sizes import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.engine.place import Who


_UNITS = "/etc/systemd/system"


class TextFile(Place[str | None]):
    """A file that is wholly vmtune's: its text, or None when there is none."""

    path: str
    rank: ClassVar[int] = 40

    @staticmethod
    def decoded(data: Any) -> str | None:
        return jsondata.optional(data)

    def written_paths(self, have: str | None, want: str | None) -> Iterator[str]:
        yield from (parent(self.path), self.path)

    @property
    def label(self) -> str:
        return self.path

    def words(self, value: str | None) -> str:
        return "none" if value is None else counted(len(value.splitlines()), "line")

    def shown(self, value: str | None) -> str:
        return "missing" if value is None else self.words(value)

    def in_full(
        self, have: str | None, want: str | None, who: Who
    ) -> tuple[str | None, str | None]:
        return have, want

    def stays(self, original: str | None) -> bool:
        """What vmtune took away was its own, from before its journal: nobody wants it back."""
        return original is not None


class UnitFile(TextFile):
    """A unit file: systemd reads it only after a daemon-reload."""

    rank: ClassVar[int] = 41
    loaded_by_systemd: ClassVar[bool] = True

    def units(self) -> tuple[str, ...]:
        return (self.path.rpartition("/")[2],)


class Timer(Place[str]):
    """Whether a timer is enabled (from the next boot) and active (now).

    "on" is both, "off" neither; "enabled" and "active" are one without the other.
    """

    unit: str
    rank: ClassVar[int] = 60
    nothing: ClassVar[str] = OFF
    uses_loaded_units: ClassVar[bool] = True

    @staticmethod
    def decoded(data: Any) -> str:
        return jsondata.name(data)

    def turn(self, want: str) -> tuple[int, str]:
        """A timer is switched off before the files that describe it go."""
        return (0, "") if want == OFF else self.order

    def written_paths(self, have: str, want: str) -> Iterator[str]:
        """Enabling a timer makes a link there."""
        yield _UNITS

    @property
    def label(self) -> str:
        return self.unit

    def words(self, value: str) -> str:
        return {"on": "enabled, active", "active": "active, not enabled"}.get(value, value)

    def half_done(self, have: str, now: str, want: str) -> bool:
        """One without the other; a link left of a lost file enables the new one at once."""
        return now in {"enabled", "active"}

    def stays(self, original: str) -> bool:
        """As with its file."""
        return original != OFF
