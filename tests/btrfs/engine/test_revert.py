"""Taking a run back: all of it, to the byte, and nothing that someone else did since."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.btrfs.each import ETC, Each, contents, everything, history, records
from tests.btrfs.outside import attributes, compression, is_nocow, run
from tests.btrfs.world import FSTAB, NOBODY, Ran, World


@pytest.fixture
def each(host: World) -> Each:
    return Each(host)


def revert(each: Each, *number: str, expect: int = 0) -> Ran:
    ran = each.host.vmtune("revert", *number, "--yes")
    assert ran.code == expect, ran
    return ran


# --- all of it


def test_everything_is_as_before_byte_for_byte(each: Each):
    """Names, bytes, modes, owners, ACLs and other attributes of /etc; live options; +C."""
    FSTAB.chmod(0o640)
    os.chown(FSTAB, 0, NOBODY)
    run("setfacl", "-m", f"u:{NOBODY}:r", FSTAB)
    run("setfattr", "-n", "user.note", "-v", "mine", FSTAB)
    text = "\t# odd  spacing \r\n" + each.line.format("compress=zstd,x-mine") + "# no newline"
    with FSTAB.open("r+b") as file:
        file.write(text.encode())
    before, letters = contents(ETC, each.host.area), run("lsattr", "-R", each.host.area)
    each.host.apply()
    assert contents(ETC, each.host.area) != before
    assert FSTAB.read_bytes() == text.replace("=zstd", "=no").encode()
    ran = revert(each)
    assert "verified: 4 of 4" in ran.out
    assert contents(ETC, each.host.area) == before
    assert run("lsattr", "-R", each.host.area) == letters
    assert compression(each.image.path) == ["compress=zstd:3"]
    assert each.host.plan(expect=2)


def test_what_it_cannot_undo_is_said(each: Each):
    each.host.apply()
    out = each.host.vmtune("revert").out
    # Not of the directory that was made: where it has files it is not removed.
    assert out.count("files written since stay nocow") == 1
    assert "have data by now stay nocow" in out


def test_it_asks_like_any_other(each: Each):
    each.host.apply()
    before = everything(each)
    ran = each.host.vmtune("revert")
    assert ran.code == 1, ran
    assert "--yes" in ran.err
    assert everything(each) == before


def test_twice_is_once(each: Each):
    each.host.apply()
    revert(each)
    before = everything(each)
    again = revert(each)
    assert "as it was before" in again.out
    assert everything(each) == before
    assert [record[0]["command"] for record in records()] == ["apply", "revert 1"]


def test_who_goes_on_is_told_the_run_before(each: Each):
    each.host.apply()
    each.host.config("")
    each.host.apply()
    revert(each)
    assert "Run 2 is taken back already; `vmtune revert 1` takes back the" in revert(each).out
    revert(each, "1")
    assert "takes back the run before" not in revert(each, "1").out


def test_status_knows_that_it_was_applied_before(each: Each):
    assert "never applied" in each.host.vmtune("status").out
    each.host.apply()
    revert(each)
    told = each.host.vmtune("status").out
    assert "run 2 set this, and no `apply` has changed it since" in told
    assert "never applied" not in told, told


def test_it_can_be_done_again(each: Each):
    each.host.apply()
    revert(each)
    each.host.apply()
    assert each.is_done()
    revert(each)
    assert each.is_untouched()
    assert history(each.host).out.count(" by root: ") == 4


def test_nothing_was_done(each: Each):
    assert "nothing to take back" in revert(each, expect=1).err
    assert "no run 3" in revert(each, "3", expect=1).err


# --- directories that were made


def test_a_made_directory_that_holds_something_stays(each: Each):
    each.host.apply()
    (each.new / "win11.qcow2").write_bytes(b"image")
    planned = each.host.vmtune("revert").out
    assert len(re.findall("not empty, and stays", planned)) == 2  # the one it lies in, too
    revert(each, expect=1)
    assert (each.new / "win11.qcow2").read_bytes() == b"image"
    assert is_nocow(each.new)
    assert FSTAB.read_text() == each.line.format("compress=zstd,x-mine")
    assert not is_nocow(each.old)


def test_directories_in_each_other_go_together(host: World):
    """Each declared on its own: the outer one is not full for holding the inner one."""
    outer = host.area / "outer"
    host.declare(paths=[{"path": str(path), "nocow": True} for path in (outer, outer / "inner")])
    host.apply()
    assert is_nocow(outer / "inner")
    ran = host.vmtune("revert", "--yes")
    assert ran.code == 0, ran
    assert not outer.exists()


# --- what someone else changed since


def fstab_line(each: Each) -> None:
    each.host.fstab(each.line.format("compress=lzo,x-mine"))


def live(each: Each) -> None:
    run("mount", "--options-source=disable", "-o", "remount,compress=lzo", each.image.path)


def attribute(each: Each) -> None:
    run("btrfs", "property", "set", each.old / "sub", "compression", "")
    run("chattr", "-C", each.old)
    each.old.chmod(0o700)


def cron(each: Each) -> None:
    (job,) = each.jobs()
    job.write_text("# by hand\n")


def unmounted(each: Each) -> None:
    run("umount", each.image.path)


@pytest.mark.parametrize(
    ("change", "label"),
    [(fstab_line, "/etc/fstab:2"), (live, "live"), (attribute, "old"), (cron, "cron.d")],
)
def test_what_someone_else_changed_is_refused_by_place(
    each: Each, change: Callable[[Each], None], label: str
):
    each.host.apply()
    change(each)
    state = FSTAB.read_text(), compression(each.image.path), attributes(each.old), each.jobs()
    planned = each.host.vmtune("revert").out
    rows = [line for line in planned.splitlines() if "someone else changed it since" in line]
    assert len(rows) == 1, planned
    assert label in rows[0]
    revert(each, expect=1)
    now = FSTAB.read_text(), compression(each.image.path), attributes(each.old), each.jobs()
    kept = {fstab_line: 0, live: 1, attribute: 2, cron: 3}[change]
    assert now[kept] == state[kept]
    assert not each.new.exists(), "the rest is taken back"


def test_what_is_not_mounted_is_not_touched(each: Each):
    each.host.apply()
    unmounted(each)
    ran = each.host.vmtune("revert", "--yes")
    assert ran.code == 6, ran
    assert "not mounted" in ran.out
    assert FSTAB.read_text() == each.line.format("compress=zstd,x-mine")


def test_what_vmtune_itself_changed_since_is_named_by_its_run(each: Each):
    each.host.mounts(each.image.path, compress="no")
    each.host.apply()
    each.host.mounts(each.image.path, compress="lzo")
    each.host.apply()
    ran = revert(each, "1", expect=1)
    assert "run 2 changed it since" in ran.out
    assert "someone else" not in ran.out
    assert compression(each.image.path) == ["compress=lzo"]
    revert(each)
    assert compression(each.image.path) == []
    revert(each, "1")
    assert compression(each.image.path) == ["compress=zstd:3"]
    assert FSTAB.read_text() == each.line.format("compress=zstd,x-mine")


# --- runs that did not end


@pytest.mark.parametrize(
    ("call", "when"),
    [
        *(("mkdirat", when) for when in (1, 2)),
        *(("fsync", when) for when in (12, 15, 19, 26, 31, 36)),
        *(("fspick", 1), ("/^rename", 5), ("/^rename", 6)),
    ],
)
def test_a_run_that_was_cut_off_is_taken_back(each: Each, call: str, when: int):
    under = ["strace", "-qq", "-o", "/dev/null", "-e", f"inject={call}:signal=KILL:when={when}"]
    killed = each.host.vmtune("apply", "--yes", under=under)
    assert killed.code == -9, killed
    revert(each)
    assert each.is_untouched()
    assert "cut off" in history(each.host).out.splitlines()[0]


def test_a_made_directory_without_its_attribute_is_taken_back(host: World):
    """Cut off between mkdir(2) and the attribute."""
    host.nocow(host.area / "new")
    log = Path("/media/t/log")
    strace = ["strace", "-qq", "-o", log]
    assert host.vmtune("apply", "--yes", under=strace).code == 0
    seen = [line for line in log.read_text().splitlines() if line.startswith("ioctl(")]
    when = next(n for n, line in enumerate(seen, 1) if "FS_IOC_SETFLAGS" in line)
    (host.area / "new").rmdir()
    run("rm", "-rf", "/var/lib/vmtune")
    under = ["strace", "-qq", "-o", "/dev/null", "-e", f"inject=ioctl:signal=KILL:when={when}"]
    assert host.vmtune("apply", "--yes", under=under).code == -9
    assert (host.area / "new").is_dir()
    assert not is_nocow(host.area / "new")
    ran = host.vmtune("revert", "--yes")
    assert ran.code == 0, ran
    assert not (host.area / "new").exists()


def test_a_revert_that_was_cut_off_is_ended_by_another(each: Each):
    each.host.apply()
    under = ["strace", "-qq", "-o", "/dev/null", "-e", "inject=/^rename:signal=KILL:when=3"]
    assert each.host.vmtune("revert", "--yes", under=under).code == -9
    assert not each.is_untouched()
    revert(each)
    assert each.is_untouched()
