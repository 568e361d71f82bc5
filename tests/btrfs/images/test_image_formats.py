"""Every format of which QEMU follows an image to another file, and those where it does not."""

import contextlib
import re
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.formats import image_file
from tests.btrfs.chained import chain, create, over, served
from tests.btrfs.outside import is_nocow, run
from tests.btrfs.world import World

SECTORS = (16 << 20) // 512
Make = Callable[[Path], tuple[Path, Path, str]]
"""Makes an image in a folder: its first file, the last that it stands on, and that one's format."""


def on_raw(kind: str, *options: str) -> Make:
    """An overlay of a kind on a raw file."""

    def make(folder: Path) -> tuple[Path, Path, str]:
        base = create(folder / "base.raw", "-f", "raw")
        top = create(folder / "top.img", "-f", kind, *options, "-b", base.name, "-F", "raw")
        return top, base, "raw"

    return make


def on_vmdk(subformat: str) -> Make:
    def make(folder: Path) -> tuple[Path, Path, str]:
        base = create(folder / "base.vmdk", "-f", "vmdk")
        options = ("-f", "vmdk", "-o", f"subformat={subformat}")
        top = create(folder / "top.vmdk", *options, "-b", base.name, "-F", "vmdk")
        return top, base, "vmdk"

    return make


def flat(subformat: str) -> Make:
    """A descriptor and the extent that holds the data."""

    def make(folder: Path) -> tuple[Path, Path, str]:
        top = create(folder / "top.vmdk", "-f", "vmdk", "-o", f"subformat={subformat}")
        (extent,) = set(folder.iterdir()) - {top}
        return top, extent, "raw"

    return make


def by_hand(created: str, kind: str, extent: bytes, first: str = "# Disk DescriptorFile\n") -> Make:
    """What ESX makes, and qemu-img does not."""

    def make(folder: Path) -> tuple[Path, Path, str]:
        top, delta = folder / "top.vmdk", folder / "top-delta.vmdk"
        folder.mkdir(parents=True)
        top.write_text(
            f'{first}version=1\nCID=11111111\nparentCID=ffffffff\ncreateType="{created}"\n'
            f'RW {SECTORS} {kind} "{delta.name}"\n'
        )
        delta.write_bytes(extent)
        return top, delta, "raw"

    return make


def cowd() -> bytes:
    """block/vmdk.c, VMDK3Header: sectors, grain, table of grains at sector 4."""
    head = struct.pack("<4s9I", b"COWD", 1, 3, SECTORS, 1, 4, 8, 12, 0, 0)
    return head.ljust(64 << 10, b"\0")


def sesparse() -> bytes:
    """block/vmdk.c, VMDKSESparseConstHeader: in sectors, the parts one after another."""
    parts = (1, 1, 2, 1, 3, 1, 4, 1, 8, 64, 80, 1, 88, 1, 96, 8)
    head = struct.pack("<26Q", 0xCAFEBABE, 0x200000001, SECTORS, 8, 64, *[0] * 5, *parts)
    volatile = struct.pack("<Q", 0xCAFECAFE)
    return (head.ljust(512, b"\0") + volatile).ljust(64 << 10, b"\0")


def of_all(folder: Path) -> tuple[Path, Path, str]:
    """Each on another kind, in directories of their own."""
    base = create(folder / "a" / "base.raw", "-f", "raw")
    over(folder / "b" / "old.qcow", "../a/base.raw", "raw", new="qcow")
    over(folder / "c" / "mid.qed", "../b/old.qcow", "qcow", new="qed")
    return over(folder / "top.qcow2", "c/mid.qed", "qed"), base, "raw"


CHAINS: dict[str, tuple[Make, int]] = {
    "qcow": (on_raw("qcow"), 2),
    "qcow2-v2": (on_raw("qcow2", "-o", "compat=0.10"), 2),
    "qcow2-v3": (on_raw("qcow2"), 2),
    "qed": (on_raw("qed"), 2),
    "qed-small-clusters": (on_raw("qed", "-o", "cluster_size=4096"), 2),
    "mixed": (of_all, 4),
    "vmdk": (on_vmdk("monolithicSparse"), 2),
    "vmdk-stream": (on_vmdk("streamOptimized"), 2),
    "vmdk-in-pieces": (on_vmdk("twoGbMaxExtentSparse"), 3),
    "vmdk-flat": (flat("monolithicFlat"), 2),
    "vmdk-flat-in-pieces": (flat("twoGbMaxExtentFlat"), 2),
    "esx": (by_hand("vmfsSparse", "VMFSSPARSE", cowd()), 2),
    "esx-newer": (by_hand("seSparse", "SESPARSE", sesparse()), 2),
    "esx-flat": (by_hand("vmfs", "VMFS", bytes(SECTORS * 512)), 2),
    "without-a-comment": (by_hand("vmfs", "VMFS", bytes(SECTORS * 512), ""), 2),
}
"""Each with the number of files that QEMU follows it to, itself among them."""


