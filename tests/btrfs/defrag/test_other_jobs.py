"""Jobs of others that defragment: each place where one may stand, and what it meets."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.btrfs.outside import identity, run
from tests.btrfs.world import World

HAND = "btrfs filesystem defragment -r {path}"
SCRIPT = "#!/bin/sh\n# mine\nset -e\nexec " + HAND + "\n"
MAINTENANCE = (
    'BTRFS_LOG_OUTPUT="stdout"\nBTRFS_DEFRAG_PATHS="{path}"\nBTRFS_DEFRAG_PERIOD="{period}"\n'
)


@pytest.fixture
def etc() -> Iterator[Path]:
    """/etc, of which the test's own files go afterwards."""
    before = {path for path in Path("/etc").rglob("*") if "cron" in str(path)}
    yield Path("/etc")
    for path in sorted(Path("/etc").rglob("*"), reverse=True):
        is_new = path not in before and ("cron" in str(path) or path.name == "btrfsmaintenance")
        if is_new and (path.is_file() or path.is_symlink()):
            path.unlink()
        elif is_new and path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def put(path: Path, text: str, mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def declare(host: World, path: Path) -> None:
    host.declare(defrag=[{"path": str(path), "schedule": "@weekly", "scheduler": "cron"}])


PLACES = {
    "cron.weekly": ("cron.weekly/defrag-vms", SCRIPT, "cron.weekly/defrag-vms"),
    "cron.hourly": ("cron.hourly/defrag-vms", SCRIPT, "cron.hourly/defrag-vms"),
    "cron.monthly": ("cron.monthly/defrag-vms", SCRIPT, "cron.monthly/defrag-vms"),
    "a variable of the script": (
        "cron.daily/defrag-vms",
        "#!/bin/sh\nVMS={path}\nfor dir in /nowhere $VMS; do\n  btrfs fi defrag -r $VMS\ndone\n",
        "cron.daily/defrag-vms",
    ),
    "anacrontab": ("anacrontab", f"SHELL=/bin/sh\n7 15 vms nice {HAND}\n", "anacrontab:2"),
    "anacrontab, by word": ("anacrontab", f"@monthly 9 vms {HAND}\n", "anacrontab:1"),
    "btrfsmaintenance of Debian": (
        "default/btrfsmaintenance",
        MAINTENANCE.replace("{period}", "weekly"),
        "default/btrfsmaintenance:2",
    ),
    "btrfsmaintenance of SUSE": (
        "sysconfig/btrfsmaintenance",
        MAINTENANCE.replace("{path}", "/var:{path}").replace("{period}", "Sun *-*-* 04:00"),
        "sysconfig/btrfsmaintenance:2",
    ),
}


@pytest.mark.parametrize(("file", "text", "named"), PLACES.values(), ids=PLACES)
def test_it_is_named_and_not_doubled(host: World, etc: Path, file: str, text: str, named: str):
    """By plan, by doctor and by init; and the file stays as it is."""
    images = host.area / "images"
    images.mkdir()
    table = put(etc / file, text.replace("{path}", str(images)), 0o755)
    before = identity(table)
    declare(host, images)
    row = host.apply(expect=7).row(f"! defrag {images}")
    assert f"{etc / named} already defragments there" in row
    assert "V305" in row
    assert identity(table) == before
    assert not [path for path in Path("/etc/cron.d").iterdir() if "vmtune" in path.name]
    ran = host.vmtune("doctor", "--json")
    assert ran.code == 1
    found = [row for row in json.loads(ran.out)["rows"] if row["code"] == "V530"]
    assert [row["health"] for row in found] == ["fail"]
    assert str(etc / named) in found[0]["text"]
    assert str(etc / named) in host.vmtune("init").out


SILENT = {
    "run-parts may not run it": ("cron.weekly/defrag-vms", SCRIPT, 0o644),
    "btrfsmaintenance has no period": (
        "default/btrfsmaintenance",
        MAINTENANCE.replace("{period}", "none"),
        0o644,
    ),
    "a comment": ("anacrontab", f"# 7 15 vms {HAND}\n", 0o644),
    "another word": ("cron.weekly/vms", "#!/bin/sh\nls {path} # defrag\n", 0o755),
}


@pytest.mark.parametrize(("file", "text", "mode"), SILENT.values(), ids=SILENT)
def test_what_runs_nothing_is_let_be(host: World, etc: Path, file: str, text: str, mode: int):
    images = host.area / "images"
    images.mkdir()
    put(etc / file, text.replace("{path}", str(images)), mode)
    declare(host, images)
    host.apply()


def test_a_name_that_run_parts_leaves_out(host: World, etc: Path):
    """On Debian it runs no name with a dot: the file is no job there, as run-parts itself says."""
    images = host.area / "images"
    images.mkdir()
    put(etc / "cron.daily" / "defrag.sh", SCRIPT.replace("{path}", str(images)), 0o755)
    declare(host, images)
    listed = run("run-parts", "--test", etc / "cron.daily")
    assert ("V305" in host.plan(expect=7 if "defrag.sh" in listed else 2).out) == (
        "defrag.sh" in listed
    )


def test_a_script_that_a_crontab_starts(host: World, etc: Path):
    images = host.area / "images"
    images.mkdir()
    script = put(host.area / "defrag-vms", SCRIPT.replace("{path}", f"'{images}'"), 0o755)
    put(etc / "cron.d" / "vms", f"0 4 * * * root nice {script}\n")
    declare(host, images)
    assert "cron.d/vms:1 already defragments there" in host.plan(expect=7).row("! defrag")


def test_btrfsmaintenance_by_cron_is_named_once(host: World, etc: Path):
    """Its script stands in cron.weekly as a link; which paths it has, its configuration says."""
    images = host.area / "images"
    images.mkdir()
    text = MAINTENANCE.format(path="auto", period="weekly")
    put(etc / "default" / "btrfsmaintenance", text)
    script = host.area / "btrfs-defrag.sh"
    put(
        script,
        '#!/bin/bash\nfor P in $BTRFS_DEFRAG_PATHS; do\n  btrfs fi defrag "$P"\ndone\n',
        0o755,
    )
    (etc / "cron.weekly").mkdir(exist_ok=True)
    (etc / "cron.weekly" / "btrfs-defrag").symlink_to(script)
    declare(host, images)
    run("mount", "--bind", images, images)  # auto: every Btrfs that is mounted
    try:
        row = host.plan(expect=7).row("! defrag")
    finally:
        run("umount", images)
    assert "cron.weekly/btrfs-defrag already defragments there" in row
    assert "; and so does" not in row


@pytest.mark.parametrize(("period", "schedule"), [("7", "@weekly"), ("10", "Sun 03:00")])
def test_init_offers_a_schedule_that_can_be_declared(
    host: World, etc: Path, period: str, schedule: str
):
    images = host.area / "images"
    images.mkdir()
    put(etc / "anacrontab", f"{period} 15 vms {HAND}\n".replace("{path}", str(images)))
    lines = host.vmtune("init").out.splitlines()
    (at,) = [number for number, line in enumerate(lines) if line.endswith(f"- path: {images}")]
    assert lines[at + 1].endswith(f'schedule: "{schedule}"')


def test_all_of_them_are_named(host: World, etc: Path):
    images = host.area / "images"
    images.mkdir()
    put(etc / "cron.weekly" / "vms", SCRIPT.replace("{path}", str(images)), 0o755)
    put(etc / "anacrontab", f"7 15 vms {HAND}\n".replace("{path}", str(images)))
    declare(host, images)
    row = host.plan(expect=7).row("! defrag")
    said = [row, host.vmtune("doctor").out, host.vmtune("init").out]
    (images / "vm.raw").write_bytes(b"x" * 9000)  # an entry makes it nocow, and the jobs idle
    said.append(host.vmtune("init").out)
    for text in said:
        assert "cron.weekly/vms" in text
        assert "anacrontab:1" in text


@pytest.mark.parametrize("place", ["around it", "in it", "another subvolume", "a file in it"])
def test_a_job_for_what_is_around_or_in_the_directory(host: World, etc: Path, place: str):
    """``-r`` goes down, but into no other subvolume: only the same data is done twice."""
    images = host.area / "a" / "images"
    images.mkdir(parents=True)
    (images / "win").mkdir()
    (images / "a.raw").write_bytes(os.urandom(4096))
    path = {"in it": images / "win", "a file in it": images / "a.raw"}.get(place, images.parent)
    if place == "another subvolume":
        (images / "a.raw").unlink()
        (images / "win").rmdir()
        images.rmdir()
        run("btrfs", "subvolume", "create", images)
    put(etc / "cron.d" / "hand", f"0 4 * * * root {HAND.format(path=path)}\n")
    declare(host, images)
    if place == "another subvolume":
        host.plan(expect=2)
    else:
        assert "V305" in host.plan(expect=7).row("! defrag")


def test_a_job_whose_directory_only_its_shell_knows_is_told(host: World, etc: Path):
    images = host.area / "images"
    images.mkdir()
    put(etc / "cron.daily" / "vms", '#!/bin/sh\nbtrfs fi defrag -r "$(cat /etc/vms)"\n', 0o755)
    declare(host, images)
    row = host.plan(expect=2).row("cron.daily/vms")
    assert "V320" in row
    ran = host.vmtune("doctor", "--json")
    (found,) = [row for row in json.loads(ran.out)["rows"] if row["code"] == "V530"]
    assert found["health"] == "warn"
    assert "cron.daily/vms" in found["text"]
