"""A plan of a draft: what it would do, and take back, if it stood where its file stands."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.btrfs.outside import is_nocow
from tests.btrfs.sandbox import PROGRAM
from tests.btrfs.world import _ENV, NOBODY, Ran, World


def draft(*words: object, user: int = 0, **sections: object) -> Ran:
    """Plan sections from standard input, as if they stood at the host's file."""
    argv = [*PROGRAM, "plan", "--detailed-exitcode", "--config", "-", *map(str, words)]
    text = json.dumps({"version": 1, **sections})
    done = subprocess.run(
        argv, input=text, capture_output=True, text=True, check=False, env=_ENV, cwd="/", user=user
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def at(host: World, *words: object, user: int = 0, **sections: object) -> Ran:
    return draft("--as", host.file, *words, user=user, **sections)


@pytest.fixture
def vms(host: World) -> Path:
    folder = host.area / "vms"
    folder.mkdir()
    host.nocow(folder)
    host.apply()
    return folder


def records() -> dict[str, str]:
    return {str(path): path.read_text() for path in Path("/var/lib/vmtune").rglob("*.json*")}


@pytest.mark.parametrize("user", [0, NOBODY])
def test_what_the_draft_drops_is_shown_as_taken_back(host: World, vms: Path, user: int):
    before = records()
    ran = at(host, user=user)
    assert ran.code == 2, ran
    assert ran.row("no longer declared").startswith(f"- nocow {vms}")
    assert f"config {host.file} (draft)" in ran.out
    same = at(host, user=user, paths=[{"path": str(vms), "nocow": True}])
    assert same.code == 0, same
    assert records() == before
    assert is_nocow(vms)


@pytest.mark.parametrize("how", ["link", "gone", "moved"])
def test_the_place_is_told_by_its_resolved_path(host: World, vms: Path, how: str):
    """Whichever name it has, and whether the file is there or not."""
    place = host.file
    if how == "link":
        place = host.file.with_name("link.yaml")
        place.symlink_to(host.file)
    elif how == "gone":
        host.file.unlink()
    else:
        host.file.rename(host.file.with_name("elsewhere.yaml"))
    ran = draft("--as", place)
    assert ran.code == 2, ran
    assert ran.row("no longer declared").startswith(f"- nocow {vms}")


def test_elsewhere_it_takes_nothing_back(host: World, vms: Path):
    for words in (["--as", host.file.with_name("other.yaml")], []):
        ran = draft(*words)
        assert ran.code == 0, ran
        assert str(vms) not in ran.out


def test_another_file_is_heard(host: World, vms: Path):
    other = ["--as", host.file.with_name("other.yaml")]
    ran = draft(*other, paths=[{"path": str(vms), "nocow": False}])
    assert ran.code == 7, ran
    assert "V404" in ran.out
    assert f"{host.file} declares another value" in ran.out


def test_entries_of_a_draft(host: World, vms: Path):
    other = host.area / "other"
    ran = at(host, other, paths=[{"path": str(other), "nocow": True}])
    assert ran.code == 2, ran
    assert str(vms) not in ran.out
    taken = at(host, vms, paths=[{"path": str(other), "nocow": True}])
    assert taken.row("no longer declared").startswith(f"- nocow {vms}")


def test_what_only_root_sees_is_shown_with_the_draft_again(host: World):
    folder = host.area / "closed"
    folder.mkdir(mode=0o700)
    os.chown(folder, 0, 0)
    ran = at(host, user=NOBODY, paths=[{"path": str(folder / "in"), "nocow": True}])
    line = ran.line("To see what is `?` here, with the draft on standard input again: ")
    assert line.endswith(f"--config - --as {host.file} plan")
