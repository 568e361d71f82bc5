"""A new kind is a folder and a name in the registry, with its keys in the schema.

A copy of vmtune gets the kind ``dust`` (tests/dust.py); nothing else of the copy is touched but
what `make validator` writes. The copy plans, applies, tells and reverts the kind. That the copy
keeps the rules of the house: tests/house/test_new_kind.py.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import dust
from tests.btrfs.sandbox import PROGRAM, TOP
from tests.btrfs.world import _ENV, World

ROOT = Path(__file__).parents[3]
CHECKOUT = TOP / "checkout"


@pytest.fixture
def copy():
    """A vmtune with the new kind, where nothing else was changed."""
    top = TOP / "t" / "with-dust"
    shutil.copytree(CHECKOUT, top, symlinks=True)
    for name in (".ci", "integrations"):
        shutil.copytree(ROOT / name, top / name)
    dust.add(top)
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
    assert "V002" in shown
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
    assert "Dust comes back." in vmtune(copy, host, "explain", "V002")

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
