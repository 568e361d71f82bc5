"""What fs-verity seals: Debian's kernels have it, which those of containers often lack."""

import json

import pytest

from tests.host.installed import digest, is_nocow
from tests.oracles import oracle
from tests.vm.machine import Guest
from tests.vm.program import CONFIG, DIFFERS, REFUSED, apply, check, declare, install, vmtune

THERE = "/srv/vm"
SEALED, OTHER = f"{THERE}/images/sealed.raw", f"{THERE}/images/other.raw"
KEPT = f"paths: [{{path: {THERE}/images, nocow: true, existing: keep}}]\n"
TOLD = "fs-verity seals it for good"

# FS_IOC_ENABLE_VERITY with SHA-256 and blocks of 4096 bytes; fsverity(1) is a package of its own.
_SEAL = """
import fcntl, os, struct, sys
wanted = struct.pack("=IIIIQIIQ11Q", 1, 1, 4096, 0, 0, 0, 0, 0, *[0] * 11)
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x40806685, wanted)
"""
_OPENED = """
import errno, os, sys
try:
    os.open(sys.argv[1], os.O_WRONLY)
except OSError as error:
    print(errno.errorcode[error.errno])
"""


@pytest.fixture(scope="module")
def host(make_guest) -> Guest:
    """An image that is sealed and one that is not, in a directory of their own."""
    guest = make_guest(drives=["1G"])
    install(guest)
    guest.run(["mkfs.btrfs", "-q", "/dev/vdb"])
    guest.run(["mkdir", THERE])
    guest.run(["mount", "/dev/vdb", THERE])
    guest.run(
        f"mkdir {THERE}/images; for each in {SEALED} {OTHER}; do"
        " head -c 4M /dev/urandom >$each; done; sync"
    )
    guest.run(["python3", "-c", _SEAL, SEALED])
    guest.was = digest(guest, SEALED)
    return guest


def attributes(guest: Guest, path: str) -> str:
    return guest.run(["lsattr", path]).stdout.split()[0].strip("-")


def row(guest: Guest, name: str, code: int) -> dict:
    """The one row of the plan that has that name and a text of its own."""
    told = vmtune(guest, f"--config {CONFIG} plan --json --detailed-exitcode", code)
    (found,) = (
        each for each in json.loads(told)["changes"] if each["name"] == name and each["code"]
    )
    return found


@pytest.mark.step(
    "fs-verity: the kernel lets nobody write to a sealed image; plan and doctor say so"
)
@oracle("lsattr", "V704: fs-verity seals it for good")
def test_sealed_for_good(host):
    """Nor does anybody give it +C. Where it is mounted anew it is the same."""
    assert attributes(host, SEALED) == "V"
    for _ in range(2):
        assert host.run(["python3", "-c", _OPENED, SEALED]).stdout.strip() == "EPERM"
        assert host.run(["chattr", "+C", SEALED], check=False).returncode
        host.run(["umount", THERE])
        host.run(["mount", "/dev/vdb", THERE])
    declare(host, KEPT.replace("keep", "rewrite"))
    found = row(host, SEALED, DIFFERS)
    assert (found["op"], found["text"], found["code"]) == ("!", f"not rewritten: {TOLD}", "V704")
    told = json.loads(vmtune(host, f"--config {CONFIG} doctor --json"))["rows"]
    (found,) = (each for each in told if each["code"] == "V704")
    assert (found["health"], TOLD in found["text"]) == ("warn", True)


@pytest.mark.step(
    "fs-verity: a sealed image stays as it is, another is rewritten; an empty file gets +C"
)
def test_stays(host):
    empty = f"{THERE}/images/empty"
    host.run(["touch", empty])
    host.run(["python3", "-c", _SEAL, empty])
    apply(host, REFUSED)
    assert is_nocow(host, OTHER)
    assert attributes(host, empty) == "C----V", "there is no data in it that would have to move"
    assert attributes(host, SEALED) == "V"
    assert digest(host, SEALED) == host.was
    declare(host, KEPT)
    vmtune(host, f"--config {CONFIG} plan --detailed-exitcode")


@pytest.mark.step("fs-verity: a directory becomes a subvolume once the sealed image is moved out")
def test_subvolume(host):
    declare(host, KEPT.replace("keep", "keep, subvolume: true"))
    found = row(host, f"{THERE}/images", REFUSED)
    assert (found["op"], found["code"]) == ("!", "V618")
    assert "sealed.raw (sealed by fs-verity)" in found["text"]
    assert found["hint"] == "nothing takes fs-verity off: move the sealed file out first"
    host.run(["rm", f"{THERE}/images/empty"])
    host.run(["mv", SEALED, f"{THERE}/moved.raw"])
    apply(host)
    host.run(["btrfs", "subvolume", "show", f"{THERE}/images"])
    assert attributes(host, f"{THERE}/moved.raw") == "V"
    assert digest(host, f"{THERE}/moved.raw") == host.was
    host.shut_down()
    check(host, 1)
