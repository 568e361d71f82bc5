"""What a booted container is made in and from: a sandbox, a cached Debian tree, a cgroup.

Everything that outlives a process (mounts, the loop device, systemd itself) is put inside a PID
and a mount namespace that die with the test run, so that even ``kill -9`` on pytest leaves
nothing mounted; only files are left, and the next run sweeps those away.

``python3 tests/host/sandbox.py packages`` prints the Debian packages that this needs outside,
``... base`` builds the cached base trees ahead of time.
"""

import contextlib
import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

# For whoever runs this tier: what the machine outside needs, by Debian package and by program.
APT_PACKAGES = [
    "btrfs-progs",
    "debian-archive-keyring",
    "debootstrap",
    "e2fsprogs",
    "mount",
    "systemd-container",
    "util-linux",
]
PROGRAMS = [
    "btrfs",
    "debootstrap",
    "findmnt",
    "losetup",
    "mkfs.btrfs",
    "mkfs.ext4",
    "mount",
    "nsenter",
    "setpriv",
    "systemd-nspawn",
    "unshare",
]

_SUITES = {"bookworm": "3.11", "trixie": "3.13"}
SUITE = os.environ.get("VMTUNE_TEST_SUITE", "bookworm")
"""The Debian in the containers."""
PYTHON = _SUITES[SUITE]
"""The version that it has."""
INCLUDE = [
    "attr",
    "btrfs-progs",
    "cron",
    "dbus",
    "e2fsprogs",
    "opendoas",
    "pipx",
    "procps",
    "python3",
    "python3-click",
    "python3-deepdiff",
    "python3-jsonschema",
    "python3-pip",
    "python3-venv",
    "python3-yaml",
    "strace",
    "sudo",
    "systemd",
    "systemd-sysv",
]
LIBVIRT = [
    "btrfs-compsize",
    "libpam-systemd",  # polkitd wants a logind, which debootstrap does not choose by itself
    "libvirt-clients",
    "libvirt-daemon-driver-qemu",
    "libvirt-daemon-system",
    "qemu-system-x86",
    "qemu-utils",
    "snapper",
    "swtpm",
    "swtpm-tools",
    *(["qemu-system-modules-spice"] if SUITE == "trixie" else []),
]
"""What a host with virtual machines has beside INCLUDE: most containers do without."""

# The root tree is trimmed because each container copies it; the apt timers would wake up mid-test,
# and no container may load a module.
_BUILD = """
tree=$1 suite=$2 include=$3 mirror=$4
debootstrap --variant=minbase --include="$include" "$suite" "$tree" "$mirror"
chroot "$tree" useradd --create-home --uid 1000 --shell /bin/bash alice
chroot "$tree" systemctl mask apt-daily.timer apt-daily-upgrade.timer systemd-modules-load.service
rm -rf "$tree"/var/cache/apt/* "$tree"/var/lib/apt/lists/* "$tree"/etc/resolv.conf
rm -rf "$tree"/usr/share/doc/* "$tree"/usr/share/man/* "$tree"/usr/share/locale/*
echo vmtune-test >"$tree/etc/hostname"
echo 127.0.0.1 localhost vmtune-test >"$tree/etc/hosts"
"""


def missing() -> list[str]:
    """Names what this machine lacks; empty where containers can be booted."""
    lacks = [f"the program {name}" for name in PROGRAMS if not shutil.which(name)]
    lacks += [] if os.geteuid() == 0 else ["root"]
    lacks += [] if os.path.exists("/dev/loop-control") else ["/dev/loop-control (modprobe loop)"]
    known = Path("/proc/filesystems").read_text(encoding="ascii").split()
    lacks += [] if "btrfs" in known else ["Btrfs in the kernel (modprobe btrfs)"]
    return lacks


def cache_folder() -> Path:
    return Path(os.environ.get("VMTUNE_TEST_CACHE", "/var/cache/vmtune-test"))


def sandbox(script: str, *args: str) -> list[str]:
    """Wraps a script so that its mounts and children end with it, and it ends with us."""
    return [
        *("setpriv", "--pdeathsig", "KILL"),
        *("unshare", "--mount", "--propagation", "private"),
        *("--pid", "--fork", "--kill-child", "--mount-proc"),
        *("sh", "-euc", script, "sh", *args),
    ]


def checked(argv: Sequence[str], env: Mapping[str, str] | None = None, given: str = "") -> str:
    """Runs a command; a failure carries what it printed, which pytest then shows."""
    done = subprocess.run(
        argv,
        input=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env=env,
    )
    if done.returncode:
        error = subprocess.CalledProcessError(done.returncode, argv[0], done.stdout)
        error.add_note(done.stdout[-4000:])
        raise error
    return done.stdout


