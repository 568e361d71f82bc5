"""Exit codes: what scripts may rely on."""

from __future__ import annotations

DONE = 0

ERROR = 1  # or could not start, or answered no

DIFFERENCES = 2  # status always, plan where --detailed-exitcode asks for it

PART_WAY = 3

LOCKED = 4

STALE = 5

UNSEEN = 6  # in sync as far as could be seen: never 0, a blind green is a lie

REFUSED = 7  # nothing differs that could be changed, but something declared is refused

USAGE = 64  # sysexits(3): click's own 2 would read as differences

INTERRUPTED = 130
