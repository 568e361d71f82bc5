"""vmtune on a host, called as its users call it: alice with pipx and sudo, or root."""

import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.host import wheels
from tests.host.container import Container

ALICES = "~/.local/bin/vmtune"
ROOTS = "/usr/local/bin/vmtune"
CONFIG = "/root/vmtune.yaml"
HOW_TO = b"""\
version: 1
paths:
  - path: ~/libvirt/images
    nocow: true
mounts:
  - target: /
    options:
      compress: no
defrag:
  - path: ~/libvirt/images
    schedule: "0 12 * * *"
"""
"""The steps of the how-to."""

_SUDOERS = b"alice ALL=(ALL) NOPASSWD: ALL\n"
# All that tells one state of a tree from another: names, kinds, inodes, modes, times, contents.
_STATE = r"""
find "$@" -printf '%p %y %i %m %U %s %T@ %l\n' | sort
find "$@" -type f -exec sha256sum {} + | sort
"""

# As a guest writes: the whole disk once, if it is new, then blocks of it at random.
_GUEST = """
import os, random, sys
path, size, count = sys.argv[1], int(sys.argv[2]) << 20, int(sys.argv[3])
fd, chance = os.open(path, os.O_RDWR | os.O_CREAT, 0o644), random.Random(count)
if not os.fstat(fd).st_size:
    os.write(fd, os.urandom(size))
    os.fsync(fd)
for number in range(count):
    os.pwrite(fd, os.urandom(4096), chance.randrange(size // 4096) * 4096)
    if number % 16 == 15:
        os.fsync(fd)
os.fsync(fd)
"""

Done = subprocess.CompletedProcess[str]


def for_alice(container: Container, wheelhouse: Path) -> None:
    """With pipx, in her home; she may not yet become root."""
    wheels.offer(container, wheelhouse)
    container.run(["pipx", "install", "vmtune"], user="alice")


def alices_python(container: Container) -> str:
    """That of the environment that pipx made: where, depends on its version."""
    found = container.run(["readlink", "/home/alice/.local/bin/vmtune"]).stdout.strip()
    return f"{Path(found).parent}/python"


def let_alice_sudo(container: Container) -> None:
    container.write("/etc/sudoers.d/alice", _SUDOERS, mode="440")


def state(container: Container, *folders: str) -> list[str]:
    """Two of these are equal exactly when nothing was changed, not even an inode."""
    return container.run(["sh", "-c", _STATE, "sh", *folders]).stdout.splitlines()


def live(container: Container, target: str) -> list[str]:
    """The options of a mount, by findmnt(8)."""
    return container.run(["findmnt", "-no", "OPTIONS", target]).stdout.strip().split(",")


def guest(container: Container, path: str, mib: int, writes: int, user: str = "root") -> None:
    """An image of so many MiB, written as a virtual machine writes it."""
    container.run(["python3", "-c", _GUEST, path, str(mib), str(writes)], user=user)


def fragments(container: Container, path: str) -> int:
    """By filefrag(8)."""
    found = re.search(r"(\d+) extents? found", container.run(["filefrag", path]).stdout)
    assert found
    return int(found[1])


def is_nocow(container: Container, path: str) -> bool:
    """By lsattr(1)."""
    return "C" in container.run(["lsattr", "-d", path]).stdout.split()[0]


def digest(container: Container, path: str) -> str:
    return container.run(["sha256sum", path]).stdout.split()[0]


def unit_of(container: Container, path: str, kind: str = "timer") -> str:
    """The one unit of vmtune's that names a path."""
    named = shlex.quote(path.replace("%", "%%"))
    found = container.run(f"grep -lF -e {named} /etc/systemd/system/vmtune*.{kind}")
    [name] = found.stdout.split()
    return name.rpartition("/")[2]


def shown(container: Container, unit: str, name: str) -> str:
    """One property of a unit, by systemctl(1)."""
    argv = ["systemctl", "show", f"--property={name}", "--value", "--", unit]
    return container.run(argv).stdout.strip()


def failed(container: Container) -> str:
    """The units in a failed state; "" on a healthy host."""
    return container.run(["systemctl", "list-units", "--failed", "--plain", "--no-legend"]).stdout


@dataclass(frozen=True)
class Root:
    """vmtune for root, with one configuration that tests write anew."""

    container: Container

    def vmtune(self, *args: str, check: bool = False) -> Done:
        return self.container.run([ROOTS, "--config", CONFIG, *args], check=check)

    def declare(self, text: str) -> None:
        self.container.write(CONFIG, f"version: 1\n{text}\n".encode(), mode="600")

    def apply(self, text: str) -> Done:
        """Declares and applies; afterwards nothing differs."""
        self.declare(text)
        done = self.vmtune("apply", "--yes", check=True)
        self.vmtune("plan", "--detailed-exitcode", check=True)
        return done

    def differs(self) -> bool:
        done = self.vmtune("plan", "--detailed-exitcode")
        assert done.returncode in (0, 2), done.stdout + done.stderr
        return done.returncode == 2
