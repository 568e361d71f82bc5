"""Images of several files, as qemu-img(1) makes them and says what they are made of."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.btrfs.outside import is_nocow, run, sync
from tests.btrfs.world import World, until

MIB = 1 << 20


def create(path: Path, *options: str | Path, size: str = "16M") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    run("qemu-img", "create", "-q", *options, path, size)
    sync()
    return path


def over(path: Path, backing: str, kind: str = "qcow2") -> Path:
    """An overlay that names its backing file as given."""
    return create(path, "-f", "qcow2", "-b", backing, "-F", kind)


def chain(path: Path) -> list[Path]:
    """All files of an image, as QEMU follows them."""
    told = json.loads(run("qemu-img", "info", "--backing-chain", "--output=json", path))
    return [(path.parent / image["filename"]).resolve() for image in told]


@contextmanager
def served(path: Path) -> Iterator[int]:
    """A QEMU program that has an image open, with all that it is made of."""
    socket = f"/run/nbd-{path.name}"
    argv = ["qemu-nbd", "--persistent", "--socket", socket, "--format", "qcow2", str(path)]
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as process:
        try:
            until("qemu-nbd to serve", lambda: Path(socket).exists())
            yield process.pid
        finally:
            process.kill()


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


def test_none_of_its_files_is_rewritten_while_one_is_open(host: World, images: Path):
    """The overlay in use, what it stands on, and what else stands on that."""
    names = ("top.qcow2", "snap/mid.qcow2", "base.qcow2", "other.qcow2")
    with served(images / "top.qcow2") as pid:
        plan = host.plan(expect=2)
        for name in names[:3]:
            assert f"in use by qemu-nbd (pid {pid})" in plan.row(f"! images {images}/{name}")
        part = plan.row(f"! images {images}/other.qcow2")
        assert f"one image with base.qcow2, in use by qemu-nbd (pid {pid})" in part
        host.apply(expect=1)
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
    name = "a.vmdk" if "vmdk" in options else "a.img"  # a descriptor is known by its name
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
