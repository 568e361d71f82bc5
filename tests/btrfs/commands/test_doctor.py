"""``vmtune doctor``: its rows on real faults, made and seen by other programs."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import jsonschema
import pytest

from tests.btrfs.commands.test_init import POOL
from tests.btrfs.forked import Forked
from tests.btrfs.outside import is_nocow, run
from tests.btrfs.sandbox import PROGRAM, TOP
from tests.btrfs.world import _ENV, ALICE, FSTAB, NOBODY, Ran, World
from tests.oracles import oracle

SCHEMA = json.loads((Path(__file__).parents[3] / "schemas" / "doctor.schema.json").read_text())


@pytest.fixture
def clean(host: World):
    """No libvirt of the machine that runs the tests."""
    run("rm", "-rf", "/etc/libvirt")
    yield host
    run("rm", "-rf", "/etc/libvirt")


def doctor(host: World, *, expect: int = 0, user: int = 0) -> dict[str, list[dict[str, str]]]:
    """Rows by their code; the text says the same as the JSON."""
    ran = host.vmtune("doctor", "--json", user=user)
    assert ran.code == expect, ran
    data = json.loads(ran.out)
    jsonschema.validate(data, SCHEMA)
    assert data["exit"] == expect
    shown = host.vmtune("doctor", user=user)
    assert shown.code == expect, shown
    found: dict[str, list[dict[str, str]]] = {}
    for row in data["rows"]:
        found.setdefault(row["code"], []).append(row)
        assert line_of(shown, row["code"], row["text"]).startswith(
            {"unseen": "?"}.get(row["health"], row["health"])
        )
    return found


def line_of(ran: Ran, code: str, text: str) -> str:
    """Return the line of a row; the one above it where a long subject has that to itself."""
    lines = [line.strip() for line in ran.out.splitlines()]
    (at,) = [number for number, line in enumerate(lines) if line.endswith(f"{text}   {code}")][:1]
    return lines[at - 1] if lines[at] == f"{text}   {code}" else lines[at]


def health(rows: list[dict[str, str]]) -> list[str]:
    return [row["health"] for row in rows]


def test_a_host_in_order(clean: World):
    image = clean.image("data")
    (image.path / "vm").mkdir()
    run("chattr", "+C", image.path / "vm")
    clean.fstab(image.line("defaults,noatime"))
    clean.nocow(image.path / "vm")
    found = doctor(clean)
    assert {row["health"] for code in found if code != "V504" for row in found[code]} == {"ok"}
    kernel = os.uname().release
    progs = re.match(r"btrfs-progs v(\S+)", run("btrfs", "--version"))
    assert progs
    assert found["V501"][0]["text"].startswith(kernel)
    assert found["V502"][0]["text"] == progs[1]
    assert found["V503"][0]["text"] in run("findmnt", "--version")
    free = int(run("findmnt", "-bno", "AVAIL", image.path))
    assert found["V508"][0]["text"].startswith(f"{free / 2**20:.1f} MiB of ")


def test_a_schedule_that_nobody_would_run_is_a_failure(clean: World):
    """Among processes of its own: this machine may have a cron daemon."""
    apart = Forked(clean.file)
    clean.declare(defrag=[{"path": str(clean.area), "schedule": "@weekly"}])
    try:
        for code, word in ((1, "fail"), (0, "warn")):
            ran = apart("doctor", "--json")
            rows = [row for row in json.loads(ran.out)["rows"] if row["code"] == "V504"]
            assert (ran.code, health(rows)) == (code, [word])
            clean.config("")
    finally:
        apart.close()


@oracle("mount(8)", "V515: {}: {}", "V515: the kernel takes all those in /etc/fstab", "V205")
def test_an_option_that_the_kernel_refuses_is_found_before_it_boots(clean: World):
    image = clean.image("data")
    clean.fstab(image.line("defaults,compress=gzip"))
    clean.config("")
    (row,) = doctor(clean, expect=1)["V515"]
    assert row["health"] == "fail"
    assert "refuses compress=gzip" in row["text"]
    again = TOP / "t" / "again"
    again.mkdir()
    run("umount", image.path)
    with pytest.raises(AssertionError):
        run("mount", "-o", "loop,compress=gzip", TOP / "images" / "data0.img", again)
    clean.fstab(image.line("defaults,compress=zstd:3,noatime", again))
    run("mount", "-o", "loop,compress=zstd:3,noatime", TOP / "images" / "data0.img", again)
    (row,) = doctor(clean)["V515"]
    assert (row["health"], row["text"]) == ("ok", "the kernel takes all those in /etc/fstab")


@oracle("findmnt", "V203")
def test_a_line_that_mount_and_systemd_read_differently(clean: World):
    image = clean.image("data")
    clean.fstab(f"UUID={image.uuid} {image.path} btrfs defaults, compress=no 0 0\n")
    clean.config("")
    assert health(doctor(clean, expect=1)["V509"]) == ["fail"]
    with pytest.raises(AssertionError, match="parse error"):
        run("findmnt", "--verify", "--tab-file", "/etc/fstab")


@oracle("findmnt", "V509: {} for Btrfs{}")
def test_what_findmnt_finds_and_a_second_line(clean: World):
    image = clean.image("data")
    gone = TOP / "t" / "gone"
    lines = image.line("defaults") + image.line("noatime") + image.line("defaults", gone)
    clean.fstab(lines)
    clean.config("")
    rows = doctor(clean)["V509"]
    texts = " ".join(row["text"] for row in rows)
    assert health(rows) == ["warn"] * len(rows)
    assert f"a second line for {image.path}" in texts
    assert "target: No such file" in texts


def test_compression_on_a_line_that_does_not_decide(clean: World):
    image = clean.image("data")
    other = image.mount(image.path / "below", "subvolid=5")
    clean.fstab(image.line("defaults") + image.line("compress=lzo", other))
    clean.config("")
    (row,) = doctor(clean)["V510"]
    assert row["subject"] == "/etc/fstab:2"
    assert "no effect at boot: off, decided by /etc/fstab:1" in row["text"]
    run("umount", other)


def test_two_lines_of_which_nobody_knows_the_first(clean: World):
    image = clean.image("data")
    other = image.mount(TOP / "t" / "other", "subvolid=5")
    clean.fstab(image.line("defaults") + image.line("compress=lzo", other))
    clean.config("")
    rows = doctor(clean)
    assert "V510" not in rows
    (row,) = rows["V526"]
    assert "whichever of /etc/fstab:1 and 2 is mounted first" in row["text"]


@pytest.mark.parametrize("user", [0, NOBODY])
def test_an_fstab_that_is_no_file(clean: World, user: int):
    """Nobody can read it, root neither: that it is root's to see would be no remedy."""
    FSTAB.unlink()
    os.mkfifo(FSTAB)
    clean.config("")
    (row,) = doctor(clean, expect=1, user=user)["V509"]
    assert row["health"] == "fail"
    assert row["text"] == "/etc/fstab: not a regular file"
    assert row["remedy"] == "it must be a file that can be read"


