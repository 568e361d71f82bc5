"""Where it is said that root sees more: in the room that asks who is told, or behind that question.

Root may be denied as well (SELinux, a container); then "only root can see" is false, and sudo no
remedy.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
WORDS = re.compile(r"[Oo]nly root (can|sees|may|could)|[Rr]oot (sees|may look)|root may$|with sudo")
ASKED_BEFORE = {
    "reconciler/facts/diagnostics.py": "the room",
    "reconciler/commands/init.py": "said where users.is_root() is not so",
    "reconciler/commands/status.py": "the same",
    "reconciler/facts/discovered.py": "doctor takes it from the rows that root is shown",
    "reconciler/facts/stub.py": "has another remedy for root",
    "reconciler/report/defrag.py": "has other words for root",
    "reconciler/report/discovery.py": "has other words for root",
    "reconciler/report/verdict.py": "there is no command to become root for root",
    "reconciler/resources/defrag/now.py": "said where users.is_root() is not so",
    "reconciler/resources/defrag/ranges.py": "who may not write to a file is not root",
}
"""Each module that says so, and why root does not read it there."""
WHERE = "apply where root may look at every mount, outside of a container"
"""Says where, and not who. What codes mean (codes.py) names both cases."""


def _said(module: ast.Module) -> list[str]:
    """All texts but docstrings, the parts of f-strings too."""
    aside = {id(node.value) for node in ast.walk(module) if isinstance(node, ast.Expr)}
    return [
        node.value
        for node in ast.walk(module)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in aside
    ]


def test_who_is_root_is_not_told_that_only_root_sees_it():
    found = set()
    for path in sorted((ROOT / "reconciler").rglob("*.py")):
        for text in _said(ast.parse(path.read_text())):
            if WORDS.search(text) and text != WHERE and path.name != "codes.py":
                found.add(str(path.relative_to(ROOT)))
    assert found == set(ASKED_BEFORE)
