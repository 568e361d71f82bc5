"""The recipes of docs/fleets.md and docs/dotfiles.md, by the name in their first line."""

import re

from tests.fleet.nodes import CHECKOUT


def recipes(page: str) -> dict[str, str]:
    """Return each block of a page that begins with `# NAME`, perhaps behind `#!`, without it."""
    text = (CHECKOUT / "docs" / page).read_text()
    block = r"^```\w*\n(#!\S+\n)?# (\S+)\n(.*?)^```"
    found = re.findall(block, text, re.MULTILINE | re.DOTALL)
    return {name: first + rest for first, name, rest in found}
