"""Files that an older vmtune wrote are read as it meant them: journals and saved plans.

The files are of a real host (``tests/golden/make.py``) and never made anew: what a user has on disk
stays readable. Fields may be added; none may change its name, type or meaning.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[3]))  # tests are no package; helpers by full path

from tests.unit.golden import reading

ROOT = Path(__file__).parents[3]
VERSIONS = sorted(path.parent for path in (ROOT / "tests" / "golden").glob("*/expected.json"))
PLANS = sorted(path for version in VERSIONS for path in (version / "plans").iterdir())
PLACES = {
    *("Below", "Directory", "FstabOptions", "Images", "LiveOption", "PropertyBelow", "Strays"),
    *("Subvolume", "TextFile", "Timer", "UnitFile"),
}
each_version = pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)


def name_of(path: Path) -> str:
    return f"{path.parts[-3]}/{path.name}"


def is_in(old: Any, new: Any) -> bool:
    """Whether new data says all that old data said; objects may have further fields."""
    if isinstance(old, dict):
        return isinstance(new, dict) and all(k in new and is_in(v, new[k]) for k, v in old.items())
    if isinstance(old, list):
        same = isinstance(new, list) and len(old) == len(new)
        return same and all(is_in(*pair) for pair in zip(old, new, strict=True))
    return type(old) is type(new) and bool(old == new)


def places(data: Any) -> set[str]:
    """The sorts of places named anywhere in JSON data."""
    found = (
        {data["place"]} if isinstance(data, dict) and isinstance(data.get("place"), str) else set()
    )
    below = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return found.union(*map(places, below))


@each_version
@pytest.mark.parametrize("state", ["journal", "folded"])
def test_a_journal_says_what_it_said(version: Path, state: str, monkeypatch: Any) -> None:
    reading.journal_at(version / state, monkeypatch)
    expected = json.loads((version / "expected.json").read_text())[state]
    assert reading.runs() == expected["runs"]
    found = reading.written()
    assert len(found) == len(expected["written"])
    for entry in expected["written"]:
        assert any(is_in(entry, each) for each in found), entry


def test_every_sort_of_place_is_in_it() -> None:
    """Each version's own places; a golden file of a later one brings the later ones."""
    texts = [p.read_text() for v in VERSIONS for p in (v / "journal" / "runs").glob("*.jsonl")]
    lines = [json.loads(line) for text in texts for line in text.splitlines()]
    assert places(lines) >= PLACES


@pytest.mark.parametrize("path", PLANS, ids=name_of)
def test_a_saved_plan_is_read_whole(path: Path) -> None:
    plan = json.loads(path.read_text())
    assert is_in(plan, reading.again(plan))


@pytest.mark.parametrize("path", PLANS, ids=name_of)
def test_a_saved_plan_is_shown(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "plan"
    copy.write_bytes(path.read_bytes())
    copy.chmod(0o600)
    argv = [sys.executable, "-m", "reconciler", "show", str(copy)]
    text = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    document = subprocess.run([*argv, "--json"], cwd=ROOT, capture_output=True, check=True).stdout
    assert is_in(json.loads(path.read_text()), json.loads(document))
    for change in json.loads(path.read_text())["changes"]:
        assert change["name"] in text or not change["swaps"]
