"""What a rollback leaves behind: an empty stub, told in the same words by every command."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.btrfs.outside import run
from tests.btrfs.world import NOBODY, Image, World
from tests.oracles import oracle

REFUSED, LEFT = 7, 7
"""Exit codes where all rows that are left are refused: of a plan or status, and of an apply."""
STUB = "is an empty stub: the subvolume that was here is now at @_bad/srv/vm (subvolume id {})"


@dataclass
class RolledBack:
    """``root`` is mounted from @, which was put back; ``path`` had a subvolume of images."""

    image: Image
    root: Path
    identifier: str

    @property
    def path(self) -> Path:
        return self.root / "srv" / "vm"

    @property
    def words(self) -> str:
        return STUB.format(self.identifier)


@pytest.fixture
def back(host: World) -> RolledBack:
    image = host.image("disk")
    run("mkdir", "-p", image.subvolume("@") / "srv")
    path = image.subvolume("@/srv/vm")
    run("chattr", "+C", path)
    (path / "a.raw").write_bytes(os.urandom(1 << 20))
    root = image.mount(image.path.with_name("root"), "subvol=@")
    path = root / "srv" / "vm"
    entry = {"path": str(path), "nocow": True, "existing": "keep", "subvolume": True}
    host.declare(paths=[entry])
    identifier = run("btrfs", "inspect-internal", "rootid", path).strip()
    run("btrfs", "subvolume", "snapshot", "-r", image.path / "@", image.path / "snap")
    run("umount", root)
    (image.path / "@").rename(image.path / "@_bad")
    run("btrfs", "subvolume", "snapshot", image.path / "snap", image.path / "@")
    image.mount(root, "subvol=@")
    assert path.stat().st_ino == 2
    return RolledBack(image, root, identifier)


def test_it_is_said_before(host: World):
    """When the subvolume is to be made, and by no plan after that."""
    host.declare(paths=[{"path": str(host.area / "vm"), "subvolume": True}])
    assert "rollback" in host.plan(expect=2).row("V621")
    host.apply()
    assert "V621" not in host.plan().out
    assert (
        "A rollback puts a snapshot in the place of the subvolume around it"
        in host.vmtune("explain", "subvolume").out
    )


def test_every_command_says_where_it_is(host: World, back: RolledBack):
    entry = {"path": str(back.path), "nocow": True, "existing": "keep", "subvolume": True}
    host.declare(paths=[entry], defrag=[{"path": str(back.path), "schedule": "@daily"}])
    plan = host.plan(expect=REFUSED)
    for kind in ("subvolume", "nocow", "defrag"):
        row = plan.row(f"! {kind} {back.path}")
        assert back.words in row
        assert "V114" in row
    status = host.vmtune("status")
    assert status.code == REFUSED
    assert status.out.splitlines()[2].startswith(
        "Not all is as declared, and `vmtune apply` cannot"
    )
    assert back.words in status.row("! nocow")
    explained = host.vmtune("explain", str(back.path))
    assert back.words in explained.row("! nocow")
    for ran in (
        host.vmtune("explain", str(back.path / "a.raw")),
        host.vmtune("defrag", str(back.path)),
        host.vmtune("measure", str(back.path)),
    ):
        assert ran.code == 1
        assert back.words in ran.err
    doctor = host.vmtune("doctor", "--json")
    assert doctor.code == 1
    (row,) = (row for row in json.loads(doctor.out)["rows"] if row["code"] == "V114")
    assert row["health"] == "fail"
    assert back.words in row["text"]
    assert all("ioctl" not in each.out + each.err for each in (plan, status, explained, doctor))
    host.apply(expect=LEFT)


def test_other_declarations(host: World, back: RolledBack):
    for entry in (
        {"compression": "none"},
        {"nocow": False},
        {"nocow": True, "existing": "rewrite"},
    ):
        host.declare(paths=[{"path": str(back.path), **entry}])
        assert back.words in host.plan(expect=REFUSED).row("! ")
    host.nocow(back.path / "deeper" / "still")
    assert back.words in host.plan(expect=REFUSED).row("! nocow")


@pytest.mark.parametrize("entry", [{"nocow": True}, {"compression": "none"}, {"subvolume": True}])
def test_a_stub_below_a_declared_directory(host: World, back: RolledBack, entry: dict):
    """What was in it is not below the directory any more, and a plan that is silent hides that."""
    top = back.path.parent
    host.declare(paths=[{"path": str(top), "existing": "rewrite", **entry}])
    assert back.words in host.plan(expect=REFUSED if "subvolume" in entry else 2).out
    host.apply(expect=LEFT if "subvolume" in entry else 0)
    assert back.words in host.vmtune("status", "-v").out
    assert back.words not in host.vmtune("defrag", str(top)).err


def test_revert_of_what_was_done_before(host: World, back: RolledBack):
    bad, snap = back.image.path / "@_bad", back.image.path / "again"
    run("chattr", "-C", bad / "srv" / "vm")
    host.nocow(bad / "srv" / "vm", existing="keep")
    host.apply()
    run("btrfs", "subvolume", "snapshot", bad, snap)
    bad.rename(back.image.path / "worse")
    snap.rename(bad)
    ran = host.vmtune("revert", "--yes")
    assert "is now at worse/srv/vm" in ran.out
    assert "ioctl" not in ran.out + ran.err


def test_who_is_not_root_is_told_what_it_is(host: World, back: RolledBack):
    row = host.plan(expect=REFUSED, user=NOBODY).row("! nocow")
    assert f"{back.path} is an empty stub: a snapshot or a rollback left it" in row
    assert "empty stub" in host.vmtune("defrag", str(back.path), user=NOBODY).err


def test_in_a_read_only_snapshot(host: World, back: RolledBack):
    host.nocow(back.image.path / "snap" / "srv" / "vm")
    assert back.words in host.plan(expect=REFUSED).row("! nocow")


@pytest.mark.parametrize("deleted", [False, True])
@oracle("btrfs", "V114: is deleted", "V114: is now at")
def test_the_old_root_is_moved_or_deleted(host: World, back: RolledBack, *, deleted: bool):
    bad = back.image.path / "@_bad"
    if deleted:
        run("btrfs", "subvolume", "delete", bad / "srv" / "vm")
        run("btrfs", "subvolume", "delete", bad)
        row = host.plan(expect=REFUSED).row("! nocow")
        assert f"(id {back.identifier}) is deleted" in row
        assert f"ID {back.identifier} " not in listed(back)
        back.path.rmdir()
        host.apply()
    else:
        run("mkdir", back.image.path / "old")
        bad.rename(back.image.path / "old" / "it's bad")
        row = host.plan(expect=REFUSED).row("! nocow")
        assert f"old/it's bad/srv/vm (subvolume id {back.identifier})" in row
        line = next(x for x in listed(back).splitlines() if f"ID {back.identifier} " in x)
        assert line.endswith("path old/it's bad/srv/vm")


def listed(back: RolledBack) -> str:
    return run("btrfs", "subvolume", "list", back.image.path)


def test_mounting_it_here_is_a_way_out(host: World, back: RolledBack):
    host.fstab(back.image.line("subvol=/@_bad/srv/vm", back.path))
    assert "V108" in host.plan(expect=REFUSED).row("! nocow"), "it is no longer about the stub"
    run("mount", back.path)
    host.plan()
    assert (back.path / "a.raw").exists()


def test_moving_it_here_is_a_way_out(host: World, back: RolledBack):
    back.path.rmdir()
    top = back.image.mount(back.root.with_name("top"), "subvolid=5")
    (top / "@_bad" / "srv" / "vm").rename(top / "@" / "srv" / "vm")
    host.plan()
    assert (back.path / "a.raw").exists()
