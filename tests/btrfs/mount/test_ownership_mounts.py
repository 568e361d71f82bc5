"""A mount point by another name, and its line of /etc/fstab by where it stands."""

from pathlib import Path

from tests.btrfs.engine.test_ownership import applied, planned
from tests.btrfs.outside import compression, run
from tests.btrfs.sandbox import TOP
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


def test_the_boot_verdict_counts_what_the_plan_puts_back(host: World):
    """The entry moves from the line that decides to one that does not; real mounts judge."""
    image = host.image("data")
    image.subvolume("vms")
    below = image.path / "vms"
    image.mount(below, "subvol=vms")
    host.fstab(image.line("defaults") + image.line("subvol=vms", below))
    host.mounts(image.path, compress="zstd:1", noatime=True)
    host.apply()
    host.declare(
        mounts=[
            {"target": str(image.path), "options": {"noatime": True}},
            {"target": str(below), "options": {"compress": "zstd:1"}},
        ]
    )
    told = "at boot compression is off, decided by /etc/fstab:1"
    assert told in host.plan(expect=2).row("(V207)"), "while line 1 still names it"
    host.apply()
    assert compression(below) == ["compress=zstd:1"]
    assert told in host.plan(expect=0).row("(V207)")
    assert _mounted_afresh(image.path, below) == []
    host.mounts(image.path, compress="zstd:1")
    assert "V207" not in host.plan(expect=2).out
    host.apply()
    assert _mounted_afresh(image.path, below) == ["compress=zstd:1"]


def _mounted_afresh(*targets: Path) -> list[str]:
    """What the kernel shows once all lines were mounted again, those above before those below."""
    device = run("losetup", "--find", "--show", TOP / "images" / "data0.img").strip()
    for target in reversed(targets):
        run("umount", target)
    lines = {line.split()[1]: line.split()[3] for line in FSTAB.read_text().splitlines()}
    for target in targets:
        run("mount", "-o", lines[str(target)], device, target)
    run("losetup", "--detach", device)  # for as long as it is mounted
    return compression(targets[0])
