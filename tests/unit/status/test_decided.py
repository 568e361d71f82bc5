"""Who decides compression at boot, and what a token of it means to the kernel."""

from __future__ import annotations

import pytest

from reconciler.facts.boot_order import BootLayout, MountUnit, live_words
from reconciler.facts.compression import decided, deciding, is_idle, remedy, words
from reconciler.formats import fstab

UUID = "UUID=c6c9efea-38d8-4a40-8d1b-a9c0c5a17d9a"
ROOT = "the line of /"

TOKENS = [
    (None, "off"),
    ("compress=no", "off"),
    ("compress=none", "off"),
    ("compress-force=no", "off"),
    ("compress", "zlib:3"),
    ("compress=zlib", "zlib:3"),
    ("compress=zstd", "zstd:3"),
    ("compress=zstd:1", "zstd:1"),
    ("compress=lzo", "lzo"),
    ("compress-force=zstd", "zstd:3, forced"),
]

# As mountinfo shows it: without an algorithm nothing is compressed.
SHOWN = [
    ("", "off"),
    ("compress=", "off"),
    ("compress-force=", "off"),
    ("compress=zstd:1", "zstd:1"),
    ("compress-force=zstd:3", "zstd:3, forced"),
]

# Measured with real boots: the line of / wins over rootflags= where it names compression,
# and leaves what rootflags= set where it does not; other lines are decoration.
BOOTS = [
    ("/", {"/": "compress=no", "/home": "compress=zstd"}, "rootflags=compress=zstd:2",
     ("off", f"/etc/fstab:1, {ROOT}")),
    ("/", {"/": "subvol=@"}, "quiet rootflags=subvol=@,compress=zstd:2",
     ("zstd:2", "rootflags= on the kernel's command line")),
    ("/", {"/": "subvol=@", "/home": "compress=zstd"}, "quiet",
     ("off", f"/etc/fstab:1, {ROOT} (it names no compression)")),
    ("/", {}, "quiet", ("off", "the kernel's command line (it names no compression)")),
    ("/", {"/": "compress=zstd,compress=no"}, "", ("off", f"/etc/fstab:1, {ROOT}")),
    ("/", {"/": "compress=zstd:1,nodatacow"}, "", ("off", f"/etc/fstab:1, {ROOT}")),
    ("/", {"/": "nodatacow"}, "rootflags=compress=zstd",
     ("off", f"/etc/fstab:1, {ROOT} (it names no compression)")),
    ("/", {}, "rootflags=compress=zstd rootflags=subvol=@",
     ("", "the kernel's command line, which has rootflags= more than once")),
    # NixOS: the initramfs has the line of / in it.
    ("/", {"/": "compress=zstd,x-initrd.mount", "/nix": "x-initrd.mount"}, "",
     ("zstd:3", f"/etc/fstab:1, {ROOT}")),
    # / stays read-only: the first line that is mounted writable takes over.
    ("/", {"/": "ro,compress=zstd:1", "/var": "compress=lzo"}, "",
     ("lzo", "/etc/fstab:2, which mounts /var writable first, since / is read-only")),
    ("/", {"/": "ro,compress=zstd:1", "/var": "subvol=@var"}, "",
     ("off", ("/etc/fstab:2, which mounts /var writable first, since / is read-only "
             "(it names no compression)"))),
    ("/", {"/": "ro,compress=zstd:1", "/var": "ro"}, "", ("zstd:1", f"/etc/fstab:1, {ROOT}")),
    ("/", {"/": "ro", "/var": "compress=zstd:1"}, "",
     ("off", f"/etc/fstab:1, {ROOT} (it names no compression)")),
    ("/", {"/": "ro,compress=zstd:1", "/var": "compress=zstd", "/srv": "compress=zstd:3"}, "",
     ("zstd:3", ("/etc/fstab:2 and 3 alike (the one that is mounted writable first, since / is "
                "read-only)"))),
    ("/", {"/": "ro,compress=zstd:1", "/var": "compress=lzo", "/srv": ""}, "",
     ("", "whichever of /etc/fstab:2 and 3 is mounted writable first, since / is read-only")),
    ("/", {"/": "ro,compress=zstd:1", "/var": "compress=lzo", "/var/lib": ""}, "",
     ("lzo", "/etc/fstab:2, which mounts /var writable first, since / is read-only")),
    # MicroOS: /var is mounted in the initramfs, and the line of / is applied after that.
    ("/", {"/": "ro,compress=zstd:1", "/var": "x-initrd.mount", "/home": "compress=zstd:1"}, "",
     ("zstd:1", "/etc/fstab:3, which mounts /home writable first, since / is read-only")),
    # An image at /: the line of / is not for the Btrfs below.
    ("/sysroot", {"/": "compress=zstd:1", "/var": "compress=zstd:1"}, "rw rootflags=subvol=root",
     ("off", ("the kernel's command line, with which it is mounted first, at /sysroot "
             "(it names no compression)"))),
    ("/sysroot", {"/var": ""}, "rw rootflags=subvol=root,compress=zstd:1",
     ("zstd:1", ("rootflags= on the kernel's command line, with which it is mounted first, "
                "at /sysroot"))),
    ("/sysroot", {"/var": ""}, "ro rootflags=subvol=root,compress=zstd:1",
     ("off", ("/etc/fstab:1, which mounts /var writable first, since /sysroot is read-only "
             "(it names no compression)"))),
    # Not the root filesystem.
    ("", {"/srv": "compress=zstd"}, "rootflags=compress=lzo", ("zstd:3", "/etc/fstab:1")),
    ("", {"/srv": "defaults"}, "", ("off", "/etc/fstab:1")),
    ("", {"/a": "compress=zstd", "/b": "compress=zstd:3"}, "",
     ("zstd:3", "/etc/fstab:1 and 2 alike")),
    ("", {"/a": "compress=zstd", "/b": "defaults"}, "",
     ("", "whichever of /etc/fstab:1 and 2 is mounted first")),
    ("", {"/a": "compress=zstd", "/a/b": "defaults"}, "", ("zstd:3", "/etc/fstab:1")),
    ("", {"/a": "compress=zstd,noauto", "/b": "defaults"}, "", ("off", "/etc/fstab:2")),
    ("", {"/a": "compress=zstd,noauto"}, "", ("zstd:3", "/etc/fstab:1")),
    ("", {"/a": 'compress="zstd'}, "", ("", "/etc/fstab:1, which cannot be read")),
    ("", {}, "", ("", "whoever mounts it (no line of /etc/fstab does)")),
]  # fmt: skip


