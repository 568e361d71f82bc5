"""Planning changes nothing: every system call it makes is looked at."""

import os
import re
from pathlib import Path

import pytest

from tests.btrfs.outside import compression, run, sync, tree
from tests.btrfs.sandbox import TOP
from tests.btrfs.world import NOBODY, World

# Calls that change something that others can see, whatever their arguments are.
FORBIDDEN = """
    acct bind chmod chown chroot creat delete_module fallocate fchmod fchmodat fchmodat2 fchown
    fchownat finit_module fremovexattr fsetxattr fsmount fspick ftruncate futimesat init_module
    lchown link linkat lremovexattr lsetxattr mkdir mkdirat mknod mknodat mount mount_setattr
    move_mount open_tree pivot_root quotactl reboot removexattr removexattrat rename renameat
    renameat2 rmdir sethostname settimeofday setxattr setxattrat swapoff swapon symlink symlinkat
    sync syncfs truncate umount umount2 unlink unlinkat utime utimensat utimes
""".split()  # noqa: SIM905 - words

# ioctl(2) requests that only tell. FIEMAP is asked without FIEMAP_FLAG_SYNC. START_SYNC commits
# what others changed, as happens every half minute, before the tree that they changed is read.
ASKING = """
    BTRFS_IOC_DEV_INFO BTRFS_IOC_FS_INFO BTRFS_IOC_GET_DEV_STATS BTRFS_IOC_GET_FEATURES
    BTRFS_IOC_GET_FSLABEL
    BTRFS_IOC_GET_SUBVOL_INFO BTRFS_IOC_SPACE_INFO BTRFS_IOC_START_SYNC BTRFS_IOC_TREE_SEARCH
    BTRFS_IOC_TREE_SEARCH_V2 BTRFS_IOC_WAIT_SYNC FIOCLEX FIONREAD FS_IOC_FIEMAP FS_IOC_GETFLAGS
    FS_IOC_GETFSLABEL TCGETS TIOCGWINSZ
""".split()  # noqa: SIM905

WRITING = re.compile(r"O_(WRONLY|RDWR|CREAT|TRUNC|APPEND|TMPFILE)")
HARMLESS = re.compile(r'"(/dev/(null|tty)|/proc/(self|thread-self|\d+)/[^"]*)"')
# A context that is never mounted takes options; making or changing a filesystem is a command.
COMMANDS = re.compile(r"FSCONFIG_CMD_")

CALL = re.compile(r"^(?:\d+\s+)?(?P<name>\w+)\((?P<arguments>.*)")


def offends(line: str) -> bool:
    """Whether a line of strace shows an attempt to change anything, successful or not."""
    found = CALL.match(line)
    if not found:
        return False
    name, arguments = found["name"], found["arguments"]
    if name in FORBIDDEN:
        return not HARMLESS.search(arguments.partition(",")[0])
    if name in {"open", "openat", "openat2"}:
        return bool(WRITING.search(arguments)) and not HARMLESS.search(arguments)
    if name == "ioctl":
        asked = re.match(r"\d+, (\w+)", arguments)  # whole, also where another process cuts in
        return asked is None or asked[1] not in ASKING
    return name == "fsconfig" and bool(COMMANDS.search(arguments))


@pytest.mark.parametrize(
    "line",
    [
        'openat(AT_FDCWD, "/etc/fstab", O_WRONLY|O_CLOEXEC) = 3',
        '12 openat(3, "x", O_RDONLY|O_CREAT, 0644) = -1 EACCES',
        "ioctl(3, FS_IOC_SETFLAGS, [FS_NOCOW_FL]) = 0",
        "fsconfig(3, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) = 0",
        'rename("a", "b") = 0',
    ],
)
def test_the_watch_sees_offences(line: str):
    assert offends(line)


@pytest.fixture
def everything(host: World) -> World:
    """One of each sort of entry, all with something to do, and some refused."""
    image = host.image("data", "compress=zstd")
    host.fstab(image.line("defaults,compress=zstd"))
    images = host.area / "images"
    (images / "sub").mkdir(parents=True)
    (images / "disk.raw").write_bytes(os.urandom(1 << 20))
    (images / "closed").mkdir(mode=0o700)
    sync()
    run("btrfs", "property", "set", images / "sub", "compression", "zstd")
    home = host.alice()
    (Path("/var/spool/cron/crontabs") / "alice").write_text("0 1 * * * true\n")
    job = {"schedule": "0 12 * * *", "scheduler": "cron"}
    host.declare(
        paths=[
            {"path": str(images), "nocow": True},
            {"path": str(home / "new" / "images"), "nocow": True},
            {"path": str(TOP / "images"), "nocow": True},
        ],
        mounts=[{"target": str(image.path), "options": {"compress": "no", "noatime": True}}],
        defrag=[{"path": str(images), **job}, {"path": str(home), **job}],
    )
    return host


@pytest.mark.parametrize("user", [0, NOBODY])
def test_planning_changes_nothing(everything: World, user: int):
    folder = TOP / "trace"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o1777)
    log = folder / f"of-{user}"
    watched = ("/etc", "/run", "/var/lib/vmtune", "/var/spool", everything.area, TOP / "t")
    before = tree(*watched)
    under = ["strace", "-f", "-qq", "-s", "4096", "-o", str(log)]
    ran = everything.vmtune("plan", "--detailed-exitcode", user=user, under=under)
    assert ran.code == 2, ran
    assert tree(*watched) == before
    assert compression(TOP / "t" / "data") == ["compress=zstd:3"]
    lines = log.read_text().splitlines()
    assert len(lines) > 1000
    assert any("FS_IOC_GETFLAGS" in line for line in lines)
    assert [line for line in lines if offends(line)] == []


def test_planning_takes_no_lock(everything: World):
    everything.plan(expect=2)
    assert not Path("/run/vmtune.lock").exists()


def test_a_user_sees_the_plan_that_root_sees(everything: World):
    """But for what only root may look at."""
    mine = everything.plan(expect=2, user=NOBODY)
    theirs = everything.plan(expect=2)
    for row in ("! nocow", "~ mount", "+ defrag"):
        assert [line for line in mine.out.splitlines() if line.strip().startswith(row)], row
    assert "?" in mine.out
    assert "\n? " not in theirs.out


def test_it_says_that_it_changed_nothing(host: World):
    host.nocow(host.area / "images")
    assert host.plan(expect=2).out.splitlines()[0].endswith(" \u00b7 read only")
    assert not (host.area / "images").exists()


def test_nothing_declared_is_nothing_to_do(host: World):
    host.config("")
    assert "Nothing is declared." in host.plan(expect=0).out
    host.apply()
