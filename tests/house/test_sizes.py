"""Small enough to be read: modules and functions, measured in lines."""

from __future__ import annotations

import ast
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[2]
SOURCES = {
    str(path.relative_to(ROOT)): path.read_text() for path in (ROOT / "reconciler").rglob("*.py")
}
LONGEST_MODULE = 600
MEDIAN_MODULE = 110
LONGEST_FUNCTION = 40
MEDIAN_FUNCTION = 10


def functions() -> list[tuple[int, str]]:
    """Length and name of each, longest first."""
    return sorted(
        (
            (
                (node.end_lineno or node.lineno) - node.lineno + 1,
                f"{name}:{node.lineno} {node.name}",
            )
            for name, text in SOURCES.items()
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef)
        ),
        reverse=True,
    )


def modules() -> list[tuple[int, str]]:
    """Length and name of each that holds anything, longest first."""
    found = ((len(text.splitlines()), name) for name, text in SOURCES.items())
    return sorted((size for size in found if size[0] > 3), reverse=True)


def _report(sizes: list[tuple[int, str]]) -> str:
    return "\n".join(["", *(f"  {size:4d}  {name}" for size, name in sizes[:10])])


def test_modules_are_short():
    sizes = modules()
    assert sizes[0][0] <= LONGEST_MODULE, _report(sizes)
    assert median(size for size, _ in sizes) <= MEDIAN_MODULE, _report(sizes)


def test_functions_are_short():
    sizes = functions()
    assert sizes[0][0] <= LONGEST_FUNCTION, _report(sizes)
    assert median(size for size, _ in sizes) < MEDIAN_FUNCTION, _report(sizes)
