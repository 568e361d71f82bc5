"""What a plan says of images that are there already; judged by filefrag, compsize and lsattr."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import PROT_READ, mmap
from pathlib import Path

import pytest

from tests import patience
from tests.btrfs.outside import fragments, is_nocow, run, sync
from tests.btrfs.world import NOBODY, Ran, World
from tests.oracles import oracle

MIB = 1 << 20


def written(path: Path, size: int = MIB) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))
    sync()
    return path


def fragmented(path: Path, pieces: int) -> Path:
    """One extent for each of its blocks: every second one is written first."""
    with path.open("wb") as new:
        for first in (0, 1):
            for block in range(first, pieces, 2):
                new.seek(block * 4096)
                new.write(os.urandom(4096))
                new.flush()
                if block % 64 == first:
                    os.fsync(new.fileno())
    sync()
    return path


def row(ran: Ran, name: str) -> str:
    """What a note says behind the image's name."""
    return ran.line(f" {name}: ").partition(f"{name}: ")[2]


def listed(path: Path) -> list[str]:
    """The extents that filefrag(8) lists, as the kernel counts them."""
    lines = run("filefrag", "-v", path).splitlines()
    return [line for line in lines if re.match(r"\s*\d+:", line)]


@contextmanager
def holding(*argv: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A program that runs until the test is done with it."""
    process = subprocess.Popen([str(word) for word in argv], stdout=subprocess.DEVNULL, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_fragments_are_those_that_filefrag_counts(host: World):
    """More than fit one question to the kernel; plan, status and init tell one number."""
    image = fragmented(host.area / "disk.raw", 9000)
    host.nocow(host.area, existing="rewrite")
    count = fragments(image)
    assert count > 4200
    assert f"{count:,} fragments" in row(host.plan(expect=2), "disk.raw")
    host.nocow(host.area)
    assert f", {count:,} fragments" in host.plan(expect=2).row("disk.raw")
    (path,) = json.loads(host.vmtune("status", "--json").out)["effect"]["paths"]
    assert [each["fragments"] for each in path["images"]] == [count]


@pytest.mark.parametrize("break_", ["\r", "\n"])
def test_a_line_break_in_the_name_of_what_a_program_has_mapped(host: World, break_: str):
    """The kernel writes only a newline otherwise in /proc/PID/maps."""
    image = written(host.area / "images" / "disk.raw")
    host.nocow(image.parent, existing="rewrite")
    odd = written(host.area / f"one{break_}two", 4096)
    with odd.open("rb") as file, mmap(file.fileno(), 0, prot=PROT_READ):
        assert host.plan(expect=2).row("disk.raw")


@pytest.mark.parametrize("break_", ["\r", "\n"])
def test_a_line_break_in_the_name_of_a_mount_point(host: World, break_: str):
    """The kernel writes only a newline otherwise in /proc/PID/mountinfo."""
    image = written(host.area / "images" / "disk.raw")
    host.nocow(image.parent, existing="rewrite")
    odd = host.area / f"one{break_}two"
    odd.mkdir()
    run("mount", "--bind", odd, odd)
    try:
        assert host.plan(expect=2).row("disk.raw")
    finally:
        run("umount", odd)


@oracle("compsize", "V707", "status: shared")
def test_shared_and_compressed_bytes(host: World):
    """Compressed ones as filefrag calls them encoded, and compsize zstd."""
    image = host.image("data", "compress=zstd")
    folder = image.subvolume("images")
    disk = folder / "disk.raw"
    disk.write_bytes(b"\0vmtune\0" * (MIB // 4) + os.urandom(MIB))
    sync()
    run("btrfs", "subvolume", "snapshot", folder, image.path / "before")
    (folder / "own.raw").write_bytes(os.urandom(MIB))
    sync()
    host.nocow(folder, existing="rewrite", allow=["snapshots"])
    plan = host.plan(expect=2)
    assert row(plan, "disk.raw").endswith("3.0 MiB shared, 2.0 MiB compressed")
    assert "shared" not in row(plan, "own.raw")
    blocks = [re.split(r"[:.\s]+", line.strip()) for line in listed(disk) if "encoded" in line]
    assert sum(int(last) - int(first) + 1 for _, first, last, *_ in blocks) == 2 * MIB // 4096
    assert re.search(r"zstd\s+\d+%\s+\S+\s+2\.0M", run("compsize", disk))
    assert "up to 3.0 MiB more are in use" in plan.out
    assert "V707" in plan.out


def test_a_plan_is_what_apply_then_does(host: World):
    images = [written(host.area / "vm" / f"{number}.raw") for number in range(3)]
    host.nocow(images[0].parent, existing="rewrite")
    assert "3 files copy-on-write  ->  nocow" in host.plan(expect=2).out
    host.apply()
    assert all(map(is_nocow, images))
    host.plan(expect=0)


def test_status_knows_of_images(host: World):
    image = written(host.area / "vm" / "a.raw")
    host.nocow(image.parent, existing="rewrite")
    (place,) = (
        p
        for p in json.loads(host.vmtune("status", "--json").out)["places"]
        if p["place"] == "Images"
    )
    assert (place["there"], place["wanted"]) == (
        {"count": 1, "named": ["a.raw"]},
        {"count": 0, "named": []},
    )
    host.apply()
    assert host.vmtune("status").code == 0


def test_what_nocow_refuses_is_not_rewritten(host: World):
    """Nor is it said of places that are not to be put."""
    area = host.image("data", mkfs=["-d", "raid1", "-m", "raid1"], size=2).subvolume("images")
    image = written(area / "a.raw")
    host.nocow(area, existing="rewrite")
    assert "! images" not in host.plan(expect=7).out
    host.apply(expect=7)
    assert not is_nocow(image)
    assert json.loads(host.vmtune("status", "--json").out)["places"] == []


def test_a_rewrite_is_not_taken_back_and_that_is_said(host: World):
    image = written(host.area / "vm" / "a.raw")
    host.nocow(image.parent, existing="rewrite")
    host.apply()
    ran = host.vmtune("revert", "--yes")
    assert ran.code == 0, ran
    assert "images stay as they were rewritten" in ran.out
    assert (is_nocow(image), is_nocow(image.parent)) == (True, False)


def test_an_image_that_is_open_is_named_with_its_holder(host: World):
    free, held = (written(host.area / "vm" / name) for name in ("free.raw", "held.raw"))
    host.nocow(free.parent, existing="rewrite")
    with holding("sleep", "100") as process, held.open("rb"):
        plan = host.plan(expect=2)
        assert f"(pid {os.getpid()})" in plan.row(f"! images {held}")
        assert str(process.pid) not in plan.row(f"! images {held}")
        assert "1 file copy-on-write  ->  nocow" in plan.out
        host.apply(expect=7)
        assert (is_nocow(free), is_nocow(held)) == (True, False)
        assert "all that can be rewritten are nocow" in host.plan(expect=7).out
    host.apply()
    assert is_nocow(held)


def test_a_loop_device_is_named(host: World):
    held = written(host.area / "vm" / "held.raw")
    host.nocow(held.parent, existing="rewrite")
    device = run("losetup", "--find", "--show", held).strip()
    try:
        assert device in host.plan(expect=2).row(f"! images {held}")
    finally:
        run("losetup", "--detach", device)


def test_what_may_not_be_replaced_is_left(host: World):
    folder = host.area / "vm"
    linked, still, growing = (written(folder / f"{name}.raw") for name in ("a", "b", "c"))
    os.link(linked, host.area / "second-name")
    run("chattr", "+i", still)
    run("chattr", "+a", growing)
    host.nocow(folder, existing="rewrite")
    try:
        plan = host.plan(expect=2)
        for path, code in ((linked, "V703"), (still, "V704"), (growing, "V704")):
            assert code in plan.row(f"! images {path}")
        inodes = [path.stat().st_ino for path in (linked, still, growing)]
        host.apply(expect=7)
        assert [path.stat().st_ino for path in (linked, still, growing)] == inodes
    finally:
        run("chattr", "-ia", still, growing)


def test_what_nfs_clients_can_reach_is_left(host: World):
    """By the directory's real name, also where the export is a link to one above it."""
    image = written(host.area / "vm" / "a.raw")
    (host.area / "link").symlink_to(host.area)
    host.nocow(image.parent, existing="rewrite")
    assert "V714" not in host.plan(expect=2).out
    table = Path("/var/lib/nfs/etab")
    table.parent.mkdir(exist_ok=True)
    table.write_text(f"{host.area}/other\t*(rw)\n{host.area}/link\tclient(rw,sync,root_squash)\n")
    try:
        row = " ".join(host.plan(expect=2).row("V714").split())
        assert f"! images {image} V714 why not rewritten: {host.area} is exported by NFS" in row
    finally:
        table.unlink()


def test_what_finds_no_room_is_left(host: World):
    """300 MiB of disk, most of it the image's own."""
    image = host.image("data")
    big, small = written(image.path / "vm" / "big.raw", 180 * MIB), image.path / "vm" / "small.raw"
    written(small)
    host.nocow(big.parent, existing="rewrite")
    plan = host.plan(expect=2)
    assert "V706" in plan.row(f"! images {big}")
    host.apply(expect=7)
    assert (is_nocow(big), is_nocow(small)) == (False, True)


def test_a_user_is_told_what_only_root_sees(host: World):
    image = written(host.area / "vm" / "a.raw")
    image.parent.chmod(0o755)
    host.nocow(image.parent, existing="rewrite")
    assert "only root can see whether a program" in host.vmtune("plan", user=NOBODY).out
    assert "only root can see whether a program" not in host.vmtune("plan").out


def test_looking_changes_no_time_of_access(host: World):
    image = written(host.area / "vm" / "a.qcow2")
    image.write_bytes(b"QFI\xfb" + bytes(9000))
    os.utime(image, (1, 1))
    host.nocow(image.parent, existing="rewrite")
    host.plan(expect=2)
    assert image.stat().st_atime == 1


def test_ten_thousand_images_are_one_action(host: World):
    folder = host.area / "vm"
    folder.mkdir()
    for number in range(10_000):
        (folder / f"{number}.img").write_bytes(b"x" * 3000)
    sync()
    host.nocow(folder, existing="rewrite")
    before = time.monotonic()
    plan = host.plan(expect=2)
    assert time.monotonic() - before < 10 * patience.FACTOR
    assert "10,000 files copy-on-write  ->  nocow" in plan.out
    assert "and 9,990 more files" in plan.out
    assert len(plan.out.splitlines()) < 30
    document = json.loads(host.vmtune("plan", "--json").out)
    (action,) = (a for a in document["actions"] if a["place"] == "Images")
    assert (action["have"]["count"], len(action["have"]["named"])) == (10_000, 1000)


_LEASING = """
import fcntl, os, signal, sys
broken = []
signal.signal(signal.SIGIO, lambda *_: broken.append(1))
fd = os.open(sys.argv[1], os.O_RDWR)
fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("leased", flush=True)
sys.stdin.readline()
print(len(broken), flush=True)
"""


@contextmanager
def leased(image: Path) -> Iterator[None]:
    """By a process of root's; the lease must still be whole at the end."""
    argv = [sys.executable, "-c", _LEASING, image]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(argv, text=True, **pipes) as leasing:
        assert leasing.stdin
        assert leasing.stdout
        assert leasing.stdout.readline() == "leased\n"
        yield
        leasing.stdin.write("\n")
        leasing.stdin.flush()
        assert leasing.stdout.readline() == "0\n"


@pytest.mark.parametrize("command", ["plan", "status"])
def test_looking_breaks_no_lease(host: World, command: str):
    """Or a look at the plan would end the rewriting of an image by another run."""
    image = written(host.area / "vm" / "a.raw")
    host.nocow(image.parent, existing="rewrite")
    with leased(image):
        ran = host.vmtune(command)
    assert "V720" in ran.row(f"? nocow {image}")


def test_a_lease_on_another_filesystem_is_no_lease_here(host: World):
    """Both files have one number, and only root may look whose lease it is."""
    images = host.area / "vm"
    images.mkdir(mode=0o755)
    run("chattr", "+C", images)
    image = written(images / "a.raw")
    there = host.image("other").path
    other = there / "0"
    for name in range(image.stat().st_ino):
        other = there / str(name)
        other.touch()
        if other.stat().st_ino == image.stat().st_ino:
            break
    host.nocow(images)
    with leased(other):
        host.plan(user=NOBODY)
    with leased(image):
        assert "V720" in host.plan(expect=6, user=NOBODY).row(f"? nocow {image}")
