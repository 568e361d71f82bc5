"""Lines of /etc/fstab that cannot mount: plan and doctor say so, and mount(8) is the oracle."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.btrfs.outside import identity, mountinfo, run
from tests.btrfs.sandbox import TOP
from tests.btrfs.world import FSTAB, NOBODY, Image, World
from tests.oracles import oracle

VM = Path("/media/t/vm")
PROBE = Path("/media/t/probe")


LINKS = {
    "current": "@vm",
    "absolute": "/@vm",
    "plain/up": "../../../@vm",
    "chain": "plain/up",
    "others": "plain/../@other",
    "way": "plain",
    "round": "round",
    "nowhere": "gone",
    "outside": "/media/t/data/@vm",
    "empty": "@snap/in",
}
"""Symbolic links by where they lie; the kernel follows them at a mount, from the top level."""


@pytest.fixture
def image(host: World) -> Image:
    """Subvolumes @vm (mounted), @other, @vm/in; @vm was rolled back: @broken was it before.

    @snap shows an empty stub where @vm/in was; plain is a directory, deep/er lies in it.
    """
    image = host.image("data")
    image.subvolume("@vm")
    (image.path / "@vm").rename(image.path / "@broken")
    run("btrfs", "subvolume", "snapshot", image.path / "@broken", image.path / "@vm")
    for name in ("@other", "@vm/in"):
        image.subvolume(name)
    run("btrfs", "subvolume", "snapshot", image.path / "@vm", image.path / "@snap")
    (image.path / "plain" / "deep").mkdir(parents=True)
    image.subvolume("plain/deep/er")
    for name, target in LINKS.items():
        (image.path / name).symlink_to(target)
    image.mount(VM, "subvol=@vm")
    PROBE.mkdir(exist_ok=True)
    return image


def number(image: Image, name: str) -> str:
    return run("btrfs", "inspect-internal", "rootid", image.path / name).strip()


def mounts(image: Image, options: str) -> str | None:
    """Which subvolume mount(8) mounts with these options; None where it fails."""
    words = ["mount", "-t", "btrfs", "-o", options, image.device, str(PROBE)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        return None
    found = [word for word in mountinfo(PROBE)[1] if word.startswith("subvolid=")]
    run("umount", PROBE)
    return found[0].partition("=")[2]


def rows(host: World, code: str, user: int = 0) -> list[dict[str, str]]:
    ran = host.vmtune("doctor", "--json", user=user)
    return [row for row in json.loads(ran.out)["rows"] if row["code"] == code]


LINES = [
    "subvol=@vm",
    "subvol=/@vm/",
    "subvolid={vm}",
    "subvolid={vm},subvol=/@vm",
    "subvol=@gone,subvol=@vm",
    "subvolid=0{octal}",
    "subvolid=0x{hex},subvol=@vm",
    "noatime",
    "subvol=@other",
    "subvolid={other}",
    "subvolid=0",
    "subvolid=5,subvol=/",
    "subvol=@vm/in",
    "subvol=plain/deep/er",
    "subvol=@broken",
    "subvol=current",
    "subvol=/absolute/",
    "subvol=chain",
    "subvol=others",
    "subvol=current/in",
    "subvol=way/deep/er",
    "subvolid={vm},subvol=current",
    # these cannot mount
    "subvolid={broken},subvol=/@vm",
    "subvol=",
    "subvol=,subvolid={vm}",
    "subvol",
    "subvolid=",
    "subvolid=9999",
    "subvolid=99999999999999999999",
    "subvolid=08",
    "subvolid=@vm",
    "subvolid=9999,subvol=/@vm",
    "subvolid=5,subvol=@vm",
    "subvol=@gone",
    "subvol=@vm,subvol=@gone",
    "subvol=plain",
    "subvol=plain/deep",
    "subvol=@snap/in",
    "subvol=way",
    "subvol=round",
    "subvol=nowhere",
    "subvol=outside",
    "subvol=empty",
    "subvol=current/gone",
    "subvolid=5,subvol=current",
    "subvol=@vm/in/gone",
    "subvolid={deleted}",
]


@oracle(
    "mount(8)",
    "V208: is mounted at {}, but /etc/fstab",
    "V222",
    "V509: {} for Btrfs{}",
    "V521",
)
def test_a_line_is_sound_where_it_mounts_what_is_there(host: World, image: Image):
    """Plan and doctor against mount(8), line by line."""
    image.subvolume("deleted")
    ids = {name.strip("@"): number(image, name) for name in ("@vm", "@other", "@broken", "deleted")}
    run("btrfs", "subvolume", "delete", "--commit-after", image.path / "deleted")
    there = int(ids["vm"])
    host.mounts(VM, noatime=True)
    verdicts = set()
    for line in LINES:
        options = line.format(**ids, octal=f"{there:o}", hex=f"{there:x}")
        oracle = mounts(image, options)
        host.fstab(image.line(options, VM))
        ran, told = host.vmtune("plan", "--detailed-exitcode"), rows(host, "V521")
        verdicts.add("fails" if oracle is None else "same" if oracle == ids["vm"] else "other")
        if oracle is None:
            assert "V222" in ran.row(f"! mount {VM}"), options
            assert ran.code == 7, options
            assert [row["health"] for row in told] == ["fail"], options
            assert "the next mount by it fails" in told[0]["text"]
            assert "line 1" in told[0]["remedy"]
        elif oracle == ids["vm"]:
            assert ran.code in {0, 2}, options
            assert told == [], options
            assert "1 sound line" in rows(host, "V509")[0]["text"]
        else:
            assert "V208" in ran.row(f"! mount {VM}"), options
            assert [row["health"] for row in told] == ["fail"], options
            assert f"(id {oracle})" in told[0]["text"]
    assert verdicts == {"fails", "same", "other"}


@pytest.mark.parametrize(
    ("line", "remedy", "mended"),
    [
        ("noatime,subvolid={broken},subvol=/@vm", "take subvolid={broken} out of line 1",
         "noatime,subvol=/@vm"),
        ("noatime,subvol=@gone", "write subvol=/@vm in line 1", "noatime,subvol=/@vm"),
        ("noatime,subvolid=9999", "write subvol=/@vm in line 1", "noatime,subvol=/@vm"),
    ],
)  # fmt: skip
def test_what_to_take_out_makes_it_mount(
    host: World, image: Image, line: str, remedy: str, mended: str
):
    broken = number(image, "@broken")
    host.fstab(image.line(line.format(broken=broken), VM))
    host.mounts(VM, noatime=True)
    before = identity(FSTAB)
    ran = host.apply(expect=7)
    assert remedy.format(broken=broken) in ran.out
    told = ran.line(remedy.format(broken=broken)).removeprefix("do").strip()
    assert rows(host, "V521")[0]["remedy"] == told
    assert identity(FSTAB) == before
    assert mounts(image, mended) == number(image, "@vm")
    host.fstab(image.line(mended, VM))
    host.apply()
    assert rows(host, "V521") == []


@pytest.mark.parametrize("name", ["my vm", "a,b", "ümlaut"])
def test_names_that_fstab_must_escape(host: World, image: Image, name: str):
    """A blank is read alike by all; an escaped comma is two options to mount(8)."""
    image.subvolume(name)
    run("umount", VM)
    written = name.replace(" ", "\\040").replace(",", "\\054")
    host.fstab(f"{image.device} {VM} btrfs noauto,subvol={written} 0 0\n")
    host.mounts(VM, noatime=True)
    ran = host.vmtune("plan")
    if "," in name:
        assert "V222" not in ran.out
        assert "whether it can mount is not known" in rows(host, "V521")[0]["text"]
        return
    run("mount", VM)
    host.plan(expect=2)
    assert rows(host, "V521") == []
    run("umount", VM)
    run("btrfs", "subvolume", "delete", image.path / name)
    assert "V222" in host.plan(expect=7).out


def test_a_link_that_was_made_just_now_is_followed(host: World, image: Image):
    """It is beside the trees until the next commit; of a link to another one both are named."""
    host.mounts(VM, noatime=True)
    for name, code in (("@vm", 2), ("@other", 7)):
        link = image.path / f"new {name}"
        link.symlink_to(name)
        host.fstab(image.line(f"subvol=new\\040{name}", VM))
        ran = host.vmtune("plan", "--detailed-exitcode")
        assert ran.code == code, ran
        told = f"only root can see whether /new {name} is a symbolic link to that"
        assert told in host.vmtune("plan", user=NOBODY).row("V208")
        assert "only root" not in ran.out
    row = ran.row("V208")
    assert "(/@vm), but /etc/fstab:1 says subvol=/new @other" in row
    assert "/@other" in rows(host, "V521")[0]["text"]


def test_a_subvolume_that_is_made_the_default(host: World, image: Image):
    """A line that names none mounts the default: here first that which is mounted, then another."""
    host.fstab(image.line("noatime", VM))
    host.mounts(VM, noatime=True)
    for name, code in (("@vm", 0), ("@other", 7)):
        run("btrfs", "subvolume", "set-default", image.path / name)
        assert mounts(image, "noatime") == number(image, name)
        ran = host.vmtune("plan", "--detailed-exitcode")
        assert ("V208" in ran.out) == bool(code)
        assert bool(rows(host, "V521")) == bool(code)
        host.apply(expect=code)


def test_a_line_of_what_is_not_mounted_there(host: World, image: Image):
    """It is known all the same: another subvolume of the filesystem is mounted."""
    run("umount", VM)
    for name, code in (("@gone", 7), ("@other", 2)):
        host.fstab(image.line(f"noauto,subvol={name}", VM))
        host.mounts(VM, noatime=True)
        ran = host.plan(expect=code)
        assert ("V222" in ran.out) == (code == 7)
        assert [row["health"] for row in rows(host, "V521")] == ["fail"] * (code == 7)


def test_a_disk_that_is_away_is_not_called_sound(host: World, image: Image):
    run("umount", VM)
    run("umount", image.path)
    host.config("")
    host.fstab(image.line("noauto,subvol=@vm", VM) + image.line("noauto,subvol=", PROBE))
    (row,) = rows(host, "V521")
    assert row["subject"] == "/etc/fstab:2"
    host.fstab(image.line("noauto,subvol=@vm", VM))
    (row,) = rows(host, "V509")
    assert row["health"] == "unseen"
    assert "not tried" in row["text"]
    host.mounts(VM, noatime=True)
    host.apply()


def test_without_root_what_is_mounted_is_known_and_the_rest_is_said(host: World, image: Image):
    host.mounts(VM, noatime=True)
    broken = number(image, "@broken")
    host.fstab(image.line(f"subvolid={broken},subvol=@vm", VM))
    assert "V222" in host.plan(expect=7, user=NOBODY).row(f"! mount {VM}")
    (image.path / "@vm").rename(image.path / "@moved")
    image.subvolume("@vm")
    moved = number(image, "@moved")
    host.fstab(image.line(f"subvolid={moved},subvol=@vm", VM))
    assert "which is /@moved, and subvol=@vm" in host.plan(expect=7, user=NOBODY).out
    assert f"take subvolid={moved} out of line 1" in host.plan(expect=7).out
    run("btrfs", "subvolume", "delete", image.path / "@vm")
    (image.path / "@moved").rename(image.path / "@vm")
    for options, is_known in (("noatime,subvol=@vm", True), ("noatime", False)):
        host.fstab(image.line(options, VM))
        ran = host.vmtune("plan", user=NOBODY)
        assert ("only root can list subvolumes" not in ran.out) == is_known
        told = [row for row in rows(host, "V521", NOBODY) if row["health"] == "unseen"]
        assert bool(told) != is_known
        assert ("sound line" in str(rows(host, "V509", NOBODY))) == is_known


@pytest.mark.parametrize("types", ["ext4 btrfs", "btrfs ext4", "xfs auto"])
def test_lines_of_two_types_for_one_mount_point(host: World, image: Image, types: str):
    run("umount", VM)
    line = image.line("noauto,subvol=@vm", VM)
    first, second = types.split()
    host.fstab(line.replace(" btrfs ", f" {first} ") + line.replace(" btrfs ", f" {second} "))
    host.mounts(VM, compress="no")
    before = identity(FSTAB)
    row = host.apply(expect=7).row(f"! mount {VM}")
    assert "V202" in row
    assert "lines 1 and 2" in row
    assert identity(FSTAB) == before
    if "btrfs" in types:
        assert "a second line" in str(rows(host, "V509"))


def test_lines_of_two_names_for_one_mount_point(host: World, image: Image):
    """A link leads there; systemd makes one unit of the two, as its generator shows."""
    link = TOP / "t" / "link"
    link.symlink_to(VM)
    host.fstab(image.line("subvol=@vm", VM) + image.line("subvol=@vm,compress=lzo", link))
    for target in (VM, link):
        host.mounts(target, compress="no")
        row = host.plan(expect=7).row(f"! mount {target}")
        assert "in lines 1 and 2" in row
        assert "V202" in row
    assert f"a second line for {VM}" in str(rows(host, "V509"))
    units = host.area / "units"
    for name in "nel":
        (units / name).mkdir(parents=True)
    generator = "/usr/lib/systemd/system-generators/systemd-fstab-generator"
    argv = [generator, *(units / name for name in "nel")]
    subprocess.run(argv, env={**os.environ, "SYSTEMD_FSTAB": "/etc/fstab"}, check=False, stderr=-3)
    made = [path for path in (units / "n").glob("*.mount") if "btrfs" in path.read_text()]
    assert [f"Where={VM}" in path.read_text() for path in made] == [True]
    assert "compress" not in made[0].read_text(), "of the first line"


ODD = [
    (",,defaults,,", ",,defaults,,compress=no", "a second apply changes nothing"),
    ("noatime,,compress=zstd,", "noatime,,compress=no,", ""),
    (",compress=lzo,,compress=zstd,nofail", ",,compress=no,nofail", ""),
    (
        "x-note=a\\054b,compress=zstd,x-t=\\042\\042",
        "x-note=a\\054b,compress=no,x-t=\\042\\042",
        "",
    ),
    ("x-note=\\101,noatime", "x-note=\\101,noatime,compress=no", ""),
]


@pytest.mark.parametrize(("before", "after", "_about"), ODD)
def test_every_byte_beside_the_option_stays(host: World, before: str, after: str, _about: str):
    image = host.image("data")
    host.fstab(image.line(before))
    host.mounts(image.path, compress="no")
    host.apply()
    assert FSTAB.read_text() == image.line(after)
    host.plan(expect=0)
    assert host.vmtune("revert", "--yes").code == 0
    assert FSTAB.read_text() == image.line(before)


@pytest.mark.parametrize(
    "options", ["x-note=a\\054compress=lzo", "c\\157mpress=lzo", "x-note=\\042a", "noatime\\012b"]
)
def test_an_escape_that_hides_an_option_is_refused(host: World, options: str):
    """What libmount makes of it is another list of options."""
    image = host.image("data")
    host.fstab(image.line(options))
    host.mounts(image.path, compress="no")
    before = identity(FSTAB)
    assert "V203" in host.apply(expect=7).row(f"! mount {image.path}")
    assert identity(FSTAB) == before
    if "compress" in options or "157" in options:
        assert "compress=lzo" in run("findmnt", "--fstab", "-no", "OPTIONS", image.path)
