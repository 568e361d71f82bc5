"""``vmtune init``: what it says of a real host, against lsattr, findmnt, stat and btrfs."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.btrfs.outside import fragments, identity, is_nocow, mountinfo, run, tree
from tests.btrfs.sandbox import PROGRAM, TOP
from tests.btrfs.world import _ENV, ALICE, Ran, World

LIBVIRT = Path("/etc/libvirt")
DOMAIN = """<domain type='kvm'><name>{name}</name><devices>
<disk type='file' device='disk'><source file='{disk}'/></disk>
<disk type='file' device='cdrom'><source file='/srv/iso/x.iso'/><readonly/></disk>
</devices></domain>"""
POOL = """<pool type='dir'><name>{name}</name>{more}<target><path>{path}</path></target></pool>"""


@pytest.fixture
def clean(host: World):
    """No libvirt, tmpfiles or snapshot tools of the machine that runs the tests."""
    made = ("libvirt", "snapper", "btrbk", "timeshift", "tmpfiles.d")
    for name in made:
        run("rm", "-rf", f"/etc/{name}")
    yield host
    for name in made:
        run("rm", "-rf", f"/etc/{name}")


def pool(name: str, path: Path, folder: Path = LIBVIRT, more: str = "") -> None:
    (folder / "storage").mkdir(parents=True, exist_ok=True)
    text = POOL.format(name=name, path=path, more=more)
    (folder / "storage" / f"{name}.xml").write_text(text, encoding="utf-8")


def domain(name: str, disk: Path, folder: Path = LIBVIRT) -> None:
    (folder / "qemu").mkdir(parents=True, exist_ok=True)
    text = DOMAIN.format(name=name, disk=disk)
    (folder / "qemu" / f"{name}.xml").write_text(text, encoding="utf-8")


def init(host: World, *arguments: str, user: int = 0, **env: str) -> Ran:
    """As root called by alice through sudo, or as alice herself."""
    ran = host.vmtune("init", *arguments, user=user, env={"SUDO_USER": "alice", **env})
    assert ran.code == 0, ran
    return ran


def plain(ran: Ran) -> dict:
    """What another YAML reader makes of it."""
    return yaml.safe_load(ran.out)


def paths(ran: Ran) -> list[str]:
    return [entry["path"] for entry in plain(ran).get("paths", [])]


def said_of(ran: Ran, path: str) -> str:
    """The comments and keys of one entry, on one line."""
    (block,) = [each for each in ran.out.split("\n\n") if f"- path: {path}\n" in f"{each}\n"]
    return " ".join(re.sub(r"\n\s*#", " ", block).split())


def validate(text: str, user: int = 0) -> subprocess.CompletedProcess[str]:
    env = {**_ENV, "SUDO_USER": "alice"}
    argv = [*PROGRAM, "validate", "/dev/stdin"]
    return subprocess.run(
        argv, input=text, capture_output=True, text=True, check=False, env=env, cwd="/", user=user
    )


def test_libvirt_of_the_system_and_of_the_user_boxes_quickemu_and_plain_files(clean: World):
    home = clean.alice()
    system, boxes = clean.area / "images", home / ".local/share/gnome-boxes/images"
    vms, plain_files = home / "VMs", home / "libvirt/images"
    for folder in (system, boxes, vms / "win", plain_files):
        folder.mkdir(parents=True)
    for file in (system / "a.qcow2", boxes / "deb", vms / "win/disk.qcow2", plain_files / "x.raw"):
        file.write_bytes(b"image" * 100_000)
    (boxes / "boxes.img").touch()
    (vms / "win.conf").write_text('disk_img="win/disk.qcow2"\n')
    pool("default", system)
    domain("windows", system / "a.qcow2")
    own = home / ".config/libvirt"
    domain("deb", boxes / "deb", own)
    ran = init(clean)
    assert paths(ran) == [
        str(system),
        "~/.local/share/gnome-boxes/images",
        "~/libvirt/images",
        "~/VMs",
    ]
    assert "libvirt pool default (system)" in said_of(ran, str(system))
    assert "domain windows (system)" in said_of(ran, str(system))
    assert "domain deb (session); GNOME Boxes" in said_of(ran, paths(ran)[1])
    assert "quickemu win.conf in win/" in said_of(ran, "~/VMs")
    assert "iso" not in ran.out
    assert validate(ran.out).stdout.endswith("valid; 4 entries for " + os_name() + "\n")


def os_name() -> str:
    return os.uname().nodename.partition(".")[0].lower()


def test_what_it_says_of_files_is_what_lsattr_and_filefrag_say(clean: World):
    clean.alice()
    cow, nocow = clean.area / "cow", clean.area / "nocow"
    for folder in (cow, nocow):
        folder.mkdir()
        pool(folder.name, folder)
    run("chattr", "+C", nocow)
    (nocow / "new.raw").write_bytes(b"image" * 1000)
    scattered = cow / "old.raw"
    with scattered.open("wb") as file:
        for number in (2, 1, 3, 0):
            file.seek(number * 16384)
            file.write(b"block" * 3000)
            os.fsync(file.fileno())
    assert is_nocow(nocow / "new.raw")
    assert not is_nocow(scattered)
    assert fragments(scattered) > 1
    ran = init(clean)
    assert "a nocow directory suggest: keep it nocow" in said_of(ran, str(nocow))
    of_cow = said_of(ran, str(cow))
    assert "a copy-on-write directory; 1 file with data is copy-on-write" in of_cow
    assert f"the worst in {fragments(scattered):,} fragments" in of_cow
    assert "existing: rewrite # or keep: it stays copy-on-write" in of_cow
    assert "existing" not in said_of(ran, str(nocow))


def test_a_host_where_all_is_right_is_told_so_and_a_plan_agrees(clean: World):
    clean.alice()
    images = clean.area / "images"
    images.mkdir()
    run("chattr", "+C", images)
    (images / "a.raw").write_bytes(b"image" * 1000)
    pool("default", images)
    ran = init(clean)
    assert "# All is right already: nothing that is declared here would change." in ran.out
    clean.file.write_text(ran.out)
    clean.file.chmod(0o644)
    clean.plan()
    (images / "b.raw").write_bytes(b"")
    run("chattr", "-C", images / "b.raw")
    (images / "b.raw").write_bytes(b"image" * 1000)
    assert "right already" not in init(clean).out


def test_what_is_suggested_can_be_applied_and_is_then_right(clean: World):
    home = clean.alice()
    images = home / "libvirt/images: #1"
    images.mkdir(parents=True)
    os.chown(images.parent, ALICE, ALICE)
    os.chown(images, ALICE, ALICE)
    pool("mine", images, home / ".config/libvirt")
    clean.file.write_text(init(clean).out)
    clean.file.chmod(0o644)
    ran = clean.vmtune("apply", "--yes", env={"SUDO_USER": "alice"})
    assert ran.code == 0, ran
    assert is_nocow(images)
    assert "# All is right already" in init(clean).out


def test_snapshots_bring_a_subvolume_of_its_own(clean: World):
    clean.alice()
    images = clean.area / "images"
    images.mkdir()
    pool("default", images)
    run("btrfs", "subvolume", "snapshot", "-r", clean.area, clean.area / "snapshot")
    ran = init(clean)
    (entry,) = plain(ran)["paths"]
    assert entry == {"path": str(images), "nocow": True, "subvolume": True}
    assert "1 snapshot of its subvolume" in said_of(ran, str(images))
    assert run("btrfs", "subvolume", "show", clean.area).split("Snapshot(s):")[1].strip()


@pytest.mark.parametrize("tool", ["snapper", "btrbk"])
def test_snapshots_to_come_count_too(clean: World, tool: str):
    clean.alice()
    images = clean.area / "images"
    images.mkdir()
    pool("default", images)
    file = Path({"snapper": "/etc/snapper/configs/x", "btrbk": "/etc/btrbk/btrbk.conf"}[tool])
    file.parent.mkdir(parents=True)
    parent, name = clean.area.parent, clean.area.name
    file.write_text(
        f'SUBVOLUME="{clean.area}"\n'
        if tool == "snapper"
        else f"volume {parent}\n subvolume {name}\n"
    )
    ran = init(clean)
    assert plain(ran)["paths"][0]["subvolume"] is True
    assert f"{tool} ({file}) takes snapshots of {clean.area}" in ran.out
    seen = init(clean, user=ALICE)
    assert plain(seen)["paths"][0]["subvolume"] is True
    file.chmod(0o600)
    assert "subvolume" not in plain(init(clean, user=ALICE))["paths"][0]


def test_two_copies_of_data_are_not_made_nocow_unasked(clean: World):
    clean.alice()
    image = clean.image("mirror", mkfs=["-d", "raid1", "-m", "raid1"], size=2)
    (image.path / "vm").mkdir()
    pool("mirror", image.path / "vm")
    ran = init(clean)
    assert "RAID1" in run("btrfs", "filesystem", "df", image.path)
    assert "paths" not in plain(ran)
    assert "data is kept as raid1" in " ".join(ran.out.replace("#", " ").split())
    assert validate(ran.out).returncode == 0


def test_mounts_as_findmnt_has_them(clean: World):
    clean.alice()
    image = clean.image("data", "compress-force=zstd:5,autodefrag")
    other = image.mount(TOP / "t" / "other", f"subvolid=5,{'noatime'}")
    clean.fstab(image.line("compress=zstd"))
    ran = init(clean)
    text = " ".join(ran.out.replace("#", " ").split())
    assert f"Btrfs {image.uuid[:8]}: mounted at {image.path} (/), {other} (/)" in text
    live = mountinfo(image.path)[1]
    assert {"compress-force=zstd:5", "autodefrag"} <= set(live)
    assert "compress-force=zstd:5" in text
    assert "autodefrag" in text
    assert f"# - target: {image.path}" in ran.out
    assert "mounts" not in plain(ran)
    size = int(run("findmnt", "-bno", "SIZE", image.path))
    assert f"of {size / 2**20:.1f} MiB free" in text


def test_the_search_goes_no_deeper_than_is_worth_it_and_follows_no_link(clean: World):
    home = clean.alice()
    deep = home / "VMs/1/2/3/4"
    deep.mkdir(parents=True)
    (deep / "lost.qcow2").write_bytes(b"image")
    (home / "VMs/self").symlink_to(home / "VMs")
    (home / "VMs/link.qcow2").symlink_to("/etc/passwd")
    (home / "vms").symlink_to("/etc")
    ran = init(clean)
    assert paths(ran) == []
    assert f"{home}/VMs: not all of it could be looked through" in ran.out
    (home / "VMs/1/2/3/found.QCOW2").write_bytes(b"image")
    ran = init(clean)
    assert paths(ran) == ["~/VMs"]
    assert "1 image file, 5 bytes" in said_of(ran, "~/VMs")
    assert run("find", home / "VMs", "-type", "f").count("\n") == 2


def test_an_image_among_other_files_does_not_take_them_along(clean: World):
    home = clean.alice()
    downloads = home / "Downloads"
    downloads.mkdir()
    for number in range(30):
        (downloads / f"{number}.pdf").write_bytes(b"text")
    (downloads / "win.qcow2").write_bytes(b"image")
    domain("win", downloads / "win.qcow2", home / ".config/libvirt")
    ran = init(clean)
    assert paths(ran) == []
    assert "30 other files would lose their checksums" in " ".join(ran.out.replace("#", "").split())


def test_cron_lines_and_tmpfiles(clean: World):
    clean.alice()
    (clean.area / "vm").mkdir()
    Path("/etc/tmpfiles.d").mkdir()
    Path("/etc/tmpfiles.d/vm.conf").write_text(f"h {clean.area}/vm - - - - +C\n")
    data = clean.area / "data"
    data.mkdir()
    Path("/etc/crontab").write_text(
        f"0 12 * * * root btrfs filesystem defragment -r {data}\n"
        f"0 13 * * * root btrfs filesystem defragment -r {clean.area}/vm\n"
    )
    ran = init(clean)
    assert paths(ran) == [f"{clean.area}/vm"]
    assert "/etc/tmpfiles.d/vm.conf:1 sets +C on it at boot" in said_of(ran, f"{clean.area}/vm")
    assert f'# - path: {data}\n  #   schedule: "0 12 * * *"' in ran.out
    text = " ".join(ran.out.replace("#", " ").split())
    assert (
        f"/etc/crontab:2: 0 13 * * * btrfs filesystem defragment -r {clean.area}/vm: take" in text
    )


def test_without_root_it_says_what_it_may_not_see(clean: World):
    clean.alice()
    images = clean.area / "images"
    images.mkdir(mode=0o711)
    pool("default", images)
    (LIBVIRT / "qemu").mkdir(mode=0o700)
    (LIBVIRT / "storage/secret.xml").write_text("<pool/>")
    (LIBVIRT / "storage/secret.xml").chmod(0o600)
    ran = init(clean, user=ALICE)
    head = ran.out.partition("version: 1")[0]
    assert "# Not seen; root sees more:" in head
    command = next(line for line in reversed(head.splitlines()) if line)
    assert command.startswith("#     ")
    assert command.endswith(" init"), "the whole command, to be typed"
    assert "/etc/libvirt/qemu: Permission denied" in head
    assert "/etc/libvirt/storage/secret.xml: Permission denied" in head
    assert "not readable as alice" in said_of(ran, str(images))
    assert "right already" not in ran.out
    assert validate(ran.out, user=ALICE).returncode == 0


def test_names_that_are_hard_on_yaml_and_terminals(clean: World):
    clean.alice()
    names = ["a: b", "#c", 'd\' "e"', "-", "Büro 日本", "\\x41", "true", "*", "{x}", "[y]", "a %"]
    for number, name in enumerate(names):
        (clean.area / name).mkdir()
        pool(f"p{number}", clean.area / name.replace("&", "&amp;"))
    os.mkdir(os.fsencode(clean.area) + b"/bad\xff")
    domain("esc\x9b31m", clean.area / "new\u2028line" / "x.raw")
    want = {str(clean.area / name) for name in names}
    for env in ({}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}):
        ran = init(clean, **env)
        assert set(paths(ran)) == want
        assert validate(ran.out).returncode == 0
        assert "\x9b" not in ran.out
        if env:
            assert ran.out.isascii()


def test_xml_with_bad_intentions_is_named_and_left(clean: World):
    home = clean.alice()
    folder = home / ".config/libvirt/qemu"
    folder.mkdir(parents=True)
    entity = (
        "<!DOCTYPE d [<!ENTITY p SYSTEM 'file:///etc/shadow'>]><domain><name>&p;</name></domain>"
    )
    (folder / "entity.xml").write_text(entity)
    (folder / "large.xml").write_bytes(b"<domain>" + b" " * (2 << 20))
    os.mkfifo(folder / "pipe.xml")
    (folder / "gone.xml").symlink_to("/nowhere")
    ran = init(clean)
    head = " ".join(ran.out.partition("version: 1")[0].replace("#", " ").split())
    assert "entity.xml: not read: has a document type" in head
    assert "gone.xml: No such file" in head
    assert "1 more files" in head
    assert "root:" not in ran.out


def test_it_writes_a_file_once_and_in_the_name_of_who_called(clean: World):
    home = clean.alice()
    file = home / ".config/vmtune/vmtune.yaml"
    ran = init(clean, "-o", "~/.config/vmtune/vmtune.yaml")
    assert ran.out.endswith("\nNext: vmtune plan\n"), "it is found without --config"
    for path in (file, file.parent):
        assert (path.stat().st_uid, path.stat().st_gid) == (ALICE, ALICE)
    assert file.stat().st_mode & 0o777 == 0o644
    schema = file.with_name("vmtune.schema.json")
    assert f"~/.config/vmtune/{schema.name}: the schema, for editors" in ran.out
    assert sorted(os.listdir(file.parent)) == [schema.name, file.name]
    assert schema.stat().st_uid == ALICE
    assert schema.read_text() == clean.vmtune("schema").out
    assert file.read_text().startswith(f"# yaml-language-server: $schema={schema.name}\n")
    before = identity(file)
    for path in (file, Path("/etc/fstab")):
        again = clean.vmtune("init", "-o", str(path), env={"SUDO_USER": "alice"})
        assert again.code == 1
        assert again.out == ""
        assert f"{path} is there already, and stays as it is" in again.err
    assert identity(file) == before


def test_it_writes_over_no_schema(clean: World):
    schema = clean.area / "vmtune.schema.json"
    ran = init(clean, "-o", str(clean.area / "one.yaml"))
    assert f"Next: vmtune plan --config {clean.area}/one.yaml" in ran.out
    before = identity(schema)
    assert f"{schema}: the schema" in init(clean, "-o", str(clean.area / "two.yaml")).out
    assert identity(schema) == before
    schema.write_text("{}")
    ran = init(clean, "-o", str(clean.area / "three.yaml"))
    assert f"{schema} is there already, and stays as it is" in ran.out
    assert schema.read_text() == "{}"


def test_a_link_that_leads_nowhere_is_not_followed(clean: World):
    clean.alice()
    link = clean.area / "vmtune.yaml"
    link.symlink_to("/etc/cron.d/evil")
    assert clean.vmtune("init", "-o", str(link)).code == 1
    assert not Path("/etc/cron.d/evil").exists()


@pytest.mark.parametrize("where", ["/proc/x.yaml", "/sys/x.yaml"])
def test_where_nothing_can_be_written_it_says_so(clean: World, where: str):
    ran = clean.vmtune("init", "-o", where)
    assert ran.code == 1
    assert ran.err.startswith(f"vmtune: {where}: ")


def test_it_changes_nothing(clean: World):
    home = clean.alice()
    images = home / "VMs"
    images.mkdir()
    (images / "a.raw").write_bytes(b"image")
    pool("default", images)
    before = tree(TOP / "upper", clean.area)
    trace = clean.area.parent / "trace"
    calls = "mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,mount,fsconfig,setxattr"
    init_under = ["strace", "-f", "-qq", "-e", f"trace={calls}", "-o", trace]
    ran = clean.vmtune("init", under=init_under, env={"SUDO_USER": "alice"})
    assert ran.code == 0, ran
    assert trace.read_text() == ""
    assert tree(TOP / "upper", clean.area) == before
    new = str(home / "new.yaml")
    ran = clean.vmtune("init", "-o", new, under=init_under, env={"SUDO_USER": "alice"})
    assert "unlink" in trace.read_text(), "the same trace shows a file that is made"
