"""What image headers name: made by hand, cut off, damaged, hostile, and arbitrary."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.formats import imagefile, qcow2, vmdk

DESCRIPTOR = b"""\
# Disk DescriptorFile
version=1
CID=fb183c20
parentCID=ffffffff
createType="twoGbMaxExtentFlat"
# Extent description
RW 4194304 FLAT "disk-f001.vmdk" 0
RW 1024 FLAT "sub/disk f002.vmdk" 0
NOACCESS 16 ZERO
# The Disk Data Base
ddb.virtualHWVersion = "4"
"""


def header(
    backing: bytes = b"",
    data: bytes = b"",
    *,
    version: int = 3,
    size: int | None = None,
    at: int | None = None,
) -> bytes:
    """A qcow2 header as docs/interop/qcow2.txt lays it out."""
    extensions = b""
    if data:
        padded = data.ljust(-(-len(data) // 8) * 8, b"\0")
        extensions += struct.pack(">II", 0x6803F857, 3) + b"\0" * 8  # a feature name table
        extensions += struct.pack(">II", 0x44415441, len(data)) + padded
    extensions += bytes(8)
    length = 104 if version == 3 else 72
    offset = length + len(extensions) if backing else 0
    found = struct.pack(
        ">4sIQI",
        b"QFI\xfb",
        version,
        offset if at is None else at,
        len(backing) if size is None else size,
    )
    found = found.ljust(72, b"\0")
    if version == 3:
        found += struct.pack(">QQQII", 4 if data else 0, 0, 0, 4, 104)
    return found + extensions + backing


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (b"base.qcow2", "base.qcow2"),
        (b"/srv/vm/base.qcow2", "/srv/vm/base.qcow2"),
        (b"file:base.raw", "base.raw"),
        (b"./with:colon/base", "./with:colon/base"),
        (b"caf\xe9.raw", "caf\udce9.raw"),
        (b'json:{"driver":"qcow2","file":{"driver":"file","filename":"a.raw"}}', "a.raw"),
        (b'json:{"file.filename":"a.raw"}', "a.raw"),
    ],
)
def test_a_backing_file(name: bytes, found: str):
    for version in (2, 3):
        assert qcow2.names(header(name, version=version)) == (("backing file", found),)


@pytest.mark.parametrize(
    "name",
    [
        b"nbd://host/export",
        b"nbd:host:10809",
        b"json:{",
        b"json:[]",
        b'json:{"driver":"nbd","path":"/run/x"}',
        b'json:{"filename":"a\\u0000b"}',
        b"json:" + b'{"file":' * 90,
    ],
)
def test_what_is_no_file_of_this_host(name: bytes):
    assert qcow2.names(header(name)) == ()


def test_a_data_file_and_a_backing_file():
    both = (("backing file", "base"), ("data file", "disk.raw"))
    assert qcow2.names(header(b"base", b"disk.raw")) == both
    assert qcow2.names(header(data=b"disk.raw")) == both[1:]
    assert qcow2.names(header()) == ()


@pytest.mark.parametrize(
    "head",
    [
        b"QFI\xfb",
        header(b"base")[:60],
        header(b"base")[:-2],
        header(b"base", version=9),
        header(b"base", at=10**15),
        header(b"base", size=5000),
        header(b"ba\0se"),
    ],
)
def test_a_damaged_header(head: bytes):
    with pytest.raises(ValueError, match=r"."):
        qcow2.names(head)
    assert imagefile.parts(head, "a", "/vm") == ("", ())


def test_extents_of_a_vmdk():
    found = (("extent", "disk-f001.vmdk"), ("extent", "sub/disk f002.vmdk"))
    assert vmdk.names(DESCRIPTOR) == found
    assert vmdk.names(DESCRIPTOR.replace(b"\n", b"\r\n")) == found
    child = DESCRIPTOR + b'parentFileNameHint="base.vmdk"\n'
    assert vmdk.names(child) == (*found, ("backing file", "base.vmdk"))


def test_a_descriptor_inside_a_sparse_extent():
    head = struct.pack("<4s2I4Q", b"KDMV", 1, 3, 20480, 128, 1, 20).ljust(512, b"\0")
    assert vmdk.names(head + DESCRIPTOR.ljust(20 * 512, b"\0"))[0] == ("extent", "disk-f001.vmdk")
    for bad in (head[:20], head, b"KDMV" + bytes(600)):
        with pytest.raises(ValueError, match=r"."):
            vmdk.names(bad)


def test_more_extents_than_are_remembered():
    many = b"".join(b'RW 1 FLAT "f%d" 0\n' % number for number in range(3000))
    assert len(vmdk.names(b"# Disk DescriptorFile\n" + many)) == 1000


def test_where_the_files_are():
    """Relative to the directory of the image, and named from the top of the tree."""

    def named(name: bytes, path: str = "sub/a.qcow2") -> tuple[str, ...]:
        return imagefile.parts(header(name), path, "/vm")[1]

    assert named(b"base") == ("sub/base",)
    assert named(b"../base") == ("base",)
    assert named(b"/vm/x/./base") == ("x/base",)
    assert named(b"../../base") == ("/base",)
    assert named(b"/vmother/base") == ("/vmother/base",)
    assert named(b"a.qcow2") == (), "itself"
    assert imagefile.parts(header(b"b"), "a", "/") == ("backing file", ("b",))
    assert imagefile.parts(header(b"b", b"d"), "a", "/vm") == ("more file", ("b", "d"))


@given(st.binary(max_size=300))
def test_nothing_that_a_file_holds_is_an_error(tail: bytes):
    for start in (b"", b"QFI\xfb\0\0\0\3", b"KDMV", b"# Disk DescriptorFile\n"):
        what, others = imagefile.parts(start + tail, "a", "/vm")
        assert bool(others) <= bool(what)
        assert all("\0" not in name for name in others)
        imagefile.is_known(start + tail)
