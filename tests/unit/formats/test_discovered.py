"""The files of quickemu, btrbk and tmpfiles.d, as far as images are concerned."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.discovery import linux as discovery_linux
from reconciler.linux import filesystems


@pytest.mark.parametrize(
    ("text", "disk"),
    [
        (b'guest_os="windows"\ndisk_img="windows-11/disk.qcow2"\n', "/vm/windows-11/disk.qcow2"),
        (b"disk_img=a/disk.qcow2 # here\n", "/vm/a/disk.qcow2"),
        (b"disk_img='my disk.qcow2'", "/vm/my disk.qcow2"),
        (b'disk_img="/srv/b.raw"', "/srv/b.raw"),
        (b'disk_img="a"\ndisk_img="b"', "/vm/b"),
        (b'disk_img="../x/disk.qcow2"', "/x/disk.qcow2"),
        (b'disk_img="${HOME}/d.qcow2"', ""),
        (b"disk_img=$(pwd)/d.qcow2", ""),
        (b'#disk_img="a"\niso="x.iso"\n', ""),
        (b'disk_img="caf\xe9.raw"', "/vm/caf\udce9.raw"),
        (b"", ""),
    ],
)
def test_quickemu(text, disk):
    assert discovery_linux.quickemu_disk(text, "/vm") == disk


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (b"h /srv/vm - - - - +C\n", [(1, "/srv/vm")]),
        (b"# C\n\nh! /srv/vm/ - - - - +aC", [(3, "/srv/vm")]),
        (b'H "/srv/my vms" - - - - =C', [(1, "/srv/my vms")]),
        (b"h /srv/vm - - - - C", [(1, "/srv/vm")]),
        (b"h /srv/vm - - - - -C", []),
        (b"h /srv/vm - - - - +a", []),
        (b"d /srv/vm 0711 root root - C", []),
        (b"h /srv/*/vm - - - - +C\nh %h/vm - - - - +C", []),
        (b'h "/srv/vm - - - - +C\nh /srv/vm - - -', []),
        (b"h relative - - - - +C", []),
        (b'h "" - - - - +C\nh /srv/vm - - - - ""', []),
    ],
)
def test_tmpfiles(text, lines):
    assert list(discovery_linux.nocow_lines(text)) == lines


BTRBK = b"""\
snapshot_dir   btrbk_snapshots
volume /mnt/btr_pool
  subvolume @rootfs
    snapshot_name root
  subvolume "home of us"
  subvolume vms/*
# subvolume not-me
volume ssh://other.example/mnt
  subvolume theirs
subvolume /srv/vm/
volume /
  subvolume .
"""


def test_btrbk():
    assert filesystems.btrbk_subvolumes(BTRBK) == (
        "/mnt/btr_pool/@rootfs",
        "/mnt/btr_pool/home of us",
        "/mnt/btr_pool/vms/*",
        "/srv/vm",
        "/",
    )


@given(st.binary(max_size=300))
def test_none_of_them_ever_fails(data):
    discovery_linux.quickemu_disk(data, "/vm")
    list(discovery_linux.nocow_lines(data))
    filesystems.btrbk_subvolumes(data)
