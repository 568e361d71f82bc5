"""Room that quotas leave: seen before anything is written, by real limits of the kernel."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.btrfs.outside import is_nocow, run
from tests.btrfs.world import NOBODY, Image, World
from tests.oracles import oracle

MIB = 1 << 20
LEFT = 7
"""The exit code of an apply where all rows that are left are refused."""
ENABLE_SIMPLE = """
import fcntl, os, struct, sys  # BTRFS_IOC_QUOTA_CTL: btrfs-progs has it since 6.7
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0xC0109428, bytearray(struct.pack("=QQ", 4, 0)))
"""


@pytest.fixture
def image(host: World) -> Image:
    """With quotas on, and 30 MiB of an image in a subvolume, below a qgroup of a higher level."""
    return _limited(host, "enable")


def _limited(host: World, how: str) -> Image:
    image = host.image("quota")
    if how == "simple":
        run("python3", "-c", ENABLE_SIMPLE, image.path)
    else:
        run("btrfs", "quota", "enable", image.path)
    inside = image.subvolume("s")
    run("btrfs", "qgroup", "create", "1/7", image.path)
    run("btrfs", "qgroup", "create", "2/7", image.path)
    run("btrfs", "qgroup", "assign", "--no-rescan", "1/7", "2/7", image.path)
    run("btrfs", "qgroup", "assign", "--no-rescan", "0/256", "1/7", image.path)
    (inside / "vm").mkdir()
    (inside / "vm" / "a.raw").write_bytes(os.urandom(30 * MIB))
    run("sync", "-f", image.path)
    if how != "simple":
        run("btrfs", "quota", "rescan", "-w", image.path)
    host.nocow(inside / "vm", existing="rewrite")
    return image


def rewritten(image: Image) -> bool:
    return is_nocow(image.path / "s" / "vm" / "a.raw")


@pytest.mark.parametrize("limit", [("60M", "0/256"), ("60M", "2/7"), ("-e", "60M", "1/7")], ids=str)
@oracle("btrfs qgroup", "V706: would need {} of free space")
def test_a_limit_leaves_too_little(host: World, image: Image, limit: tuple[str, ...]):
    *_, group = limit
    run("btrfs", "qgroup", "limit", *limit, image.path)
    row = host.plan(expect=2).row("a.raw")
    assert "V706" in row
    assert f"qgroup {group} is limited to 60.0 MiB" in row
    assert ("exclusive" in row) == ("-e" in limit)
    host.apply(expect=LEFT)
    assert not rewritten(image)
    run("btrfs", "qgroup", "limit", *limit[:-2], "200M", group, image.path)
    host.apply()
    assert rewritten(image)


def test_the_limit_of_a_qgroup_that_it_is_not_in(host: World, image: Image):
    run("btrfs", "qgroup", "create", "1/8", image.path)
    run("btrfs", "qgroup", "limit", "1M", "1/8", image.path)
    assert "qgroup" not in host.plan(expect=2).out
    assert "V116" in host.plan(expect=2, user=NOBODY).out, "who is in it only root can see"
    host.apply()
    assert rewritten(image)


def test_others_see_the_own_limit(host: World, image: Image):
    run("btrfs", "qgroup", "limit", "60M", "0/256", image.path)
    assert "V706" in host.plan(expect=2, user=NOBODY).row("a.raw")


_ALONE = ["unshare", "--pid", "--fork", "--mount-proc"]
"""Else such a root is not shown what other processes have in use, and that is said alone."""
DENIED = {
    "nobody": ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"],
    "capability": [*_ALONE, "setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"],
    "namespace": [*_ALONE, "--user", "--map-root-user"],
}
ONLY_ROOT = "only root can see whether limits of qgroups count here; `apply` checks"
NOT_EVEN_ROOT = (
    "vmtune, as root, was not allowed to see whether limits of qgroups count here (SELinux, a "
    "container or another policy); `apply` is not allowed to either"
)


@pytest.mark.parametrize("way", DENIED)
@oracle("btrfs qgroup", "V116: see whether limits of qgroups count here")
def test_who_is_not_shown_which_limits_count(host: World, image: Image, way: str):
    """The kernel shows its qgroups to root alone, and to no root without CAP_SYS_ADMIN."""
    run("btrfs", "qgroup", "limit", "60M", "2/7", image.path)
    asked = ["btrfs", "qgroup", "show", "-pr", str(image.path)]
    shown = subprocess.run([*DENIED[way], *asked], capture_output=True, text=True, check=False)
    assert "Operation not permitted" in shown.stderr
    row = host.vmtune("plan", under=DENIED[way]).row("a.raw")
    assert (ONLY_ROOT if way == "nobody" else NOT_EVEN_ROOT) in row
    assert "60.00MiB" in run(*asked)
    seen = host.plan(expect=2).row("a.raw")
    assert "qgroup 2/7 is limited to 60.0 MiB" in seen
    assert "V116" not in seen


@oracle("btrfs qgroup", "V116: the figures of qgroups are not right now")
def test_figures_that_are_not_right(host: World, image: Image):
    """btrfs-progs says so of the same figures, and no longer once they were counted again."""
    shared = image.path / "s" / "shared"
    shared.write_bytes(os.urandom(MIB))
    run("cp", "--reflink=always", shared, image.subvolume("other"))
    run("sync", "-f", image.path)
    run("btrfs", "qgroup", "create", "1/8", image.path)
    run("btrfs", "qgroup", "limit", "200M", "1/8", image.path)
    run("btrfs", "qgroup", "assign", "--no-rescan", "0/256", "1/8", image.path)
    told = "the figures of qgroups are not right now; `btrfs quota rescan` counts again"
    for is_right in (False, True):
        run("sync", "-f", image.path)
        asked = run("btrfs", "qgroup", "show", image.path)
        assert ("inconsistent" in asked) != is_right
        assert (told in host.plan(expect=2).row("a.raw")) != is_right
        run("btrfs", "quota", "rescan", "-w", image.path)


def test_simple_quotas(host: World):
    image = _limited(host, "simple")
    run("btrfs", "qgroup", "limit", "60M", "1/7", image.path)
    assert "qgroup 1/7" in host.plan(expect=2).row("a.raw")


def test_without_sysfs(host: World, image: Image):
    """As in a container: root finds the same in the quota tree."""
    run("btrfs", "qgroup", "limit", "60M", "2/7", image.path)
    run("sync", "-f", image.path)
    shown = host.plan(expect=2).row("a.raw")
    run("mount", "-t", "tmpfs", "none", "/sys/fs/btrfs")
    try:
        assert host.plan(expect=2).row("a.raw") == shown
        assert "V116" in host.plan(expect=2, user=NOBODY).out
        run("btrfs", "quota", "disable", image.path)
        assert "qgroup" not in host.plan(expect=2).out
    finally:
        run("umount", "/sys/fs/btrfs")


@pytest.mark.parametrize("how", ["enable", "simple"])
@oracle("btrfs qgroup", "V622: it will not count towards a limit")
def test_what_a_new_subvolume_is_outside_of(host: World, how: str):
    """What the plan says of limits is what the kernel then does."""
    image = _limited(host, how)
    run("btrfs", "qgroup", "limit", "200M", "0/256", image.path)
    run("btrfs", "qgroup", "limit", "220M", "1/7", image.path)
    host.declare(paths=[{"path": str(image.path / "s" / "vm"), "subvolume": True}])
    told = [line for line in host.plan(expect=2).out.splitlines() if "V622" in line]
    named = {group for group in ("0/256", "1/7") if any(f"qgroup {group}" in line for line in told)}
    host.apply()
    shown = run("btrfs", "qgroup", "show", "-p", "--raw", image.path).splitlines()
    parents = next(line.split()[3] for line in shown if line.startswith("0/257"))
    assert ("1/7" in parents) == ("1/7" not in named)
    assert "0/256" in named


def test_doctor_names_a_limit(host: World, image: Image):
    run("btrfs", "qgroup", "limit", "31M", "0/256", image.path)
    ran = host.vmtune("doctor", "--json")
    (row,) = (row for row in json.loads(ran.out)["rows"] if row["code"] in {"V518", "V706"})
    assert row["health"] == "warn"
    assert "qgroup 0/256" in row["text"]


def test_no_quotas_no_word(host: World):
    path = Path(host.area / "vm")
    path.mkdir()
    (path / "a.raw").write_bytes(os.urandom(MIB))
    host.nocow(path, existing="rewrite")
    for user in (0, NOBODY):
        assert "qgroup" not in host.plan(expect=2, user=user).out
