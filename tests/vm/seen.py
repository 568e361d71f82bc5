"""The table of docs/systems.md: which step was seen on which system, at which commit of vmtune."""

import re
import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
TABLE = CHECKOUT / "docs/systems.md"
_HEAD = "| step |"

Cells = dict[str, dict[str, str]]
"""By step and system a commit, or what a run that failed left in its place."""


def read(text: str) -> Cells:
    """Reads the table that write made; no rows where there is none."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    if len(rows) < 2:
        return {}
    (_, *systems), _, *steps = rows
    return {
        step: {name: cell for name, cell in zip(systems, cells, strict=True) if cell}
        for step, *cells in steps
    }


def write(text: str, cells: Cells) -> str:
    """Puts the table in the place of the one in the text."""
    systems = sorted({system for row in cells.values() for system in row})
    rows = [["step", *systems], ["---"] * (len(systems) + 1)]
    rows += [[step, *(row.get(name, "") for name in systems)] for step, row in cells.items()]
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    before, _, after = text.partition(_HEAD)
    after = re.sub(r"\A.*\n(\|.*\n)*", "", after)
    return f"{before}{table}{after}"


def commit() -> str:
    """The commit that is tested; with a plus where the checkout has changes beside it."""
    git = ["git", "-C", str(CHECKOUT)]
    name = subprocess.check_output([*git, "rev-parse", "--short=7", "HEAD"], text=True).strip()
    others = [*git, "status", "--porcelain", "--", ".", ":!docs/systems.md"]
    return f"{name}+" if subprocess.check_output(others) else name


def update(seen: dict[tuple[str, str], bool], kernels: dict[str, str], at: str) -> None:
    """Writes what a run saw: for each step and system whether it was as it should be."""
    text = TABLE.read_text("utf-8")
    cells = read(text)
    for system, kernel in kernels.items():
        cells.setdefault("kernel", {})[system] = kernel
    for (step, system), passed in seen.items():
        cells.setdefault(step, {})[system] = at if passed else f"**failed** at {at}"
    TABLE.write_text(write(text, cells), "utf-8")
