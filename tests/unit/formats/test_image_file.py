"""What image headers name: made by hand, cut off, damaged, hostile, and arbitrary."""

from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.discovery import linux as discovery
from reconciler.discovery.facts import ImagesBelow
from reconciler.formats import image_file
from reconciler.formats.image_file import FORMATS
from tests import patience

if TYPE_CHECKING:
    from pathlib import Path

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
    length = {1: 48, 3: 104}.get(version, 72)
    offset = length + len(extensions) if backing else 0
    found = struct.pack(
        ">4sIQI",
        b"QFI\xfb",
        version,
        offset if at is None else at,
        len(backing) if size is None else size,
    )
    found = found.ljust(72, b"\0")[: 48 if version == 1 else 72]
    if version == 3:
        found += struct.pack(">QQQII", 4 if data else 0, 0, 0, 4, 104)
    return found + extensions + backing


def qed_header(
    backing: bytes, *, features: int = 1, at: int = 64, size: int | None = None
) -> bytes:
    """A QED header as docs/interop/qed_spec.rst lays it out."""
    length = len(backing) if size is None else size
    head = struct.pack("<4s3I", b"QED\0", 1 << 16, 4, 1)
    return head + struct.pack("<5Q2I", features, 0, 0, 1 << 16, 1 << 24, at, length) + backing


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
        (b"json: {'file.filename': 'a\\'s \\u00e9 \"b\" \\\"c\\\"'}", 'a\'s \xe9 "b" "c"'),
        (rb"""json:{"file.filename":"it\'s.raw"}""", "it's.raw"),
        (b'json:{"file.filename":"nbd://as/it/is"}', "nbd://as/it/is"),
        (b"file:nbd:x", "nbd:x"),
        (b"blkdebug:rules:base.raw", "base.raw"),
        (b"blkdebug::file:base.raw", "base.raw"),
        (b"base.raw\0behind", "base.raw"),
    ],
)
def test_a_backing_file(name: bytes, found: str):
    for version in (1, 2, 3):
        assert image_file.qcow2_names(header(name, version=version)) == (("backing file", found),)
    for features in (1, 3, 5):
        assert image_file.qed_names(qed_header(name, features=features)) == (
            ("backing file", found),
        )
    if b'"' not in name:
        child = DESCRIPTOR + b'parentFileNameHint="%s"\n' % name
        assert image_file.vmdk_names(child)[2:] == (("backing file", found),)


@pytest.mark.parametrize(
    "name",
    [
        b"nbd://host/export",
        b"nbd:host:10809",
        b"json:{",
        b"json:[]",
        b'json:{"driver":"nbd","path":"/run/x"}',
        b'json:{"filename":"a\\u0000b"}',
        b'json:{"file.filename":"\\ud800"}',
        b'json:{"file.filename":7,"filename":[]}',
        b"json:{'file.filename':'a",
        b"json:" + b'{"file":' * 90,
        b"blkdebug:",
        b"blkdebug:" + b":blkdebug:" * 90,
        b"file:",
        b"\0base.raw",
    ],
)
def test_what_is_no_file_of_this_host(name: bytes):
    assert image_file.qcow2_names(header(name)) == ()
    assert image_file.qed_names(qed_header(name)) == ()


def test_several_files_by_one_name():
    both = (("backing file", "a.raw"), ("backing file", "b.raw"))
    for name in (
        b"blkverify:a.raw:b.raw",
        b"blkdebug:rules:blkverify:a.raw:file:b.raw",
        b'json:{"children":[{"filename":"a.raw"},{"file":{"filename":"b.raw"}}]}',
        b'json:{"test.filename":"a.raw","raw":{"file.filename":"b.raw"},"x":{"filename":"a.raw"}}',
    ):
        assert image_file.qcow2_names(header(name)) == both


def test_a_name_longer_than_any_of_qemu():
    assert image_file.files("a" * 4095) == ("a" * 4095,)
    assert image_file.files("a" * 4096) == ()
    long = b"./" * 1000 + b"base"
    assert image_file.qed_names(qed_header(long)) == (("backing file", long.decode()),)
    assert image_file.files("blkdebug::" * 100_000) == ()


def test_a_qed_image_without_a_backing_file():
    """What stands where its name would be means nothing without the feature."""
    assert image_file.qed_names(qed_header(b"base", features=6)) == ()


@pytest.mark.parametrize(
    "head",
    [
        *(header(b"b", version=version) for version in (1, 2, 3)),
        qed_header(b"b"),
        DESCRIPTOR,
        DESCRIPTOR.partition(b"\n")[2],
    ],
)
def test_every_format_is_known_by_its_first_bytes(head: bytes):
    assert image_file.is_known(head[: image_file.MAGIC])
    assert image_file.parts(head, "a", "/vm")[1]
    assert not image_file.is_known(b"\xeb\x63\x90" + head)