def test_a_unit_that_takes_the_place_of_a_line(clean: World):
    image = clean.image("data")
    clean.fstab(image.line("defaults"))
    name = run("systemd-escape", "--path", "--suffix=mount", image.path).strip()
    Path("/etc/systemd/system", name).write_text("[Mount]\n")
    clean.config("")
    (row,) = doctor(clean)["V511"]
    assert f"/etc/systemd/system/{name}" in row["text"]


def test_a_restored_image_that_lost_nocow(clean: World):
    image = clean.image("data")
    vm = image.path / "vm"
    vm.mkdir()
    run("chattr", "+C", vm)
    (vm / "good.raw").write_bytes(b"image" * 1000)
    (image.path / "backup.raw").write_bytes(b"image" * 1000)
    clean.nocow(vm)
    assert health(doctor(clean)["V514"]) == ["ok"]
    os.rename(image.path / "backup.raw", vm / "restored.raw")
    assert is_nocow(vm / "good.raw")
    assert not is_nocow(vm / "restored.raw")
    found = doctor(clean)
    (row,) = found["V101"]
    assert row["health"] == "warn"
    assert "restored.raw" in row["subject"]
    assert "existing: rewrite" in row["remedy"]
    assert "V514" not in found, "the plan's words are enough"
    clean.nocow(vm, existing="keep")
    (row,) = doctor(clean)["V514"]
    assert row["text"].startswith("1 file with data is copy-on-write")


def test_snapshots_of_nocow_images(clean: World):
    image = clean.image("data")
    vm = image.path / "vm"
    vm.mkdir()
    run("chattr", "+C", vm)
    clean.nocow(vm)
    assert health(doctor(clean)["V507"]) == ["ok"]
    run("btrfs", "subvolume", "snapshot", image.path, image.path / "snap")
    (row,) = doctor(clean, expect=1)["V103"]
    assert row["health"] == "fail"
    assert "allow: [snapshots]" in row["remedy"]
    clean.nocow(vm, allow=["snapshots"])
    assert health(doctor(clean)["V507"]) == ["ok"]


def test_two_copies(clean: World):
    image = clean.image("mirror", mkfs=["-d", "raid1", "-m", "raid1"], size=2)
    (image.path / "vm").mkdir()
    clean.nocow(image.path / "vm")
    found = doctor(clean, expect=1)
    (row,) = found["V102"]
    assert row["health"] == "fail"
    assert "raid1" in row["text"]
    assert row["remedy"] == "to accept that, write `allow: [raid]`"
    assert "V506" not in found
    clean.nocow(image.path / "vm", allow=["raid"])
    assert health(doctor(clean)["V506"]) == ["ok"]


