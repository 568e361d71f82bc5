"""proc_pid_mountinfo(5), held to the running kernel: fdinfo names the mount of any path."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.formats import mountinfo
from reconciler.formats.mountinfo import Mount
from tests import tiers

PLAIN = b"""\
22 1 0:20 / / rw,relatime shared:1 - btrfs /dev/vda2 rw,compress=zstd:3,subvolid=256,subvol=/@
"""


@pytest.mark.parametrize(
    ("row", "mount"),
    [
        (
            b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue",
            Mount(
                36, 35, "98:0", "/mnt1", "/mnt2", "rw,noatime", "ext3", "/dev/root",
                "rw,errors=continue",
            ),
        ),
        (
            b"41 22 0:20 /@home /home rw,relatime - btrfs /dev/vda2 rw,ssd,subvol=/@home",
            Mount(
                41, 22, "0:20", "/@home", "/home", "rw,relatime", "btrfs", "/dev/vda2",
                "rw,ssd,subvol=/@home",
            ),
        ),
        (
            b"50 2 0:44 /my\\040vm /srv/a\\134\\011x rw shared:9 unbindable - fuse me:/a\\043b x=0",
            Mount(
                50, 2, "0:44", "/my vm", "/srv/a\\\tx", "rw", "fuse", "me:/a#b", "x=0",
            ),
        ),
        (
            b"60 22 0:4 net:[4026532281] /run/netns/a rw shared:3 - nsfs nsfs rw",
            Mount(60, 22, "0:4", "net:[4026532281]", "/run/netns/a", "rw", "nsfs", "nsfs", "rw"),
        ),
        (
            b"61 22 0:50 / /mnt rw - tmpfs  rw,size=4k",
            Mount(61, 22, "0:50", "/", "/mnt", "rw", "tmpfs", "", "rw,size=4k"),
        ),
        (
            b"62 22 0:51 /a//deleted /m\xff - - tmpfs - rw",
            None,
        ),
        (
            b"63 22 0:51 / /m\xff rw - tmpfs - rw,odd option",
            Mount(63, 22, "0:51", "/", "/m\udcff", "rw", "tmpfs", "-", "rw,odd option"),
        ),
    ],
)  # fmt: skip
def test_parse(row, mount):
    if mount:
        assert mountinfo.parse(row + b"\n") == (mount,)
    else:
        with pytest.raises(ValueError, match="line 2 of mountinfo"):
            mountinfo.parse(PLAIN + row)


@pytest.mark.parametrize(
    "row",
    [b"x", b" ", b"1 2 0:1 / / rw", b"1 x 0:1 / / rw - a b c", b"1 2 0:1 / / rw - a b", b"\0"],
)
def test_what_is_not_understood_is_named(row):
    with pytest.raises(ValueError, match="line 1 of mountinfo"):
        mountinfo.parse(row)


@pytest.mark.parametrize(
    ("shown", "found"),
    [
        ("rw,ssd", None),
        ("", None),
        ("rw,compress=zstd:3,ssd", "compress=zstd:3"),
        ("compress=lzo,compress-force=zstd:1", "compress-force=zstd:1"),
        (r"rw,subvol=/c\054compress=lzo", None),
        (r"rw,compress=zlib:3,subvol=/c\054compress=lzo", "compress=zlib:3"),
        ('rw,compress=lzo,subvol=/an "open quote', "compress=lzo"),
        ('rw,subvol="x,compress=lzo"', 'compress=lzo"'),
        (r"rw,compress=a\040b\134", "compress=a b\\"),
    ],
)
def test_an_option_as_the_kernel_shows_it(shown, found):
    """Commas separate, whatever quotes there are; escapes are read after that."""
    row = b"22 1 0:20 / / rw - btrfs /dev/vda2 " + shown.encode()
    (only,) = mountinfo.parse(row)
    assert mountinfo.option(only.super_options, {"compress", "compress-force"}) == found


def test_nothing_mounted():
    assert mountinfo.parse(b"") == ()
    assert mountinfo.at((), "/") is None
    assert mountinfo.containing((), "/") is None


def mount(mount_id: int, parent_id: int, target: str) -> Mount:
    return Mount(mount_id, parent_id, "0:1", "/", target, "rw", "tmpfs", "x", "rw")


@pytest.mark.parametrize(
    ("tree", "path", "on", "at"),
    [
        ([(1, 0, "/")], "/a", 1, None),
        ([(1, 0, "/")], "/", 1, 1),
        ([(1, 1, "/")], "/", 1, 1),
        ([(1, 1, "/"), (2, 1, "/a")], "/a", 2, 2),
        ([(1, 0, "/"), (2, 1, "/a")], "/a", 2, 2),
        ([(1, 0, "/"), (2, 1, "/a")], "/a/b", 2, None),
        ([(1, 0, "/"), (2, 1, "/a")], "/ab", 1, None),
        ([(1, 0, "/"), (2, 1, "/a"), (3, 2, "/a/b")], "/a/b/c", 3, None),
        # Stacked: the upper one's parent is the lower one, whatever their order.
        ([(1, 0, "/"), (2, 1, "/a"), (3, 2, "/a")], "/a", 3, 3),
        ([(1, 0, "/"), (3, 2, "/a"), (2, 1, "/a")], "/a", 3, 3),
        ([(1, 0, "/"), (2, 1, "/")], "/x", 2, None),
        # Hidden: /a/b was mounted first, then something else over /a.
        ([(1, 0, "/"), (2, 1, "/a/b"), (3, 1, "/a")], "/a/b", 3, None),
        ([(1, 0, "/"), (2, 1, "/a/b"), (3, 1, "/a"), (4, 3, "/a/b")], "/a/b/c", 4, None),
        # Side by side at one place: not seen from any kernel; the later one.
        ([(1, 0, "/"), (2, 1, "/a"), (3, 1, "/a")], "/a/b", 3, None),
        # A chroot to a plain directory: its root is on a mount that is not listed.
        ([(2, 1, "/a")], "/b", None, None),
        ([(2, 1, "/a"), (3, 1, "/a/b")], "/a/b", 2, None),
        # Not what a kernel writes: it must end all the same.
        ([(1, 2, "/"), (2, 1, "/")], "/", None, None),
        ([(1, 0, "/"), (2, 1, "/"), (1, 2, "/")], "/", 2, 2),
    ],
)
def test_walk(tree, path, on, at):
    mounts = [mount(*node) for node in tree]
    found, exact = mountinfo.containing(mounts, path), mountinfo.at(mounts, path)
    assert (found and found.mount_id) == on
    assert (exact and exact.mount_id) == at


# -- the kernel --------------------------------------------------------------

ORACLE = """
import os, re, sys
for path in sys.argv[1:]:
    file = os.open(path, os.O_PATH)
    info = open(f"/proc/self/fdinfo/{file}").read()
    print(re.search(r"mnt_id:\\s*(\\d+)", info)[1], path)
