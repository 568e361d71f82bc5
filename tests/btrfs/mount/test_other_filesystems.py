"""A host where Btrfs is one filesystem of several: nothing is done on the others, and why is so."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tiers
from tests.btrfs.outside import is_nocow, run
from tests.btrfs.sandbox import TOP
from tests.btrfs.world import World
from tests.oracles import oracle

FSTAB = Path("/etc/fstab")
SIZES = {"ext4": "20M", "xfs": "300M"}
"""The smallest that mkfs makes; the files have holes."""


@contextlib.contextmanager
def filesystem(kind: str) -> Iterator[Path]:
    """One of its own, mounted."""
    path, image = TOP / "t" / kind, TOP / "t" / f"{kind}.img"
    path.mkdir(parents=True)
    run("truncate", "-s", SIZES[kind], image)
    run(f"mkfs.{kind}", "-q", image)
    try:
        run("mount", "-t", kind, "-o", "loop", image, path)
    except subprocess.CalledProcessError:
        if kind not in Path("/proc/filesystems").read_text(encoding="ascii").split():
            tiers.absent("btrfs", kind, "This kernel has none.")
        raise
    try:
        yield path
    finally:
        run("umount", path)


@contextlib.contextmanager
def overlay(top: Path) -> Iterator[tuple[Path, str]]:
    """An overlay with all of its layers below a directory, and its line in /etc/fstab."""
    layers = {name: top / name for name in ("lower", "upper", "work", "merged")}
    for layer in layers.values():
        layer.mkdir(parents=True)
    options = ",".join(f"{name}dir={layers[name]}" for name in ("lower", "upper", "work"))
    run("mount", "-t", "overlay", "-o", options, "overlay", layers["merged"])
    try:
        yield layers["merged"], f"overlay {layers['merged']} overlay {options} 0 0\n"
    finally:
        run("umount", layers["merged"])


def takes_nocow(folder: Path) -> bool:
    """By chattr(1): what else than Btrfs would say yes would make the row untrue."""
    made = folder / "tried"
    made.mkdir()
    done = subprocess.run(["chattr", "+C", made], capture_output=True, check=False)
    return done.returncode == 0


@oracle("chattr", "on {}{}")
@pytest.mark.parametrize("kind", SIZES)
def test_beside_btrfs_nothing_is_done_and_nothing_claimed(host: World, kind: str):
    """Paths, options and schedules of other filesystems; an overlay is judged by its upper layer.

    XFS writes shared blocks to a new place (reflink), and ext4 has no such thing: no word of nocow
    or copy-on-write is said of a file there.
    """
    with (
        filesystem(kind) as other,
        overlay(other / "ov") as (over_other, _),
        overlay(host.area / "ov") as (over_btrfs, line),
    ):
        image = other / "vm" / "a.raw"
        image.parent.mkdir()
        image.write_bytes(b"x" * 4096)
        text = f"{TOP / 't' / kind}.img {other} {kind} defaults 0 2\n{line}"
        host.fstab(text)
        host.declare(
            paths=[
                {"path": str(image.parent), "nocow": True, "subvolume": True},
                {"path": str(other / "zip"), "compression": "zstd"},
                {"path": str(over_other / "vm"), "nocow": True},
                {"path": str(over_btrfs / "vm"), "nocow": True},
            ],
            mounts=[
                {"target": str(other), "options": {"noatime": True, "compress": "no"}},
                {"target": str(over_btrfs), "options": {"compress": "no"}},
            ],
            defrag=[{"path": str(image.parent), "schedule": "weekly"}],
        )
        plan = host.vmtune("plan", "-v", "--detailed-exitcode")
        assert plan.code == 0, plan
        here = {row.split("   ")[0].strip(): row for row in plan.rows if row.startswith("= ")}
        for row in ("subvolume", "nocow", "defrag"):
            assert f"not applicable: on {kind}, not on Btrfs" in here[f"= {row} {image.parent}"]
        assert f"on {kind}, not on Btrfs" in here[f"= compression {other}/zip"]
        assert "on overlayfs, not on Btrfs" in here[f"= nocow {over_other}/vm"]
        assert "whose upper layer" in here[f"= nocow {over_btrfs}/vm"]
        assert f"not applicable: {kind}, not Btrfs" in here[f"= mount {other}"]
        assert "not applicable: overlay, not Btrfs" in here[f"= mount {over_btrfs}"]
        assert not takes_nocow(other)
        assert not takes_nocow(over_other)
        assert takes_nocow(over_btrfs)
        assert is_nocow(host.area / "ov" / "upper" / "tried")
        nothing_is_done(host, image, kind)
        assert FSTAB.read_text() == text
        assert not (over_btrfs / "vm").exists()


def nothing_is_done(host: World, image: Path, kind: str) -> None:
    """By apply and by hand; what is not applicable is not called in sync."""
    other = image.parents[1]
    before = sorted(other.rglob("*"))
    assert host.apply().row("Nothing to do: 8 not applicable.")
    assert host.vmtune("plan").line("more not applicable") == "= 3 more not applicable"
    status = host.vmtune("status")
    assert (status.code, "not set up yet" in status.out) == (0, False), status
    explained = host.vmtune("explain", str(image)).out
    assert f"a.raw: on {kind}, not on Btrfs" in explained
    assert "copy-on-write" not in explained
    for command in ("defrag", "measure"):
        ran = host.vmtune(command, str(image.parent))
        assert (ran.code, f"is on {kind}, not Btrfs" in ran.err) == (1, True), ran
    assert sorted(other.rglob("*")) == before
    assert image.read_bytes() == b"x" * 4096
