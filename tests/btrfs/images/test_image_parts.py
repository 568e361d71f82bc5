"""Images of several files, as qemu-img(1) makes them and says what they are made of."""

import os
from pathlib import Path

import pytest

from tests.btrfs.chained import chain, create, over, served
from tests.btrfs.outside import is_nocow, run, sync
from tests.btrfs.world import World
from tests.oracles import oracle

MIB = 1 << 20


@pytest.fixture
def images(host: World) -> Path:
    """Two overlays, one on a snapshot between, over one base; and one that is alone."""
    folder = host.area / "vm"
    base = create(folder / "base.qcow2", "-f", "qcow2")
    run("qemu-io", "-c", "write -P 7 0 4M", base)
    over(folder / "snap" / "mid.qcow2", "../base.qcow2")
    over(folder / "top.qcow2", "snap/mid.qcow2")
    over(folder / "other.qcow2", str(base))
    create(folder / "alone.raw", "-f", "raw").write_bytes(os.urandom(MIB))
    sync()
    host.nocow(folder, existing="rewrite")
    return folder


def test_a_chain_is_one_image(host: World, images: Path):
    assert len(chain(images / "top.qcow2")) == 3
    assert len(chain(images / "other.qcow2")) == 2
    plan = host.plan(expect=2).out
    assert "top.qcow2 and 2 backing files: " in plan
    assert "other.qcow2 and 1 backing file: " in plan
    assert "alone.raw: " in plan
    assert "mid.qcow2: " not in plan
    assert "base.qcow2: " not in plan


@oracle("qemu-img", "V705")
def test_none_of_its_files_is_rewritten_while_one_is_open(host: World, images: Path):
    """The overlay in use, what it stands on, and what else stands on that."""
    names = ("top.qcow2", "snap/mid.qcow2", "base.qcow2", "other.qcow2")
    with served(images / "top.qcow2") as pid:
        plan = host.plan(expect=2)
        for name in names[:3]:
            assert f"in use by qemu-nbd (pid {pid})" in plan.row(f"! images {images}/{name}")
        part = plan.row(f"! images {images}/other.qcow2")
        assert (
            f"one image together with base.qcow2, which is in use by qemu-nbd (pid {pid})" in part
        )
        host.apply(expect=7)
        assert [is_nocow(images / name) for name in (*names, "alone.raw")] == [False] * 4 + [True]
    host.apply()
    for name in names:
        assert is_nocow(images / name)
        run("qemu-img", "check", "-q", images / name)
    assert len(chain(images / "top.qcow2")) == 3
    run("qemu-io", "-r", "-c", "read -P 7 0 4M", images / "top.qcow2")


def test_a_part_that_is_nocow_already_counts(host: World, images: Path):
    base = images / "base.qcow2"
    (images / "new").touch()
    run("chattr", "+C", images / "new")
    (images / "new").write_bytes(base.read_bytes())
    (images / "new").rename(base)
    with base.open("rb"):
        row = host.plan(expect=2).row(f"! images {images}/other.qcow2")
    assert "V705" in row
    assert f"(pid {os.getpid()})" in row


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-f", "qcow2", "-o", "data_file=a.data,data_file_raw=on"], "a.img and 1 data file: "),
        (["-f", "vmdk", "-o", "subformat=twoGbMaxExtentSparse"], "a.vmdk and 1 extent: "),
        (["-f", "vmdk", "-o", "subformat=monolithicSparse"], "a.vmdk: "),
        (["-f", "qcow2", "-o", "compat=0.10"], "a.img: "),
        (["-f", "raw"], "a.img: "),
    ],
)
def test_other_images_of_several_files(host: World, options: list[str], words: str):
    folder = host.area / "vm"
    folder.mkdir()
    name = "a.vmdk" if "vmdk" in options else "a.img"  # as the names of its extents go by it
    run("qemu-img", "create", "-q", *options, name, "16M", cwd=folder)
    sync()
    host.nocow(folder, existing="rewrite")
    assert words in host.plan(expect=2).out


def test_what_an_image_names_is_not_opened(host: World):
    """It may come from anyone: a plan looks at nothing outside the declared directory."""
    outside = host.area / "outside.raw"
    outside.write_bytes(b"x" * MIB)
    folder = host.area / "vm"
    create(folder / "a.qcow2", "-u", "-f", "qcow2", "-b", outside, "-F", "raw")
    create(folder / "b.qcow2", "-u", "-f", "qcow2", "-b", "nbd://localhost:1/x", "-F", "raw")
    host.nocow(folder, existing="rewrite")
    log = folder.parent / "trace"
    under = ["strace", "-f", "-qq", "-e", "trace=%file,network", "-o", log]
    plan = host.vmtune("plan", under=under)
    assert "a.qcow2 and 1 backing file: " in plan.out
    assert " b.qcow2: " in plan.out
    assert "a.qcow2" in log.read_text()
    assert "outside.raw" not in log.read_text()
    assert "localhost" not in log.read_text()
