"""Paths as people write them in vmtune.yaml, and whether they can be written there."""

from __future__ import annotations

import re

_LONGEST_NAME, _LONGEST_PATH = 255, 4095  # NAME_MAX, and PATH_MAX less its NUL, in bytes

# What vmtune.yaml refuses in a text: what no editor shows, and what looks like an expansion.
_UNWRITABLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\u200b\u2060\ufeff]"
)

_EXPANSION = re.compile(r"\$(?:\w|\{|\()|\{\{|\{%")


def tilde(path: str, home: str) -> str:
    """An absolute path with the home at its beginning as ~."""
    return f"~{path[len(home) :]}" if home and path.startswith(f"{home}/") else path


def declarable(shown: str) -> str:
    """Why a path cannot be written in vmtune.yaml; "" when it can."""
    if _UNWRITABLE.search(shown):
        return "has characters in its name that vmtune.yaml cannot hold; rename it"
    if _EXPANSION.search(shown):
        return "its name looks like a variable or a template; rename it"
    names = [name.encode() for name in shown.split("/")]
    if sum(map(len, names)) + len(names) > _LONGEST_PATH or max(map(len, names)) > _LONGEST_NAME:
        return "its name is longer than Linux allows"
    return ""