def test_options_that_hold_for_all_images(clean: World):
    image = clean.image("data", "compress-force=zstd,autodefrag")
    (image.path / "vm").mkdir()
    clean.declare(paths=[{"path": str(image.path / "vm"), "nocow": False}])
    found = doctor(clean)
    assert health(found["V512"]) == health(found["V513"]) == ["warn"]
    clean.nocow(image.path / "vm")
    assert "V512" not in doctor(clean)


def test_a_filesystem_that_is_full(clean: World):
    image = clean.image("data")
    (image.path / "vm").mkdir()
    clean.nocow(image.path / "vm")
    assert health(doctor(clean)["V508"]) == ["ok"]
    with (image.path / "big").open("wb") as file:
        free = shutil.disk_usage(image.path).free
        file.write(os.urandom(max(0, free - (8 << 20))))
        file.flush()
        os.fsync(file.fileno())
    usage = shutil.disk_usage(image.path)
    found = doctor(clean, expect=int(usage.free < usage.total / 100))
    assert health(found["V508"]) in (["warn"], ["fail"])


def test_without_a_configuration_it_looks_at_what_init_finds(clean: World):
    images = clean.area / "images"
    images.mkdir()
    storage = Path("/etc/libvirt/storage")
    storage.mkdir(parents=True)
    text = POOL.format(name="default", path=images, more="")
    (storage / "default.xml").write_text(text)
    done = subprocess.run(
        [*PROGRAM, "doctor"], capture_output=True, text=True, check=False, env=_ENV, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    assert "no vmtune.yaml: what init would find" in done.stdout
    assert f"{images} is copy-on-write" in Ran(0, done.stdout, "").row("pool default")


def test_without_root(clean: World):
    home = clean.alice()
    vm = home / "vm"
    vm.mkdir()
    run("chattr", "+C", vm)
    os.chown(vm, ALICE, ALICE)
    image = clean.image("data")
    clean.fstab(image.line("defaults,compress=gzip"))
    clean.nocow(vm)
    found = doctor(clean, expect=6, user=ALICE)
    assert health(found["V515"]) == health(found["V507"]) == ["unseen"]
    assert found["V515"][0]["remedy"] == "root sees it"
    assert {row["health"] for rows in found.values() for row in rows} == {"ok", "warn", "unseen"}


def test_what_fails_counts_more_than_what_nobody_saw(clean: World):
    home = clean.alice()
    vm = home / "vm"
    vm.mkdir()
    os.chown(vm, ALICE, ALICE)
    image = clean.image("data")
    clean.fstab(f"UUID={image.uuid} {image.path} btrfs defaults, compress=no 0 0\n")
    clean.nocow(vm)
    found = doctor(clean, expect=1, user=ALICE)
    assert {"fail", "unseen"} <= {row["health"] for rows in found.values() for row in rows}


def test_a_broken_configuration_is_told_as_such(clean: World):
    clean.config("pathz: []\n")
    ran = clean.vmtune("doctor", "--json")
    assert ran.code == 1
    assert json.loads(ran.out)["format"] == "vmtune.error/1"
    assert "pathz" in ran.err


def test_what_the_plan_refuses_doctor_names(clean: World):
    """A mount that is not what its line names, a unit in its place, an fstab that stays."""
    image = clean.image("data")
    other = clean.image("other")
    name = run("systemd-escape", "--path", "--suffix=mount", image.path).strip()
    unit = Path("/etc/systemd/system", name)
    clean.declare(mounts=[{"target": str(image.path), "options": {"noatime": True}}])
    clean.fstab(f"UUID={other.uuid} {image.path} btrfs defaults 0 0\n")
    assert "V509" not in told_by_both(clean, "V208"), "the line is not sound"
    clean.fstab(image.line("defaults"))
    unit.write_text("[Mount]\n")
    told_by_both(clean, "V204")
    unit.unlink()
    run("mount", "--bind", FSTAB, FSTAB)
    try:
        told_by_both(clean, "V210")
    finally:
        run("umount", FSTAB)
    clean.fstab("")
    told_by_both(clean, "V201")


def told_by_both(host: World, code: str) -> dict[str, list[dict[str, str]]]:
    shown = host.plan(expect=7).row(code)
    found = doctor(host)
    (row,) = found[code]
    assert row["health"] == "warn"
    assert row["text"] in shown
    assert row["remedy"]
    return found


def test_entries_that_contradict_each_other(clean: World):
    image = clean.image("data")
    other = image.mount(TOP / "t" / "other", "subvolid=5")
    clean.fstab(image.line("defaults") + image.line("defaults", other))
    clean.declare(
        mounts=[
            {"target": str(image.path), "options": {"compress": "lzo"}},
            {"target": str(other), "options": {"compress": "zstd"}},
        ]
    )
    assert clean.vmtune("plan").code == 1
    found = doctor(clean, expect=1)
    assert health(found["V536"]) == ["fail"]
    assert found["V501"], "the rest is looked at all the same"
