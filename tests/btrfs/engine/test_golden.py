"""What an older vmtune left: each command reads its journal; its documents are in the schemas."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.btrfs.commands.test_json import check
from tests.btrfs.each import STATE
from tests.btrfs.world import World

GOLDEN = Path(__file__).parents[2] / "golden"
STATES = sorted(path.parent for path in GOLDEN.glob("*/*/runs"))
DOCUMENTS = sorted(GOLDEN.glob("*/documents/*"))


@pytest.mark.parametrize("old", STATES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_an_old_journal_is_read(host: World, old: Path):
    shutil.copytree(old, STATE)
    for path in STATE.rglob("*.private"):
        path.chmod(0o600)
    expected = json.loads((old.parent / "expected.json").read_text())[old.name]["runs"]
    listed = host.vmtune("history")
    assert listed.code == 0, listed
    for number, command, *_ in expected:
        assert f" {command} " in listed.out
        assert host.vmtune("history", str(number)).code == 0
    host.config("")
    shown = host.vmtune("plan")
    assert shown.code == 0, shown


def sort_of(document: dict[str, Any]) -> str:
    """``plan`` of vmtune.plan/1."""
    return str(document["format"]).removeprefix("vmtune.").partition("/")[0]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: f"{path.parts[-3]}-{path.name}")
def test_what_was_printed_is_still_in_the_schema(path: Path):
    """Within /1 fields are only added: a reader of the older documents reads on."""
    for line in path.read_text().splitlines():
        data = json.loads(line)
        check(sort_of(data) if path.suffix == ".json" else "events", data)
        if "document" in data:
            check(sort_of(data["document"]), data["document"])
