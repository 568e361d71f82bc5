"""A mount namespace of the tests' own: /etc, /run and disk images that no one else can see.

The pytest process itself is in it while the tests of this folder run. The kernel takes it
away with the process, loop devices included, so that even ``kill -9`` leaves nothing.
"""

import compileall
import contextlib
import ctypes
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

APT_PACKAGES = [
    "acl",
    "attr",
    "btrfs-compsize",
    "btrfs-progs",
    "cron",
    "e2fsprogs",
    "mount",
    "procps",
    "qemu-utils",
    "strace",
    "util-linux",
]
PROGRAMS = [
    *(
        "btrfs",
        "mkfs.btrfs",
        "mkfs.ext4",
        "mkfs.xfs",
        "mount",
        "umount",
        "losetup",
        "findmnt",
        "setpriv",
    ),
    *("chattr", "lsattr", "filefrag", "getfattr", "setfattr", "getfacl", "setfacl", "strace"),
    "cron",
    *("compsize", "qemu-img", "qemu-io", "qemu-nbd"),
    "pgrep",
]

TOP = Path("/media")
"""Where images, mounts and configurations are: in the namespace a tmpfs."""

_VENV = TOP / "venv"
PROGRAM = [str(_VENV / "bin" / "python"), "-m", "reconciler"]

_CLONE_NEWNS = 0x20000  # linux/sched.h

# The lower /etc stays visible for what libraries read there, but nothing is written to it.
# An empty /run also hides a running systemd, which must not be told of files it cannot see;
# no cron job of the machine may run a second time, in here. The program goes where every user
# may reach it: a checkout, or a Python, often lies in a closed home.
_SETUP = """
mount --make-rprivate /
mount -t tmpfs -o mode=755 vmtune-test "$1"
mkdir "$1"/upper "$1"/work "$1"/images "$1"/t "$1"/python "$1"/purelib "$1"/platlib "$1"/checkout
mount --bind "$2" "$1"/python
mount --bind "$3" "$1"/purelib
mount --bind "$4" "$1"/platlib
cp -a "$5"/reconciler "$5"/schemas "$1"/checkout
mount -t overlay -o "lowerdir=/etc,upperdir=$1/upper,workdir=$1/work" vmtune-test /etc
mount -t tmpfs -o mode=755 vmtune-test /run
mount -t tmpfs -o mode=755 vmtune-test /var/spool
mkdir -p /var/spool/cron/crontabs /etc/cron.d /etc/systemd/system
rm -rf /etc/cron.d/* /etc/crontab /etc/fstab /etc/vmtune
mkdir -p "$1"/lib/upper "$1"/lib/work
mount -t overlay -o "lowerdir=/var/lib,upperdir=$1/lib/upper,workdir=$1/lib/work" lib /var/lib
rm -rf /var/lib/vmtune
"""


def missing() -> list[str]:
    """Names what this machine lacks; empty where the tests can run."""
    lacks = [f"the program {name}" for name in PROGRAMS if not shutil.which(name)]
    lacks += [] if os.geteuid() == 0 else ["root"]
    lacks += [] if os.path.exists("/dev/loop-control") else ["/dev/loop-control (modprobe loop)"]
    known = Path("/proc/filesystems").read_text(encoding="ascii").split()
    lacks += [] if "btrfs" in known else ["Btrfs in the kernel (modprobe btrfs)"]
    lacks += [] if "overlay" in known else ["overlayfs in the kernel (modprobe overlay)"]
    return lacks


def guard() -> None:
    """Whoever empties folders of /etc asks here first whether it is that of the tests."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        ours = {line.split()[4] for line in file if "vmtune-test" in line.split()}
    if not {str(TOP), "/etc", "/run", "/var/spool"} <= ours:
        raise RuntimeError("not in the sandbox: this would change the machine itself")


class Sandbox:
    """The namespace; it is there until the process ends."""

    def __init__(self) -> None:
        self._outside = _namespace()
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._check(self._libc.unshare(_CLONE_NEWNS))
        try:
            libraries = (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
            folders = [TOP, sys.base_prefix, *libraries, Path(__file__).parents[2]]
            subprocess.run(["sh", "-euc", _SETUP, "sh", *map(str, folders)], check=True)
            _install()
        finally:
            self._inside = _namespace()
            self._enter(self._outside)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Within it this process, and what it starts, see the sandbox."""
        before = self._now
        self._enter(self._inside)
        try:
            yield
        finally:
            self._enter(before)

    def _enter(self, namespace: int) -> None:
        """setns(2) moves to the root of the namespace: back to the folder from there."""
        folder = os.getcwd()
        self._now = namespace
        self._check(self._libc.setns(namespace, _CLONE_NEWNS))
        os.chdir(folder)

    def _check(self, result: int) -> None:
        if result:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))


def _install() -> None:
    """A virtual environment that finds vmtune and its libraries, also with ``python -I``."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = _VENV / "lib" / version / "site-packages"
    packages.mkdir(parents=True)
    (_VENV / "bin").mkdir()
    (_VENV / "bin" / "python").symlink_to(TOP / "python" / "bin" / version)
    (_VENV / "pyvenv.cfg").write_text(f"home = {TOP / 'python' / 'bin'}\n", encoding="utf-8")
    folders = [TOP / name for name in ("checkout", "purelib", "platlib")]
    (packages / "vmtune.pth").write_text("".join(f"{f}\n" for f in folders), encoding="utf-8")
    compileall.compile_dir(TOP / "checkout", quiet=1)


def _namespace() -> int:
    return os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
