"""Copies that only a person can judge: later plans name them until somebody has decided."""

import json
import os
import threading
from pathlib import Path

import pytest

from tests.btrfs.images.test_rewrite_late import exchanged, found_before, opened
from tests.btrfs.outside import is_nocow, run
from tests.btrfs.rewriting import MIB, beside, rewriter, written
from tests.btrfs.world import World


def _opened_twice(folder: Path, image: Path) -> Path:
    """One program writes to the old file, one to the new: the copy that is kept and named."""
    inode, found = image.stat().st_ino, found_before(image)
    with rewriter() as rewrite:
        rewrite.begin(folder)
        exchanged(image, inode)
        pairs = ((found, b"<early>"), (found_before(image), b"<late>"))
        comers = [threading.Thread(target=opened, args=pair) for pair in pairs]
        for comer in comers:
            comer.start()
        for comer in comers:
            comer.join()
        ended = rewrite.end()
    assert ended.how == "refused", ended
    (kept,) = [path for path in folder.iterdir() if path != image]
    assert repr(kept.name) in ended.message
    return kept


@pytest.mark.parametrize("name", ["disk.raw", "\u56fd" * 84 + ".qc", "x" * 255], ids=len)
def test_the_second_copy_is_named_until_somebody_decides(host: World, name: str):
    """Whatever the length of the image's name: 255 bytes are the most there are."""
    folder = host.area / "vm"
    folder.mkdir()
    run("chattr", "+C", folder)
    image = written(host.area / "new", 2 * MIB).rename(folder / name)
    host.nocow(folder, existing="rewrite")
    kept = _opened_twice(folder, image)
    assert {path.read_bytes()[:5] for path in (image, kept)} == {b"<earl", b"<late"}
    for code in (2, 7):  # the image itself is rewritten by the first of the two
        row = host.plan(expect=code).row(f"! images {kept}")
        assert f"a second copy of {name[:60]}" in row
        assert "V711" in row
        assert "both were opened as it was rewritten" in row
        assert host.vmtune("status").code == code
        host.apply(expect=7)
    assert kept.read_bytes().startswith(b"<late>")
    assert is_nocow(image)  # the one under the name was rewritten by then
    document = json.loads(host.vmtune("plan", "--json").out)
    assert "V711" in json.dumps(document)
    assert "quarter of a second" in " ".join(host.vmtune("explain", "V711").out.split())
    kept.rename(host.area / "looked-at")
    host.plan(expect=0)


def test_a_copy_of_the_second_copy_is_a_file_like_any_other(host: World):
    """The number in the name is its inode's: who puts it elsewhere by hand has decided."""
    folder = host.area / "vm"
    folder.mkdir()
    run("chattr", "+C", folder)
    written(folder / "disk.raw.opened-meanwhile-4711", MIB)
    host.nocow(folder, existing="rewrite")
    host.plan(expect=0)


@pytest.mark.parametrize("call", ["renameat2", "unlinkat"])
def test_a_stray_that_was_written_to_is_named_until_somebody_decides(host: World, call: str):
    folder = host.area / "vm"
    folder.mkdir()
    run("chattr", "+C", folder)
    image = written(host.area / "new", MIB).rename(folder / "disk.raw")
    host.nocow(folder, existing="rewrite")
    under = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={call}:signal=KILL"]
    killed = host.vmtune("apply", "--yes", under=under)
    assert killed.code != 0
    (stray,) = map(Path, beside(folder))
    with open(stray, "r+b") as file:
        file.write(b"theirs")
        os.fsync(file.fileno())
    host.apply(expect=7)
    for _ in range(2):
        row = host.plan(expect=7).row(f"! images {stray}")
        assert "V710" in row
        assert "it was written to since it was copied" in row
        assert "compare it with the image; keep what you need" in host.plan(expect=7).out
        host.apply(expect=7)
    assert stray.read_bytes()[:6] == b"theirs"
    assert is_nocow(image)
    stray.unlink()
    host.plan(expect=0)
