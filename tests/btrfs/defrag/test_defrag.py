"""Schedules in /etc/cron.d, run as cron would, and what they must not do."""

import errno
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.btrfs.outside import fragments, identity, is_nocow, run, sync
from tests.btrfs.sandbox import TOP
from tests.btrfs.world import FSTAB, NOBODY, World, until
from tests.oracles import oracle

CRON_D = Path("/etc/cron.d")
CRONTABS = Path("/var/spool/cron/crontabs")


def declare(host: World, path: Path, **more: object) -> None:
    entry = {"path": str(path), "schedule": "0 12 * * *", "scheduler": "cron", **more}
    host.declare(defrag=[entry])


def own_files() -> list[Path]:
    return sorted(CRON_D.iterdir())


def fragmented(path: Path) -> Path:
    """Blocks written one by one, each to the disk, and out of order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * (4 << 20))
    sync()
    with path.open("r+b", buffering=0) as file:
        for block in range(0, 1024, 4):
            file.seek(block * 4096)
            file.write(os.urandom(4096))
            os.fdatasync(file.fileno())
    return path


def command(table: Path) -> str:
    """The command of the one job, with what cron(8) makes of backslash and percent."""
    line = table.read_text().splitlines()[-1]
    fields = line.split(None, 6)
    assert fields[5] == "root"
    return fields[6].replace("\\%", "%")


def by_cron(table: Path, *before: Path) -> subprocess.CompletedProcess[str]:
    """Run the job in the environment and with the shell that cron would give it.

    Programs in the directories ``before`` are found first.
    """
    variables = dict(
        line.split("=", 1) for line in table.read_text().splitlines() if line[:1].isupper()
    )
    path = ":".join([*map(str, before), variables["PATH"]])
    return subprocess.run(
        [variables["SHELL"], "-c", command(table)],
        env={"PATH": path, "LOGNAME": "root", "HOME": "/root"},
        cwd="/root",
        capture_output=True,
        text=True,
        check=False,
    )


def logger(folder: Path, log: Path) -> Path:
    """Make a program logger that writes to a file of the test's: nothing reads /dev/log here."""
    folder.mkdir()
    program = folder / "logger"
    program.write_text(f'#!/bin/sh\n{{ echo "$@"; cat; }} >> {log}\n')
    program.chmod(0o755)
    return folder


def scattered(path: Path) -> Path:
    """Fragment 4 MiB of an image that has 8: what a run would copy, and what it may leave."""
    file = fragmented(path)
    with file.open("ab") as end:
        end.write(os.urandom(4 << 20))
    sync()
    return file


def used(path: Path) -> int:
    sync()
    return int(run("btrfs", "filesystem", "usage", "-b", path).split("Used:")[1].split()[0])


def test_the_file_is_one_that_cron_takes(host: World):
    """No dot in its name, root's alone to write, a user, a newline at the end."""
    images = host.area / "images"
    images.mkdir()
    declare(host, images)
    assert "by cron" in host.plan(expect=2).out
    host.apply()
    (file,) = own_files()
    status = file.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (0, 0, 0o644)
    assert "." not in file.name
    text = file.read_text()
    assert text.endswith("\n")
    assert "vmtune" in text.splitlines()[0]
    assert text.splitlines()[-1].startswith(f"0 12 * * * root p={images}; ")
    host.plan(expect=0)
    before = identity(file)
    host.apply()
    assert identity(file) == before


@pytest.mark.parametrize("name", ["images", 'my 100% "best" it\'s im\\ages ü'])
def test_its_command_defragments(host: World, name: str):
    """In the environment and with the shell that cron would give it."""
    file = fragmented(host.area / name / "disk.raw")
    before = fragments(file)
    declare(host, file.parent)
    host.apply()
    (table,) = own_files()
    done = by_cron(table)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    sync()
    assert before > 100
    assert fragments(file) < before / 10