def layout(root, lines, command_line="", *units):
    text = "".join(f"{UUID} {target} btrfs {options}\n" for target, options in lines.items())
    return BootLayout(root, True, command_line, fstab.parse(text.encode()), units)


def unit(where, options, *, is_wanted=True, hides=False):
    return MountUnit("/etc/x.mount", where, UUID, options, is_wanted, hides)


@pytest.mark.parametrize(("token", "said"), TOKENS)
def test_words(token, said):
    assert words(token) == said


@pytest.mark.parametrize(("shown", "said"), SHOWN)
def test_live_words(shown, said):
    assert live_words(shown) == said


@pytest.mark.parametrize(("root", "lines", "command_line", "said"), BOOTS)
def test_decided(root, lines, command_line, said):
    assert decided(layout(root, lines, command_line)) == said


UNITS = [
    ({}, [unit("/srv", "compress=zstd")], ("zstd:3", "/etc/x.mount")),
    ({"/srv": "compress=lzo"}, [unit("/srv", "compress=zstd", hides=True)],
     ("zstd:3", "/etc/x.mount")),
    ({"/srv": "compress=lzo"}, [unit("/srv", "compress=zstd")], ("lzo", "/etc/fstab:1")),
    ({"/a": "compress=lzo"}, [unit("/srv", "compress=zstd")],
     ("", "whichever of /etc/fstab:1 and /etc/x.mount is mounted first")),
    ({"/a": "compress=lzo"}, [unit("/srv", "compress=zstd", is_wanted=False)],
     ("lzo", "/etc/fstab:1")),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "units", "said"), UNITS)
def test_mount_units_decide_like_lines(lines, units, said):
    assert decided(layout("", lines, "", *units)) == said


REMEDIES = [
    ("/", {"/": "", "/home": ""}, "", "declare `compress: lzo` for `target: /` (line 1)"),
    ("/", {"/": "ro,compress=zstd:1", "/var": ""}, "",
     "declare `compress: lzo` for `target: /var` (line 2)"),
    ("/", {"/": "ro", "/var": ""}, "", "declare `compress: lzo` for each of the lines 1 and 2"),
    ("", {"/a": "", "/b": ""}, "", "declare `compress: lzo` for each of the lines 1 and 2"),
    ("/sysroot", {"/": "", "/var": ""}, "rw rootflags=subvol=root ostree=/x",
     ("`rpm-ostree kargs --delete=rootflags=subvol=root "
     "--append=rootflags=subvol=root,compress=lzo`, then boot")),
    ("/", {}, "rw rootflags=subvol=@", ("write `rootflags=subvol=@,compress=lzo` on the kernel's "
     "command line, in the boot loader's configuration (GRUB: /etc/default/grub; systemd-boot: "
     "/etc/kernel/cmdline)")),
]  # fmt: skip


@pytest.mark.parametrize(("root", "lines", "command_line", "said"), REMEDIES)
def test_where_it_must_be_written(root, lines, command_line, said):
    """Each remedy is what a boot would go by: it is tried out on the order of mounts."""
    assert remedy(layout(root, lines, command_line), "compress=lzo") == said


def test_what_is_idle_changes_nothing_when_it_is_taken_out():
    """On a read-only /, the option of / is as needed as the one of the line that takes over."""
    ordinary = layout("/", {"/": "", "/home": "compress=zstd"})
    assert [is_idle(ordinary, line) for line in ordinary.lines] == [False, True]
    kept_read_only = layout("/", {"/": "ro,compress=zstd:1", "/var": "compress=zstd:1"})
    assert not any(is_idle(kept_read_only, line) for line in kept_read_only.lines)
    image = layout("/sysroot", {"/": "compress=zstd", "/var": "compress=zstd"}, "rw")
    assert all(is_idle(image, line) for line in image.lines)
    assert deciding(image, "compress=zstd") == ()