def mirror() -> str:
    """Asks apt, which reads both styles of sources, where this machine gets Debian from."""
    fields = "$(RELEASE) $(COMPONENT) $(REPO_URI)"
    argv = ["apt-get", "indextargets", "--no-release-info", "--format", fields]
    for line in checked([*argv, "Created-By: Packages"]).splitlines():
        release, component, uri = line.split()
        if release in _SUITES and component == "main":
            return uri
    raise LookupError(f"apt's sources on this machine have no main of {' or '.join(_SUITES)}")


def proxy() -> dict[str, str]:
    """Answers for debootstrap, which fetches with wget: that does not read apt's settings."""
    out = checked(["apt-config", "shell", "P", "Acquire::http::Proxy"])
    value = shlex.split(out.strip().partition("=")[2])
    return {"http_proxy": value[0]} if value else {}


def base_tree(cache: Path, more: Sequence[str] = (), suite: str = SUITE) -> Path:
    """Builds the tree all containers are copied from, once for a given recipe.

    ``more`` are packages beside INCLUDE.
    """
    include = ",".join([*INCLUDE, *more])

    def fill(part: Path) -> None:
        argv = sandbox(_BUILD, str(part), suite, include, mirror())
        checked(argv, env=os.environ | proxy())

    return made_once(cache, "base", (suite, include, _BUILD), fill)


def made_once(cache: Path, name: str, recipe: object, fill: Callable[[Path], object]) -> Path:
    """Returns the cached folder of a recipe, which ``fill`` makes where it is not there yet.

    It is made aside and renamed, so that an interrupted build is never taken for a finished one.
    Whoever asks for another folder of the same name meanwhile waits.
    """
    folder = cache / f"{name}-{hashlib.sha256(str(recipe).encode()).hexdigest()[:12]}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            part = cache / f"{name}.part"
            shutil.rmtree(part, ignore_errors=True)
            fill(part)
            part.rename(folder)
    return folder


def debootstrap(tree: Path, suite: str, include: Sequence[str]) -> None:
    """Fills a folder with a release of Debian and the user alice, as base_tree does.

    No initramfs is made for a kernel in it: that takes a minute, and guests have their own.
    """
    argv = sandbox(_BUILD, str(tree), suite, ",".join(include), mirror())
    checked(argv, env={**os.environ, **proxy(), "INITRD": "No"})


def script() -> str:
    """What debootstrap runs: a part of the recipe of whatever is made by it."""
    return _BUILD


def cgroup(pid: str, hierarchy: str) -> Path:
    """The folder of a process in one hierarchy: "" is cgroup v2, else a v1 mount's own option."""
    wanted = hierarchy or "cgroup2"
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text("utf-8").splitlines()]
    top = next(m[1] for m in mounts if wanted in (m[2], *m[3].split(",")))
    lines = Path(f"/proc/{pid}/cgroup").read_text("utf-8").splitlines()
    return Path(top + next(x.split(":", 2)[2] for x in lines if x.split(":")[1] == hierarchy))


def own_cgroups() -> list[Path]:
    """Where nspawn keeps its books; two containers of one cgroup would share them."""
    names = [x.split(":")[1] for x in Path("/proc/self/cgroup").read_text("utf-8").splitlines()]
    return [cgroup("self", name) for name in names if name in ("", "name=systemd")]


def remove(folder: Path) -> None:
    """A cgroup's files cannot be deleted, only its folders, from the bottom up."""
    if not folder.is_relative_to("/sys/fs/cgroup"):
        shutil.rmtree(folder, ignore_errors=True)
        return
    for path, _, _ in os.walk(folder, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(path)


def sweep(parents: Sequence[Path]) -> None:
    """Removes what runs that were killed left behind; folders are named after their process."""
    for parent in parents:
        for folder in parent.glob("vmtune-*-*"):
            if not os.path.exists(f"/proc/{folder.name.split('-')[1]}"):
                remove(folder)


def until(what: str, seconds: float, ready: Callable[[], object]) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"gave up after {seconds:g} s waiting for {what}")
        time.sleep(0.05)


def children(pid: int) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split():
            yield int(child)
            yield from children(int(child))


if __name__ == "__main__":
    if "packages" in sys.argv:
        print(*APT_PACKAGES)
    else:
        print(base_tree(cache_folder()), base_tree(cache_folder(), LIBVIRT))