def test_each_format_has_a_chain():
    names = {each.name.lower() for each in image_file.FORMATS}
    assert names <= {name.partition("-")[0] for name in CHAINS}


def test_what_qemu_follows_is_one_image(host: World):
    """One file of each is in use: none of its others is rewritten. Once all are free, all are."""
    folder = host.area / "vm"
    made = {name: make(folder / name) for name, (make, _) in CHAINS.items()}
    files = {name: chain(top) for name, (top, *_) in made.items()}
    assert {name: len(found) for name, found in files.items()} == {
        name: count for name, (_, count) in CHAINS.items()
    }
    alone = create(folder / "qed" / "alone.raw", "-f", "raw")
    alone.write_bytes(b"x" * 8192)
    entry = {"nocow": True, "existing": "rewrite"}  # each its own: of one, ten rows are printed
    host.declare(paths=[{"path": str(folder / name), **entry} for name in CHAINS])
    expected = {}
    with contextlib.ExitStack() as open_ones:
        for name, (_, last, kind) in made.items():
            user = f"in use by qemu-nbd (pid {open_ones.enter_context(served(last, kind))})"
            one = (
                f"it is one image together with {last.relative_to(folder / name)}, which is {user}"
            )
            expected |= {str(file): user if file == last else one for file in files[name]}
        plan = host.plan(expect=2)
        rows = (
            re.match(r"! images (\S+) +V\d+ +why not rewritten: (.*?)   do ", x) for x in plan.rows
        )
        assert dict(found.groups() for found in rows if found) == expected
        host.apply(expect=7)
        assert [path for path in expected if is_nocow(Path(path))] == []
        assert is_nocow(alone)
    host.apply()
    assert [path for path in expected if not is_nocow(Path(path))] == []
    assert {name: chain(top) for name, (top, *_) in made.items()} == files


@pytest.mark.parametrize("kind", ["parallels", "vdi", "vhdx", "vpc", "luks", "raw"])
def test_formats_that_take_no_backing_file(host: World, kind: str):
    create(host.area / "base.raw", "-f", "raw")
    argv = ("qemu-img", "create", "-f", kind, "-b", "base.raw", "-F", "raw", "a.img")
    done = subprocess.run(argv, cwd=host.area, capture_output=True, text=True, check=False)
    assert "Backing file not supported" in done.stderr


def vdi(image: bytearray) -> None:
    """block/vdi.c, VdiHeader: the UUID of the parent."""
    image[0x1B8:0x1C8] = bytes(range(16))


def vhdx(image: bytearray) -> None:
    """block/vhdx.h, VHDXFileParameters: data_bits, of which 2 says that there is a parent."""
    item = image.index(bytes.fromhex("3767a1ca36fa434db3b633f0aa44e76b"))
    (offset,) = struct.unpack_from("<I", image, item + 16)
    image[(item & ~0xFFFF) + offset + 4] |= 2


def vpc(image: bytearray) -> None:
    """block/vpc.c, VHDFooter, at both ends: a disk type of 4, and the checksum anew."""
    for at in (0, len(image) - 512):
        struct.pack_into(">2I", image, at + 60, 4, 0)
        struct.pack_into(">I", image, at + 64, ~sum(image[at : at + 512]) & 0xFFFFFFFF)


@pytest.mark.parametrize(
    ("damage", "said"),
    [(vdi, "non-NULL"), (vhdx, "Invalid argument"), (vpc, "")],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_parent_that_qemu_does_not_follow(
    host: World, damage: Callable[[bytearray], None], said: str
):
    """Opened without it, or refused: no image of several files for a virtual machine here."""
    kind = damage.__name__
    path = create(host.area / "vm" / f"a.{kind}", "-f", kind)
    changed = bytearray(path.read_bytes())
    damage(changed)
    path.write_bytes(changed)
    info = ("qemu-img", "info", "-f", kind, "--backing-chain", path)
    done = subprocess.run(info, capture_output=True, text=True, check=False)
    assert said in done.stderr
    assert bool(said) == bool(done.returncode)
    assert "backing" not in done.stdout
    host.nocow(path.parent, existing="rewrite")
    assert f" {path.name}: " in host.plan(expect=2).out
    host.apply()
    assert path.read_bytes() == changed


def test_a_vmdk_in_one_file_is_not_what_it_was_called_before(host: World):
    """The name of its extent within is its own, and nobody changes it with the file's."""
    first = create(host.area / "vm" / "first.vmdk", "-f", "vmdk")
    second = first.rename(first.with_name("second.vmdk"))
    create(first, "-f", "vmdk")
    assert b'"first.vmdk"' in second.read_bytes()
    assert chain(second) == [second]
    host.nocow(first.parent, existing="rewrite")
    with first.open("rb"):
        plan = host.plan(expect=2)
    assert " second.vmdk: " in plan.out
    assert "one image together with" not in plan.out
    run("qemu-img", "check", second)
