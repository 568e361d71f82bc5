"""Images rewritten on a real Btrfs: what is kept, and what is changed."""

import contextlib
import hashlib
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.btrfs.outside import fragments, is_nocow, run, sync
from tests.btrfs.rewriting import (
    GIB,
    KIB,
    MIB,
    Rewriter,
    allocated,
    beside,
    described,
    digest,
    extents,
    rewriter,
    written,
)
from tests.btrfs.world import ALICE, World


@pytest.fixture(scope="module")
def rewrite(_inside: None) -> Iterator[Rewriter]:
    with rewriter() as found:
        yield found


def _plain(path: Path) -> None:
    written(path, 3 * MIB + 77)


def _holes(path: Path) -> None:
    """Data at both ends of holes, the last block not whole."""
    written(path, 5 * MIB)
    written(path, 4 * KIB, at=20 * MIB)
    written(path, 300, at=40 * MIB)
    os.truncate(path, 64 * MIB + 1)


def _all_hole(path: Path) -> None:
    path.touch()
    os.truncate(path, 100 * MIB)


def _preallocated(path: Path) -> None:
    """Space never written: before data, between, and behind the end."""
    written(path, 1 * MIB, at=8 * MIB)
    run("fallocate", "-n", "-o", "1MiB", "-l", "2MiB", path)
    run("fallocate", "-n", "-o", "16MiB", "-l", "2MiB", path)
    run("fallocate", "-n", "-o", "32MiB", "-l", "1MiB", path)
    os.truncate(path, 20 * MIB)
    run("fallocate", "-n", "-o", "20MiB", "-l", "3MiB", path)


def _zeros(path: Path) -> None:
    """Blocks of zeros that are data, and stay so."""
    path.write_bytes(bytes(6 * MIB))


def _tiny(path: Path) -> None:
    path.write_bytes(b"inline")


