"""A new kind is one folder and one name in the registry, with its keys in the schema.

A copy of vmtune gets a kind ``scrub`` with a section of its own, a schedule, a code, rows of
status and JSON; nothing else of the copy is touched. The copy plans, applies, tells and reverts
it. The kind is thrown away with the test.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.btrfs.sandbox import PROGRAM, TOP
from tests.btrfs.world import _ENV, World

ROOT = Path(__file__).parents[3]
CHECKOUT = TOP / "checkout"

KIND = '''
"""Checking what is on the disk against its checksums, regularly.

A scrub reads all data once. On a profile with copies what is damaged is mended.
"""

from __future__ import annotations

from reconciler.engine.managed_files import TextFile
from reconciler.engine.model import Desired
from reconciler.engine.resource import Kind, ScheduleRuns, Section
from reconciler.facts.diagnostics import Note, Refusal, Summary
from reconciler.facts.host import Schedulers, ServiceRun
from reconciler.formats import crontab

SCRUB = Section("scrub", "path", "Scrubbing", required=("schedule",))


def _file(path):
    return "/etc/cron.d/vmtune-scrub-" + path.strip("/").replace("/", "-")


def _text(item):
    argv = ["/usr/bin/btrfs", "scrub", "start", "-B", item.path]
    return crontab.file(f"scrubs {item.path}", [item.data["schedule"]], "root", argv).decode()


def parse(item, items):
    return item


def want(item, see):
    if "cron" not in see(Schedulers()):
        yield Refusal("there is no cron here", code="V901")
        return
    yield Summary(item.data["schedule"])
    yield Desired(TextFile(_file(item.path)), _text(item))
    yield Note("a scrub reads all data", "V902")


def places(item, see):
    yield TextFile(_file(item.path))


def schedules(items, see):
    for item in items:
        there = see(TextFile(_file(item.path))) is not None
        yield ScheduleRuns(item.name, "cron" if there else "", ServiceRun())


KIND = Kind(
    "scrub",
    SCRUB,
    parse,
    want,
    places=places,
    defaults={"allow": ()},
    schedules=schedules,
)
'''
CODES = '''"""What the codes of scrub mean."""

TEXT = """\\
V901 A scrub needs cron.

V902 A scrub reads
all data.
"""
'''
KEYS = {
    "description": "File systems whose checksums are read regularly.",
    "type": "array",
    "items": {
        "type": "object",
        "additionalProperties": False,
        "required": ["path"],
        "properties": {
            "path": {"type": "string", "description": "Where the filesystem is mounted."},
            "schedule": {"type": "string", "description": "Five fields as in crontab(5)."},
        },
    },
}


@pytest.fixture
def copy():
    """A vmtune with the new kind, where nothing else was changed."""
    top = TOP / "t" / "with-scrub"
    shutil.copytree(CHECKOUT, top, symlinks=True)
    shutil.copytree(ROOT / ".ci", top / ".ci")
    folder = top / "reconciler" / "resources" / "scrub"
    folder.mkdir()
    (folder / "__init__.py").write_text('"""Scrubbing."""\n')
    (folder / "kind.py").write_text(KIND)
    (folder / "codes.py").write_text(CODES)
    registry = folder.parent / "registry.py"
    registry.write_text(registry.read_text().replace('"defrag",\n', '"defrag",\n    "scrub",\n'))
    schema = top / "schemas" / "vmtune.schema.json"
    document = json.loads(schema.read_text())
    document["properties"]["scrub"] = KEYS
    schema.write_text(json.dumps(document))
    argv = [sys.executable, str(top / ".ci" / "validator")]
    made = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=top)
    (top / "reconciler" / "config" / "schema_validator.py").write_text(made.stdout)
    yield top
    shutil.rmtree(top)


def vmtune(copy: Path, host: World, *arguments: str, expect: int = 0) -> str:
    argv = [*PROGRAM, "--config", str(host.file), *arguments]
    done = subprocess.run(argv, cwd=copy, env=_ENV, capture_output=True, text=True, check=False)
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout


def test_a_kind_is_one_folder_and_one_name(host: World, copy: Path):
    host.declare(scrub=[{"path": str(host.area), "schedule": "0 3 1 * *"}])
    made = Path(f"/etc/cron.d/vmtune-scrub-{str(host.area).strip('/').replace('/', '-')}")

    shown = vmtune(copy, host, "plan")
    assert f"+ scrub {host.area}" in shown
    assert "V902" in shown
    assert "1 to change" in shown
    plan = json.loads(vmtune(copy, host, "plan", "--json").splitlines()[-1])
    assert [row["kind"] for row in plan["changes"]] == ["scrub"]

    vmtune(copy, host, "apply", "--yes")
    assert "btrfs scrub start -B" in made.read_text()
    assert "Nothing to do" in vmtune(copy, host, "plan")
    status = json.loads(vmtune(copy, host, "status", "--json").splitlines()[-1])
    assert [row["scheduler"] for row in status["effect"]["schedules"]] == ["cron"]
    assert f"scrub {host.area}: by cron" in vmtune(copy, host, "status")
    assert "regularly" in vmtune(copy, host, "explain", "scrub")
    assert "A scrub reads all data." in vmtune(copy, host, "explain", "V902")

    vmtune(copy, host, "revert", "--yes")
    assert not made.exists()


def test_what_a_new_kind_set_is_taken_back_when_it_is_declared_no_more(host: World, copy: Path):
    host.declare(scrub=[{"path": str(host.area), "schedule": "0 3 1 * *"}])
    vmtune(copy, host, "apply", "--yes")
    host.declare()
    assert "no longer declared" in vmtune(copy, host, "plan")
    vmtune(copy, host, "apply", "--yes")
    assert not list(Path("/etc/cron.d").glob("vmtune-scrub-*"))
