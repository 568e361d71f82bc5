"""Which configuration declares which places, and what each had set: the records of both."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from reconciler.engine.place import LastApplied, Place, Written

    Part = Mapping[str, Any]


class Claims(Value):
    """What one configuration declared when it was applied last.

    ``config`` is its resolved path, ``home`` the filesystem that its file lay on.
    ``wanted`` maps each place to the part of its value that an entry decides, as
    JSON data; ``owed`` are places that no entry declares any more and that are
    not put back yet.
    """

    config: str
    home: str = ""
    wanted: Mapping[Place[Any], Part] = field(default_factory=dict)
    owed: frozenset[Place[Any]] = frozenset()


class History(Value):
    """All that is on record of earlier runs, as one configuration needs to know it.

    ``config`` is the resolved path of the configuration that is planned for, ""
    for none; ``home`` the filesystem its file is on. ``gone`` are the other
    configurations on record whose files are surely there no more.
    """

    config: str = ""
    home: str = ""
    written: Written = field(default_factory=dict)
    claims: Mapping[str, Claims] = field(default_factory=dict)
    gone: frozenset[str] = frozenset()

    @property
    def own(self) -> Claims:
        """The claims of the configuration that is planned for."""
        return self.claims.get(self.config) or Claims(self.config)

    def others(self) -> Iterator[Claims]:
        """Yield the claims of all other configurations whose files are not gone."""
        for config, claims in self.claims.items():
            if config not in {self.config, *self.gone}:
                yield claims

    def is_before_claims(self, was: LastApplied) -> bool:
        """Tell whether another file, that is there, wrote it before claims were on record."""
        return was.config not in {self.config, "", *self.claims, *self.gone}