@oracle("filefrag", "V306")
def test_a_run_copies_nothing_that_snapshots_share_by_now(host: World):
    """The schedule is set up while nothing is shared; the snapshots begin later."""
    image = host.image("data")
    file = scattered(image.subvolume("s") / "vm" / "disk.raw")
    log, programs = host.area / "log", logger(host.area / "bin", host.area / "log")
    declare(host, file.parent)
    host.apply()
    (table,) = own_files()
    run("btrfs", "subvolume", "snapshot", "-r", image.path / "s", image.path / "later")
    before = used(image.path), fragments(file)
    done = by_cron(table, programs)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
    assert (used(image.path), fragments(file)) == before
    tag, said = log.read_text().splitlines()
    assert "vmtune-defrag" in tag
    assert said == f"{file.parent}: run skipped. Bytes that snapshots or clones share: {8 << 20}"
    row = host.plan(expect=0).row("are shared with snapshots or clones")
    assert "8.0 MiB" in row
    assert "a run is skipped" in row
    assert "V306" in row
    assert host.vmtune("status").code == 0

    run("btrfs", "subvolume", "delete", "-c", image.path / "later")
    run("btrfs", "subvolume", "sync", image.path)
    assert by_cron(table, programs).returncode == 0
    sync()
    assert fragments(file) < before[1] / 10


@oracle("statvfs", "V305", "V306", "V530: defragments it")
def test_where_copies_are_allowed_a_run_makes_them(host: World):
    image = host.image("data")
    file = scattered(image.subvolume("s") / "vm" / "disk.raw")
    run("btrfs", "subvolume", "snapshot", "-r", image.path / "s", image.path / "snapshot")
    declare(host, file.parent, allow=["snapshots"])
    assert "V306" not in host.plan(expect=2).out
    host.apply()
    before = used(image.path)
    assert by_cron(*own_files()).returncode == 0
    assert used(image.path) > before + (2 << 20)


@pytest.mark.parametrize("trouble", ["a directory that is gone", "a btrfs that fails"])
def test_a_run_that_cannot_tell_what_is_shared_is_skipped(host: World, trouble: str):
    """No answer is never taken for none that is shared."""
    file = fragmented(host.area / "images" / "disk.raw")
    before = fragments(file)
    declare(host, file.parent)
    host.apply()
    (table,) = own_files()
    if trouble == "a directory that is gone":
        file.parent.rename(host.area / "moved")
        file = host.area / "moved" / "disk.raw"
    else:
        broken = host.area / "btrfs"
        broken.write_text('#!/bin/sh\necho "$@" >&2\nexit 1\n')
        broken.chmod(0o755)
        table.write_text(table.read_text().replace("$(/usr/bin/btrfs", f"$({broken}"))
    done = by_cron(table, logger(host.area / "bin", host.area / "log"))
    assert done.returncode == 1
    assert "not known" in (host.area / "log").read_text()
    assert fragments(file) == before


