"""Power cuts: the machine is off at a random moment of apply, with what it had not yet flushed.

QEMU is killed, and the disk is a qcow2 that it extends as the guest writes: the tables that say
where new clusters lie are in its memory until the guest flushes. So what was written since the last
flush is partly lost, as with the cache of a real disk.

All cuts begin with the same machine, frozen as it was about to apply.
"""

import os
import random
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.host import installed
from tests.host.installed import digest, is_nocow
from tests.vm.machine import Guest
from tests.vm.program import CONFIG, DIFFERS, HOME, VMTUNE, apply, check, declare, install, plan
from tests.vm.system import System

CUTS = int(os.environ.get("VMTUNE_VM_CUTS", "10"))
"""How many for each system. `make vm ONLY="-k bookworm"` takes one."""
SEED = int(os.environ.get("VMTUNE_VM_SEED", "0")) or secrets.randbelow(1 << 32)
"""A test that fails prints it: with it the cuts come at the same moments again."""
IMAGES = f"{HOME}/libvirt/images"
MACHINES = f"{HOME}/machines"
FILES = [f"{IMAGES}/{name}.raw" for name in "abc"] + [f"{MACHINES}/{name}.raw" for name in "de"]
DECLARED = """\
paths:
  - {path: ~/libvirt/images, nocow: true, existing: rewrite}
  - {path: ~/machines, nocow: true, existing: rewrite, subvolume: true}
mounts:
  - {target: /, options: {compress: no}}
defrag:
  - {path: ~/libvirt/images, schedule: "Sun 03:00"}
  - {path: ~/machines, schedule: "0 12 * * *", scheduler: cron}
"""


@dataclass(frozen=True)
class Moment:
    """A machine about to apply: saved in ``folder``, apply takes so many seconds on it."""

    system: System
    folder: Path
    sums: dict[str, str]
    fstab: bytes
    seconds: float


def sums(guest: Guest) -> dict[str, str]:
    return {path: digest(guest, path) for path in FILES}


@pytest.fixture(scope="class")
def moment(built, tmp_path_factory) -> Moment:
    folder = tmp_path_factory.mktemp(f"frozen-{built.suite}") / "frozen"
    with Guest(built) as guest:
        install(guest)
        guest.run(["mkdir", "-p", IMAGES, MACHINES], user="alice")
        for path in FILES:
            installed.guest(guest, path, 16, 300, user="alice")
        guest.run(["mount", "-o", "remount,compress=zstd", "/"])
        declare(guest, DECLARED)
        plan(guest, DIFFERS)  # compiled, and in the page cache, as after a plan that a person read
        was, fstab = sums(guest), guest.read("/etc/fstab")
        guest.run(["sync"])
        guest.freeze(folder)
    with Guest(built, state=folder) as guest:
        since = time.monotonic()
        apply(guest)
        seconds = time.monotonic() - since
        assert sums(guest) == was
    return Moment(built, folder, was, fstab, seconds)


class Cuts:
    """The same of each system, in a class of its own: make vm runs classes beside each other."""

    @pytest.mark.step(
        "power cuts at random moments of `apply`: no image is lost, the next one ends the work"
    )
    @pytest.mark.parametrize("number", range(CUTS))
    def test_cut(self, moment, number):
        """No image is lost, the machine boots, the next apply ends what the first began."""
        chance = random.Random(f"{SEED} {number}").random()  # noqa: S311 - no secret
        after = (number + chance) / CUTS * moment.seconds
        print(f"seed {SEED}, cut {number}: after {after:.2f} of {moment.seconds:.2f} s")
        with Guest(moment.system, state=moment.folder) as guest:
            guest.send(
                guest.command(["sudo", VMTUNE, "--config", CONFIG, "apply", "--yes"], user="alice")
            )
            time.sleep(after)  # the moment itself is what is tried: there is no event to wait for
            print("apply was under way" if guest.is_silent() else "apply had ended")
            guest.cut()
            guest.boot()
            assert not installed.failed(guest)
            assert guest.read("/etc/fstab") in (
                moment.fstab,
                moment.fstab.replace(b"@rootfs", b"@rootfs,compress=no"),
            )
            assert sums(guest) == moment.sums
            apply(guest)
            plan(guest)
            assert sums(guest) == moment.sums
            assert all(is_nocow(guest, path) for path in FILES)
            found = guest.run(["find", IMAGES, MACHINES, "-type", "f"]).stdout.splitlines()
            assert sorted(found) == sorted(FILES), "nothing is left beside the images"
            guest.run(["btrfs", "device", "stats", "--check", "/"])
            guest.shut_down()
            check(guest)


@pytest.mark.parametrize("built", ["bookworm"], indirect=True, scope="class")
class TestBookworm(Cuts):
    pass


@pytest.mark.parametrize("built", ["trixie"], indirect=True, scope="class")
class TestTrixie(Cuts):
    pass
