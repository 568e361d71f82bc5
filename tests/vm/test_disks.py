"""Disks of other kinds than one whole Btrfs: what the plan says of each, and what apply does."""

import contextlib

import pytest

from tests.host.installed import digest, is_nocow
from tests.oracles import oracle
from tests.vm.machine import Guest
from tests.vm.program import DIFFERS, REFUSED, apply, check, declare, install, plan

THERE = "/srv/vm"
IMAGE = f"{THERE}/images/a.raw"
REWRITE = f"paths:\n  - {{path: {THERE}/images, nocow: true, existing: rewrite}}\n"

# BTRFS_IOC_QUOTA_CTL; btrfs-progs can do it since 6.7.
_SIMPLE = """
import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0xC0109428, bytearray(struct.pack("=QQ", 4, 0)))
"""


@pytest.fixture(scope="module")
def disks(make_guest) -> Guest:
    """With three empty disks: vdb and vdc of 1 GiB, vdd of 600 MiB."""
    guest = make_guest(drives=["1G", "1G", "600M"])
    install(guest)
    guest.run(["mkdir", "-p", THERE])
    return guest


@contextlib.contextmanager
def mounted(guest: Guest, device: str, options: str = "defaults", *, wipes: bool = True):
    """With an image of 64 MiB, that is copy-on-write, unless the disk holds one already.

    ``wipes``: afterwards nothing is found on the disk.
    """
    guest.run(["mount", "-t", "btrfs", "-o", options, device, THERE])
    try:
        if guest.run(["test", "-e", IMAGE], check=False).returncode:
            guest.run(f"mkdir {THERE}/images; head -c 64M /dev/urandom >{IMAGE}; sync")
        yield
    finally:
        guest.run(["umount", THERE])
        if wipes:
            guest.run(["wipefs", "-a", device], check=False)


def mkfs(guest: Guest, *options: str) -> None:
    guest.run(["mkfs.btrfs", "-q", "-f", *options])


def rows(guest: Guest, code: int) -> str:
    """The codes of all rows of the plan, which must end with ``code``."""
    return " ".join(plan(guest, code).values())


def rewritten(guest: Guest) -> None:
    """Apply makes the image nocow and keeps what is in it; then nothing is left to do."""
    was = digest(guest, IMAGE)
    apply(guest)
    plan(guest)
    assert is_nocow(guest, IMAGE)
    assert digest(guest, IMAGE) == was


def refused(guest: Guest) -> None:
    was = digest(guest, IMAGE)
    apply(guest, REFUSED)
    assert not is_nocow(guest, IMAGE)
    assert digest(guest, IMAGE) == was


@pytest.mark.step("block-group-tree: nocow, rewrite; `btrfs check` finds no error")
def test_block_group_tree(disks):
    if "block-group-tree" not in disks.run("mkfs.btrfs -O list-all 2>&1").stdout:
        pytest.skip("these btrfs-progs make none")
    mkfs(disks, "-O", "block-group-tree", "/dev/vdb")
    with mounted(disks, "/dev/vdb"):
        declare(disks, REWRITE)
        assert "V" not in rows(disks, DIFFERS).replace("V709", "")
        rewritten(disks)
        disks.run(["umount", THERE])
        disks.run(["btrfs", "check", "--check-data-csum", "/dev/vdb"])
        disks.run(["mount", "/dev/vdb", THERE])


@pytest.mark.step("LUKS: nocow, rewrite, and compression of a line that names the mapping")
def test_luks(disks):
    disks.run(
        "printf secret | cryptsetup -q luksFormat --pbkdf pbkdf2 "
        "--pbkdf-force-iterations 1000 /dev/vdb -"
    )
    disks.run("printf secret | cryptsetup open /dev/vdb vault -")
    line = f"/dev/mapper/vault {THERE} btrfs compress=zstd,noauto 0 0\n".encode()
    fstab = disks.read("/etc/fstab")
    mkfs(disks, "/dev/mapper/vault")
    try:
        disks.write("/etc/fstab", fstab + line)
        with mounted(disks, "/dev/mapper/vault", "compress=zstd"):
            declare(
                disks, f"{REWRITE}mounts:\n  - {{target: {THERE}, options: {{compress: no}}}}\n"
            )
            plan(disks, DIFFERS)
            rewritten(disks)
            assert b"compress=no,noauto" in disks.read("/etc/fstab")
            assert "compress" not in disks.run(["findmnt", "-no", "OPTIONS", THERE]).stdout
    finally:
        disks.write("/etc/fstab", fstab)
        disks.run(["cryptsetup", "close", "vault"])


