"""The how-to's walk on a machine with a kernel of its own: each test is the next step."""

import json

import pytest
import yaml

from tests.host import installed, sandbox
from tests.vm.machine import Guest
from tests.vm.program import CONFIG, DIFFERS, HOME, apply, check, declare, install, plan, vmtune

IMAGES = f"{HOME}/libvirt/images"
MACHINES = f"{HOME}/machines"
DECLARED = """\
paths:
  - {path: ~/libvirt/images, nocow: true, existing: rewrite}
  - {path: ~/machines, nocow: true, subvolume: true}
mounts:
  - {target: /, options: {compress: no}}
defrag:
  - {path: ~/libvirt/images, schedule: "Sun 03:00"}
  - {path: ~/machines, schedule: "* * * * *", scheduler: cron}
"""

# Names, owners, modes and contents: what a person compares, whatever inodes and times are.
_ETC = r"""
cd /etc
find . -printf '%p %y %m %U %G %l\n' | sort
find . -type f -exec sha256sum {} + | sort
"""

# In the order in which a nocow file gets fragments, too.
_BACKWARDS = """
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o644)
for number in reversed(range(64)):
    os.pwrite(fd, os.urandom(1 << 14), number << 14)
    os.fsync(fd)
"""


@pytest.fixture(scope="module")
def walk(make_guest) -> Guest:
    """A host as the how-to's reader has it, with compression that somebody switched on live."""
    guest = make_guest()
    install(guest)
    for name in ("a.raw", "b.raw"):
        guest.run(["mkdir", "-p", IMAGES], user="alice")
        installed.guest(guest, f"{IMAGES}/{name}", 8, 200, user="alice")
    guest.run(["mkdir", MACHINES], user="alice")
    guest.run(["mount", "-o", "remount,compress=zstd", "/"])
    guest.etc = etc(guest)
    guest.fstab = guest.read("/etc/fstab")
    guest.sums = sums(guest)
    return guest


def etc(guest: Guest) -> set[str]:
    return set(guest.run(_ETC).stdout.splitlines())


def sums(guest: Guest) -> dict[str, str]:
    return {name: installed.digest(guest, f"{IMAGES}/{name}") for name in ("a.raw", "b.raw")}


@pytest.mark.step("boots from `@rootfs`, whose line in `/etc/fstab` is the how-to's")
def test_boots(built, walk):
    assert walk.run(["uname", "-r"]).stdout.strip() == built.kernel
    assert walk.run("findmnt -no FSROOT,FSTYPE /").stdout.split() == ["/@rootfs", "btrfs"]
    assert not installed.failed(walk)
    print(f"boots: {walk.boots} s")


@pytest.mark.step("`init` suggests a file that `validate` takes; `doctor` finds no fault")
def test_init(walk):
    told = vmtune(walk, "init")
    assert yaml.safe_load(told)["version"] == 1
    assert "~/libvirt/images" in told
    vmtune(walk, f"init -o {CONFIG}", sudo="")
    vmtune(walk, f"validate {CONFIG}", sudo="")
    rows = json.loads(vmtune(walk, "doctor --json"))["rows"]
    assert [row["text"] for row in rows if row["health"] == "fail"] == []


@pytest.mark.step("`plan` shows what differs and changes nothing, with root and without")
def test_plan(walk):
    declare(walk, DECLARED)
    before = installed.state(walk, "/etc", HOME)
    for sudo in ("", "sudo "):
        plan(walk, DIFFERS, sudo)
    assert installed.state(walk, "/etc", HOME) == before


@pytest.mark.step("`apply` does all that was shown: nocow, rewrite, subvolume, mount, timer, cron")
def test_apply(walk):
    assert "verified: " in apply(walk)
    plan(walk)


@pytest.mark.step("images are rewritten: nocow, one fragment, byte for byte as before")
def test_rewritten(walk):
    assert sums(walk) == walk.sums
    for name in walk.sums:
        assert installed.is_nocow(walk, f"{IMAGES}/{name}")
        assert installed.fragments(walk, f"{IMAGES}/{name}") == 1


@pytest.mark.step("a directory becomes a subvolume, nocow and its owner's")
def test_subvolume(walk):
    walk.run(["btrfs", "subvolume", "show", MACHINES])
    assert walk.run(["stat", "-c", "%U %a", MACHINES]).stdout.split()[0] == "alice"
    assert installed.is_nocow(walk, MACHINES)


@pytest.mark.step("compression ends at once, without a reboot; one line of `/etc/fstab` changes")
def test_compression(walk):
    assert not [option for option in installed.live(walk, "/") if option.startswith("compress")]
    assert walk.read("/etc/fstab") == walk.fstab.replace(b"@rootfs", b"@rootfs,compress=no")
    walk.run("yes | head -c 1M >/var/tmp/zeros && sync /var/tmp/zeros")
    assert "encoded" not in walk.run("filefrag -v /var/tmp/zeros").stdout


@pytest.mark.step("after a reboot: boots, nothing failed, still in sync, with root and without")
def test_reboot(walk):
    walk.reboot()
    assert not installed.failed(walk)
    assert not [option for option in installed.live(walk, "/") if option.startswith("compress")]
    for sudo in ("", "sudo "):
        plan(walk, sudo=sudo)
    assert "[W]" not in walk.run("findmnt --verify", check=False).stdout


@pytest.mark.step("the timer waits, and its unit defragments when it is started")
def test_timer(walk):
    timer, service = (installed.unit_of(walk, IMAGES, kind) for kind in ("timer", "service"))
    assert installed.shown(walk, timer, "ActiveState") == "active"
    walk.run(["systemctl", "start", service])
    assert installed.shown(walk, service, "Result") == "success"
    assert installed.shown(walk, service, "ExecMainStartTimestampMonotonic") != "0"


@pytest.mark.step("cron runs the job, which defragments")
def test_cron(walk):
    image = f"{MACHINES}/backwards.raw"
    walk.run(["python3", "-c", _BACKWARDS, image], user="alice")
    before = installed.fragments(walk, image)
    assert before > 10
    fewer = lambda: installed.fragments(walk, image) < before / 2  # noqa: E731
    sandbox.until("cron to defragment", 180, fewer)


@pytest.mark.step("a second `apply` changes no inode")
def test_twice(walk):
    before = installed.state(walk, "/etc", HOME)
    apply(walk)
    assert installed.state(walk, "/etc", HOME) == before


@pytest.mark.step("`revert` puts `/etc` back, byte for byte; so it is after another reboot")
def test_revert(walk):
    vmtune(walk, "revert --yes")  # which says that the images and the subvolume stay as they are
    assert etc(walk) ^ walk.etc == set()
    walk.reboot()
    assert etc(walk) ^ walk.etc == set()
    assert not installed.failed(walk)
    assert sums(walk) == walk.sums


@pytest.mark.step("afterwards `btrfs check` finds no error, and no device has counted one")
def test_sound(walk):
    walk.run(["btrfs", "device", "stats", "--check", "/"])
    walk.shut_down()
    check(walk)
