"""SELinux labels, as far as a kernel without SELinux goes: the policy's answer, and the attribute.

libselinux is the real one and reads a policy's file_contexts; the label is the extended attribute
that the kernel would go by. Missing is the kernel itself: that it labels new directories by its own
rules, and may refuse. That it is switched on is told by a file in /sys, which is put there.
"""

import json
import os
from pathlib import Path

import pytest

from reconciler.linux import inode, selinux
from tests import tiers
from tests.btrfs.outside import run
from tests.btrfs.sandbox import TOP
from tests.btrfs.world import World
from tests.oracles import oracle

LIBRARY = Path("/lib/x86_64-linux-gnu/libselinux.so.1")
IMAGES = "system_u:object_r:virt_image_t:s0"
POLICY = "targeted"
CUSTOM = "svirt_image_t\n"


@pytest.fixture
def policy(host: World):
    """Where a policy is loaded, its files are in /etc/selinux, and selinuxfs is mounted."""
    tiers.require("btrfs", [] if LIBRARY.exists() else ["libselinux"], ["libselinux1"])
    contexts = Path("/etc/selinux", POLICY, "contexts")
    (contexts / "files").mkdir(parents=True)
    Path("/etc/selinux/config").write_text(f"SELINUX=permissive\nSELINUXTYPE={POLICY}\n")
    (contexts / "customizable_types").write_text(CUSTOM)
    rules = [f"{host.area}/vm(/.*)?\t{IMAGES}", f"{host.area}/none\t<<none>>"]
    (contexts / "files" / "file_contexts").write_text("\n".join(rules) + "\n")
    aside = TOP / "t" / "sys-btrfs"
    aside.mkdir()
    run("mount", "--bind", "/sys/fs/btrfs", aside)
    run("mount", "-t", "tmpfs", "policy", "/sys/fs")
    for name in ("btrfs", "selinux"):
        Path("/sys/fs", name).mkdir()
    run("mount", "--bind", aside, "/sys/fs/btrfs")
    Path("/sys/fs/selinux/enforce").write_text("0")
    yield host
    run("umount", "-R", "/sys/fs")
    run("umount", aside)
    run("rm", "-rf", "/etc/selinux")


def label(path: Path) -> str:
    """As getfattr has it; "" without one."""
    shown = run("getfattr", "--absolute-names", "--only-values", "-n", "security.selinux", path)
    return shown.rstrip("\0")


def told(host: World) -> list[dict]:
    rows = json.loads(host.vmtune("doctor", "--json").out)["rows"]
    return [row for row in rows if row["code"] == "V538"]


@pytest.mark.parametrize("key", ["nocow", "subvolume", "compression"])
@oracle("getfattr", "V538")
def test_what_is_made_gets_the_label_of_the_policy(policy: World, key: str):
    images = policy.area / "vm" / "a" / "images"
    policy.declare(paths=[{"path": str(images), key: "none" if key == "compression" else True}])
    policy.apply()
    assert label(images) == label(images.parent) == label(policy.area / "vm") == IMAGES
    assert not told(policy)


def test_what_is_there_keeps_its_label_and_doctor_tells(policy: World):
    images = policy.area / "vm"
    images.mkdir()
    other = "system_u:object_r:virt_var_lib_t:s0"
    os.setxattr(images, "security.selinux", other.encode() + b"\0")
    policy.nocow(images)
    policy.apply()
    assert label(images) == other
    (row,) = told(policy)
    assert row["health"] == "warn"
    assert other in row["text"]
    assert IMAGES in row["text"]
    assert row["remedy"] == f"restorecon -R -v {images}"
    policy.declare(paths=[{"path": str(images), "nocow": True, "subvolume": True}])
    policy.apply()
    assert label(images) == other, "a directory that is turned keeps it"
    custom = "system_u:object_r:svirt_image_t:s0"
    os.setxattr(images, "security.selinux", custom.encode() + b"\0")
    assert not told(policy), "set by hand: restorecon leaves it, too"
    same = "staff_u:object_r:virt_image_t:s0"
    os.setxattr(images, "security.selinux", same.encode() + b"\0")
    assert not told(policy), "the policy goes by the type"


def test_what_the_policy_has_no_label_for_is_left_alone(policy: World):
    for name in ("none", "elsewhere"):
        policy.nocow(policy.area / name)
        policy.apply()
        assert "security.selinux" not in os.listxattr(policy.area / name)
        assert not told(policy)


def test_without_selinux_nothing_is_labelled(host: World):
    host.nocow(host.area / "vm")
    host.apply()
    assert "security.selinux" not in os.listxattr(host.area / "vm")
    assert not told(host)


def test_a_label_that_is_there_is_not_given_again(host: World):
    """SELinux may forbid to give even that; here it is chattr +i that forbids it."""
    old, new = (host.area / name for name in ("old", "new"))
    for path in (old, new):
        path.touch()
        os.setxattr(path, "security.selinux", IMAGES.encode())
    run("chattr", "+i", new)
    inode.hand_on(str(old), str(new), "security.selinux")
    os.setxattr(old, "security.selinux", b"another")
    with pytest.raises(PermissionError):
        inode.hand_on(str(old), str(new), "security.selinux")
    run("chattr", "-i", new)


@pytest.mark.usefixtures("policy")
def test_root_is_told_that_the_policy_may_be_behind_a_refusal():
    assert selinux.hint("x: Permission denied") == "", "it does not enforce"
    Path("/sys/fs/selinux/enforce").write_text("1")
    for why in ("Permission denied", "Operation not permitted"):
        assert selinux.hint(f"x: {why}").startswith("SELinux may have denied it to ")
    assert selinux.hint("x: No space left on device") == ""
