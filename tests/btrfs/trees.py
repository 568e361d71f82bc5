"""A directory with everything in it that a tree can hold, and what others say of it."""

import hashlib
import os
import re
import stat
import subprocess
import sys
import time
from pathlib import Path

from tests.btrfs.outside import run, sync

ACL_USER = 4711


def planted(top: Path) -> Path:
    """Images nocow and not, sparse, preallocated, linked; with owners, modes, times, ACLs."""
    top.mkdir()
    run("chattr", "+C", top)
    (top / "nocow.raw").write_bytes(os.urandom(1 << 20))
    (top / "odd.raw").write_bytes(os.urandom(70_001))
    (top / "small.xml").write_bytes(b"<domain/>")
    (top / "empty.raw").touch()
    with open(top / "sparse.raw", "wb") as file:
        file.truncate(64 << 20)
        for at in range(0, 64 << 20, 8 << 20):
            file.seek(at)
            file.write(os.urandom(8192))
    run("fallocate", "-l", "1M", top / "preallocated.raw")
    run("fallocate", "-n", "-o", "1M", "-l", "512K", top / "preallocated.raw")
    cow = top / "cow"
    cow.mkdir()
    run("chattr", "-C", cow)
    (cow / "plain.raw").write_bytes(os.urandom(200_000))
    run("btrfs", "property", "set", cow, "compression", "zstd")
    (cow / "squeezed.raw").write_bytes(b"squeeze me " * 50_000)
    (cow / "small.txt").write_text("inline")
    os.link(cow / "plain.raw", top / "also.raw")
    os.link(cow / "plain.raw", cow / "again.raw")
    (top / "deep" / "er").mkdir(parents=True)
    (top / "deep" / "er" / "x.qcow2").write_bytes(os.urandom(5000))
    (top / "ends").symlink_to("deep/er/x.qcow2")
    (top / "dangles").symlink_to("/nowhere")
    for name, value in (("user.note", "mine"), ("trusted.secret", "root's"), ("user.empty", "")):
        run("setfattr", "-n", name, "-v", value, top / "nocow.raw")
        run("setfattr", "-n", name, "-v", value, top / "deep")
    run("setfacl", "-m", f"u:{ACL_USER}:rw", top / "nocow.raw")
    run("setfacl", "-d", "-m", f"u:{ACL_USER}:rwx", top / "deep")
    (top / "deep" / "open").write_bytes(b"inherits an ACL")
    (top / "deep" / "closed").write_bytes(b"and loses it")
    run("setfacl", "-b", top / "deep" / "closed")
    os.chown(top / "odd.raw", 1001, 1002)
    (top / "odd.raw").chmod(0o4755)
    os.chown(top / "ends", 1003, 1003, follow_symlinks=False)
    (top / "deep").chmod(0o2770)
    os.chown(top, 1004, 1005)
    top.chmod(0o2751)
    later = time.time_ns() + 3600 * 10**9  # with relatime, looking leaves no time later than now
    for number, path in enumerate([*sorted(top.rglob("*"), reverse=True), top]):
        times = (later + number, 1_100_000_000_987_654_321 + number)
        os.utime(path, ns=times, follow_symlinks=False)
    sync()
    return top


def shown(top: Path) -> dict[str, str]:
    """What find, lsattr, getfacl, getfattr, filefrag and sha256sum say: all but inode and ctime."""
    # find first: what comes after reads, and reading may leave its time.
    said = {
        "find": run("find", ".", "-printf", r"%p %y %m %U %G %s %n %l %A@ %T@ %b\n", cwd=top),
        "lsattr": run("lsattr", "-aR", ".", cwd=top),
        "getfacl": run("getfacl", "-RPn", ".", cwd=top),
        "getfattr": run("getfattr", "-Rhd", "-m", "-", ".", cwd=top),
        "links": "\n".join(map(str, _links(top))),
        "sums": "\n".join(_sums(top)),
        "holes": "\n".join(_extents(top)),
    }
    for name in ("find", "lsattr"):
        said[name] = "\n".join(sorted(said[name].split("\n")))
    for name in ("getfacl", "getfattr"):
        said[name] = "\n\n".join(sorted(said[name].strip().split("\n\n")))
    return said


def _links(top: Path) -> list[list[str]]:
    """Names of one file, together."""
    found: dict[int, list[str]] = {}
    for path in sorted(top.rglob("*")):
        status = path.lstat()
        if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
            found.setdefault(status.st_ino, []).append(str(path.relative_to(top)))
    return sorted(found.values())


def _sums(top: Path) -> list[str]:
    files = [path for path in sorted(top.rglob("*")) if path.is_file() and not path.is_symlink()]
    return [f"{hashlib.sha256(p.read_bytes()).hexdigest()} {p.relative_to(top)}" for p in files]


def _extents(top: Path) -> list[str]:
    """Where in each file there is something, and where on disk, as filefrag -v has it."""
    found = []
    for path in sorted(top.rglob("*")):
        if path.is_file() and not path.is_symlink():
            rows = re.findall(
                r"^ *\d+: +(\d+)\.\. +(\d+): +(\d+)\.\. +\d+: .*$",
                run("filefrag", "-v", path),
                re.MULTILINE,
            )
            # Space behind the end of the data is no data: it may lie anywhere.
            joined = _joined(rows, places=path.name != "preallocated.raw")
            found.append(f"{path.relative_to(top)} {joined}")
    return found


def _joined(rows: list[tuple[str, ...]], *, places: bool) -> list[tuple[int, int, int]]:
    """Neighbours as one: sharing alone splits what filefrag lists."""
    joined: list[tuple[int, int, int]] = []
    for first, last, place in (tuple(map(int, row)) for row in rows):
        if joined and not places and joined[-1][1] + 1 == first:
            joined[-1] = (joined[-1][0], last, 0)
        elif joined and (joined[-1][1] + 1, joined[-1][2] + first - joined[-1][0]) == (
            first,
            place,
        ):
            joined[-1] = (joined[-1][0], last, joined[-1][2])
        else:
            joined.append((first, last, place if places else 0))
    return joined


def is_subvolume(path: Path) -> bool:
    """Whether btrfs-progs takes it for one."""
    argv = ["btrfs", "subvolume", "show", path]
    return not subprocess.run(argv, capture_output=True, check=False).returncode


def strays(folder: Path) -> list[str]:
    """Names of vmtune's beside the path."""
    return sorted(name for name in os.listdir(folder) if "vmtune" in name)


REWRITES = """
import os, random, sys
size, random = os.path.getsize(sys.argv[1]), random.Random(1)
fd = os.open(sys.argv[1], os.O_RDWR)
for _ in range(int(sys.argv[2])):
    os.pwrite(fd, os.urandom(4096), random.randrange(size // 4096) * 4096)
os.fsync(fd)
"""


def rewrite_at_random(path: Path, times: int) -> None:
    """As a guest does: blocks of 4 KiB."""
    run(sys.executable, "-c", REWRITES, path, str(times))
