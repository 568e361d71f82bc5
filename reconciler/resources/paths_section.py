"""The section of directories, which several kinds read: each brings its own keys."""

from __future__ import annotations

from reconciler.engine.item import Section

PATHS = Section(
    "paths",
    "path",
    "Where images lie",
    one_of=("nocow", "subvolume", "compression"),
    hint="write `nocow: true`, `subvolume: true` or `compression: none`",
)
