"""A verifier that does not come to its end has verified nothing."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.btrfs.outside import run
from tests.btrfs.world import FSTAB, World
from tests.oracles import oracle

FINDMNT = "/usr/bin/findmnt"


@pytest.fixture
def instead(host: World):
    """Have another program, or none, in the place of findmnt."""
    made = []

    def put(script: str, mode: int = 0o755) -> None:
        path = host.file.with_name("findmnt")
        path.write_text(script)
        path.chmod(mode)
        run("mount", "--bind", path, FINDMNT)
        made.append(path)

    yield put
    for _ in made:
        run("umount", FINDMNT)


def declared(host: World) -> Path:
    image = host.image("data")
    host.fstab("# first\n" + image.line("defaults"))
    host.declare(mounts=[{"target": str(image.path), "options": {"noatime": True}}])
    return image.path


def codes(host: World, code: str) -> list[dict]:
    return [r for r in json.loads(host.vmtune("doctor", "--json").out)["rows"] if r["code"] == code]


@pytest.mark.parametrize(
    ("script", "mode", "why"),
    [
        ("#!/bin/sh\nkill -SEGV $$\n", 0o755, "was ended by signal 11"),
        ("", 0o644, "findmnt is not installed"),
    ],
)
@oracle("findmnt", "V503")
def test_it_is_said_and_counts_as_not_verified(host: World, instead, script, mode, why):
    target = declared(host)
    instead(script, mode)
    if mode == 0o755:
        done = subprocess.run([FINDMNT], check=False)
        assert done.returncode == -11, "the oracle: the program is ended by that signal"
    ran = host.vmtune("apply", "--yes")
    assert ran.code == 6
    assert "verified: 0 of 1 read back as planned" in ran.out
    assert why in ran.err
    assert "not verified" in ran.err
    assert "noatime" in FSTAB.read_text()
    assert "noatime" in run("cat", "/proc/self/mountinfo").partition(str(target))[2].split()[0]
    (row,) = codes(host, "V503")
    assert row["health"] == "warn"
    assert not codes(host, "V509"), "no line is called sound that nobody verified"
    host.plan()


def test_one_that_only_the_new_file_ends_has_judged_it(host: World, instead):
    declared(host)
    before = FSTAB.read_text()
    instead('#!/bin/sh\nfor last; do :; done\ngrep -q noatime "$last" && kill -SEGV $$\nexit 0\n')
    ran = host.vmtune("apply", "--yes")
    assert ran.code == 3
    assert "was ended by signal 11" in ran.err
    assert FSTAB.read_text() == before


def test_the_real_one_has_the_last_word(host: World):
    declared(host)
    assert os.access(FINDMNT, os.X_OK)
    assert "verified: 1 of 1" in host.apply().out
    assert codes(host, "V503")[0]["health"] == "ok"
