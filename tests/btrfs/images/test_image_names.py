"""How an image may spell the name of another file: vmtune holds to what QEMU opens by it."""

from pathlib import Path

import pytest

from tests.btrfs.chained import chain, create, opened, over
from tests.btrfs.outside import is_nocow, run, sync
from tests.btrfs.world import World


@pytest.fixture
def folder(host: World) -> Path:
    """Two bases in it, and one below."""
    folder = host.area / "vm"
    for name in ("one.qcow2", "two.qcow2", "sub/three.qcow2"):
        create(folder / name, "-f", "qcow2")
    host.nocow(folder, existing="rewrite")
    return folder


def names(folder: Path, spelled: str) -> Path:
    spelled = spelled.replace("@", str(folder))
    return create(folder / "top.qcow2", "-u", "-f", "qcow2", "-b", spelled, "-F", "qcow2")


COMPARED = (
    'json:{"driver":"qcow2","file":{"driver":"blkverify","test":{"driver":"file",'
    '"filename":"@/one.qcow2"},"raw":{"driver":"file","filename":"two.qcow2"}}}'
)
DOTTED = (
    'json:{"driver":"qcow2","file.driver":"blkverify","file.test.driver":"file",'
    '"file.test.filename":"one.qcow2","file.raw.driver":"file",'
    '"file.raw.filename":"@/two.qcow2"}'
)


@pytest.mark.parametrize(
    ("spelled", "count"),
    [
        ("one.qcow2", 1),
        ("./one.qcow2", 1),
        ("sub/../sub/./three.qcow2", 1),
        ("@/sub/three.qcow2", 1),
        ("/@//sub//three.qcow2", 1),
        ("file:one.qcow2", 1),
        ("file:///@/one.qcow2", 1),
        ("blkdebug::one.qcow2", 1),
        ("blkdebug::blkdebug::@/one.qcow2", 1),
        ("blkverify:sub/three.qcow2:one.qcow2", 2),
        ("blkverify:@/one.qcow2:blkdebug::file:@/two.qcow2", 2),
        ('json:{"driver":"qcow2","file":{"driver":"file","filename":"@/one.qcow2"}}', 1),
        ("json:{'driver':'qcow2','file':{'driver':'file','filename':'@/one.qcow2'}}", 1),
        ("json: {'driver': \"qcow2\", 'file.filename': 'sub/three.qcow2'}", 1),
        (COMPARED, 2),
        (DOTTED, 2),
    ],
)
def test_what_qemu_opens_by_a_name(host: World, folder: Path, spelled: str, count: int):
    top = names(folder, spelled)
    files = opened(top)
    assert len(files) == count
    assert f" top.qcow2 and {count} backing file{'s' * (count != 1)}: " in host.plan(expect=2).out
    for file in files:
        with file.open("rb"):
            row = host.plan(expect=2).row(f"! images {top} ")
        assert f"one image together with {file.relative_to(folder)}, which is in use by" in row


@pytest.mark.parametrize(
    "spelled",
    [
        "nbd://127.0.0.1:9/one.qcow2",
        "nbd:unix:@/one.qcow2",
        "raw:one.qcow2",
        "json:{'driver':'qcow2','file':{'driver':'nbd','path':'@/one.qcow2'}}",
        'json:{"driver":"qcow2","file.filename":"\\ud800"}',
        'json:{"driver":"qcow2","file.filename":"one.qcow2"',
    ],
)
def test_what_names_no_file(host: World, folder: Path, spelled: str):
    top = names(folder, spelled)
    assert opened(top) == set()
    assert " top.qcow2: " in host.plan(expect=2).out


def test_a_name_ends_where_a_string_of_c_does(host: World, folder: Path):
    top = names(folder, "one.qcow2")
    image = bytearray(top.read_bytes())
    at = image.index(b"one.qcow2")
    image[at : at + 20] = b"one.qcow2".ljust(16, b"\0") + b"more"
    image[16:20] = (20).to_bytes(4, "big")
    top.write_bytes(image)
    sync()
    assert chain(top) == [top, folder / "one.qcow2"]
    assert " top.qcow2 and 1 backing file: " in host.plan(expect=2).out


@pytest.mark.parametrize(("kind", "length"), [("qcow", 1023), ("qed", 3801)])
def test_a_long_name(host: World, folder: Path, kind: str, length: int):
    name = "one.qcow2".rjust(length, "/").replace("//", "./")
    top = over(folder / "top.img", name, new=kind)
    assert len(chain(top)) == 2
    assert " top.img and 1 backing file: " in host.plan(expect=2).out


def test_a_link_means_the_file_it_leads_to(host: World, folder: Path):
    """A name leads to another link, and that one to the base in another directory."""
    (folder / "sub" / "newest").symlink_to("three.qcow2")
    (folder / "current").symlink_to(folder / "sub" / "newest")
    top = over(folder / "top.qcow2", "current")
    three = folder / "sub" / "three.qcow2"
    assert opened(top) == {three}
    with three.open("rb"):
        row = host.plan(expect=2).row(f"! images {top} ")
        assert "one image together with sub/three.qcow2, which is in use by" in row
        host.apply(expect=7)
        assert not is_nocow(top)
    assert " top.qcow2 and 1 backing file: " in host.plan(expect=2).out
    host.apply()
    assert is_nocow(top)
    run("qemu-io", "-r", "-c", "read 0 512", top)


def test_links_that_lead_nowhere(host: World, folder: Path):
    """In a circle, and out of the directory: nothing is looked at there."""
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")
    (folder / "out").symlink_to(host.area / "outside.qcow2")
    over(host.area / "outside.qcow2", str(folder / "one.qcow2"))
    create(folder / "circle.qcow2", "-u", "-f", "qcow2", "-b", "a", "-F", "qcow2")
    create(folder / "leaving.qcow2", "-u", "-f", "qcow2", "-b", "out", "-F", "qcow2")
    log = host.area / "trace"
    plan = host.vmtune("plan", under=["strace", "-f", "-qq", "-e", "trace=%file", "-o", log])
    assert " circle.qcow2 and 1 backing file: " in plan.out
    assert " leaving.qcow2 and 1 backing file: " in plan.out
    opens = [line for line in log.read_text().splitlines() if "readlink" not in line]
    assert "out" in log.read_text()
    assert not [line for line in opens if "outside.qcow2" in line]
