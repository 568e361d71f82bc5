"""A mount point by another name, and its line of /etc/fstab by where it stands."""

from pathlib import Path

from tests.btrfs.engine.test_ownership import applied, planned
from tests.btrfs.outside import compression, run
from tests.btrfs.world import FSTAB, World


def _atime(path: Path) -> str:
    return run("findmnt", "-no", "OPTIONS", path).split(",")[1]


def test_a_link_to_a_mount_point_declares_its_line(host: World):
    image = host.image("data", "compress=zstd:1")
    host.fstab(before := image.line("compress=zstd:1"))
    link = host.area / "link"
    link.symlink_to(image.path)
    host.mounts(image.path, noatime=True, compress="zstd:2")
    host.apply()
    host.mounts(link, noatime=True, compress="zstd:2")
    assert "1 in sync" in planned(host).out
    host.apply()
    host.mounts(link, noatime=True)  # an option that is taken out of it
    host.apply()
    assert FSTAB.read_text().split()[3] == "compress=zstd:1,noatime"
    assert _atime(image.path) == "noatime"
    assert compression(image.path) == ["compress=zstd:1"]
    assert "1 in sync" in host.vmtune("plan", str(image.path)).out
    host.config("")
    applied(host)
    assert FSTAB.read_text() == before
    planned(host)


def test_a_line_that_moved_is_named_where_it_is(host: World):
    image = host.image("data", "compress=zstd:1")
    host.fstab(image.line("compress=zstd:1"))
    host.mounts(image.path, compress="zstd:2")
    host.apply()
    host.fstab("# moved\n\n" + image.line("compress=zstd:2"))
    host.config("")
    assert planned(host, expect=2).line("/etc/fstab:3").startswith("/etc/fstab:3 ")
    host.apply()
    assert FSTAB.read_text() == "# moved\n\n" + image.line("compress=zstd:1")
