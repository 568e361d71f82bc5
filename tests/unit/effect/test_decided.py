"""Who decides compression at boot, and what a token of it means to the kernel."""

from __future__ import annotations

import pytest

from reconciler.facts.compression import decided, words
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

# Measured with real boots: the line of / wins over rootflags= where it names compression,
# and leaves what rootflags= set where it does not; other lines are decoration.
BOOTS = [
    (True, {"/": "compress=no", "/home": "compress=zstd"}, "rootflags=compress=zstd:2",
     ("off", f"/etc/fstab:1, {ROOT}")),
    (True, {"/": "subvol=@"}, "quiet rootflags=subvol=@,compress=zstd:2",
     ("zstd:2", "rootflags= on the kernel's command line")),
    (True, {"/": "subvol=@", "/home": "compress=zstd"}, "quiet",
     ("off", f"/etc/fstab:1, {ROOT} (it names none)")),
    (True, {}, "quiet", ("off", "the kernel's command line (it names none)")),
    (True, {"/": "compress=zstd,compress=no"}, "", ("off", f"/etc/fstab:1, {ROOT}")),
    (False, {"/srv": "compress=zstd"}, "rootflags=compress=lzo", ("zstd:3", "/etc/fstab:1")),
    (False, {"/srv": "defaults"}, "", ("off", "/etc/fstab:1")),
    (False, {"/a": "compress=zstd", "/b": "compress=zstd:3"}, "",
     ("zstd:3", "/etc/fstab:1 and 2 alike")),
    (False, {"/a": "compress=zstd", "/b": "defaults"}, "",
     ("", "whichever of /etc/fstab:1 and 2 is mounted first")),
    (False, {}, "", ("", "whoever mounts it (no line of /etc/fstab does)")),
]  # fmt: skip


@pytest.mark.parametrize(("token", "said"), TOKENS)
def test_words(token, said):
    assert words(token) == said


@pytest.mark.parametrize(("has_root", "lines", "command_line", "said"), BOOTS)
def test_decided(has_root, lines, command_line, said):
    text = "".join(f"{UUID} {target} btrfs {options}\n" for target, options in lines.items())
    assert decided(has_root, fstab.parse(text.encode()), command_line) == said
