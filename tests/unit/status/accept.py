"""Write what is printed today into the cases: python -m tests.unit.status.accept; read git diff."""

from __future__ import annotations

import sys

from tests.unit.status.cases_lib import CASES, load, printed


def main() -> None:
    """Everything from ``text:`` on is written anew, the rest stays."""
    for file in CASES:
        old, case = file.read_text(encoding="utf-8"), load(file)
        new = old[: old.index("\ntext:") + 1] + "text:\n"
        for columns in case["text"]:
            lines = "".join(
                f"    {line}".rstrip() + "\n" for line in printed(case, columns).split("\n")[:-1]
            )
            new += f'  "{columns}": |2\n{lines}'
        if new != old:
            file.write_text(new, encoding="utf-8")
            print(file.stem, file=sys.stderr)


if __name__ == "__main__":
    main()
