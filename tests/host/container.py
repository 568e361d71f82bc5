"""A Debian 12 host in a box: systemd as PID 1, its own fstab, cron and timers, on a Btrfs root.

The unit and Btrfs tiers put stand-ins in the place of systemd and of the root file system; this
one does not. See sandbox.py for how nothing is left behind.
"""

import contextlib
import os
import shlex
import subprocess
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from tests import patience
from tests.host import sandbox

HOW_TO_FSTAB = "UUID=@UUID@ / btrfs defaults,subvol=@rootfs 0 0\n"
ZSTD_FSTAB = "UUID=@UUID@ / btrfs defaults,compress=zstd,subvol=@rootfs 0 0\n"
EXT4_FSTAB = "UUID=@UUID@ / ext4 errors=remount-ro 0 1\n"

# mount(8) sets up one loop device by itself, not several; those free themselves when unmounted.
_DISKS = """
mount_disks() {
    target=$1 flags=$2 devices=; shift 2
    mkdir "$target"
    [ $# -gt 1 ] || { mount -o "loop$flags" "$1" "$target"; return; }
    for image; do devices="$devices $(losetup --find --show "$image")"; done
    for device in $devices; do flags="$flags,device=$device"; done
    mount -o "${flags#,}" "$device" "$target" || { losetup --detach $devices; return 1; }
    losetup --detach $devices
}
"""

_FILL = """
base=$1 fs=$2 fstab=$3 machine=$4; shift 4
mount -t tmpfs tmpfs /run
mount_disks /run/top "" "$@"
root=/run/top
[ "$fs" != btrfs ] || { root=/run/top/@rootfs; btrfs subvolume create "$root"; }
cp -a "$base/." "$root/"
printf %s "$fstab" >"$root/etc/fstab"
echo "$machine" >"$root/etc/machine-id"
umount /run/top
"""

# Like an initramfs: mount with the kernel's rootflags and leave the rest of fstab to systemd.
# The tmpfs on /run is what nspawn needs where systemd is not PID 1.
_BOOT = r"""
flags=$1 cgroups=$2; shift 2
for procs in $cgroups; do echo 0 >"$procs"; done
mount -t tmpfs tmpfs /run
mount_disks /run/root "$flags" "$@"
set --
for device in ${devices:-$(findmnt -vno SOURCE /run/root)}; do set -- "$@" "--bind=$device"; done
exec systemd-nspawn --quiet --boot --directory=/run/root --machine=vmtune-test \
    --register=no --keep-unit --settings=no --capability=all --private-network \
    --link-journal=no --resolv-conf=off --timezone=off --console=pipe \
    --bind=/dev/btrfs-control "$@"
"""

