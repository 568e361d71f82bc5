"""Root whom a policy denies what the kernel shows to root: no sentence speaks of root then.

The policy is one that is there on every kernel: a capability that is gone, and a user namespace.
"""

import errno
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.btrfs.outside import run
from tests.btrfs.world import NOBODY, World
from tests.oracles import oracle

FSTAB = Path("/etc/fstab")
WAYS = {
    "capability": ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"],
    "namespace": ["unshare", "--user", "--map-root-user", "--mount"],
}
DENIED = "vmtune, as root, was not allowed to {} (SELinux, a container or another policy)"
OF_ROOT = re.compile(r"only root|[Rr]oot (can|sees)|sudo|root may(?! look at every mount)")
"""What is said to others than root; the remedy of V715 says where, and not who."""


def layout(host: World) -> None:
    """A snapshot with a stub in it, a directory to be turned, a limit above, a line in fstab."""
    image = host.image("data", "compress=lzo")
    at = image.subvolume("@")
    for name in ("vms", "turned"):
        (at / name).mkdir()
    run("btrfs", "subvolume", "create", at / "inner")
    run("btrfs", "subvolume", "snapshot", at, image.path / "snap")
    run("btrfs", "quota", "enable", image.path)
    run("btrfs", "qgroup", "create", "1/1", image.path)
    run("btrfs", "qgroup", "limit", "600M", "1/1", image.path)
    host.fstab(image.line("compress=lzo,subvol=/"))
    host.declare(
        paths=[
            {"path": str(at / "vms"), "nocow": True},
            {"path": str(at / "turned"), "subvolume": True},
            {"path": str(at / "new"), "subvolume": True},
            {"path": str(image.path / "snap" / "inner"), "nocow": True},
        ],
        mounts=[{"target": str(image.path), "options": {"compress": "no"}}],
    )


@oracle(
    "btrfs",
    "see whether there are snapshots of its subvolume",
    "V103: see whether there are snapshots of its subvolume",
    "V622: see whether it will be outside of limits of qgroups",
)
@pytest.mark.parametrize("way", WAYS)
def test_root_who_is_denied_is_told_so(host: World, way: str):
    """The kernel denies it to btrfs-progs as well, as root and in the same words."""
    layout(host)
    under = WAYS[way]
    listed = ["btrfs", "subvolume", "list", str(host.area)]
    ran = subprocess.run([*under, *listed], capture_output=True, text=True, check=False)
    assert "Operation not permitted" in ran.stderr
    subprocess.run(listed, capture_output=True, check=True)
    plan = host.vmtune("plan", under=under)
    shown = {name: host.vmtune(name, under=under) for name in ("doctor", "status", "init")}
    for each in (plan, *shown.values()):
        assert not OF_ROOT.search(each.out + each.err), each
    snapshots = DENIED.format("see whether there are snapshots of its subvolume")
    assert f"{snapshots}; `apply` is not allowed to either" in plan.row("~ nocow")
    assert DENIED.format("see where the subvolume is now") in plan.row("! nocow")
    assert DENIED.format("see whether it will be outside of limits of qgroups") in plan.out
    assert "was not allowed to look into" in plan.row("? subvolume")
    assert "was not allowed to see whether there are any of" in shown["doctor"].out
    assert "was not allowed to see whether limits of qgroups count" in shown["doctor"].out
    assert "was not allowed to" not in host.vmtune("plan").out + host.vmtune("doctor").out


@oracle("mount(8)", "{}; `apply` writes no line that the kernel was not asked about")
def test_nothing_is_written_that_the_kernel_was_not_asked_about(host: World):
    """Neither live nor in the file: the words of the plan hold for apply."""
    image = host.image("data", "compress=lzo")
    line = image.line("compress=lzo")
    host.fstab(line)
    host.mounts(image.path, compress="no")
    asked = DENIED.format("ask the kernel whether it takes this")
    told = f"{asked}; `apply` writes no line that the kernel was not asked about"
    assert told in host.vmtune("plan", under=WAYS["capability"]).out
    again = [*WAYS["capability"], "mount", "-o", "remount,compress=no", str(image.path)]
    refused = subprocess.run(again, capture_output=True, text=True, check=False)
    assert "permission denied" in refused.stderr
    ran = host.apply(expect=3, under=WAYS["capability"])
    assert DENIED.format(f"set compress=no on {image.path}") in ran.err
    assert FSTAB.read_text() == line
    run("umount", image.path)
    ran = host.apply(expect=3, under=WAYS["capability"])
    assert DENIED.format("ask the kernel about mount options") in ran.err
    assert FSTAB.read_text() == line
    assert host.apply().code == 0
    assert "compress=no" in FSTAB.read_text()


@oracle("errno", "see whether a program uses them", "see whether a program uses it")
def test_who_is_not_root_is_not_shown_who_has_a_file_open(host: World):
    """The kernel keeps the open files of a process from other users: EACCES."""
    file = host.area / "vm" / "a.raw"
    file.parent.mkdir()
    file.write_bytes(b"x" * 9000)
    path = str(file.parent)
    host.declare(paths=[{"path": path, "nocow": True, "existing": "rewrite", "subvolume": True}])
    as_nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    with open(file, "rb"):
        asked = [*as_nobody, "ls", f"/proc/{os.getpid()}/fd"]
        ran = subprocess.run(asked, capture_output=True, text=True, check=False)
        assert os.strerror(errno.EACCES) in ran.stderr
        shown = host.plan(expect=2, user=NOBODY)
        told = "only root can see whether a program uses {}; `apply` checks before it begins"
        assert told.format("them") in shown.row("~ images")
        assert told.format("it") in shown.row("subvolume /")
        assert "in use" not in shown.out
        seen = host.plan(expect=2)
        assert "in use" in seen.row("! subvolume")
        assert "only root" not in seen.out
