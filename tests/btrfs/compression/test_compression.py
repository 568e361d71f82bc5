"""Directories with a compression property, judged by getfattr, lsattr and compsize."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests import example
from tests.btrfs.outside import attributes, identity, is_nocow, run, sync
from tests.btrfs.world import ALICE, World
from tests.oracles import oracle

MIB = 1 << 20
ZEROS = b"vmtune " * (MIB // 7)


def setting(path: Path) -> str:
    """The property as getfattr(1) prints it; "" where there is none."""
    argv = ["getfattr", "--absolute-names", "--only-values", "-n", "btrfs.compression", path]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.stdout


def counts(path: Path) -> str:
    """What it amounts to: none is handed on as the attribute m alone."""
    return setting(path) or ("none" if "m" in attributes(path) else "")


def declared(host: World, path: Path | str, compression: str, **more: object) -> None:
    host.declare(paths=[{"path": str(path), "compression": compression, **more}])


def is_compressed(path: Path) -> bool:
    """Whether compsize(8) finds a compressed extent of a file that is written now."""
    path.write_bytes(ZEROS)
    sync()
    return bool(re.search(r"^(zstd|zlib|lzo) ", run("compsize", path), re.MULTILINE))


@pytest.mark.parametrize(
    ("mounted", "compression", "compressed"),
    [
        ("compress=zstd", "none", False),
        ("compress=zstd", "lzo", True),
        ("", "zstd", True),
        ("", "zlib", True),
        ("compress-force=zstd", "none", True),
    ],
)
@oracle(
    "compsize",
    "V801",
    "the filesystem is mounted without compression; this entry keeps it so here",
)
def test_new_files_are_as_declared(host: World, mounted: str, compression: str, compressed: bool):
    """But for compress-force, which overrides none, and the plan says so."""
    folder = host.image("data", mounted).path / "iso"
    declared(host, folder, compression)
    plan = host.plan(expect=2)
    assert ("V801" in plan.out) is mounted.startswith("compress-force")
    host.apply()
    assert setting(folder) == compression
    assert is_compressed(folder / "new.raw") is compressed
    (folder / "sub").mkdir()
    assert counts(folder / "sub") == compression
    host.plan(expect=7 if compressed and compression == "none" else 0)


def test_what_is_there_already_is_set_too(host: World):
    """Directories, empty files and images; what nocow excludes and what is immutable is left."""
    folder = host.area / "iso"
    (folder / "sub" / "deeper").mkdir(parents=True)
    (folder / "nocow").mkdir()
    run("chattr", "+C", folder / "nocow")
    image, empty, still = folder / "sub" / "a.raw", folder / "empty", folder / "still"
    image.write_bytes(ZEROS)
    (folder / "nocow" / "b.raw").write_bytes(ZEROS)
    empty.touch()
    still.touch()
    run("chattr", "+i", still)
    sync()
    try:
        before = identity(image)
        declared(host, folder, "none")
        plan = host.plan(expect=2)
        assert "4 without (empty, sub, sub/a.raw, ...)  ->  compression none" in plan.out
        assert "V808" in plan.out
        host.apply()
        for path in (folder, folder / "sub", folder / "sub" / "deeper", image, empty):
            assert setting(path) == "none", path
        assert (setting(still), setting(folder / "nocow")) == ("", "")
        assert is_nocow(folder / "nocow" / "b.raw")
        assert identity(image) == before
        host.plan(expect=0)
    finally:
        run("chattr", "-i", still)


def test_all_of_it_belongs_to_its_owner(host: World):
    home = host.alice()
    declared(host, "~alice/vm/iso", "zstd")
    host.apply()
    made = home / "vm" / "iso"
    assert [p.stat().st_uid for p in (made, made.parent)] == [ALICE, ALICE]
    assert setting(made) == "zstd"
    (made / "theirs").mkdir()
    os.chown(made / "theirs", ALICE, ALICE)
    declared(host, "~alice/vm/iso", "lzo")
    host.apply()
    assert (setting(made), setting(made / "theirs")) == ("lzo", "lzo")


@pytest.mark.parametrize(("letter", "wanted"), [("m", "none"), ("c", "zstd")])
def test_what_chattr_set_is_understood(host: World, letter: str, wanted: str):
    """`chattr +m` does what none does; `chattr +c` makes a property of the mount's choice."""
    folder = host.image("data", "compress=zstd").path / "iso"
    folder.mkdir()
    run("chattr", f"+{letter}", folder)
    declared(host, folder, wanted)
    assert "copy-on-write" not in host.plan(expect=0).out
    assert attributes(folder) == {letter}


