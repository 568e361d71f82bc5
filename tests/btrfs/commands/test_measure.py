"""``vmtune measure`` on a real Btrfs: what it writes, what it leaves, and that figures are true."""

import json
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests import patience
from tests.btrfs.commands.test_json import check
from tests.btrfs.outside import is_nocow, run, tree
from tests.btrfs.world import NOBODY, World, until

SMALL = ("--size", "8M", "--rounds", "2")


@pytest.fixture
def place(host: World) -> Path:
    folder = host.area / "vm"
    folder.mkdir()
    return folder


def measured(host: World, place: Path, *arguments: str, user: int = 0) -> dict[str, Any]:
    ran = host.vmtune("measure", "--json", *arguments, str(place), user=user)
    assert ran.code == 0, ran
    data: dict[str, Any] = json.loads(ran.out)
    check("measure", data)
    return data


def test_it_measures_both_sorts_in_turn(host: World, place: Path):
    before = tree(place)
    data = measured(host, place, *SMALL)
    assert [each["kind"] for each in data["samples"]] == ["cow", "nocow", "nocow", "cow"]
    figures = {each["name"]: each for each in data["figures"]}
    # 512 random blocks of 2,048: copy-on-write scatters them, nocow stays in one piece.
    assert figures["fragments"]["nocow"] <= 3
    assert figures["fragments"]["cow"] > 300
    assert 1 <= figures["disk bytes per byte"]["nocow"] < figures["disk bytes per byte"]["cow"]
    for figure in figures.values():
        assert figure["low"] <= figure["high"]
    assert tree(place) == before, "not even the directory's time of change"


@pytest.mark.parametrize("letter", ["C", "c", "m"])
def test_whatever_the_directory_hands_on(host: World, place: Path, letter: str):
    run("chattr", f"+{letter}", place)
    data = measured(host, place, "--size", "8M", "--rounds", "1")
    cow, nocow = data["samples"]
    assert cow["fragments"] > 300
    assert nocow["fragments"] <= 3
    assert is_nocow(place) is (letter == "C")


def test_the_disks_say_what_it_wrote(host: World, place: Path):
    """/proc/diskstats, read here by hand, around the whole trial."""
    device = Path(run("findmnt", "-no", "SOURCE", "-T", place).strip().partition("[")[0]).name

    def written() -> int:
        rows = (line.split() for line in Path("/proc/diskstats").read_text("ascii").splitlines())
        return next(int(row[9]) * 512 for row in rows if row[2] == device)

    run("btrfs", "filesystem", "sync", place)
    before = written()
    data = measured(host, place, *SMALL)
    run("btrfs", "filesystem", "sync", place)
    told = sum(each["device"] for each in data["samples"])
    filled = 4 * (8 << 20)
    assert told + filled <= written() - before <= (told + filled) * 1.5
    assert all(each["device"] >= each["payload"] for each in data["samples"])


def test_it_says_first_what_it_will_write(host: World, place: Path):
    ran = host.vmtune("measure", *SMALL, str(place), env={"COLUMNS": "80"})
    assert ran.code == 0, ran
    said = " ".join(ran.out.split())
    assert "a temporary image of 8.0 MiB, writes to 512 random blocks of 4 KiB" in said
    assert "Writes 40.0 MiB" in said
    assert said.index("Writes 40.0 MiB") < said.index("disk bytes per byte")
    assert ran.out.splitlines()[-1].endswith(".")
    assert re.search(r"nocow: .* of the disk writes, .*1 fragment instead of \d{3}", said)


def test_it_needs_no_root_in_a_directory_of_ones_own(host: World, place: Path):
    os.chown(place, NOBODY, NOBODY)
    assert measured(host, place, "--size", "1M", "--rounds", "1", user=NOBODY)["samples"]
    os.chown(place, 0, 0)