"""


def kernel_says(path: str) -> int:
    opened = os.open(path, os.O_PATH)
    try:
        info = Path(f"/proc/self/fdinfo/{opened}").read_text()
    finally:
        os.close(opened)
    return int(re.search(r"mnt_id:\s*(\d+)", info)[1])


def answers(mounts: tuple[Mount, ...]) -> list[tuple[str, int, int | None]]:
    """(path, mount by the kernel, mount by us) for every mount point and some other paths."""
    others = ("/", "/usr", "/proc/self/status", "/dev/null", sys.executable, __file__)
    targets = [m.target for m in mounts if os.access(m.target, os.F_OK)]
    found = []
    for path in (*targets, *map(os.path.realpath, others)):
        mine = mountinfo.containing(mounts, path)
        found.append((path, kernel_says(path), mine and mine.mount_id))
    return found


def test_every_mount_point_of_this_machine():
    table = Path("/proc/self/mountinfo")
    for _ in range(20):
        before = table.read_bytes()
        compared = answers(mountinfo.parse(before))
        if table.read_bytes() == before:  # nobody mounted anything meanwhile
            break
    mounts = mountinfo.parse(before)
    assert len(compared) > len(mounts)
    # In a chroot the mount of "/" is not listed: then there is no answer.
    rooted = any(m.target == "/" for m in mounts)
    assert [row for row in compared if row[1] != row[2] and (rooted or row[2])] == []


SCRIPT = """
cd "$1"; mkdir -p a/b 'my vms' deep/er
mount -t tmpfs lower a; mkdir -p a/b
mount -t tmpfs first a/b; mkdir a/b/c
mount -t tmpfs upper a; mkdir -p a/b/c
mount -t tmpfs second a/b; mkdir -p a/b/c
mount -t tmpfs "odd # source" 'my vms'
mount --bind 'my vms' deep/er
mount -t tmpfs over deep
cat /proc/self/mountinfo; echo ---
"$2" -c "$3" "$1" "$1/a" "$1/a/b" "$1/a/b/c" "$1/my vms" "$1/deep"
"""


def test_stacked_and_hidden_mounts(tmp_path):
    unshare = shutil.which("unshare")
    flags = "-m" if os.geteuid() == 0 else "-rm"
    command = [unshare or "unshare", flags, "sh", "-ec", SCRIPT, "sh", str(tmp_path)]
    if unshare is None or subprocess.run([unshare, flags, "true"], check=False).returncode:
        tiers.require("judges", ["a private mount namespace (unshare -m)"], ["util-linux"])
    output = subprocess.run([*command, sys.executable, ORACLE], capture_output=True, check=True)
    table, answers = output.stdout.split(b"---\n")
    mounts = mountinfo.parse(table)
    assert [m.target for m in mounts].count(f"{tmp_path}/a") == 2
    assert mountinfo.at(mounts, f"{tmp_path}/deep/er") is None
    assert mountinfo.at(mounts, f"{tmp_path}/my vms").source == "odd # source"
    for answer in answers.decode().splitlines():
        mount_id, path = answer.split(" ", 1)
        found = mountinfo.containing(mounts, path)
        assert found.mount_id == int(mount_id)
