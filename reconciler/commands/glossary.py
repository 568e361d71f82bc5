"""What ``vmtune explain`` and a shell's completion know by name: kinds, topics, codes."""

from __future__ import annotations

import inspect
import re
import sys
from typing import TYPE_CHECKING

from reconciler.render import topics
from reconciler.render.codes import CODES
from reconciler.render.topics import TOPICS
from reconciler.resources.registry import KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence

MODULES = {kind.name: kind for kind in KINDS}


def names() -> tuple[str, ...]:
    """Return all that is known without a look at a configuration."""
    return (*MODULES, *TOPICS, *CODES)


def sentence(name: str) -> str:
    """Return the first sentence of what is said of a name."""
    if name in CODES:
        text = CODES[name]
    elif name in TOPICS:
        text = topics.paragraphs(name)[0]
    else:
        text = " ".join(of_kind(name)[0].split())
    return re.split(r"(?<=\.)\s", text, maxsplit=1)[0]


def of_kind(name: str) -> Sequence[str]:
    """Return the paragraphs on a kind: the docstring of its module."""
    return (inspect.getdoc(sys.modules[MODULES[name].want.__module__]) or "").split("\n\n")
