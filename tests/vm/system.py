"""What guests boot: a Debian of debootstrap with the kernel of its release, on Btrfs, cached.

A system is a folder with a disk image, the kernel, and an initramfs that holds only the modules
that a root on a virtio disk needs: the generic one looks for disks that no guest here has, which
takes longer than the rest of the boot. ``python3 tests/vm/system.py`` builds all ahead of time.
"""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

CHECKOUT = Path(__file__).parents[2]
sys.path.insert(0, str(CHECKOUT))  # tests are no package; this names helpers by their full path

from tests.host import sandbox  # noqa: E402
from tests.vm import agent  # noqa: E402

APT_PACKAGES = [*sandbox.APT_PACKAGES, "qemu-system-x86", "qemu-utils"]
PROGRAMS = ["qemu-system-x86_64", "qemu-img"]
SUITES = {"bookworm": "Debian 12", "trixie": "Debian 13"}
UUID = "6f2d8a51-93c4-4e0b-8b7f-5c1a0e94d312"
"""Of the root filesystem of each guest: each has the only disk that it sees with this UUID."""
FSTAB = f"UUID={UUID} / btrfs defaults,subvol=@rootfs 0 0\n"
"""The line of the how-to."""

_INCLUDE = [
    *sandbox.INCLUDE,
    "busybox-static",
    "cryptsetup-bin",
    "dmsetup",
    "kmod",
    "linux-image-amd64",
    "udev",
    "xz-utils",
]
_MODULES = ["virtio_pci", "virtio_blk", "virtio_console", "virtio_rng", "crc32c_generic", "btrfs"]

_UNIT = """\
[Unit]
Description=Runs what the host of this guest asks for

[Service]
ExecStart=/usr/bin/python3 /usr/local/lib/guest-agent.py
Restart=always

[Install]
WantedBy=multi-user.target
"""

# As Debian's own initramfs: the root read-only and with the kernel's rootflags; fstab is systemd's.
_INIT = """\
#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /root
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev
for module in $(/bin/busybox cat /modules); do /bin/busybox insmod "$module"; done 2>/dev/null
while ! [ -b /dev/vda ]; do /bin/busybox usleep 20000; done
for word in $(/bin/busybox cat /proc/cmdline); do
    case $word in rootflags=*) flags=${word#rootflags=} ;; esac
done
/bin/busybox mount -t btrfs -o "ro,$flags" /dev/vda /root
for folder in dev proc sys; do /bin/busybox mount --move /$folder /root/$folder; done
exec /bin/busybox switch_root /root /sbin/init
"""

# Drivers of devices that no guest has are most of the kernel's package.
_FINISH = r"""
tree=$1 modules=$2
kernel=$(basename "$tree"/lib/modules/*)
rm -rf "$tree/lib/modules/$kernel/kernel/sound" "$tree"/boot/initrd*
for what in gpu media net infiniband iio staging hwmon usb scsi ata; do
    rm -rf "$tree/lib/modules/$kernel/kernel/drivers/$what"
done
chroot "$tree" depmod "$kernel"
rm -f "$tree/etc/systemd/system/systemd-modules-load.service"
chroot "$tree" systemctl -q mask e2scrub_reap.service getty@tty1.service \
    serial-getty@ttyS0.service systemd-timesyncd.service systemd-pstore.service
chroot "$tree" systemctl -q enable guest-agent.service

top=$tree/initramfs
mkdir -p "$top/bin"
cp "$tree/bin/busybox" "$top/bin/"
# shellcheck disable=SC2086 # a list of words
chroot "$tree" modprobe -S "$kernel" --show-depends --all $modules |
    sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' | while read -r file; do
    name=$(basename "${file%.xz}")
    case $file in
        *.xz) chroot "$tree" xz -dc "$file" >"$top/$name" ;;
        *) cp "$tree/$file" "$top/$name" ;;
    esac
    echo "/$name" >>"$top/modules"
done
cat >"$top/init"
chmod 755 "$top/init"
"""

_DISK = r"""
tree=$1 out=$2 uuid=$3 fstab=$4
mv "$tree/initramfs" "$out/initramfs"
(cd "$out/initramfs" && find . | "$tree/bin/busybox" cpio -o -H newc 2>/dev/null) >"$out/initrd"
rm -r "$out/initramfs"
cp "$tree"/boot/vmlinuz-* "$out/vmlinuz"
basename "$tree"/lib/modules/* >"$out/kernel"
printf %s "$fstab" >"$tree/etc/fstab"
echo 9d1c2e63d0a84f5bb1f7c0de5a1e7a11 >"$tree/etc/machine-id"
truncate -s 6G "$out/disk.raw"
mkfs.btrfs -q -U "$uuid" "$out/disk.raw"
mount -t tmpfs tmpfs /run
mkdir /run/top
mount -o loop,compress=no "$out/disk.raw" /run/top
btrfs subvolume create /run/top/@rootfs >/dev/null
cp -a "$tree/." /run/top/@rootfs/
umount /run/top
"""
_FLAVOUR = r"""
disk=$1 script=$2
mount -t tmpfs tmpfs /run
mkdir /run/top
mount -o loop,compress=no,subvol=@rootfs "$disk" /run/top
sh -euc "$script" sh /run/top
umount -R /run/top
"""


