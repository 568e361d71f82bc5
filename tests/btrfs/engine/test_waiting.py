"""Several runs at once, and a host that changes between showing a plan and doing it."""

import fcntl
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import patience
from tests.btrfs.each import Each, records
from tests.btrfs.outside import run
from tests.btrfs.rewriting import written
from tests.btrfs.stopping import stopping, stops
from tests.btrfs.world import World, until

LOCK = Path("/run/vmtune.lock")
MIB = 1 << 20
IMPATIENT = "from reconciler.linux import lock; lock.PATIENCE = 0.3"
ROUNDS = 20
SIX = """
children = []
for _ in range(6):
    child = os.fork()
    if not child:
        break
    children.append(child)
else:
    ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    print("codes", *ended, flush=True)
    os._exit(0)
"""


@contextmanager
def held() -> Iterator[None]:
    """Hold the lock as a run of alice does."""
    with LOCK.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(b"pid 7, user alice, since 2026-11-29 12:00:00\n")
        file.flush()
        yield


@pytest.fixture
def each(host: World) -> Each:
    return Each(host)


def until_it_waits(process: subprocess.Popen[str]) -> str:
    assert process.stderr
    seen = ""
    while "waiting for another vmtune" not in seen:
        line = process.stderr.readline()
        assert line, seen
        seen += line
    return seen


def test_a_run_waits_for_another_one_and_says_for_whom(each: Each):
    with held():
        process = each.host.start("apply", "--yes")
        seen = until_it_waits(process)
        assert each.is_untouched()
    out, err = process.communicate(timeout=patience.SECONDS)
    assert "(pid 7, user alice, since 2026-11-29 12:00:00), for up to 60 seconds" in seen
    assert process.returncode == 0, out + err
    assert each.is_done()


def test_so_does_revert(each: Each):
    each.host.apply()
    with held():
        process = each.host.start("revert", "--yes")
        until_it_waits(process)
        assert each.is_done()
    process.communicate(timeout=patience.SECONDS)
    assert process.returncode == 0
    assert each.is_untouched()


def test_and_programs_get_an_event(each: Each):
    with held():
        ran = each.host.prepared(IMPATIENT, "apply", "--yes", "--json")
    found = [json.loads(line) for line in ran.out.splitlines()]
    (waiting,) = [each for each in found if each.get("event") == "waiting"]
    assert waiting["holder"] == "pid 7, user alice, since 2026-11-29 12:00:00"
    assert found[-1] == {"event": "exit", "code": 4}


def test_it_does_not_wait_for_ever(each: Each):
    with held():
        ran = each.host.prepared(IMPATIENT, "apply", "--yes")
    assert ran.code == 4, ran
    assert "another vmtune is at work (pid 7, user alice, since" in ran.err
    assert each.is_untouched()
    assert not records()


def test_ctrl_c_ends_the_wait(each: Each):
    with held():
        process = each.host.start("apply", "--yes")
        until_it_waits(process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=patience.SECONDS)
    assert process.returncode == 130, err
    assert "interrupted; nothing was changed" in err
    assert each.is_untouched()
    assert not records()


def test_six_at_once_rewrite_images_time_and_again(host: World):
    """Whoever comes second finds nothing to do; nobody is told that the host changed."""
    images = host.area / "vm"
    images.mkdir()
    host.nocow(images, existing="rewrite")
    for number in range(ROUNDS):
        for name in "ab":
            (images / f"{name}.raw").unlink(missing_ok=True)
            # A file that was made elsewhere comes without the attribute.
            moved = written(host.area / f"{name}{number}", 256 << 10, seed=number)
            moved.rename(images / f"{name}.raw")
        ran = host.prepared(SIX, "apply", "--yes")
        codes = {int(code) for code in ran.out.splitlines()[-1].split()[1:]}
        assert codes <= {0, 4}, f"round {number}: {ran}"
        assert 0 in codes
    assert sorted(path.name for path in images.iterdir()) == ["a.raw", "b.raw"]
    host.plan()


def test_who_finds_nothing_but_what_another_run_copies_waits_for_it(host: World, images: Path):
    """The other run holds the image for longer than a look waits: its end is what tells."""
    (images / "b.raw").unlink()
    slow = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=pwritev2:delay_enter=3000000"]
    number = (images / "a.raw").stat().st_ino
    process = host.start("apply", "--yes", under=slow)
    until("it copies", lambda: f":{number} " in Path("/proc/locks").read_text())
    ran = host.vmtune("apply", "--yes")
    process.communicate(timeout=patience.SECONDS)
    assert process.returncode == 0
    assert ran.code == 0, ran
    assert is_nocow(images / "a.raw")


