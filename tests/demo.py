"""The whole story in half a minute: plan, apply, plan again, an outsider's proof, and status.

As root, where Btrfs is to be had: on a throwaway filesystem in a private mount
namespace, with an /etc of its own; nothing of the host is touched. Otherwise
the read-only plan of this host, by the example configuration.
"""

from __future__ import annotations

import ctypes
import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
CONFIG = """\
version: 1
paths:
  - path: /mnt/libvirt/images
    nocow: true
    existing: rewrite
mounts:
  - target: /mnt
    options:
      compress: no
defrag:
  - path: /mnt/libvirt/images
    schedule: "0 12 * * *"
    scheduler: cron
"""
CLONE_NEWNS = 0x00020000


def main() -> int:
    if missing := lacking():
        print(f"No throwaway Btrfs here ({missing}).")
        print("Instead, the read-only plan of this host, by vmtune.yaml.example:\n")
        vmtune("--config", str(CHECKOUT / "vmtune.yaml.example"), "plan")
        print("\n`sudo make demo` on a machine with Btrfs shows plan, apply and proof.")
        return 0
    with tempfile.TemporaryDirectory(prefix="vmtune-demo-") as folder:
        child = os.fork()
        if child == 0:
            os._exit(story(Path(folder)))
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def lacking() -> str:
    """What is missing for a throwaway filesystem; "" when nothing is."""
    if os.geteuid() != 0:
        return "it needs root"
    if shutil.which("modprobe"):
        run("modprobe", "btrfs", check=False)
    if "btrfs" not in Path("/proc/filesystems").read_text(encoding="ascii"):
        return "this kernel has no Btrfs"
    if not Path("/dev/loop-control").exists():
        return "there is no loop device"
    return ""


def story(folder: Path) -> int:
    """In a namespace of its own, which takes every mount with it when it ends."""
    own_mounts()
    build(folder)
    config = folder / "vmtune.yaml"
    config.write_text(CONFIG, encoding="utf-8")
    print("A throwaway Btrfs is mounted at /mnt with compress=zstd, in a private namespace.\n")
    show("cat vmtune.yaml", CONFIG)
    before = Path("/etc/fstab").read_text(encoding="ascii")
    vmtune("--config", str(config), "plan", shown="vmtune plan")
    if code := vmtune("--config", str(config), "apply", "--yes", shown="vmtune apply --yes"):
        return code
    code = vmtune("--config", str(config), "plan", "--detailed-exitcode", shown="vmtune plan")
    if code := code or proof(folder, before):
        return code
    return vmtune("--config", str(config), "status", shown="vmtune status")


def own_mounts() -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "unshare")
    run("mount", "--make-rprivate", "/")


def build(folder: Path) -> None:
    """A Btrfs as the how-tos have it, and an /etc and /run that vanish with the namespace."""
    image, top = folder / "disk.img", folder / "top"
    image.touch()
    os.truncate(image, 512 << 20)
    run("mkfs.btrfs", "-q", "-L", "demo", str(image))
    top.mkdir()
    run("mount", "-o", "loop", str(image), str(top))
    run("btrfs", "subvolume", "create", str(top / "@vm"))
    device = run("findmnt", "-no", "SOURCE", str(top)).strip()
    uuid = run("blkid", "-p", "-s", "UUID", "-o", "value", device).strip()
    run("umount", str(top))
    run("mount", "-o", "loop,subvol=@vm,compress=zstd", str(image), "/mnt")
    layer = folder / "etc"
    layer.mkdir()
    run("mount", "-t", "tmpfs", "tmpfs", str(layer))
    (layer / "upper").mkdir()
    (layer / "work").mkdir()
    layers = f"lowerdir=/etc,upperdir={layer}/upper,workdir={layer}/work"
    run("mount", "-t", "overlay", "-o", layers, "overlay", "/etc")
    for throwaway in ("/run", "/var/lib"):
        run("mount", "-t", "tmpfs", "tmpfs", throwaway)
    images()
    Path("/etc/cron.d").mkdir(exist_ok=True)
    Path("/etc/fstab").write_text(
        "# <file system> <mount point> <type> <options> <dump> <pass>\n"
        f"UUID={uuid}\t/mnt\tbtrfs\tdefaults,subvol=@vm,compress=zstd\t0\t0  # images\n",
        encoding="ascii",
    )


def images() -> None:
    """Two as guests leave them: half of what they hold compresses, written here and there since."""
    chance, block = random.Random(1), 4096  # noqa: S311 - the same pictures each time
    Path("/mnt/libvirt/images").mkdir(parents=True)
    for name, size, writes in (("win11.qcow2", 64, 2500), ("debian-12.qcow2", 40, 900)):
        with open(f"/mnt/libvirt/images/{name}", "wb", buffering=0) as image:
            half = 64 << 10
            image.writelines((chance.randbytes(half) + bytes(half)) * 8 for _ in range(size))
            image.truncate(size << 21)
            for number in range(writes):
                image.seek(chance.randrange(size << 20) // block * block)
                image.write(chance.randbytes(block))
                if number % 50 == 0:
                    os.fsync(image.fileno())
    run("sync", "-f", "/mnt")


def proof(folder: Path, before: str) -> int:
    """What other programs say of it."""
    old = folder / "fstab.before"
    old.write_text(before, encoding="ascii")
    image = "/mnt/libvirt/images/disk.raw"
    run("dd", "if=/dev/zero", f"of={image}", "bs=1M", "count=8", "status=none")
    print("What other programs say of it:\n")
    show(f"lsattr -d /mnt/libvirt/images {image}")
    show(f"filefrag {image} /mnt/libvirt/images/win11.qcow2")
    show("findmnt -no TARGET,FSROOT,OPTIONS /mnt")
    show("diff fstab.before /etc/fstab", run("diff", str(old), "/etc/fstab", check=False))
    for made in sorted(Path("/etc/cron.d").glob("vmtune-*")):
        show(f"cat {made}")
    return 0


def show(line: str, output: str | None = None) -> None:
    print(f"$ {line}")
    print(run(*shlex.split(line)) if output is None else output)


def run(*command: str, check: bool = True) -> str:
    """What a program prints; its complaint, and no traceback, where it fails."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": path, "LC_ALL": "C.UTF-8"},
    )
    if check and done.returncode:
        sys.exit(f"demo: {shlex.join(command)}: {done.stderr.strip()}")
    return done.stdout


def vmtune(*arguments: str, shown: str = "") -> int:
    print(f"$ {shown or shlex.join(['vmtune', *arguments])}", flush=True)
    command = [sys.executable, "-m", "reconciler", *arguments]
    done = subprocess.run(command, check=False, cwd=CHECKOUT)
    print(flush=True)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