SHAPES: dict[str, Callable[[Path], None]] = {
    "plain": _plain,
    "holes": _holes,
    "nothing but a hole": _all_hole,
    "preallocated": _preallocated,
    "zeros": _zeros,
    "tiny": _tiny,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_layout_of_data_and_holes_is_kept(host: World, rewrite: Rewriter, shape: str):
    image = host.area / "disk.raw"
    SHAPES[shape](image)
    sync()
    before, size = described(image), allocated(image)
    lies = [row for row in extents(image) if shape != "tiny"]
    rewrite.done(host.area)
    assert is_nocow(image)
    assert described(image) == before
    assert [row for row in extents(image) if shape != "tiny"] == lies
    assert allocated(image) <= max(size, 4 * KIB)
    assert beside(host.area) == []


def test_data_amid_preallocated_space_ends_in_one_piece(host: World, rewrite: Rewriter):
    """As qemu fills a qcow2 image: a cluster gets its space, and a part of it is written."""
    image = written(host.area / "disk.raw", 64 * KIB)
    for at in range(40 * 64 * KIB, 0, -64 * KIB):
        run("fallocate", "-o", str(at), "-l", "64KiB", image)
        written(image, 4 * KIB, at=at + 8 * KIB)
    assert fragments(image) > 30
    before, lies = described(image), extents(image)
    rewrite.done(host.area)
    assert (described(image), extents(image)) == (before, lies)
    assert fragments(image) == 1


def test_everything_about_the_file_is_kept(host: World, rewrite: Rewriter):
    image = written(host.area / "disk.raw", MIB)
    run("setfattr", "-n", "user.comment", "-v", "0xff00fe", image)
    run("setfattr", "-n", "trusted.note", "-v", "root's", image)
    run("setfattr", "-n", "security.selinux", "-v", "system_u:object_r:svirt_image_t:s0", image)
    run("chown", f"{ALICE}:{ALICE + 1}", image)
    run("setfacl", "-m", "u:65534:r,g:65534:rw", image)
    image.chmod(0o4751)
    run("chattr", "+dA", image)
    os.utime(image, ns=(1_000_000_007, -3_000_000_005))
    run("setfacl", "-d", "-m", "u:61007:rwx", host.area)  # not for what was closed to them
    before = described(image)
    assert "svirt_image_t" in str(before["attributes"])
    rewrite.done(host.area)
    assert is_nocow(image)
    assert described(image) == before


def test_a_directory_with_a_default_acl_opens_nothing(host: World, rewrite: Rewriter):
    image = written(host.area / "disk.raw", MIB)
    image.chmod(0o600)
    run("setfacl", "-d", "-m", "u:61007:rwx", host.area)
    before = described(image)
    rewrite.done(host.area)
    assert described(image) == before
    assert "61007" not in str(before["acl"])


def test_an_image_shared_with_three_snapshots(host: World, rewrite: Rewriter):
    folder = Path(run("realpath", host.area / ".").strip()) / "vm"
    run("btrfs", "subvolume", "create", folder)
    image = written(folder / "disk.raw", 4 * MIB)
    for number in range(3):
        run("btrfs", "subvolume", "snapshot", "-r", folder, host.area / f"snapshot{number}")
        written(image, 64 * KIB, seed=number + 2, at=number * MIB)
    sync()
    was, olds = digest(image), [digest(host.area / f"snapshot{n}/disk.raw") for n in range(3)]
    assert any("shared" in flags for _, _, flags in extents(image))
    rewrite.done(folder)
    assert is_nocow(image)
    assert digest(image) == was
    assert not any("shared" in flags for _, _, flags in extents(image))
    assert [digest(host.area / f"snapshot{n}/disk.raw") for n in range(3)] == olds
    assert len(set(olds)) == 3


@pytest.mark.parametrize("aim", ["nocow", "plain"])
@pytest.mark.parametrize("options", ["compress=zstd", "compress-force=zstd"])
def test_a_compressed_image(host: World, rewrite: Rewriter, aim: str, options: str):
    """Also where the filesystem compresses whatever is written: DOMAIN's precedence."""
    disk = host.image("packed", options)
    folder = disk.path / "vm"
    folder.mkdir()
    image = folder / "disk.raw"
    image.write_bytes(b"squeeze me " * 600_000)
    if aim == "plain" and "force" not in options:
        run("btrfs", "property", "set", folder, "compression", "none")
    sync()
    assert all("encoded" in flags for _, _, flags in extents(image))
    before = described(image)
    rewrite.done(folder, aim)
    sync()
    assert described(image) == before
    assert is_nocow(image) is (aim == "nocow")
    assert not any("encoded" in flags for _, _, flags in extents(image))
    rewrite.done(folder, aim)


def test_an_own_compression_property_goes(host: World, rewrite: Rewriter):
    image = host.area / "disk.raw"
    image.touch()
    run("btrfs", "property", "set", image, "compression", "zstd")
    image.write_bytes(b"squeeze me " * 100_000)
    sync()
    was = digest(image)
    rewrite.done(host.area)
    assert digest(image) == was
    assert is_nocow(image)
    assert run("btrfs", "property", "get", image, "compression").strip() == ""


def test_150_000_fragments_become_few(host: World, rewrite: Rewriter):
    """Every second block first, then the others, each written out on its own."""
    image = host.area / "disk.raw"
    block, count = 4 * KIB, 152_000
    with open(image, "wb") as file:
        for first in (0, 1):
            for number in range(first, count, 2):
                os.pwrite(file.fileno(), number.to_bytes(8, "big") * 512, number * block)
            os.fsync(file.fileno())
    assert fragments(image) > 150_000
    was = digest(image)
    rewrite.done(host.area)
    assert digest(image) == was
    assert fragments(image) < 20


def test_4_gib_with_data_in_many_small_stretches(host: World, rewrite: Rewriter):
    """Stretches of 4 KiB to 512 KiB, and holes of all sizes between them: far more than half."""
    image, chance = host.area / "disk.raw", random.Random(7)  # noqa: S311 - sizes
    at, data = 0, chance.randbytes(2 * MIB)
    with open(image, "wb") as file:
        file.truncate(4 * GIB)
        while at < 4 * GIB:
            length, begin = 4 * KIB << chance.randrange(8), chance.randrange(MIB)
            os.pwrite(file.fileno(), data[begin : begin + length], at)
            at += length + (64 * KIB << chance.randrange(8))
        os.fsync(file.fileno())
    status, lies, was = image.stat(), extents(image), _digest_of_data(image)
    assert 150 * MIB < allocated(image) < 400 * MIB
    assert len(lies) > 1000
    rewrite.done(host.area)
    assert is_nocow(image)
    assert extents(image) == lies
    assert _digest_of_data(image) == was
    assert (image.stat().st_size, allocated(image)) == (status.st_size, status.st_blocks * 512)


def _digest_of_data(path: Path) -> str:
    """Of where data is and what it is: to read gigabytes of holes too takes a minute."""
    found, at = hashlib.sha256(), 0
    with open(path, "rb") as file, contextlib.suppress(OSError):  # ENXIO: no more of it
        while True:
            start = os.lseek(file.fileno(), at, os.SEEK_DATA)
            at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            found.update(b"%d %d" % (start, at) + os.pread(file.fileno(), at - start, start))
    return found.hexdigest()


def test_many_images_in_many_folders(host: World, rewrite: Rewriter):
    images = []
    for number in range(150):
        folder = host.area / f"pool{number % 7}" / ("deep" if number % 2 else "")
        folder.mkdir(parents=True, exist_ok=True)
        images.append(written(folder / f"{number}.raw", 1000 + 700 * number, seed=number))
    (host.area / "kept.raw").write_bytes(b"spared" * 1000)
    (host.area / "apart").mkdir()
    (host.area / "apart" / "other.raw").write_bytes(b"apart" * 1000)
    before = {image: described(image) for image in images}
    ended = rewrite(host.area, spared=["kept.raw"], apart=[str(host.area / "apart")])
    assert (ended.how, ended.had, ended.left) == ("done", 150, 0), ended
    for image in images:
        assert is_nocow(image)
        assert described(image) == before[image]
    assert not is_nocow(host.area / "kept.raw")
    assert not is_nocow(host.area / "apart" / "other.raw")
    assert beside(host.area) == []


def test_twice_is_once(host: World, rewrite: Rewriter):
    image = written(host.area / "disk.raw", MIB)
    rewrite.done(host.area)
    inode = image.stat().st_ino
    rewrite.done(host.area)
    assert image.stat().st_ino == inode
