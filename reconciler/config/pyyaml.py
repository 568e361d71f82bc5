"""PyYAML, loaded without what most runs never use.

Its modules compile two dozen patterns while they are imported, a third of the time they take to
load, the half of it for one class of a million characters. They are the pure parser's: a text
that libyaml reads needs none of them.
"""

from __future__ import annotations

import re
from functools import cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Late:
    """A pattern that is compiled by whoever first asks something of it."""

    def __init__(self, *given: Any, **named: Any) -> None:
        self._given = given, named

    def __getattr__(self, name: str) -> Any:
        given, named = self._given
        found = getattr(re.compile(*given, **named), name)  # which `re` keeps
        setattr(self, name, found)
        return found


@cache
def pyyaml() -> Any:
    """The package ``yaml``."""
    import base64  # noqa: F401, PLC0415 - by PyYAML, too: not to be given such patterns
    import datetime  # noqa: F401, ICN001, PLC0415

    compiled: Any = re.compile
    re.compile = Late  # type: ignore[assignment]
    try:
        import yaml  # noqa: PLC0415
    finally:
        re.compile = compiled
    return yaml
