"""A rewrite as its user sees it: progress, Ctrl-C, and what is said at the end."""

import json
import os
import re
import signal
import time
from pathlib import Path

import pytest

from tests import patience
from tests.btrfs.commands.test_json import lines, names
from tests.btrfs.outside import fragments, is_nocow, run
from tests.btrfs.rewriting import KIB, MIB, beside, digest, written
from tests.btrfs.sandbox import PROGRAM
from tests.btrfs.world import Typed, World

SLOW = ["strace", "-f", "-qq", "-o", "/dev/null", "-e"]
A_FEW_SECONDS = ["strace", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", "trace=pwritev2"]
A_FEW_SECONDS += ["-e", "inject=pwritev2:delay_enter=8000"]
"""For 400 images, on any machine."""


def pool(host: World, count: int, size: int) -> list[Path]:
    """Images that are not nocow, in a directory that is."""
    folder = host.area / "vm"
    folder.mkdir()
    run("chattr", "+C", folder)
    images = []
    for number in range(count):
        written(host.area / "new", size, seed=number)
        (host.area / "new").rename(folder / f"disk{number:03}.raw")
        images.append(folder / f"disk{number:03}.raw")
    host.nocow(folder, existing="rewrite")
    return images


def test_a_terminal_has_one_line_redrawn(host: World):
    images = pool(host, 400, 100 * KIB)
    argv = [*A_FEW_SECONDS, *PROGRAM, "--config", str(host.file), "apply", "--yes"]
    with Typed(argv, {"TERM": "xterm"}) as typed:
        typed.see("verified: 1 of 1")
        assert typed.end() == 0
    drawn = re.findall(r"\r([^\r\n\x1b]*)\x1b\[K", typed.screen)
    assert len(drawn) > 3, typed.screen
    assert drawn[-1] == ""
    shown = [re.sub(r"^  \[#*\.*\]", " ", text) for text in drawn if text]
    row = re.compile(
        r" +\d+%  [\d.]+ \w+ of 39.1 MiB  [\d.]+ \w+/s  \d+:\d\d left  "
        r"\d+ of 400 \(\d+%\): disk\d+.raw"
    )
    look = re.compile(r"  looking below \S+  \d+:\d\d")  # where that takes a second, too
    shown = [text for text in shown if not look.fullmatch(text)]
    assert all(row.fullmatch(text) for text in shown), shown
    percents = [int(text.split("%")[0]) for text in shown]
    assert percents == sorted(percents)
    assert all(is_nocow(image) for image in images)


def test_a_long_look_is_told_to_a_terminal(host: World):
    """A million files take minutes: what is looked at, for how long, and then no word of it."""
    (image, *_) = pool(host, 1, KIB)
    slow = [*SLOW, "inject=getdents64:delay_enter=1500000:when=1", "-P", str(image.parent)]
    argv = [*slow, *PROGRAM, "--config", str(host.file), "plan"]
    with Typed(argv, {"TERM": "xterm", "COLUMNS": "60"}) as typed:
        assert typed.end() == 0
    drawn = re.findall(r"\r([^\r\n\x1b]*)\x1b\[K", typed.screen)
    assert drawn[0] == f"  looking below {image.parent}  0:01", typed.screen
    assert drawn[-1] == ""
    assert "looking" not in typed.screen.rpartition("\x1b[K")[2]
    piped = host.vmtune("plan", under=slow)
    assert "looking" not in piped.out + piped.err


def test_the_last_line_has_the_figures_before_and_after(host: World):
    """As filefrag(8) counts them; the same line that history has."""
    images = pool(host, 2, 100 * KIB)
    for image in images:
        for at in range(0, 20, 2):
            written(image, 4 * KIB, seed=at, at=at * 4 * KIB)
    was = sum(map(fragments, images))
    assert was > 15
    lines = host.apply().out.splitlines()
    told = lines[lines.index("verified: 1 of 1 read back as planned") + 1 :]
    assert told == [f"2 of 2 images rewritten, fragments {was} -> {sum(map(fragments, images))}"]
    assert told[0] in host.vmtune("history").out


def test_without_a_terminal_there_are_a_few_lines(host: World):
    """No more than one a second, however many seconds it takes."""
    pool(host, 400, 100 * KIB)
    before = time.monotonic()
    ran = host.apply(under=A_FEW_SECONDS)
    seconds = time.monotonic() - before
    told = [line for line in ran.err.splitlines() if "copying" in line]
    assert 1 <= len(told) <= seconds, ran
    assert all(
        re.fullmatch(r"      copying \d+ of 400.*: disk\d+.raw, .* of 100.0 KiB", t) for t in told
    )
    assert "\r" not in ran.err
    assert "\x1b" not in ran.err


def test_quiet_is_quiet(host: World):
    pool(host, 400, 100 * KIB)
    ran = host.vmtune("-q", "apply", "--yes")
    assert ran.code == 0
    assert ran.err == ""


def test_events_tell_it_too(host: World):
    pool(host, 400, 100 * KIB)
    before = time.monotonic()
    found = lines(host.vmtune("apply", "--yes", "--json"))
    seconds = time.monotonic() - before
    steps = [line for line in found if line.get("event") == "progress"]
    assert 2 <= len(steps) <= 2 * seconds + 1
    assert [step["all_done"] for step in steps] == sorted(step["all_done"] for step in steps)
    assert {step["items"] for step in steps} == {400}
    without = [name for name in names(found) if name != "progress"]
    assert without == ["plan", "begin", "end", "verified", "exit"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_the_image_as_it_was_and_the_next_run_goes_on(
    host: World, number: signal.Signals
):
    images = pool(host, 6, 30 * MIB)
    before = {image: digest(image) for image in images}
    slow = [*SLOW, "inject=fallocate:delay_enter=300000"]
    process = host.start("apply", "--yes", under=slow)
    deadline = time.monotonic() + patience.SECONDS
    inodes = {image: image.stat().st_ino for image in images}  # asking lsattr would open them
    while all(image.stat().st_ino == inodes[image] for image in images):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    child = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0]
    os.kill(int(child), number)
    _, err = process.communicate(timeout=patience.SECONDS)
    assert process.returncode == 130, err
    assert re.search(r"not done: images below .*/vm", err)
    done = [image for image in images if is_nocow(image)]
    assert 1 <= len(done) < 6
    assert {image: digest(image) for image in images} == before
    assert beside(host.area) == []
    inodes = {image: image.stat().st_ino for image in done}
    host.apply()
    assert all(is_nocow(image) for image in images)
    assert {image: image.stat().st_ino for image in done} == inodes
    assert {image: digest(image) for image in images} == before
    host.plan(expect=0)


def test_one_that_is_opened_after_the_plan_is_left_and_the_others_go_on(host: World):
    images = pool(host, 3, MIB)
    slow = [*SLOW, "inject=fallocate:delay_enter=700000:when=1"]
    process = host.start("apply", "--yes", under=slow)
    time.sleep(0.1)
    deadline = time.monotonic() + patience.SECONDS
    child = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not any(" (deleted)" in link for link in _links(child)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with open(images[-1], "rb"):
        out, err = process.communicate(timeout=patience.SECONDS)
    assert process.returncode == 3, (out, err)
    assert re.search(r"vmtune: images below .*: 1 of 3 files left as it was:", err), err
    assert re.search(r"disk002.raw: in use by \S+ \(pid \d+\)", err), err
    assert [is_nocow(image) for image in images] == [True, True, False]
    host.apply()
    assert is_nocow(images[-1])


def _links(children: Path) -> list[str]:
    try:
        folder = Path(f"/proc/{children.read_text().split()[0]}/fd")
        return [os.readlink(path) for path in folder.iterdir()]
    except (OSError, IndexError):
        return []


def test_the_record_says_what_became_of_it(host: World):
    pool(host, 2, MIB)
    host.apply()
    (record,) = Path("/var/lib/vmtune/runs").glob("*.jsonl")
    actions = json.loads(record.read_text().splitlines()[0])["actions"]
    assert [action["want"] for action in actions] == [{"count": 0, "named": []}]