@pytest.fixture
def images(host: World) -> Path:
    top = host.area / "vm"
    top.mkdir()
    subprocess.run(["chattr", "-C", top], check=True)
    for number, name in enumerate(("a.raw", "b.raw")):
        written(top / name, MIB, seed=number)
    host.nocow(top, existing="rewrite")
    return top


def is_nocow(path: Path) -> bool:
    told = subprocess.run(["lsattr", "-d", path], capture_output=True, text=True, check=True)
    return "C" in told.stdout.split()[0]


def test_an_image_that_is_opened_meanwhile_keeps_back_no_other(host: World, images: Path):
    with host.typed("apply") as typed:
        typed.see("Only `yes` does it")
        with (images / "a.raw").open("rb"):
            typed.type("yes\n")
            assert typed.end() == 7, typed.screen
    assert re.search(r"left out: \S*/a\.raw: not rewritten: in use by ", typed.screen)
    last = typed.screen.strip().splitlines()[-1]
    assert last == f"Not all is as declared: 1 refused: images {images}/a.raw (V702)."
    assert not is_nocow(images / "a.raw")
    assert is_nocow(images / "b.raw")
    assert is_nocow(images)


def test_what_is_refused_by_now_is_left_out_and_not_called_done(host: World):
    disk = host.image("disk")
    host.nocow(disk.subvolume("vm"))
    with host.typed("apply") as typed:
        typed.see("Only `yes` does it")
        run("btrfs", "subvolume", "snapshot", disk.path / "vm", disk.path / "taken")
        typed.type("yes\n")
        assert typed.end() == 7, typed.screen
    assert f"left out: {disk.path}/vm: " in typed.screen
    assert "images fragment as before" in typed.screen
    assert "done meanwhile" not in typed.screen
    assert not is_nocow(disk.path / "vm")


def test_who_only_passes_by_keeps_back_nothing(host: World, images: Path):
    with host.typed("apply") as typed:
        typed.see("Only `yes` does it")
        reader = os.open(images / "a.raw", os.O_RDONLY)
        typed.type("yes\n")
        time.sleep(0.4)  # as long as a backup or an lsattr may take
        os.close(reader)
        assert typed.end() == 0, typed.screen
    assert is_nocow(images / "a.raw")
    assert is_nocow(images / "b.raw")


def test_an_image_that_is_new_is_not_rewritten_unshown(host: World, images: Path):
    """As many as before, so that words alone would be two equal lines."""
    with host.typed("apply") as typed:
        typed.see("Only `yes` does it")
        (images / "a.raw").unlink()
        written(host.area / "c.raw", MIB).rename(images / "c.raw")
        typed.type("yes\n")
        assert typed.end() == 5, typed.screen
    told = typed.screen.partition("nothing was changed")[2]
    assert "2 files copy-on-write, found 2 files copy-on-write too, but not a.raw" in told, told
    assert "instead c.raw" in told
    assert not is_nocow(images / "b.raw")


def test_with_yes_in_advance_the_new_plan_is_shown_and_done(host: World, images: Path):
    """Nobody said yes to one plan rather than to the other."""
    with held():
        process = host.start("apply", "--yes")
        until_it_waits(process)
        written(host.area / "c.raw", MIB).rename(images / "c.raw")
    out, err = process.communicate(timeout=patience.SECONDS)
    assert process.returncode == 0, out + err
    assert "the host changed meanwhile: this is done now" in out
    assert "3 files copy-on-write" in out
    assert all(is_nocow(images / name) for name in ("a.raw", "b.raw", "c.raw"))


def test_what_another_run_did_meanwhile_counts_as_done(each: Each):
    with each.host.typed("apply") as typed:
        typed.see("Only `yes` does it")
        each.host.apply()
        typed.type("yes\n")
        assert typed.end() == 0, typed.screen
    assert "Nothing is left to do." in typed.screen
    assert typed.screen.count("done meanwhile") == 7
    assert len(records()) == 1


@pytest.mark.parametrize("words", [["plan"], ["apply", "--yes"], ["doctor"]])
@pytest.mark.parametrize("moment", [1, 3])
def test_what_another_run_makes_during_a_look_is_not_somebody_elses(
    each: Each, words: list[str], moment: int
):
    """The look has a list of what vmtune made, and then meets a file that is not in it."""
    look = each.host.start(*words, under=[*stopping("getdents64"), "-P", "/etc/cron.d"])
    met = [each.host.apply() for count in stops(look) if count == moment]
    out, err = look.communicate(timeout=patience.SECONDS)
    assert len(met) == 1, out + err
    assert "vmtune did not make it" not in out
    assert len(records()) == 1
