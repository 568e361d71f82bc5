"""Comma-separated mount options: split as libmount does, the effective one replaced."""

from __future__ import annotations

import pytest

from reconciler.formats import options

COMPRESS = options.family("compress")


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", ()),
        (",", ()),
        ("defaults", ("defaults",)),
        ("rw,noatime,subvol=/@", ("rw", "noatime", "subvol=/@")),
        (",a,,b,", ("a", "b")),
        ('context="a,b",ro', ('context="a,b"', "ro")),
        ('x="",ro', ('x=""', "ro")),
        ('a"b,c"d,e', ('a"b,c"d', "e")),
        ('a="x\\",y",b', ('a="x\\",y"', "b")),
        ("lowerdir=/a\\,b,ro", ("lowerdir=/a\\,b", "ro")),
        ('a=\\",b', ('a=\\"', "b")),
        ("subvol=my\\040vms,ro", ("subvol=my\\040vms", "ro")),
        ("a=b=c", ("a=b=c",)),
        ("a='b,c'", ("a='b", "c'")),
        ("a\nb,c", ("a\nb", "c")),
        ("a=\udcff,b", ("a=\udcff", "b")),
    ],
)
def test_split(text, tokens):
    assert options.split(text) == tokens
    assert options.well_formed(text)


@pytest.mark.parametrize("text", ['"', 'a="b', 'a="b,c', 'a="b\\"', 'a,"b",c="', "a\\", "a,b\\"])
def test_what_would_swallow_the_next_option(text):
    assert not options.well_formed(text)
    with pytest.raises(ValueError, match="open quote"):
        options.split(text)
    with pytest.raises(ValueError, match="open quote"):
        options.replace(text, COMPRESS, "compress=no")


@pytest.mark.parametrize(
    ("token", "name"),
    [("ro", "ro"), ("compress=no", "compress"), ("compress=", "compress"), ("a=b=c", "a")],
)
def test_name(token, name):
    assert options.name(token) == name


@pytest.mark.parametrize(
    ("option", "family"),
    [
        ("compress", {"compress", "compress-force"}),
        ("compress-force", {"compress", "compress-force"}),
        ("ro", {"ro", "rw"}),
        ("relatime", options.family("noatime")),
        ("strictatime", options.family("noatime")),
        ("nodiratime", {"nodiratime", "diratime"}),
        ("autodefrag", {"autodefrag", "noautodefrag"}),
        ("noautodefrag", {"autodefrag", "noautodefrag"}),
        ("discard", {"discard", "nodiscard"}),
        ("nodatacow", {"datacow", "nodatacow"}),
        ("ssd", options.family("nossd_spread")),
        ("recovery", {"recovery", "usebackuproot"}),
        ("norecovery", {"norecovery", "nologreplay"}),
        ("async", {"sync", "async"}),
        ("exec", {"exec", "noexec"}),
    ],
)
def test_family(option, family):
    assert options.family(option) == family


@pytest.mark.parametrize(
    ("text", "effective"),
    [
        ("", None),
        ("defaults,subvol=@", None),
        ("compress", "compress"),
        ("compress=no,compress-force=zstd", "compress-force=zstd"),
        ("compress-force=zstd,ro,compress=lzo,ssd", "compress=lzo"),
        ("x-compress=1,nocompress", None),
        ('context="a,compress=zstd,b"', None),
    ],
)
def test_value(text, effective):
    assert options.value(text, COMPRESS) == effective


@pytest.mark.parametrize(
    ("text", "token", "after"),
    [
        ("", "compress=no", "compress=no"),
        ("defaults", "compress=no", "defaults,compress=no"),
        ("defaults,subvol=@", "compress=no", "defaults,subvol=@,compress=no"),
        ("compress=zstd:3", "compress=no", "compress=no"),
        ("subvol=@,compress=zstd:1,ssd", "compress=no", "subvol=@,compress=no,ssd"),
        ("compress", "compress=no", "compress=no"),
        ("compress-force=zstd,ro", "compress=no", "compress=no,ro"),
        # The last one is the effective one: nodatacow stands before it, and stays there.
        ("compress=lzo,nodatacow,compress=zstd,ro", "compress=no", "nodatacow,compress=no,ro"),
        ("compress=no,ro,compress=zstd", "compress=no", "ro,compress=no"),
        ("compress=no,ro,compress=no", "compress=no", "ro,compress=no"),
        ("ro,compress=no,ssd", "compress=no", "ro,compress=no,ssd"),
        ("ro,,compress=no,", "compress=no", "ro,,compress=no,"),
        ("ro,,compress=zstd,", "compress=no", "ro,,compress=no,"),
        ("ro,,compress=zstd,", None, "ro,,"),
        ("compress=zstd,,ro", None, ",ro"),
        ("ro,compress=lzo,,compress=zstd,,nofail", "compress=no", "ro,,compress=no,,nofail"),
        (",,defaults,,", "compress=no", ",,defaults,,compress=no"),
        (",compress=lzo,", None, "defaults"),
        ('context="a,compress=zstd"', "compress=no", 'context="a,compress=zstd",compress=no'),
        ("defaults,compress=zstd", None, "defaults"),
        ("compress=zstd", None, "defaults"),
        ("compress=zstd,compress-force=lzo", None, "defaults"),
        ("ro,compress=zstd,ssd,compress", None, "ro,ssd"),
        ("", None, ""),
        ("ro,,ssd", None, "ro,,ssd"),
    ],
)
def test_replace(text, token, after):
    assert options.replace(text, COMPRESS, token) == after
    assert options.replace(after, COMPRESS, token) == after


@pytest.mark.parametrize(
    "token", ["", "ro", "compress=no,ro", ",compress=no", 'compress="', "no\\"]
)
def test_only_one_option_of_the_names_is_put(token):
    with pytest.raises(ValueError, match=r"open quote|not one of the options"):
        options.replace("defaults", COMPRESS, token)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("defaults,noatime,subvol=@,compress=no", ("subvol=@", "compress=no")),
        ("rw,nosuid,nodev,relatime,ssd,space_cache=v2", ("ssd", "space_cache=v2")),
        ("noauto,user=alice,nofail,_netdev,comment=x,loop=/dev/loop0", ()),
        ("x-systemd.automount,X-mount.mkdir,x-initrd.mount,verity.roothash=1,acl", ("acl",)),
        ("bind,rshared", ()),
    ],
)
def test_for_filesystem(text, kept):
    assert options.for_filesystem(text) == kept


def test_no_option_is_both():
    assert not options.USERSPACE & options.GENERIC