@pytest.mark.parametrize("why", ["Permission denied", "Read-only file system"])
def test_it_announces_nothing_that_it_may_not_write(host: World, place: Path, why: str):
    if "Read-only" in why:
        host.bind(place, read_only=True)
    ran = host.vmtune("measure", "--size", "1M", str(place), user=NOBODY)
    assert (ran.code, ran.out) == (1, ""), ran
    assert f"{place}: {why}" in ran.err
    assert "name a directory that you may write to" in ran.err
    assert "Writes" not in ran.err
    assert "[1/" not in ran.err


def test_both_samples_of_a_round_write_the_same_blocks(host: World, place: Path):
    """As the kernel is asked for them, and no two rounds the same ones."""
    log = host.file.with_name("strace")
    under = ["strace", "-f", "-e", "trace=pwrite64", "-o", log]
    ran = host.vmtune("measure", "--size", "1M", "--rounds", "3", str(place), under=under)
    assert ran.code == 0, ran
    text = log.read_text(encoding="utf-8", errors="replace")
    written = [int(at) for at in re.findall(r", 4096, (\d+)\) += 4096$", text, re.MULTILINE)]
    assert len(written) == 6 * 64
    samples = [written[64 * n : 64 * (n + 1)] for n in range(6)]
    assert [samples[0], samples[2], samples[4]] == [samples[1], samples[3], samples[5]]
    assert len({tuple(each) for each in samples}) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--size", "900M"], 1, "ten times the size of the image must be free"),
        (["--size", "900M", "--rounds", "1"], 1, "M fits\n"),
        (["--size", "100M", "--rounds", "30"], 1, "more than a tenth of the filesystem"),
        (["--size", "100M", "--rounds", "30"], 1, "M or --rounds "),
        (["--size", "150M", "--rounds", "3"], 1, "more than are written without asking"),
        (["--size", "17"], 64, "name whole MiB"),
        (["--size", "0M"], 64, "name whole MiB"),
        (["--size", "much"], 64, "is not a size"),
        (["--rounds", "0"], 64, "--rounds"),
    ],
)
def test_it_is_refused_before_anything_is_written(
    host: World, place: Path, arguments: list[str], code: int, said: str
):
    before = tree(place)
    ran = host.vmtune("measure", *arguments, str(place))
    assert (ran.code, said in ran.err) == (code, True), ran
    assert tree(place) == before


@pytest.mark.parametrize("path", ["/proc", "/nowhere", "/dev/null"])
def test_where_there_is_nothing_to_compare(host: World, path: str):
    ran = host.vmtune("measure", path)
    assert ran.code == 1
    assert path in ran.err


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_trial_leaves_nothing(host: World, place: Path, how: signal.Signals):
    free = lambda: os.statvfs(place).f_bfree * os.statvfs(place).f_frsize  # noqa: E731
    run("btrfs", "filesystem", "sync", place)
    before, room = tree(place), free()
    process = host.start("measure", "--size", "64M", str(place))
    until("it to write", lambda: free() < room - (20 << 20))
    process.send_signal(how)
    process.communicate(timeout=patience.SECONDS)
    assert process.returncode == (-how if how is signal.SIGKILL else 130)
    assert tree(place) == before

    def given_back() -> bool:
        run("btrfs", "filesystem", "sync", place)
        return free() > room - (4 << 20)

    until("the space to be free again", given_back)


def test_others_who_write_are_told_of(host: World, place: Path):
    other = host.area / "busy"
    writer = os.fork()
    if writer == 0:
        with open(other, "wb") as busy:
            end = time.monotonic() + patience.SECONDS
            while time.monotonic() < end:
                busy.seek(0)
                busy.write(os.urandom(1 << 20))
                busy.flush()
                os.fsync(busy.fileno())
        os._exit(0)
    try:
        ran = host.vmtune("measure", "--size", "1M", "--rounds", "1", str(place))
    finally:
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
    assert "Other programs write" in ran.out