@pytest.mark.step("a limit of a qgroup: refused while it leaves too little, done when it is raised")
@pytest.mark.parametrize("how", ["enable", "simple"])
def test_qgroups(disks, built, how):
    if how == "simple" and built.suite == "bookworm":
        pytest.skip("kernels have simple quotas since 6.7")
    mkfs(disks, "/dev/vdb")
    with mounted(disks, "/dev/vdb"):
        if how == "simple":
            disks.run(["python3", "-c", _SIMPLE, THERE])
        else:
            disks.run(["btrfs", "quota", "enable", THERE])
            disks.run(["btrfs", "quota", "rescan", "-w", THERE])
        disks.run(["mv", f"{THERE}/images", f"{THERE}/old"])
        disks.run(["btrfs", "subvolume", "create", f"{THERE}/images"])
        disks.run(f"cp --reflink=never {THERE}/old/a.raw {IMAGE}; rm -r {THERE}/old; sync")
        disks.run(["btrfs", "qgroup", "limit", "100M", f"{THERE}/images"])
        declare(disks, REWRITE)
        assert "V706" in rows(disks, DIFFERS)
        apply(disks, REFUSED)
        assert not is_nocow(disks, IMAGE)
        disks.run(["btrfs", "qgroup", "limit", "none", f"{THERE}/images"])
        rewritten(disks)


@pytest.mark.step("a full disk without unallocated space: refused, done when there is room")
def test_full(disks):
    mkfs(disks, "/dev/vdd")
    with mounted(disks, "/dev/vdd"):
        disks.run(f"head -c 1G /dev/zero >{THERE}/filler; sync", check=False)
        declare(disks, REWRITE)
        assert "V706" in rows(disks, DIFFERS)
        apply(disks, REFUSED)
        assert not is_nocow(disks, IMAGE)
        disks.run(f"rm {THERE}/filler; sync -f {THERE}")
        rewritten(disks)


@pytest.mark.step("zoned (null_blk): nocow is refused as the kernel refuses it; compression is not")
@oracle("chattr", "V117", "V721")
def test_zoned(disks):
    disks.run(["modprobe", "null_blk", "nr_devices=0"])
    made = "/sys/kernel/config/nullb/z"
    disks.run(["mount", "-t", "configfs", "configfs", "/sys/kernel/config"], check=False)
    disks.run(["mkdir", made])
    told = {"size": 2048, "zoned": 1, "zone_size": 32, "memory_backed": 1, "power": 1}
    for name, value in told.items():
        disks.run(f"echo {value} >{made}/{name}")
    index = disks.read(f"{made}/index").decode().strip()
    # Kernels name the disk after the folder since 6.0.
    device = disks.run(f"ls /dev/z /dev/nullb{index} 2>/dev/null", check=False).stdout.split()[0]
    mkfs(disks, "-O", "zoned", "-d", "single", "-m", "single", device)
    with mounted(disks, device):
        assert disks.run(["chattr", "+C", f"{THERE}/images"], check=False).returncode
        declare(disks, REWRITE)
        assert "V117" in rows(disks, REFUSED)
        refused(disks)
        declare(disks, f"paths:\n  - {{path: {THERE}/images, compression: none}}\n")
        apply(disks)
        plan(disks)
    disks.run(["rmdir", made])


@pytest.mark.step("a disk that fails (dm-error): Btrfs turns read-only, nothing is touched")
def test_failed(disks):
    disks.run('dmsetup create weak --table "0 $(blockdev --getsz /dev/vdd) linear /dev/vdd 0"')
    mkfs(disks, "/dev/mapper/weak")
    with mounted(disks, "/dev/mapper/weak"):
        declare(disks, REWRITE)
        plan(disks, DIFFERS)
        disks.run(
            "dmsetup suspend --noflush --nolockfs weak; dmsetup load weak --table "
            '"0 $(blockdev --getsz /dev/vdd) error"; dmsetup resume weak'
        )
        disks.run(f"touch {THERE}/new; sync -f {THERE}", check=False)
        assert "V113" in rows(disks, REFUSED)
        apply(disks, REFUSED)
    disks.run(["dmsetup", "remove", "weak"])


@pytest.mark.step("RAID1: nocow is refused unless `raid` is allowed")
def test_raid(disks):
    mkfs(disks, "-d", "raid1", "-m", "raid1", "/dev/vdb", "/dev/vdc")
    with mounted(disks, "/dev/vdb"):
        declare(disks, REWRITE)
        assert "V102" in rows(disks, REFUSED)
        refused(disks)
        declare(disks, REWRITE.replace("rewrite", "rewrite, allow: [raid]"))
        plan(disks, DIFFERS)
        rewritten(disks)


@pytest.mark.step("RAID1 that lost a disk while it was mounted: refused, whatever is allowed")
def test_degraded(disks):
    mkfs(disks, "-d", "raid1", "-m", "raid1", "/dev/vdb", "/dev/vdc")
    declare(disks, REWRITE.replace("rewrite", "rewrite, allow: [raid]"))
    with mounted(disks, "/dev/vdb", wipes=False):
        disks.monitor("device_del", id="disk2")
        disks.run("while [ -e /dev/vdc ]; do sleep 0.1; done", timeout=120)
        disks.run(f"head -c 1M /dev/urandom >{THERE}/more; sync", check=False)
        lost = rows(disks, REFUSED)
    disks.run(["btrfs", "device", "scan", "--forget"])
    with mounted(disks, "/dev/vdb", "degraded"):
        assert "V111" in rows(disks, REFUSED)
        refused(disks)
    assert "V111" in lost


@pytest.mark.step("disks: afterwards the root is sound")
def test_sound(disks):
    disks.run(["btrfs", "device", "stats", "--check", "/"])
    disks.shut_down()
    check(disks)