def test_the_kernel_ignores_a_level(host: World):
    """It takes one, and hands on the name alone."""
    folder = host.area / "iso"
    folder.mkdir()
    run("btrfs", "property", "set", folder, "compression", "zstd:9")
    (folder / "sub").mkdir()
    assert (setting(folder), setting(folder / "sub")) == ("zstd:9", "zstd")
    declared(host, folder, "zstd")
    host.plan(expect=0)


def test_nocow_excludes_it(host: World):
    """In one entry it is an error, on the host it is refused unless the entry ends it."""
    folder = host.area / "iso"
    folder.mkdir()
    run("chattr", "+C", folder)
    declared(host, folder, "none")
    assert "V802" in host.plan(expect=7).out
    assert host.apply(expect=7)
    assert is_nocow(folder)
    declared(host, folder, "none", nocow=False)
    host.apply()
    assert (is_nocow(folder), setting(folder)) == (False, "none")
    host.plan(expect=0)
    declared(host, folder, "none", nocow=True)
    wrong = host.vmtune("plan")
    assert wrong.code == 1
    assert "vmtune.yaml:3:" in wrong.err
    assert "compression excludes nocow" in wrong.err


def test_from_one_to_the_other_and_back(host: World):
    folder = host.area / "iso"
    folder.mkdir()
    declared(host, folder, "zstd")
    host.apply()
    host.nocow(folder)
    host.apply()
    assert (is_nocow(folder), setting(folder)) == (True, "")
    assert host.vmtune("revert", "--yes").code == 0
    assert (is_nocow(folder), setting(folder)) == (False, "zstd")


def test_a_revert_says_what_stays(host: World):
    folder = host.area / "iso"
    (folder / "sub").mkdir(parents=True)
    declared(host, folder, "zstd")
    host.apply()
    ran = host.vmtune("revert", "--yes")
    assert ran.code == 0, ran
    assert "what is below keeps the compression property" in ran.out
    assert (setting(folder), setting(folder / "sub")) == ("", "zstd")


def test_a_nested_subvolume_is_named_and_not_entered(host: World):
    folder = host.area / "iso"
    folder.mkdir()
    run("btrfs", "subvolume", "create", folder / "pool")
    declared(host, folder, "zstd")
    assert "V803" in host.plan(expect=2).row("pool is a subvolume of its own")
    host.apply()
    assert setting(folder / "pool") == ""


@oracle(
    "compsize",
    "V701",
    "V807",
    "data that is compressed already stays compressed until it is rewritten",
)
def test_compressed_images_are_named_and_rewritten(host: World):
    """Property none, reads and a plain defragmentation leave them compressed."""
    folder = host.image("data", "compress=zstd").path / "iso"
    folder.mkdir()
    image = folder / "a.raw"
    assert is_compressed(image)
    content = image.read_bytes()
    declared(host, folder, "none")
    host.apply(expect=7)
    run("btrfs", "filesystem", "defragment", "-f", image)
    sync()
    assert "zstd" in run("compsize", image)
    assert "V701" in host.plan(expect=7).row(f"! compression {image}")
    declared(host, folder, "none", existing="keep")
    assert "1 file with data stays compressed" in host.plan(expect=0).out
    declared(host, folder, "none", existing="rewrite")
    host.apply()
    assert "zstd" not in run("compsize", image)
    assert image.read_bytes() == content
    assert (is_nocow(image), counts(image)) == (False, "none")
    host.plan(expect=0)
    assert not is_compressed(image)


@oracle("compsize", "V801", "V512")
def test_under_compress_force_too_images_are_rewritten_plain(host: World):
    folder = host.image("data", "compress-force=zstd").path / "iso"
    folder.mkdir()
    image = folder / "a.raw"
    assert is_compressed(image)
    declared(host, folder, "none", existing="rewrite")
    host.apply()
    assert "zstd" not in run("compsize", image)
    assert image.read_bytes() == ZEROS
    host.plan(expect=0)


def test_the_example_is_applied(host: World):
    """The paths of vmtune.yaml.example, with what is commented out there."""
    text = example.ENGLISH.read_text()
    text = text[text.index("\npaths:") : text.index("\n# --- Mount")]
    text = re.sub(r"(?m)^  # (?=- path|  (compression|existing):)", "  ", text)
    home = host.alice(host.image("data", "compress=zstd").path / "alice")
    cow, images = home / "libvirt" / "cow", home / "libvirt" / "images"
    cow.mkdir(parents=True)
    assert is_compressed(cow / "a.raw")
    host.config(text)
    images.mkdir()
    (images / "b.raw").write_bytes(ZEROS)
    sync()
    host.apply(SUDO_USER="alice")
    assert is_nocow(images / "b.raw")
    assert "zstd" not in run("compsize", cow / "a.raw")
    assert counts(cow) == "none"


def test_other_filesystems_have_no_such_property(host: World):
    declared(host, "/run/vm", "none")
    assert "not applicable" in host.plan(expect=0).out
