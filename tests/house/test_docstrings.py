"""What docstrings name is there: a module that moved takes its name out of all texts."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2] / "reconciler"
FOLDERS = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "_"}
FILES = {path.stem: path for path in ROOT.rglob("*.py")}
KNOWN = {"core", "render", "advice", "host"}
"""Folders that are gone: nothing may name them."""


def test_dotted_names_lead_somewhere():
    lost = [
        f"{path.relative_to(ROOT)}: {dotted}"
        for path in ROOT.rglob("*.py")
        for text in _texts(ast.parse(path.read_text()))
        for dotted in re.findall(r"\b[a-z_]+\.[A-Za-z_]+(?:\.[A-Za-z_]+)*\b", text)
        if not _leads_somewhere(dotted)
    ]
    assert not lost


def _texts(tree: ast.AST) -> list[str]:
    """Return the strings that stand alone: docstrings, and what is said of constants."""
    return [
        node.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ]


def _leads_somewhere(dotted: str) -> bool:
    first, *rest = dotted.split(".")
    if first in KNOWN:
        return False
    if first not in FOLDERS:
        return True
    place = ROOT / first
    while rest and (place / rest[0]).is_dir():
        place /= rest.pop(0)
    if not rest or not (place / f"{rest[0]}.py").is_file():
        return not rest or rest[0] in {"py", "yaml", "md"}
    return len(rest) == 1 or bool(
        re.search(
            rf"^(class |def )?{rest[1]}\b", (place / f"{rest[0]}.py").read_text(), re.MULTILINE
        )
    )
