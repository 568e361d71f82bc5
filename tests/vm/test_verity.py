"""What fs-verity seals: Debian's kernels have it, which those of containers often lack."""

import json

import pytest

from tests.host.installed import digest, is_nocow
from tests.oracles import oracle
from tests.vm.machine import Guest
from tests.vm.program import CONFIG, DIFFERS, REFUSED, SYNC, apply, check, declare, install, vmtune

THERE = "/srv/vm"
SEALED, OTHER = f"{THERE}/images/sealed.raw", f"{THERE}/images/other.raw"
TOLD = "fs-verity seals it for good"

# FS_IOC_ENABLE_VERITY with SHA-256 and blocks of 4096 bytes: Debian's fsverity(1) is no part of it.
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


def rows(guest: Guest, words: str, code: int, list_of: str = "changes") -> dict[str, dict]:
    """The rows that a command prints as JSON and that have a text of their own, by name."""
    told = json.loads(vmtune(guest, f"--config {CONFIG} {words} --json", code))[list_of]
    return {row["name"]: row for row in told if row["text"]}


@pytest.mark.step(
    "fs-verity: the kernel lets nobody write to a sealed image; plan and doctor say so"
)
@oracle("lsattr", "V704: fs-verity seals it for good")
def test_sealed_for_good(host):
    """Not even root writes to it, or changes how its data is kept, on another mount neither."""
    assert attributes(host, SEALED) == "V"
    for _ in range(2):
        assert host.run(["python3", "-c", _OPENED, SEALED]).stdout.strip() == "EPERM"
        assert host.run(["chattr", "+C", SEALED], check=False).returncode
        host.run(["umount", THERE])
        host.run(["mount", "/dev/vdb", THERE])
    declare(host, f"paths: [{{path: {THERE}/images, nocow: true, existing: rewrite}}]\n")
    row = rows(host, "plan --detailed-exitcode", DIFFERS)[SEALED]
    assert (row["op"], row["text"], row["code"]) == ("!", f"not rewritten: {TOLD}", "V704")
    found = [row for row in rows(host, "doctor", SYNC, "rows").values() if row["code"] == "V704"]
    assert [(row["health"], TOLD in row["text"]) for row in found] == [("warn", True)]


@pytest.mark.step("fs-verity: a sealed image stays as it is, the others are rewritten")
def test_stays(host):
    apply(host, REFUSED)
    assert is_nocow(host, OTHER)
    assert attributes(host, SEALED) == "V"
    assert digest(host, SEALED) == host.was
    keep = f"paths: [{{path: {THERE}/images, nocow: true, existing: keep}}]\n"
    declare(host, keep)
    vmtune(host, f"--config {CONFIG} plan --detailed-exitcode")


@pytest.mark.step("fs-verity: a directory becomes a subvolume once the sealed image is moved out")
def test_subvolume(host):
    declare(host, f"paths: [{{path: {THERE}/images, subvolume: true}}]\n")
    row = rows(host, "plan --detailed-exitcode", REFUSED)[f"{THERE}/images"]
    assert (row["op"], row["code"]) == ("!", "V618")
    assert "sealed.raw (sealed by fs-verity)" in row["text"]
    assert row["hint"] == "nothing takes fs-verity off: move the sealed file out first"
    host.run(["mv", SEALED, f"{THERE}/moved.raw"])
    apply(host)
    host.run(["btrfs", "subvolume", "show", f"{THERE}/images"])
    assert attributes(host, f"{THERE}/moved.raw") == "V"
    assert digest(host, f"{THERE}/moved.raw") == host.was
    host.shut_down()
    check(host, 1)
