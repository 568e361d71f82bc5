"""The recipes of docs/fleets.md and docs/dotfiles.md, by the name in their first line."""

import re

from tests.fleet.nodes import CHECKOUT


def recipes(page: str) -> dict[str, str]:
    """Return each block of a page that begins with `# NAME`, without that line."""
    text = (CHECKOUT / "docs" / page).read_text()
    found = re.findall(r"^```\w*\n# (\S+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return dict(found)
