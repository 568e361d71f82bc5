"""The kind ``dust``: thrown away with each test, with a name that no kind will want.

It has a section of its own, a schedule, codes, rows of status and JSON. Its codes begin with
V0, which no other kind takes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

KIND = '''
"""Dusting a directory, regularly, as a systemd timer or a file in /etc/cron.d.

Dust settles on what nobody touches. A run looks for it, and wipes none off.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from reconciler.engine import schedule
from reconciler.engine.item import Section
from reconciler.engine.resource import Kind
from reconciler.engine.schedule import Job, When, Work
from reconciler.facts import locate
from reconciler.facts.diagnostics import Note, Refusal

DUST = Section("dust", "path", "Dusting", required=("schedule",))
JOB = Job("vmtune-dust", "dusts", "Dust", "man:true(1)", "", skips="it is gone")
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
        yield Refusal(f"{where.path} is {where.kind}", code="V001")
        return
    setup = schedule.setup(JOB, where.path, spec.when, host)
    refusal = (
        schedule.unsayable(where.path)
        or schedule.lacks("true", "coreutils", host)
        or schedule.unable(setup, host)
        or schedule.foreign(setup, host)
    )
    goals = refusal or schedule.goals(setup, WORK, host)
    if isinstance(goals, Refusal):
        yield goals
        return
    yield from goals
    yield Note("dust comes back", "V002")


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
V001 Only a directory is dusted.

V002 Dust comes
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


def add(top: Path) -> None:
    """Put it into a copy of vmtune: a folder, a name, and keys; then as `make validator` does."""
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
    schema.write_text(f"{json.dumps(document, indent=2)}\n")
    _run(top, "copies")
    made = _run(top, "validator")
    (top / "reconciler" / "config" / "schema_validator.py").write_text(made)


def _run(top: Path, name: str) -> str:
    argv = [sys.executable, str(top / ".ci" / name)]
    return subprocess.run(argv, capture_output=True, text=True, check=True, cwd=top).stdout