# As in a Debian 12 that is not boxed: no system call is filtered, cgroup v2 is the one hierarchy.
_NSPAWN_ENV = {"SYSTEMD_SECCOMP": "0", "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}

# udev, which a container has none of, would have made the link.
_UDEV_LINK = (
    'mkdir -p /dev/disk/by-uuid && ln -sf "$(findmnt -vno SOURCE /)" "/dev/disk/by-uuid/$1"'
)


class Container:
    """One booted host with a disk of its own; leaving the context destroys both.

    ``fstab`` is the whole file, "@UUID@" standing for the disk's UUID. ``rootflags`` are options
    that the root is mounted with before systemd applies fstab, as on a kernel command line.
    ``packages`` are installed beside those that every container has. With two ``disks`` Btrfs
    keeps all data on both (RAID1). ``suite`` is the release of Debian.
    """

    def __init__(  # noqa: PLR0913 - what a host is made of
        self,
        cache: Path,
        fstab: str = HOW_TO_FSTAB,
        rootflags: Sequence[str] = (),
        *,
        size: str = "3G",
        packages: Sequence[str] = (),
        disks: int = 1,
        suite: str = sandbox.SUITE,
    ) -> None:
        self.uuid = str(uuid.uuid4())
        self.fstab = fstab.replace("@UUID@", self.uuid)
        self.fs = "ext4" if " / ext4 " in fstab else "btrfs"
        subvol = ["subvol=@rootfs"] if self.fs == "btrfs" else []
        self._flags = "".join(f",{flag}" for flag in (*subvol, *rootflags))
        self._cache, self._size, self._packages = cache, size, packages
        self._disks, self._suite = disks, suite
        self._stack = contextlib.ExitStack()
        self._outer: subprocess.Popen[bytes] | None = None
        self._leader = 0

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._stack = stack
            self._make()
            stack.callback(self._halt)
            self.boot()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _make(self) -> None:
        """Makes the disk, and the cgroups in which nspawn keeps its books."""
        base = sandbox.base_tree(self._cache, self._packages, self._suite)
        runs = self._cache / "runs"
        runs.mkdir(exist_ok=True)
        cgroups = sandbox.own_cgroups()
        sandbox.sweep([runs, *cgroups])
        self.folder = Path(tempfile.mkdtemp(prefix=f"vmtune-{os.getpid()}-", dir=runs))
        self._cgroups = [parent / self.folder.name for parent in cgroups]
        for made in (self.folder, *self._cgroups):
            self._stack.callback(sandbox.remove, made)
        for made in self._cgroups:
            made.mkdir()
        names = ["disk.img", *(f"disk{number}.img" for number in range(1, self._disks))]
        self.images = [self.folder / name for name in names]
        images = [str(image) for image in self.images]
        sandbox.checked(["truncate", "-s", self._size, *images])
        mkfs = {"btrfs": ["mkfs.btrfs", "-q"], "ext4": ["mkfs.ext4", "-q", "-F"]}[self.fs]
        mkfs += ["-d", "raid1", "-m", "raid1"] if self._disks > 1 else []
        sandbox.checked([*mkfs, "-U", self.uuid, *images])
        args = [str(base), self.fs, self.fstab, uuid.uuid4().hex, *images]
        sandbox.checked(sandbox.sandbox(_DISKS + _FILL, *args))

    def boot(self) -> None:
        """Mounts the disk as an initramfs would and waits until systemd has settled."""
        procs = " ".join(str(cgroup / "cgroup.procs") for cgroup in self._cgroups)
        argv = sandbox.sandbox(_DISKS + _BOOT, self._flags, procs, *map(str, self.images))
        with (self.folder / "boot.log").open("wb") as log:
            self._outer = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | _NSPAWN_ENV,
                start_new_session=True,  # a Ctrl-C is for pytest, which then tears down
            )
        try:
            sandbox.until("systemd as PID 1", 30, self._found_leader)
            sandbox.until("systemd to settle", 90, self._settled)
        except (TimeoutError, ChildProcessError) as error:
            error.add_note((self.folder / "boot.log").read_text("utf-8", "replace")[-4000:])
            raise
        self.run(["sh", "-c", _UDEV_LINK, "sh", self.uuid])

    def _found_leader(self) -> bool:
        """Finds the one process below nspawn that is a PID 1 and has become systemd."""
        assert self._outer
        if self._outer.poll() is not None:
            raise ChildProcessError("the container ended while it was booting")
        for pid in sandbox.children(self._outer.pid):
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{pid}/status").read_text("utf-8")
                pids = next(x.split() for x in status.splitlines() if x.startswith("NSpid"))
                if status.startswith("Name:\tsystemd\n") and pids[-1] == "1":
                    self._leader = pid
                    return True
        return False

    def _settled(self) -> bool:
        state = self.run(["systemctl", "is-system-running"], check=False).stdout.strip()
        return state in ("running", "degraded")

    def _halt(self) -> None:
        """Kills the sandbox and waits until the kernel has let go of its disks."""
        assert self._outer
        self._outer.kill()
        self._outer.wait()
        sandbox.until("the loop devices to be freed", 30, self._freed)

    def _freed(self) -> bool:
        of = [["losetup", "--associated", str(image)] for image in self.images]
        return not any(sandbox.checked(argv) for argv in of)

    def reboot(self) -> None:
        """Shuts down in order, and mounts and boots the same disk again."""
        assert self._outer
        self.run(["systemctl", "poweroff"], check=False)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._outer.wait(30)
        self._halt()
        self.boot()

    def command(
        self,
        argv: Sequence[str],
        *,
        user: str = "root",
        tty: bool = False,
        env: Mapping[str, str] | None = None,
    ) -> list[str]:
        """What to execute out here to execute ``argv`` in there, for those who need a Popen.

        The user starts at home, with the environment that a login gives.
        """
        if tty:
            inner = f"stty rows 40 cols 100; exec {shlex.join(argv)}"
            argv = ["script", "--quiet", "--return", "--command", inner, "/dev/null"]
        own = {"LANG": "C.UTF-8", "TERM": "xterm" if tty else "dumb", **(env or {})}
        names = [f"{key}={value}" for key, value in own.items()]
        join = 'echo 0 >"$0" && exec "$@"'
        return [
            *("sh", "-c", join, str(sandbox.cgroup(str(self._leader), "") / "cgroup.procs")),
            *("nsenter", "--target", str(self._leader), "--mount", "--uts", "--ipc", "--net"),
            *("--pid", "--cgroup", "--root", "--wd", "--"),
            *("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--reset-env"),
            *("env", *names, "sh", "-c", 'cd; unset OLDPWD; exec "$@"', "sh", *argv),
        ]

    def run(  # noqa: PLR0913 - subprocess.run's own, and who and where
        self,
        argv: Sequence[str] | str,
        *,
        user: str = "root",
        input: str | None = None,  # noqa: A002 - subprocess.run's name for it
        tty: bool = False,
        check: bool = True,
        env: Mapping[str, str] | None = None,
        timeout: float = 2 * patience.SECONDS,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a program, or a line of shell, in the container and captures what it prints.

        With ``tty`` it has a terminal of 100x40 on all three descriptors, so stderr is in stdout,
        and ``input`` is typed into it.
        """
        argv = ["sh", "-c", argv] if isinstance(argv, str) else argv
        done = subprocess.run(
            self.command(argv, user=user, tty=tty, env=env),
            input=input or "",
            capture_output=True,
            check=False,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=timeout,
        )
        if check and done.returncode:
            error = subprocess.CalledProcessError(done.returncode, argv, done.stdout, done.stderr)
            error.add_note(f"stdout:\n{done.stdout[-4000:]}\nstderr:\n{done.stderr[-4000:]}")
            raise error
        return done

    def read(self, path: str) -> bytes:
        return subprocess.run(
            self.command(["cat", "--", path]), capture_output=True, check=True
        ).stdout

    def write(self, path: str, data: bytes, mode: str = "644", user: str = "root") -> None:
        """Makes a file, and the folders above it."""
        script = 'mkdir -p "${1%/*}" && cat >"$1" && chmod "$2" "$1"'
        argv = self.command(["sh", "-c", script, "sh", path, mode], user=user)
        subprocess.run(argv, input=data, capture_output=True, check=True)

    def push(self, src: Path, dst: str) -> None:
        """Copies a file or a whole folder in, owned by root, to be named ``dst`` there."""
        if src.is_file():
            self.write(dst, src.read_bytes(), f"{src.stat().st_mode & 0o777:o}")
            return
        pack = subprocess.run(["tar", "-C", src, "-c", "."], capture_output=True, check=True)
        script = 'mkdir -p "$1" && tar -C "$1" -x --no-same-owner'
        argv = self.command(["sh", "-c", script, "sh", dst])
        subprocess.run(argv, input=pack.stdout, capture_output=True, check=True)