def test_where_root_owns_vmtune_a_run_leaves_only_what_is_shared(host: World):
    """Installed below /opt: the job is vmtune's own, and does the files that share nothing."""
    python = installed(host)
    shared = fragmented(host.area / "images" / "shared.raw")
    alone = fragmented(host.area / "images" / "alone.raw")
    run("cp", "--reflink=always", shared, host.area / "clone.raw")
    sync()
    declare(host, shared.parent)
    apply = [python, "-IB", "-m", "reconciler", "--config", host.file, "apply", "--yes"]
    assert "a run leaves the files that have them" in " ".join(run(*apply).split())
    (table,) = own_files()
    assert str(python) in command(table)
    before = fragments(shared)
    done = by_cron(table, logger(host.area / "bin", host.area / "log"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    sync()
    assert fragments(alone) < 10
    assert fragments(shared) == before
    assert "shared.raw: left as it is: snapshots or clones share" in (host.area / "log").read_text()
    # One that others may write is nothing that root's job may run.
    (python.parents[1] / "lib").chmod(0o777)
    plan = [*apply[:-2], "plan"]
    assert "a run is skipped" in " ".join(run(*plan).split())


def installed(host: World) -> Path:
    """Install vmtune below /opt, which is this test's own; return its Python."""
    top = host.opt() / "vmtune"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = top / "lib" / version / "site-packages"
    shutil.copytree(TOP / "checkout" / "reconciler", packages / "reconciler")
    (packages / "libraries.pth").write_text(f"{TOP / 'purelib'}\n{TOP / 'platlib'}\n")
    python = top / "bin" / "python"
    python.parent.mkdir()
    python.symlink_to(TOP / "python" / "bin" / version)
    (top / "pyvenv.cfg").write_text(f"home = {TOP / 'python' / 'bin'}\n")
    return python


HOW_TO = "0 12 * * * {who}btrfs filesystem defragment -r {path}"


@pytest.mark.parametrize(
    ("table", "who", "written"),
    [
        (CRON_D / "hand-made", "root ", "{path}"),
        (CRON_D / "quoted", "root /usr/bin/nice ", "'{path}/'"),
        (Path("/etc/crontab"), "root ", "{path}"),
        (CRONTABS / "root", "", "{path}"),
        (CRONTABS / "alice", "", "~/images"),
        (CRONTABS / "alice", "", "$HOME/images"),
    ],
)
def test_a_line_written_by_hand_is_found(host: World, table: Path, who: str, written: str):
    """The how-to's line for the same directory, wherever a person may have put it."""
    home = host.alice(host.area / "home")
    images = home / "images"
    images.mkdir()
    table.write_text(f"# mine\n{HOW_TO.format(who=who, path=written.format(path=images))}\n")
    table.chmod(0o600)
    before = identity(table)
    declare(host, images)
    row = host.apply(expect=7).row(f"! defrag {images}")
    assert "V305" in row
    assert f"{table}:2" in row
    assert identity(table) == before
    assert [file for file in own_files() if file != table] == []


def test_lines_for_other_directories_are_let_be(host: World):
    images, other = host.area / "images", host.area / "images2"
    images.mkdir()
    other.mkdir()
    (CRON_D / "other").write_text(HOW_TO.format(who="root ", path=other) + "\n")
    (CRON_D / "comment").write_text("#" + HOW_TO.format(who="root ", path=images) + "\n")
    declare(host, images)
    host.apply()
    assert len(own_files()) == 3


def test_a_user_is_told_that_crontabs_are_hidden(host: World):
    (host.area / "images").mkdir()
    CRONTABS.chmod(0o700)
    declare(host, host.area / "images")
    assert "only root can read the crontabs" in host.plan(expect=2, user=NOBODY).out
    assert "only root can read the crontabs" not in host.plan(expect=2).out


def test_what_is_no_longer_declared_is_taken_back(host: World):
    (host.area / "images").mkdir()
    declare(host, host.area / "images")
    host.apply()
    host.config("")
    assert "- defrag" in host.plan(expect=2).out
    assert len(own_files()) == 1
    host.apply()
    assert own_files() == []
    host.plan(expect=0)


def test_a_new_schedule_replaces_the_old(host: World):
    (host.area / "images").mkdir()
    declare(host, host.area / "images")
    host.apply()
    declare(host, host.area / "images", schedule="@weekly")
    host.apply()
    (file,) = own_files()
    assert "0 12 * * *" not in file.read_text()
    host.plan(expect=0)


def test_a_foreign_file_of_the_same_name_stays(host: World):
    (host.area / "images").mkdir()
    declare(host, host.area / "images")
    host.apply()
    (file,) = own_files()
    file.write_text("# mine\n")
    before = identity(file)
    assert "V307" in host.plan(expect=7).row("! defrag")
    host.apply(expect=7)
    host.config("")
    host.apply()
    assert identity(file) == before


def test_files_that_vmtune_did_not_make_are_never_removed(host: World):
    files = {
        CRON_D / "vmtune-defrag-mine": "# by hand\n0 1 * * * root true\n",
        Path("/etc/systemd/system/vmtune-defrag-mine.timer"): "[Timer]\nOnCalendar=daily\n",
    }
    try:
        for file, text in files.items():
            file.write_text(text)
        before = [identity(file) for file in files]
        host.config("")
        host.plan(expect=0)
        host.apply()
        assert [identity(file) for file in files] == before
    finally:
        for file in files:
            file.unlink()


def test_a_link_is_followed_since_btrfs_would_not(host: World):
    """``-r`` on a link to a directory does nothing, and exits with 0."""
    real, link = host.area / "real", host.area / "link"
    real.mkdir()
    link.symlink_to(real)
    declare(host, link)
    assert f"the path leads to {real}" in host.plan(expect=2).out
    host.apply()
    (file,) = own_files()
    assert command(file).startswith(f"p={real}; ")
    host.plan(expect=0)


def test_two_names_of_one_directory_make_one_schedule_or_an_error(host: World):
    real, link = host.area / "real", host.area / "link"
    real.mkdir()
    link.symlink_to(real)
    entry = {"schedule": "0 1 * * *", "scheduler": "cron"}
    other = {**entry, "schedule": "0 2 * * *"}
    host.declare(defrag=[{"path": str(real), **entry}, {"path": str(link), **other}])
    ran = host.plan(expect=1)
    assert f"{host.file}:3:" in ran.err
    assert f"{host.file}:4:" in ran.err


def test_nested_subvolumes_are_named_since_r_does_not_enter(host: World):
    images = host.area / "images"
    images.mkdir()
    run("btrfs", "subvolume", "create", images / "pool")
    declare(host, images)
    assert "V308" in host.plan(expect=2).row("pool is a subvolume of its own")


def test_nocow_files_need_no_schedule_and_may_have_one(host: World):
    images = host.area / "images"
    images.mkdir()
    run("chattr", "+C", images)
    (images / "disk.raw").write_bytes(os.urandom(1 << 20))
    sync()
    assert is_nocow(images / "disk.raw")
    declare(host, images)
    assert "V309" in host.plan(expect=2).out
    host.apply()
    assert len(own_files()) == 1
    (images / "cow").mkdir()
    run("chattr", "-C", images / "cow")
    (images / "cow" / "disk.raw").write_bytes(os.urandom(1 << 20))
    sync()
    assert "V309" not in host.plan(expect=0).out


def test_the_first_plan_says_that_the_same_plan_leaves_nothing_to_do(host: World):
    images = host.area / "images"
    images.mkdir()
    (images / "disk.raw").write_bytes(os.urandom(1 << 20))
    sync()
    host.declare(
        paths=[{"path": str(images), "nocow": True, "existing": "rewrite"}],
        defrag=[{"path": str(images), "schedule": "@weekly", "scheduler": "cron"}],
    )
    with open(images / "disk.raw", "rb"):  # left as it is: there will be something to do
        assert "V309" not in host.plan(expect=2).out
    assert "so this schedule will have nothing to do (V309)" in host.plan(expect=2).out
    host.apply()
    assert "so this schedule has nothing to do (V309)" in host.plan().out


def encoded(file: Path) -> int:
    """Compressed extents, as filefrag(8) shows them."""
    return run("filefrag", "-v", file).count("encoded")


@pytest.mark.parametrize("images", ["cow", "nocow"])
@oracle("filefrag", "V312", "V213")
def test_under_compress_a_run_compresses_what_is_not_nocow(host: World, images: str):
    """Said before it happens, since the command does it."""
    image = host.image("data")
    folder = image.path / "images"
    folder.mkdir()
    if images == "nocow":
        run("chattr", "+C", folder)
    file = folder / "disk.raw"
    for block in range(0, 1024, 2):
        with file.open("r+b" if block else "wb", buffering=0) as disk:
            disk.seek(block * 4096)
            disk.write(b"text of a kind that is easily compressed " * 100)
            os.fdatasync(disk.fileno())
    run("mount", "-o", "remount,compress=zstd", image.path)
    host.declare(
        paths=[{"path": str(folder), "nocow": images == "nocow"}],
        defrag=[{"path": str(folder), "schedule": "@daily", "scheduler": "cron"}],
    )
    assert ("V312" in host.apply().out) == (images == "cow")
    (table,) = own_files()
    assert encoded(file) == 0
    subprocess.run(["/bin/sh", "-c", command(table)], check=True)
    sync()
    assert (encoded(file) > 0) == (images == "cow")
    host.fstab(image.line("compress=zstd"))
    host.declare(
        mounts=[{"target": str(image.path), "options": {"compress": "no"}}],
        defrag=[{"path": str(folder), "schedule": "@daily", "scheduler": "cron"}],
    )
    assert "V312" not in host.plan(expect=2).out


def test_a_schedule_that_cron_cannot_say_is_an_error_with_its_position(host: World):
    declare(host, host.area, schedule="Sun 03:00")
    assert f"{host.file}:3:" in host.plan(expect=1).err


def test_without_cronsim_only_the_next_run_is_left_out(host: World):
    """Not every distribution has that library, and no answer rests on it."""
    (host.area / "images").mkdir()
    declare(host, host.area / "images", schedule="@weekly")
    for command in (["validate"], ["plan"], ["apply", "--yes"], ["status"]):
        ran = host.prepared("import sys; sys.modules['cronsim'] = None", *command)
        assert ran.code == 0, ran
        assert "fault" not in ran.err
        assert "next" not in ran.out, ran
    assert len(own_files()) == 1
    assert "next run" in host.plan(expect=0).out


def test_systemd_is_refused_where_it_does_not_run(host: World):
    (host.area / "images").mkdir()
    declare(host, host.area / "images", scheduler="systemd")
    assert "V302" in host.plan(expect=7).row("! defrag")
    host.apply(expect=7)
    assert own_files() == []


def test_without_systemd_auto_is_cron(host: World):
    (host.area / "images").mkdir()
    declare(host, host.area / "images", scheduler="auto")
    host.apply()
    assert len(own_files()) == 1


def test_a_user_whom_no_passwd_knows(host: World):
    """As in a container: crontab(1) refuses such a user, and vmtune names the number."""
    (host.area / "images").mkdir()
    CRONTABS.chmod(0o700)
    declare(host, host.area / "images")
    ran = host.plan(expect=2, user=54321)
    assert "only root can read the crontabs of other users" in ran.out
    assert "Needs root." in ran.out
    ran = host.vmtune("apply", "--yes", user=54321)
    assert ran.code == 1, ran
    assert own_files() == []


@oracle("errno", "{}, so a job that was written there is not seen")
def test_what_a_user_wrote_there_root_alone_reads(host: World):
    """With the mode of Debian's cron the kernel shows others neither the names nor a crontab."""
    path = host.area / "images"
    path.mkdir()
    CRONTABS.chmod(0o1730)
    crontab = CRONTABS / "somebody"
    crontab.write_text(f"0 3 * * * btrfs filesystem defragment -r {path}\n")
    crontab.chmod(0o600)
    declare(host, path)
    for asked in (["ls", CRONTABS], ["cat", crontab]):
        as_nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *asked]
        ran = subprocess.run(as_nobody, capture_output=True, text=True, check=False)
        assert os.strerror(errno.EACCES) in ran.stderr
    shown = host.plan(expect=2, user=NOBODY)
    told = "only root can read the crontabs of other users, so a job that was written there is not"
    assert told in shown.row("defrag")
    assert "V305" not in shown.out
    assert f"{crontab}:1" in host.plan(expect=7).row("V305")


def test_a_directory_that_is_not_there_yet_is_noted(host: World):
    declare(host, host.area / "later")
    assert "there is no such directory yet" in host.plan(expect=2).out


def test_other_filesystems_are_no_failure(host: World):
    target = Path("/media/t/tmpfs")
    target.mkdir()
    run("mount", "-t", "tmpfs", "tmpfs", target)
    declare(host, target)
    host.apply()
    assert own_files() == []


def _comm(pid: str) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def test_whether_a_daemon_runs_is_told(host: World):
    (host.area / "images").mkdir()
    declare(host, host.area / "images")
    daemons = [
        "pgrep",
        "--ns",
        str(os.getpid()),
        "--nslist",
        "pid",
        "-x",
        "cron|crond|cronie|fcron",
    ]
    running = subprocess.run(daemons, check=False).returncode
    assert ("V310" in host.plan(expect=2).out) == bool(running)
    sleeping = host.area / "cron"  # a container's daemon reads a crontab of its own
    sleeping.write_bytes(Path("/bin/sleep").read_bytes())
    sleeping.chmod(0o755)
    with subprocess.Popen(
        ["unshare", "--pid", "--fork", "--kill-child", str(sleeping), "30"]
    ) as container:
        children = Path(f"/proc/{container.pid}/task/{container.pid}/children")
        until("it", lambda: (pids := children.read_text().split()) and _comm(pids[0]) == "cron")
        try:
            assert ("V310" in host.plan(expect=2).out) == bool(running)
        finally:
            container.kill()
    with subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "cron", "-f"]) as cron:
        comm = Path(f"/proc/{cron.pid}/comm")
        until("cron", lambda: comm.read_text() == "cron\n")
        try:
            assert "V310" not in host.plan(expect=2).out
        finally:
            cron.kill()


def test_nothing_else_is_touched(host: World):
    (host.area / "images").mkdir()
    before = identity(FSTAB)
    declare(host, host.area / "images")
    host.apply()
    assert identity(FSTAB) == before
    assert list((host.area / "images").iterdir()) == []
