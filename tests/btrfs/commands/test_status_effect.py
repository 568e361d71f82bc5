"""What status says of images, compression and history, against filefrag, compsize and findmnt."""

import json
import os
import random
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.bench.fixtures import cloned, fragmented
from tests.btrfs.commands.test_json import check
from tests.btrfs.outside import compression, fragments, identity, run, sync, tree
from tests.btrfs.sandbox import TOP
from tests.btrfs.world import NOBODY, Image, World
from tests.oracles import oracle

MIB = 1 << 20


def scatter(file: Path, size: int, writes: int, seed: int = 7) -> None:
    """An image as a guest makes it: written once, then at random."""
    chance = random.Random(seed)  # noqa: S311 - the same image each time
    with open(file, "wb") as new:
        new.writelines(chance.randbytes(MIB) for _ in range(size // MIB))
        new.flush()
        os.fsync(new.fileno())
        for number in range(writes):
            new.seek(chance.randrange(size // 4096) * 4096)
            new.write(chance.randbytes(4096))
            if number % 32 == 0:
                new.flush()
                os.fsync(new.fileno())
    sync()


def effect(host: World, **options: Any) -> dict[str, Any]:
    ran = host.vmtune("status", "--json", **options)
    data = json.loads(ran.out)
    check("status", data)
    found: dict[str, Any] = data["effect"]
    return found


def images(host: World, **options: Any) -> dict[str, dict[str, Any]]:
    """By the file's name."""
    [path] = effect(host, **options)["paths"]
    return {Path(each["path"]).name: each for each in path["images"]}


def mapped(file: Path) -> dict[str, int]:
    """Bytes by flag in ``filefrag -v``: "data", "encoded", "shared"."""
    found = {"data": 0, "encoded": 0, "shared": 0}
    for row in run("filefrag", "-v", file).splitlines():
        cells = re.match(r"\s*\d+:\s+\d+\.\.\s*\d+:\s+\d+\.\.\s*\d+:\s+(\d+):(.*)", row)
        if cells:
            flags = cells[2].replace(" ", "").rpartition(":")[2].split(",")
            for name in ("data", *{"encoded", "shared"} & set(flags)):
                found[name] += int(cells[1]) * 4096
    return found


def referenced(*files: Path) -> dict[str, int]:
    """Bytes that compsize(8) finds referenced, by type; "none" is uncompressed."""
    rows = (line.split() for line in run("compsize", "-b", *files).splitlines())
    return {row[0]: int(row[4]) for row in rows if len(row) == 5 and row[4].isdigit()}


@pytest.fixture
def fs(host: World) -> Image:
    """A filesystem that compresses, with images of every sort."""
    disk = host.image("disk", "compress=zstd")
    vm = disk.path / "vm"
    vm.mkdir()
    scatter(vm / "cow.raw", 24 * MIB, 900)
    (vm / "packed.raw").write_bytes(b"vmtune" * (2 * MIB))
    with open(vm / "holes.raw", "wb") as sparse:
        sparse.truncate(40 * MIB)
        sparse.seek(8 * MIB)
        sparse.write(os.urandom(3 * MIB))
    (vm / "nocow.raw").touch()
    run("chattr", "+C", vm / "nocow.raw")
    with open(vm / "nocow.raw", "wb") as flat:
        flat.write(os.urandom(6 * MIB))
    with open(vm / "reserved.raw", "wb") as flat:
        os.posix_fallocate(flat.fileno(), 0, 5 * MIB)
    sync()
    run("cp", "--reflink=always", vm / "packed.raw", vm / "clone.raw")
    sync()
    host.nocow(vm)
    return disk


@oracle("filefrag", "V101", "status: fragments")
def test_every_figure_is_filefrags(host: World, fs: Image):
    found = images(host)
    assert len(found) == 6
    for name, told in found.items():
        file = fs.path / "vm" / name
        assert told["fragments"] == fragments(file), name
        flags = mapped(file)
        assert told["data"] == min(flags["data"], told["size"]), name
        assert told["compressed"] == min(flags["encoded"], told["size"]), name
        assert told["shared"] == min(flags["shared"], told["size"]), name
        assert sum(told["parts"].values()) == told["size"] == file.stat().st_size
        assert told["nocow"] is (name == "nocow.raw")
    assert found["cow.raw"]["fragments"] > 500
    assert found["cow.raw"]["fragments_per_gib"] == round(found["cow.raw"]["fragments"] * 1024 / 24)
    assert found["holes.raw"]["parts"]["hole"] == 37 * MIB
    assert found["packed.raw"]["shared"] == 12 * MIB


@oracle("compsize", "status: compressed")
def test_compressed_bytes_are_compsizes(host: World, fs: Image):
    found = images(host)
    files = [fs.path / "vm" / name for name in found]
    told = referenced(*files)
    assert sum(each["compressed"] for each in found.values()) == pytest.approx(
        told["zstd"], abs=64 << 10
    )
    assert told["zstd"] > 20 * MIB


def test_an_image_in_very_many_pieces_is_told_to_the_last(host: World):
    """More than any one reply of the kernel holds; some of them compressed, some of them shared."""
    disk = host.image("disk")
    image = disk.path / "vm" / "disk.raw"
    fragmented(image, 20_000)
    run("btrfs", "property", "set", image, "compression", "zstd")
    with open(image, "ab") as file:
        file.write(b"vmtune" * (2 * MIB))
    sync()
    cloned(image, disk.path / "clone.raw", 20 * MIB)
    sync()
    host.nocow(image.parent)
    told, flags = images(host)["disk.raw"], mapped(image)
    assert told["fragments"] == fragments(image) > 19_000
    assert (told["data"], told["compressed"], told["shared"]) == (
        flags["data"], flags["encoded"], flags["shared"],
    )  # fmt: skip
    assert (told["compressed"], told["shared"]) == (12 * MIB, 20 * MIB)
    assert referenced(image)["zstd"] == told["compressed"]


def test_the_bar_shows_what_there_is(host: World, fs: Image):
    del fs
    ran = host.vmtune("status", env={"COLUMNS": "120"})
    bars = {line.split()[0]: line.split()[-1] for line in ran.out.splitlines() if ".raw " in line
            and "!" not in line}  # fmt: skip
    assert set(bars["nocow.raw"]) == {"█"}
    assert set(bars["cow.raw"]) == {"▒"}
    assert set(bars["packed.raw"]) == {"░"}, "all of it is shared, and copy-on-write all the same"
    assert set(bars["holes.raw"]) == {"▒", "·"}
    wide = len(bars["holes.raw"])
    assert abs(bars["holes.raw"].count("▒") - wide * 3 / 40) <= 1
    sizes = {"holes.raw": 40, "cow.raw": 24, "packed.raw": 12, "nocow.raw": 6, "reserved.raw": 5}
    for name, size in sizes.items():
        assert abs(len(bars[name]) - wide * size / 40) <= 1, "one scale for all"
    assert ran.out.index("Not as declared") < ran.out.index("█")


def test_a_file_of_two_names_counts_once(host: World, fs: Image):
    vm = fs.path / "vm"
    os.link(vm / "cow.raw", vm / "again.raw")
    os.link(vm / "nocow.raw", vm / "also.raw")
    found = images(host)
    assert len(found) == 6
    assert len({"cow.raw", "again.raw"} & set(found)) == 1
    [path] = effect(host)["paths"]
    assert (path["files"], path["size"]) == (6, sum(each["size"] for each in found.values()))
    host.nocow(vm, existing="rewrite")  # another, closer look
    [path] = effect(host)["paths"]
    assert (path["files"], path["size"]) == (6, sum(each["size"] for each in found.values()))


def test_one_line_for_a_prompt(host: World, fs: Image):
    for arguments in (["status", "--short"], ["-q", "status", "--short"]):
        ran = host.vmtune(*arguments)
        assert (ran.code, ran.err) == (2, "")
        assert len(ran.out.splitlines()) == ("-q" not in arguments)
    ran = host.vmtune("status", "--short")
    assert ran.out.startswith("vmtune: 1 to change, ")
    assert ran.out.endswith("apply`\n")
    host.apply(expect=7)
    ran = host.vmtune("status", "--short")
    assert (ran.code, "refused" in ran.out or "blocked" in ran.out) == (7, True), ran
    for image in (fs.path / "vm").iterdir():
        image.unlink()
    ran = host.vmtune("status", "--short")
    assert (ran.code, ran.out) == (0, "vmtune: as declared\n"), ran


@pytest.mark.usefixtures("fs")
def test_one_line_opens_no_image(host: World):
    """Only what the plan needs: images of a nocow directory are asked for their attributes."""
    log = host.file.with_name("strace")
    counts = []
    for arguments in (["status", "--short"], ["status"]):
        under = ["strace", "-f", "-e", "trace=ioctl", "-o", log]
        host.vmtune(*arguments, under=under)
        text = log.read_text(encoding="utf-8", errors="replace")
        counts.append(len(re.findall(r"FS_IOC_FIEMAP|0xc020660b", text)))
    assert counts[0] < counts[1]


@pytest.mark.usefixtures("fs")
def test_what_to_do_is_in_the_text_and_in_the_document(host: World):
    data = json.loads(host.vmtune("status", "--json").out)
    lines = host.vmtune("status", env={"COLUMNS": "200"}).out.splitlines()
    assert lines[2] == data["verdict"]
    first, *rest = data["next"]
    assert f"  {first['what']}: {first['do']}" == lines[3]
    assert first["do"].endswith("apply` shows it and asks")
    assert {step["code"] for step in rest} >= {"V101"}
    assert f"{data['headline']}." in lines


@pytest.mark.parametrize(
    "locale",
    [
        {"LC_ALL": "C"},
        {"LC_ALL": "", "LC_CTYPE": "", "LANG": "C"},
        {"LC_ALL": "", "LANG": "en_US.ISO-8859-1"},
    ],
)
def test_a_c_locale_gets_ascii(host: World, fs: Image, locale: dict[str, str]):
    shutil.copyfile(fs.path / "vm" / "nocow.raw", fs.path / "vm" / "größe.raw")
    ran = host.vmtune("status", env={"COLUMNS": "120", **locale})
    assert ran.out.isascii(), ran
    assert "######" in ran.out
    assert "gr\\xf6\\xdfe.raw" in ran.out


def test_who_decides_compression(host: World, fs: Image):
    host.fstab(fs.line("compress=lzo"))
    [told] = effect(host)["filesystems"]
    assert compression(fs.path) == ["compress=zstd:3"]
    assert (told["now"], told["boot"], told["by"]) == ("zstd:3", "lzo", "/etc/fstab:1")
    assert told["uuid"] == fs.uuid
    assert told["where"] == [str(fs.path)]
    run("mount", "-o", "remount,compress=no", fs.path)
    host.fstab(fs.line("defaults") + fs.line("compress=zstd", TOP / "t" / "other"))
    assert compression(fs.path) == []
    [told] = effect(host)["filesystems"]
    assert (told["now"], told["boot"]) == ("off", "")
    assert told["by"] == "whichever of /etc/fstab:1 and 2 is mounted first"


def test_without_root_what_is_closed_is_a_question_mark(host: World, fs: Image):
    closed = fs.path / "vm" / "cow.raw"
    closed.chmod(0o600)
    ran = host.vmtune("status", user=NOBODY, env={"COLUMNS": "120"})
    row = ran.line("  cow.raw ")
    assert row.endswith("?????")
    assert "24.0 MiB" in row
    [path] = effect(host, user=NOBODY)["paths"]
    assert path["unseen"] == [str(closed)]
    assert "cow.raw" not in {Path(each["path"]).name for each in path["images"]}
    (fs.path / "vm").chmod(0o700)
    [path] = effect(host, user=NOBODY)["paths"]
    assert "not readable as nobody" in path["hidden"]


def test_quiet_says_nothing(host: World, fs: Image):
    del fs
    for arguments in (["-q", "status"], ["status", "-q"], ["status", "--quiet"]):
        ran = host.vmtune(*arguments)
        assert (ran.code, ran.out, ran.err) == (2, "", "")


def test_status_changes_nothing(host: World, fs: Image):
    before = tree(fs.path, "/etc", "/var/lib")
    host.vmtune("status")
    assert tree(fs.path, "/etc", "/var/lib") == before


def test_only_the_largest_are_named(host: World, fs: Image):
    for number in range(12):
        (fs.path / "vm" / f"big{number:02}.raw").write_bytes(os.urandom((60 + number) << 16))
    sync()
    [path] = effect(host)["paths"]
    assert path["files"] == len(path["images"]) == 18
    sizes = [each["size"] for each in path["images"]]
    assert sizes == sorted(sizes, reverse=True)
    assert path["size"] == sum(sizes)
    ran = host.vmtune("status", env={"COLUMNS": "120"})
    assert "and 8 smaller files" in ran.out


def test_a_run_keeps_how_the_images_lay(host: World, fs: Image):
    """Rewritten by hand behind vmtune's back, as the how-to does it: the journal knows before."""
    vm = fs.path / "vm"
    before = fragments(vm / "cow.raw")
    ran = host.vmtune("apply", "--yes")
    assert ran.code == 7, ran
    shutil.copyfile(vm / "cow.raw", vm / "new")
    os.rename(vm / "new", vm / "cow.raw")
    sync()
    told = images(host)["cow.raw"]
    assert told["nocow"]
    assert (told["fragments_before"], told["fragments"]) == (before, fragments(vm / "cow.raw"))
    assert told["fragments"] < before
    row = host.vmtune("status", env={"COLUMNS": "120"}).line("  cow.raw ")
    assert f"{before:,}" in row
    record = Path("/var/lib/vmtune/runs/00000001.jsonl").read_text(encoding="ascii")
    assert "cow.raw" not in record.partition('"images": "before"')[2], "names are not for all"
    history = host.vmtune("history").out
    assert f"nocow {vm}" in history
    assert "fragments" not in history, "that run was not about images"


def test_old_records_stay_readable(host: World, fs: Image):
    del fs
    host.vmtune("apply", "--yes")
    record = Path("/var/lib/vmtune/runs/00000001.jsonl")
    lines = record.read_text(encoding="ascii").splitlines(keepends=True)
    assert any('"images"' in line for line in lines)
    record.write_text("".join(line for line in lines if '"images"' not in line), encoding="ascii")
    ran = host.vmtune("history")
    assert ran.code == 0
    assert "fragments" not in ran.out
    assert all(each["fragments_before"] is None for each in images(host).values())


def test_a_page_is_written_whole_and_over_nothing_else(host: World, fs: Image):
    page, mine = fs.path / "page.html", fs.path / "mine.html"
    assert host.vmtune("status", "--html", str(page)).code == 2
    first = page.read_text(encoding="utf-8")
    assert "cow.raw" in first
    assert page.stat().st_mode & 0o777 == 0o600
    again = host.vmtune("-q", "status", "--html", str(page))
    assert (again.code, again.out, again.err) == (2, "", "")
    assert "cow.raw" in page.read_text(encoding="utf-8")
    mine.write_text("<!DOCTYPE html><p>mine", encoding="utf-8")
    link = fs.path / "link.html"
    link.symlink_to(page)
    for there in (mine, link, fs.path / "vm"):
        before = identity(there) if there.is_file() else None
        ran = host.vmtune("status", "--html", str(there))
        assert ran.code == 1
        assert "is no page that vmtune wrote" in ran.err
        assert before is None or identity(there) == before
    assert link.is_symlink()
    ran = host.vmtune("status", "--html", "/nowhere/page.html")
    assert ran.code == 1
    assert "/nowhere/page.html cannot be written" in ran.err
    assert not list(fs.path.glob(".*vmtune"))


def test_snapshots_that_share_data_are_named_by_their_paths(host: World):
    disk = host.image("disk")
    vms = disk.subvolume("vms")
    (vms / "disk.raw").write_bytes(os.urandom(4 * MIB))
    host.nocow(vms)
    assert _sharers(host) is None, "nobody shares anything"
    sync()
    (disk.path / ".snapshots").mkdir()
    snapshots = [disk.path / ".snapshots" / str(number) for number in range(1, 6)]
    for path in snapshots:
        run("btrfs", "subvolume", "snapshot", "-r", vms, path)
    sync()
    assert _sharers(host) == sorted(map(str, snapshots))
    shown = " ".join(host.vmtune("status").out.split())
    first = ", ".join(map(str, snapshots[:3]))
    assert f"shared with {first} and 2 more" in shown
    as_user = host.vmtune("status", user=NOBODY)
    assert "Which snapshots share the data is not known: only root can see it" in as_user.out
    assert _sharers(host, user=NOBODY) is None
    for path in snapshots[1:]:
        run("btrfs", "subvolume", "delete", "--commit-after", path)
    run("btrfs", "subvolume", "sync", disk.path)
    run("cp", "--reflink=always", vms / "disk.raw", vms / "clone.raw")
    sync()
    assert _sharers(host) == [str(snapshots[0])]
    shown = " ".join(host.vmtune("status").out.split())
    assert f"shared with {snapshots[0]} and clones in the same subvolume" in shown
    (vms / "disk.raw").write_bytes(os.urandom(4 * MIB))
    (vms / "clone.raw").unlink()
    sync()
    assert _sharers(host) is None, "the snapshot keeps the old data alone"


def _sharers(host: World, **options: Any) -> list[str] | None:
    [path] = effect(host, **options)["paths"]
    found: list[str] | None = path["shared_with"]
    return found


def test_a_snapshot_that_is_not_to_be_reached_is_named_from_the_top_level(host: World):
    disk = host.image("disk")
    vms = disk.subvolume("vms")
    (vms / "disk.raw").write_bytes(os.urandom(MIB))
    sync()
    run("btrfs", "subvolume", "snapshot", vms, disk.path / "kept")
    run("mount", "--bind", vms, disk.path)
    host.nocow(disk.path)
    assert _sharers(host) == ["kept (not mounted)"]
