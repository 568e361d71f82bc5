"""A new kind is a folder and a name in the registry, with its keys in the schema.

A copy of vmtune gets a kind ``dust`` with a section of its own, a schedule, codes, rows of
status and JSON; nothing else of the copy is touched. The copy plans, applies, tells and reverts
it. The kind is thrown away with the test, and has a name that no kind will want.
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
"""Dusting a directory, regularly, as a systemd timer or a file in /etc/cron.d.

Dust settles on what nobody touches. A run looks for it, and wipes none off.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from reconciler.engine import schedule
from reconciler.engine.resource import Kind
from reconciler.engine.item import Section
from reconciler.engine.schedule import Job, When, Work
from reconciler.facts import locate
from reconciler.facts.diagnostics import Note, Refusal

DUST = Section("dust", "path", "Dusting", required=("schedule",))
JOB = Job("vmtune-dust", "dusts", "Dust", "man:true(1)", "")
WORK = Work(("/usr/bin/true",), check='[ -d "$p" ]', skipped="$p: run skipped: it is gone")


@dataclass(frozen=True)
class Spec:
    path: str
    when: When


def parse(item, items):
    return Spec(item.path, schedule.parse(item))


def want(spec, host):
    ground = locate.ground(spec.path, host, ", not on Btrfs")
    if not isinstance(ground, tuple):
        yield ground
        return
    where, _ = ground
    if where.kind != "directory":
        yield Refusal(f"{where.path} is {where.kind}", code="V901")
        return
    setup = schedule.setup(JOB, where.path, spec.when, host)
    refusal = (
        schedule.unsayable(where.path)
        or schedule.unable(setup, host)
        or schedule.foreign(setup, host)
    )
    goals = refusal or schedule.goals(setup, WORK, host)
    if isinstance(goals, Refusal):
        yield goals
        return
    yield from goals
    yield Note("dust comes back", "V902")


KIND = Kind(
    "dust",
    DUST,
    parse,
    want,
    partial(schedule.leftovers, JOB),
    units=partial(schedule.units, JOB),
    places=partial(schedule.places, JOB),
    defaults=schedule.DEFAULTS,
    wrong=schedule.wrong,
    conflicts=schedule.conflicts,
    schedules=partial(schedule.schedules, JOB),
)
'''
CODES = '''"""What the codes of dust mean."""

TEXT = """\\
V901 Only a directory is dusted.

V902 Dust comes
back.
"""
'''
KEYS = {
    "description": "Directories that are dusted on a schedule.",
    "type": "array",
    "items": {
        "type": "object",
        "additionalProperties": False,
        "required": ["path"],
        "properties": {
            key: {"$ref": f"#/$defs/{key}"} for key in ("path", "schedule", "scheduler")
        },
    },
}


@pytest.fixture
def copy():
    """A vmtune with the new kind, where nothing else was changed."""
    top = TOP / "t" / "with-dust"
    shutil.copytree(CHECKOUT, top, symlinks=True)
    shutil.copytree(ROOT / ".ci", top / ".ci")
    folder = top / "reconciler" / "resources" / "dust"
    folder.mkdir()
    (folder / "__init__.py").write_text('"""Dusting."""\n')
    (folder / "kind.py").write_text(KIND)
    (folder / "codes.py").write_text(CODES)
    registry = folder.parent / "registry.py"
    registry.write_text(registry.read_text().replace('"defrag",\n', '"defrag",\n    "dust",\n'))
    schema = top / "schemas" / "vmtune.schema.json"
    document = json.loads(schema.read_text())
    document["properties"]["dust"] = KEYS
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


def declare(host: World, **more: str) -> None:
    host.declare(dust=[{"path": str(host.area), "schedule": "0 3 1 * *", **more}])


def made() -> list[Path]:
    return list(Path("/etc/cron.d").glob("vmtune-dust-*"))


def test_a_kind_is_a_folder_and_a_name(host: World, copy: Path):
    declare(host)
    shown = vmtune(copy, host, "plan")
    assert f"+ dust {host.area}" in shown
    assert "V902" in shown
    assert "1 to change" in shown
    plan = json.loads(vmtune(copy, host, "plan", "--json").splitlines()[-1])
    assert [row["kind"] for row in plan["changes"]] == ["dust"]

    vmtune(copy, host, "apply", "--yes")
    [file] = made()
    assert f"# dusts {host.area}\n" in file.read_text()
    assert "logger -t vmtune-dust" in file.read_text()
    assert "Nothing to do" in vmtune(copy, host, "plan")
    status = json.loads(vmtune(copy, host, "status", "--json").splitlines()[-1])
    assert [row["scheduler"] for row in status["effect"]["schedules"]] == ["cron"]
    assert f"dust {host.area}: by cron" in vmtune(copy, host, "status")
    assert "regularly" in vmtune(copy, host, "explain", "dust")
    assert "Dust comes back." in vmtune(copy, host, "explain", "V902")

    vmtune(copy, host, "revert", "--yes")
    assert made() == []


def test_a_new_kind_has_the_words_of_every_schedule(host: World, copy: Path):
    declare(host, scheduler="systemd")
    assert "V302" in vmtune(copy, host, "plan")
    declare(host, scheduler="cron", schedule="Sun 03:00")
    argv = [*PROGRAM, "--config", str(host.file), "validate"]
    done = subprocess.run(argv, cwd=copy, env=_ENV, capture_output=True, text=True, check=False)
    assert (done.returncode, "cron cannot read the schedule" in done.stderr) == (1, True)


def test_what_a_new_kind_set_is_taken_back_when_it_is_declared_no_more(host: World, copy: Path):
    declare(host)
    vmtune(copy, host, "apply", "--yes")
    host.declare()
    assert "no longer declared" in vmtune(copy, host, "plan")
    shutil.rmtree("/var/lib/vmtune")  # without its journal as well, by the first line of the file
    assert f"- dust {host.area}" in vmtune(copy, host, "plan")
    vmtune(copy, host, "apply", "--yes")
    assert made() == []
