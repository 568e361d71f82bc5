"""What a subvolume means beyond snapshots: backups, what it inherits, a rollback around it."""

import json
from pathlib import Path

import pytest

from tests import tiers
from tests.btrfs.outside import run
from tests.btrfs.world import NOBODY, World
from tests.documents import as_typed
from tests.oracles import oracle

SNAPPER = Path("/etc/snapper/configs/root")


def in_archive(host: World, program: str) -> set[str]:
    """The names that a backup takes along which stays on one filesystem."""
    tiers.judge(program, program)
    line = {
        "tar": as_typed("tar --one-file-system", "tar --one-file-system -cf - . | tar -t"),
        "rsync": as_typed("rsync -x", "rsync -x --recursive --list-only . | sed 's/.* //'"),
    }[program]
    names = run("sh", "-c", line, cwd=host.area).split()
    return {name.removeprefix("./") for name in names}


@pytest.mark.parametrize("program", ["tar", "rsync"])
@oracle("tar", "V623")
def test_a_backup_that_stays_on_one_filesystem_is_told_before(host: World, program: str):
    images = host.area / "vm"
    images.mkdir()
    (images / "a.raw").write_bytes(b"image")
    host.declare(paths=[{"path": str(images), "subvolume": True}])
    assert "vm/a.raw" in in_archive(host, program)
    assert "Name this directory to these programs" in host.plan(expect=2).row("V623")
    host.apply()
    assert "vm/a.raw" not in in_archive(host, program), "the oracle: what the sentence says is so"
    assert "V623" not in host.plan().out


@pytest.mark.parametrize("sets", [("chattr", "+C"), ("btrfs", "property", "set")])
@oracle("lsattr", "V624: a directory made here would inherit")
def test_what_a_new_subvolume_does_not_inherit(host: World, sets: tuple[str, ...]):
    nocow = sets[0] == "chattr"
    run(*sets, host.area, *([] if nocow else ["compression", "zstd"]))
    (host.area / "plain").mkdir()
    asked = "nocow" if nocow else "compression"
    new = {"path": str(host.area / "vm"), "subvolume": True}
    host.declare(paths=[new])
    row = host.plan(expect=2).row("V624")
    assert f"inherit {asked}" in row
    host.apply()
    assert inherits(host.area / "plain", asked)
    assert not inherits(host.area / "vm", asked), "the oracle: lsattr, btrfs property"
    host.declare(paths=[{**new, asked: True if nocow else "zstd"}])
    assert "V624" not in host.plan(expect=2).out
    host.apply()
    assert inherits(host.area / "vm", asked)


@oracle("getfacl", "V624: Set the ACL again with `setfacl -d`")
def test_a_new_subvolume_has_no_acl_from_around_it(host: World):
    run("setfacl", "-d", "-m", f"u:{NOBODY}:rwx", host.area)
    (host.area / "plain").mkdir()
    for entry in ({"nocow": True}, {}):
        host.declare(paths=[{"path": str(host.area / "vm"), "subvolume": True, **entry}])
        assert "default ACL" in host.plan(expect=2).row("V624")
    host.apply()
    shown = {name: run("getfacl", "-p", host.area / name) for name in ("plain", "vm")}
    assert "default:user:" in shown["plain"]
    assert "default:" not in shown["vm"], "the oracle: getfacl"
    host.plan()


def inherits(path: Path, asked: str) -> bool:
    if asked == "nocow":
        return "C" in run("lsattr", "-d", path).split()[0]
    return "zstd" in run("btrfs", "property", "get", path, "compression")


def test_below_one_that_is_made_nothing_is_inherited_and_a_cut_off_run_ends_alike(host: World):
    """The directory on the way lies in a new subvolume, which is not nocow though its parent is."""
    run("chattr", "+C", host.area)
    top, deep = host.area / "own", host.area / "own" / "a" / "b"
    entries = [{"path": str(top), "subvolume": True}, {"path": str(deep), "nocow": True}]
    host.declare(paths=entries)
    shown = host.plan(expect=2).out
    host.vmtune("apply", "--yes", str(top))
    assert f"{deep.parent}   missing  ->  copy-on-write, owner root, mode 0755" in shown
    host.apply()
    assert not inherits(deep.parent, "nocow")
    assert inherits(deep, "nocow")


def test_cut_off_above_a_gap_and_taken_back(host: World):
    top = host.area / "vm"
    top.mkdir()
    run("chattr", "+C", top)
    deep = top / "a" / "b"
    entries = [{"path": str(top), "nocow": False}, {"path": str(deep), "nocow": True}]
    host.declare(paths=entries)
    host.vmtune("apply", "--yes", str(top))
    assert not inherits(top, "nocow")
    host.apply()
    assert not inherits(deep.parent, "nocow")
    assert inherits(deep, "nocow")
    for run_number in ("2", "1"):
        assert host.vmtune("revert", run_number, "--yes").code == 0
    assert inherits(top, "nocow")
    assert not deep.parent.exists()


@pytest.fixture
def rolling(host: World):
    """Have snapper keep snapshots of what is around ``host.area``."""
    SNAPPER.parent.mkdir(parents=True, exist_ok=True)
    yield host
    run("rm", "-rf", "/etc/snapper")


def rows(host: World, code: str) -> list[dict]:
    ran = host.vmtune("doctor", "--json")
    return [row for row in json.loads(ran.out)["rows"] if row["code"] == code]


def test_doctor_tells_what_a_rollback_would_leave(rolling: World):
    host = rolling
    image = host.image("disk")
    root = image.path.with_name("root")
    image.subvolume("@")
    image.mount(root, "subvol=@")
    images = root / "vm"
    host.declare(paths=[{"path": str(images), "subvolume": True}])
    host.apply()
    assert not rows(host, "V535"), "nothing rolls it back"
    SNAPPER.write_text(f'SUBVOLUME="{root}"\n')
    (row,) = rows(host, "V535")
    assert row["health"] == "warn"
    assert "snapper" in row["text"]
    assert "/etc/fstab" in row["remedy"]
    # At the top level, with a line of its own, it stays where it is.
    run("btrfs", "subvolume", "delete", images)
    images.mkdir()
    image.subvolume("@vm")
    image.mount(images, "subvol=@vm")
    assert not rows(host, "V535")
    # Mounted, but from inside of what is rolled back.
    run("umount", images)
    image.subvolume("@/inner")
    image.mount(images, "subvol=@/inner")
    assert rows(host, "V535")
