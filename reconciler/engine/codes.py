"""What the codes of the engine mean: a paragraph each, which ``vmtune explain`` prints."""

from __future__ import annotations

TEXT = """\
V401 The place no longer holds what the run wrote. Putting the old value back would undo
somebody else's change.

V404 Another configuration of this host declares the place with another value, as of its last
`vmtune apply`. Neither undoes what the other declares. Write the same value into both files, or
take the entry out of the other one and apply that one first.

V405 A configuration had this set, and its file is gone: it was moved or removed. No other file
declares it, so nothing says whether it is still wanted, and a plain `apply` leaves it. `vmtune
apply PATH` takes it back, also where there is no configuration at all. To keep it, declare it in
a vmtune.yaml: that file answers for it from its next `apply` on. A file counts as gone only where
the filesystem that it was on is there: what a home that is not mounted declares is left as it is.

V411 Nothing can be written there: the mount or the subvolume is read-only, or chattr(1) made the
file or its directory immutable (i) or append-only (a). What is as declared already needs no writing
and is in sync there, too.
"""
