"""libvirt's XML as libvirt writes it, and as somebody with bad intentions might."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.formats import libvirtxml
from reconciler.formats.libvirtxml import Domain, Pool

# virsh pool-dumpxml and the file in /etc/libvirt/storage, libvirt 9.0
POOL = b"""\
<!--
WARNING: THIS IS AN AUTO-GENERATED FILE. CHANGES TO IT ARE LIKELY TO BE
OVERWRITTEN AND LOST. Changes to this xml configuration should be made using:
  virsh pool-edit default
or other application using the libvirt API.
-->

<pool type='dir'>
  <name>default</name>
  <uuid>6a5e1d2f-3c3a-4f0c-9a5e-5e8d4b1f2c3d</uuid>
  <capacity unit='bytes'>0</capacity>
  <source>
  </source>
  <target>
    <path>/var/lib/libvirt/images</path>
    <permissions><mode>0711</mode><owner>0</owner><group>0</group></permissions>
  </target>
</pool>
"""
DOMAIN = b"""\
<domain type='kvm' id='3' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>win11</name>
  <os><loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE.fd</loader></os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='none'/>
      <source file='/var/lib/libvirt/images/win11.snap1' index='2'/>
      <backingStore type='file'>
        <source file='/srv/base/win11.qcow2'/>
      </backingStore>
      <target dev='vda' bus='virtio'/>
    </disk>
    <disk type='file' device='cdrom'><source file='/srv/iso/virtio.iso'/><readonly/></disk>
    <disk type='file' device='cdrom'><target dev='sdb'/></disk>
    <disk type='file' device='disk'><source file='/srv/shared.raw'/><readonly/></disk>
    <disk type='block' device='disk'><source dev='/dev/vg/win'/></disk>
    <disk type='file'><source file='/srv/D&#228;ten &amp; mehr/d.raw'/></disk>
    <disk type='file' device='disk'><source file='/srv/shared.raw'/></disk>
  </devices>
</domain>
"""


def test_a_pool():
    assert libvirtxml.pool(POOL) == Pool("default", "dir", "/var/lib/libvirt/images", "")


@pytest.mark.parametrize("state", ["yes", "no"])
def test_what_a_pool_says_of_copy_on_write(state):
    said = f"<features><cow state='{state}'/></features></pool>".encode()
    assert libvirtxml.pool(POOL.replace(b"</pool>", said)).cow == state


def test_a_pool_without_a_directory():
    data = b"<pool type='rbd'><name>ceph</name><target><path>rbd</path></target></pool>"
    assert libvirtxml.pool(data) == Pool("ceph", "rbd", "")


def test_a_domain_and_what_it_writes_to():
    disks = ("/var/lib/libvirt/images/win11.snap1", "/srv/Däten & mehr/d.raw", "/srv/shared.raw")
    assert libvirtxml.defined(DOMAIN) == Domain("win11", disks)


BOMB = b"""<!DOCTYPE pool [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<pool type='dir'><name>&b;</name></pool>"""
OUTSIDE = (
    b"""<!DOCTYPE pool [<!ENTITY p SYSTEM "file:///etc/shadow">]><pool><name>&p;</name></pool>"""
)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (BOMB, "document type"),
        (OUTSIDE, "document type"),
        (b"<pool><name>&undefined;</name></pool>", "undefined entity"),
        (b"<domain/>", "not a <pool>"),
        (b"", "no element found"),
        (b"<pool>", "no element found"),
        (b"\xff\xfe\x00", "not read"),
        (b"<?xml version='1.0' encoding='klingon'?><pool/>", "unknown encoding"),
        (b"<pool>" * 200, "nested too deep"),
        (b"<pool>" + b" " * libvirtxml.LARGEST, "larger than 1 MiB"),
    ],
)
def test_what_is_refused(data, why):
    with pytest.raises(ValueError, match=why):
        libvirtxml.pool(data)


@given(
    st.one_of(
        st.binary(max_size=200),
        st.tuples(st.integers(0, len(DOMAIN)), st.binary(max_size=8)).map(
            lambda cut: DOMAIN[: cut[0]] + cut[1] + DOMAIN[cut[0] :]
        ),
    )
)
def test_anything_else_is_read_or_refused(data):
    for read in (libvirtxml.pool, libvirtxml.defined):
        try:
            read(data)
        except ValueError:
            continue