@pytest.mark.parametrize("each", FORMATS, ids=lambda each: each.name)
def test_init_finds_every_format_by_its_suffix(tmp_path: Path, each: image_file.Format):
    assert each.suffixes
    for suffix in each.suffixes:
        (tmp_path / f"disk{suffix.upper()}").touch()
    found = discovery.image_folders(ImagesBelow(str(tmp_path), 0), frozenset())
    assert [folder.count for folder in found.folders] == [len(each.suffixes)]


def test_a_magic_fits_into_what_is_read():
    assert all(0 < len(magic) <= image_file.MAGIC for each in FORMATS for magic in each.magics)


def test_a_data_file_and_a_backing_file():
    both = (("backing file", "base"), ("data file", "disk.raw"))
    assert image_file.qcow2_names(header(b"base", b"disk.raw")) == both
    assert image_file.qcow2_names(header(data=b"disk.raw")) == both[1:]
    assert image_file.qcow2_names(header()) == ()


@pytest.mark.parametrize(
    "head",
    [
        b"QFI\xfb",
        header(b"base")[:60],
        header(b"base")[:-2],
        header(b"base", version=9),
        header(b"base", at=10**15),
        header(b"base", size=5000),
        header(b"base", version=0),
        header(b"base".ljust(1024, b"\0")),
    ],
)
def test_a_damaged_header(head: bytes):
    with pytest.raises(ValueError, match=r"."):
        image_file.qcow2_names(head)
    assert image_file.parts(head, "a", "/vm") == ("", ())


@pytest.mark.parametrize(
    "head",
    [
        b"QED\0",
        qed_header(b"base")[:60],
        qed_header(b"base")[:-1],
        qed_header(b"base", at=2**32 - 1),
        qed_header(b"base", size=2**32 - 1),
        qed_header(b"base".ljust(4096, b"\0")),
        b"QED " + qed_header(b"base")[4:],
    ],
)
def test_a_damaged_header_of_qed(head: bytes):
    with pytest.raises(ValueError, match=r"."):
        image_file.qed_names(head)
    assert image_file.parts(head, "a", "/vm") == ("", ())


def test_extents_of_a_vmdk():
    found = (("extent", "disk-f001.vmdk"), ("extent", "sub/disk f002.vmdk"))
    assert image_file.vmdk_names(DESCRIPTOR) == found
    assert image_file.vmdk_names(DESCRIPTOR.replace(b"\n", b"\r\n")) == found
    child = DESCRIPTOR + b'parentFileNameHint="base.vmdk"\n'
    assert image_file.vmdk_names(child) == (*found, ("backing file", "base.vmdk"))


def test_what_a_descriptor_begins_with():
    bare = DESCRIPTOR.removeprefix(b"# Disk DescriptorFile\n")
    for text in (bare, b"# any\n\n  \r\n#\n" + bare, DESCRIPTOR + b"\0" * 9 + b"RW 1 FLAT"):
        assert image_file.is_known(text[: image_file.MAGIC])
        assert len(image_file.vmdk_names(text)) == 2
    for text in (
        b"#!/bin/sh\nversion=1.5\n",
        b"version=4\n" + bare,
        b"# any\nCID=1\n" + bare,
        b"#" * 99,
    ):
        with pytest.raises(ValueError, match=r"."):
            image_file.vmdk_names(text)


def test_a_descriptor_inside_a_sparse_extent():
    """Its extent is the file itself, whatever that was called; not where there is nothing else."""

    def inside(text: bytes, capacity: int) -> bytes:
        head = struct.pack("<4s2I4Q", b"KDMV", 1, 3, capacity, 128, 1, 20).ljust(512, b"\0")
        return head + text.ljust(20 * 512, b"\0")

    child = DESCRIPTOR + b'parentFileNameHint="base.vmdk"\n'
    assert image_file.vmdk_names(inside(DESCRIPTOR, 20480)) == ()
    assert image_file.vmdk_names(inside(child, 20480)) == (("backing file", "base.vmdk"),)
    assert image_file.vmdk_names(inside(child, 0)) == image_file.vmdk_names(child)
    for bad in (inside(child, 1)[:20], inside(b"", 1), b"KDMV" + bytes(600)):
        with pytest.raises(ValueError, match=r"."):
            image_file.vmdk_names(bad)


def test_more_extents_than_are_remembered():
    many = b"".join(b'RW 1 FLAT "f%d" 0\n' % number for number in range(3000))
    assert len(image_file.vmdk_names(b"# Disk DescriptorFile\n" + many)) == 1000