class Flavour(NamedTuple):
    """What a system has beside a plain one."""

    name: str = ""
    packages: Sequence[str] = ()
    words: str = ""
    """For its kernel; the last of two words that contradict each other counts."""
    script: str = ""
    """Run on the finished disk: ``$1`` is the root of the system."""


PLAIN = Flavour()
LIBVIRT = Flavour("libvirt", [*sandbox.LIBVIRT, "apparmor"])
TESTS = Flavour(
    "tests",
    [
        "acl",
        "btrfs-compsize",
        "fish",
        "groff-base",
        "make",
        "python3-fastjsonschema",
        "python3-hypothesis",
        "python3-pytest",
        "python3-pytest-timeout",
        "python3-pytest-xdist",
        "qemu-system-x86",
        "qemu-utils",
        "rsync",
        "xfsprogs",
        "zsh",
    ],
)
"""What this project's own tests are run by; all else is in a plain one."""
# The agent is an administrator who logged in. Its default domain may not even open the port.
SELINUX = Flavour(
    "selinux",
    ["auditd", "policycoreutils", "selinux-basics", "selinux-policy-default", "selinux-utils"],
    "security=selinux selinux=1 enforcing=1",
    r"""
printf 'SELINUX=enforcing\nSELINUXTYPE=default\n' >"$1/etc/selinux/config"
mkdir -p "$1/etc/systemd/system/guest-agent.service.d"
printf '[Service]\nSELinuxContext=unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023\n' \
    >"$1/etc/systemd/system/guest-agent.service.d/domain.conf"
# setfiles leaves out each mount that /proc/mounts does not call labelled: all, on a kernel without.
mount -t proc proc "$1/proc"
mount --bind /dev/null "$1/proc/$$/mounts"
exec chroot "$1" setfiles -e /proc /etc/selinux/default/contexts/files/file_contexts /
""",
)


class System(NamedTuple):
    """A folder of a built system, and what it is called."""

    folder: Path
    suite: str
    flavour: Flavour = PLAIN

    @property
    def name(self) -> str:
        return SUITES[self.suite]

    @property
    def kernel(self) -> str:
        return (self.folder / "kernel").read_text("ascii").strip()


def missing() -> list[str]:
    """Names what this machine lacks; empty where guests can be built and booted."""
    programs = [f"the program {name}" for name in PROGRAMS if not shutil.which(name)]
    return [*sandbox.missing(), *programs]


def _script(script: str, *args: object, given: str = "") -> None:
    argv = sandbox.sandbox(script, *map(str, args))
    sandbox.checked(argv, env=os.environ | sandbox.proxy(), given=given)


def _tree(tree: Path, suite: str, flavour: Flavour) -> None:
    """Fills a folder with the release, the agent, and what the initramfs is made of."""
    sandbox.debootstrap(tree, suite, [*_INCLUDE, *flavour.packages])
    shutil.copy(agent.__file__, tree / "usr/local/lib/guest-agent.py")
    (tree / "etc/systemd/system/guest-agent.service").write_text(_UNIT, "ascii")
    _script(_FINISH, tree, " ".join(_MODULES), given=_INIT)


def build(suite: str, cache: Path, flavour: Flavour = PLAIN) -> System:
    """Builds the system of a release, once for a given recipe."""
    recipe = [suite, _INCLUDE, _MODULES, _UNIT, _INIT, _FINISH, _DISK, sandbox.script(), FSTAB]
    recipe.append(Path(agent.__file__).read_text("utf-8"))
    if flavour != PLAIN:
        recipe += [flavour, _FLAVOUR if flavour.script else ""]

    def fill(part: Path) -> None:
        tree = part.with_suffix(".tree")
        shutil.rmtree(tree, ignore_errors=True)
        part.mkdir()
        _tree(tree, suite, flavour)
        _script(_DISK, tree, part, UUID, FSTAB)
        if flavour.script:
            _script(_FLAVOUR, part / "disk.raw", flavour.script)
        shutil.rmtree(tree)

    name = "-".join(filter(None, ["vm", suite, flavour.name]))
    return System(sandbox.made_once(cache, name, recipe, fill), suite, flavour)


def main(suites: Sequence[str]) -> None:
    for suite in suites or SUITES:
        print(build(suite, sandbox.cache_folder()).folder)


if __name__ == "__main__":
    main(sys.argv[1:])
