"""SELinux that enforces: what vmtune makes has the policy's labels, what it changes keeps its own.

restorecon(8) is the judge: it names each file whose type is not the policy's for its path.
"""

import json

import pytest

from tests.host import installed
from tests.host.installed import digest, is_nocow
from tests.vm import system
from tests.vm.machine import Guest
from tests.vm.program import CONFIG, DIFFERS, HOME, VMTUNE, apply, check, declare, install, plan
from tests.vm.program import vmtune as run_vmtune

POOL = "/var/lib/libvirt/images"
IMAGES = f"{HOME}/libvirt/images"
MACHINES = f"{HOME}/machines"
NEW = [f"{HOME}/.local/share/libvirt/images", f"{HOME}/new", "/srv/vm/new"]
"""Directories that are missing; the last two become subvolumes."""
DECLARED = f"""\
paths:
  - {{path: {POOL}, nocow: true, existing: rewrite}}
  - {{path: {IMAGES}, nocow: true, existing: rewrite}}
  - {{path: {MACHINES}, nocow: true, existing: rewrite, subvolume: true}}
  - {{path: {NEW[0]}, nocow: true}}
  - {{path: {NEW[1]}, nocow: true, subvolume: true}}
  - {{path: {NEW[2]}, subvolume: true}}
mounts:
  - {{target: /, options: {{compress: no}}}}
defrag:
  - {{path: {POOL}, schedule: "Sun 03:00"}}
  - {{path: {MACHINES}, schedule: "0 12 * * *", scheduler: cron}}
"""
SVIRT = "system_u:object_r:svirt_image_t:s0:c1,c2"
VIRT = "system_u:object_r:virt_image_t:s0"
"""Labels that somebody gives by hand: as libvirt does to the image of a machine that runs."""
CHOSEN = {f"{IMAGES}/b.raw": SVIRT, f"{MACHINES}/c.raw": VIRT}
FILES = [f"{POOL}/a.raw", f"{IMAGES}/a.raw", *CHOSEN]


@pytest.fixture(scope="module", params=["bookworm"])
def built(request, build) -> system.System:
    return build(request.param, system.SELINUX)


@pytest.fixture(scope="module")
def host(make_guest) -> Guest:
    """Images copy-on-write, two of them with labels of their own."""
    guest = make_guest()
    install(guest)
    guest.run(["restorecon", "-R", "/usr/lib/vmtune", "/usr/bin/vmtune"])
    guest.run(["mkdir", "-p", POOL, "/srv/vm"])
    guest.run(["mkdir", "-p", IMAGES, MACHINES], user="alice")
    for path in FILES:
        installed.guest(guest, path, 8, 100)
    guest.run(["restorecon", "-R", "/var/lib/libvirt", "/home", "/srv", "/etc"])
    for path, label in CHOSEN.items():
        guest.run(["chcon", label, path])
    guest.run(["mount", "-o", "remount,compress=zstd", "/"])
    declare(guest, DECLARED)
    guest.was = stray(guest)
    guest.sums = {path: digest(guest, path) for path in FILES}
    return guest


def stray(guest: Guest) -> set[str]:
    """What has another type than the policy's, by restorecon; the chosen labels are not judged."""
    where = ["/etc", "/home", "/srv", "/var/lib", "/var/spool/cron", "/run/vmtune"]
    done = guest.run(["restorecon", "-R", "-n", "-v", *where], check=False)
    lines = done.stdout.splitlines()
    return {line for line in lines if not any(path in line for path in CHOSEN)}


def label(guest: Guest, path: str) -> str:
    return guest.run(["stat", "-c", "%C", path]).stdout.strip()


@pytest.mark.step("SELinux: it enforces")
def test_enforces(host):
    assert host.run(["getenforce"]).stdout.strip() == "Enforcing"
    assert ":unconfined_t:" in host.run(["id", "-Z"]).stdout
    assert not installed.failed(host)