def test_where_the_files_are():
    """Relative to the directory of the image, and named from the top of the tree."""

    def named(name: bytes, path: str = "sub/a.qcow2") -> tuple[str, ...]:
        return image_file.parts(header(name), path, "/vm")[1]

    assert named(b"base") == ("sub/base",)
    assert named(b"../base") == ("base",)
    assert named(b"/vm/x/./base") == ("x/base",)
    assert named(b"../../base") == ("/base",)
    assert named(b"/vmother/base") == ("/vmother/base",)
    assert named(b"//vm//x") == ("x",)
    assert named(b"file:///vm/x") == ("x",)
    assert named(b"a.qcow2") == (), "itself"
    assert image_file.parts(header(b"b"), "a", "/") == ("backing file", ("b",))
    assert image_file.parts(header(b"b", b"d"), "a", "/vm") == ("more file", ("b", "d"))


STARTS = (
    b"",
    *(b"QFI\xfb\0\0\0" + bytes([version]) for version in range(5)),
    b"QED\0",
    b"KDMV",
    b"COWD",
    b"# Disk DescriptorFile\n",
    b"version=1\n",
)


@given(st.sampled_from(STARTS), st.binary(max_size=300))
def test_nothing_that_a_file_holds_is_an_error(start: bytes, tail: bytes):
    what, others = image_file.parts(start + tail, "a", "/vm")
    assert bool(others) <= bool(what)
    assert all("\0" not in name for name in others)
    image_file.is_known(start + tail)


PIECES = rb"""json: blkdebug: blkverify: file: nbd:// : / .. a.raw " ' \ \ud800 \u0000 { } [ ] ,
{"filename":" {'file.filename':' "file":""".split()
SPELLED = st.lists(st.sampled_from([*PIECES, b"\0", b"\xff", b"\r\n"]), max_size=12).map(b"".join)


@given(SPELLED)
def test_any_name_is_a_path_or_none(name: bytes):
    """That the kernel can be asked about: no NUL, and bytes can be made of it."""
    hint = DESCRIPTOR + b'parentFileNameHint="%s"\n' % name
    for head in (header(name, name), header(name, version=1), qed_header(name), hint):
        for other in image_file.parts(head, "sub/a", "/vm")[1]:
            assert b"\0" not in other.encode("utf-8", "surrogateescape")
            assert other
            assert "//" not in other


GOOD = (
    header(b"base", b"data"),
    header(b"json:{'file.filename':'a'}", version=1),
    qed_header(b"blkverify:a:b"),
    DESCRIPTOR + b'parentFileNameHint="base.vmdk"\n',
    struct.pack("<4s2I4Q", b"KDMV", 1, 3, 0, 128, 1, 20).ljust(512, b"\0") + DESCRIPTOR,
)


@given(st.sampled_from(GOOD), st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255))))
def test_a_damaged_header_raises_nothing_but_value_error(
    good: bytes, damage: list[tuple[int, int]]
):
    image = bytearray(good)
    for at, byte in damage:
        image[at % len(image)] = byte
    for names in (image_file.qcow2_names, image_file.qed_names, image_file.vmdk_names):
        try:
            found = names(bytes(image))
        except ValueError:
            continue
        assert len(found) <= 1000
        assert all(what and name for what, name in found)


HOSTILE = (
    b"#\n" * 32_000,
    b"# Disk DescriptorFile\n" + b'RW 1 FLAT "a"\n' * 4_000,
    b"# Disk DescriptorFile\nparentFileNameHint=" + b"blkdebug::" * 6_000,
    b"version=1\n" + b'parentFileNameHint=json:[[{"\n' * 2_000,
    b"#\n" + b" \n" * 10_000 + b" " * 40_000,
    header(b"json:" + b"'\\" * 509),
    header(b"json:" + b"[" * 1018),
    header(b"blkverify:" * 102),
    b"version=1\n" + (b"parentFileNameHint=json:" + b'\\"' * 2_000 + b"\n") * 15,
    struct.pack(">4sIQI", b"QFI\xfb", 3, 0, 0).ljust(72, b"\0")
    + struct.pack(">QQQII", 4, 0, 0, 4, 104)
    + b"\0\0\0\1\0\0\0\0" * 8_000,
)


@pytest.mark.parametrize("head", HOSTILE, ids=range(len(HOSTILE)))
def test_no_header_takes_long(head: bytes):
    """A look at 100,000 images may find nothing else; an honest one takes 0.02 ms."""
    start = time.process_time()
    image_file.parts(head, "a", "/vm")
    assert time.process_time() - start < 0.2 * patience.FACTOR
