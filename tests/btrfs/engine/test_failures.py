"""What fails, what is told of it afterwards, and what the plan already knows."""

import json
from pathlib import Path

import pytest

from tests.btrfs.each import Each, records
from tests.btrfs.outside import compression, is_nocow, run
from tests.btrfs.rewriting import written
from tests.btrfs.world import FSTAB, NOBODY, World

CRON_D = Path("/etc/cron.d")
MIB = 1 << 20
FAULT = """
from reconciler.resources import writes

def odd(*_):
    raise ZeroDivisionError("odd")

for place in writes.writers():
    if place.__name__ == "{}":
        writes.writers()[place] = odd
"""


@pytest.fixture
def each(host: World) -> Each:
    return Each(host)


def inject(call: str, effect: str, when: int = 1) -> list[str]:
    return ["strace", "-qq", "-o", "/dev/null", "-e", f"inject={call}:{effect}:when={when}"]


def told(host: World, **options: int) -> str:
    return host.vmtune("status", **options).out  # type: ignore[arg-type]


# --- tried and failed is nobody's change


def test_what_failed_is_not_told_as_somebody_elses_change(each: Each):
    each.host.apply(expect=3, under=inject("fspick", "error=EIO"))
    found = told(each.host)
    assert "changed by someone else" not in found
    assert "run 1 tried and failed: " in found
    assert "Input/output error; not applied yet" in found
    places = json.loads(each.host.vmtune("status", "--json").out)["places"]
    (live,) = [place for place in places if place["place"] == "LiveOption"]
    assert live["drift"] is False
    assert live["tried"]["run"] == 1
    assert live["tried"]["outcome"] == "failed"
    assert "Input/output error" in live["tried"]["why"]
    as_user = told(each.host, user=NOBODY)
    assert "run 1 tried and failed; not applied yet" in as_user
    assert "changed by someone else" not in as_user


def test_nor_is_what_was_cut_off(each: Each):
    each.host.vmtune("apply", "--yes", under=inject("fspick", "signal=KILL"))
    found = told(each.host)
    assert "changed by someone else" not in found
    assert "run 1 was ended in the middle of trying that; not applied yet" in found


def test_nor_what_a_revert_failed_to_take_back(each: Each):
    each.host.apply()
    ran = each.host.vmtune("revert", "--yes", under=inject("fspick", "error=EIO"))
    assert ran.code == 3, ran
    assert "changed by someone else" not in told(each.host)


def test_once_it_is_done_a_change_is_somebodys_again(each: Each):
    each.host.apply(expect=3, under=inject("fspick", "error=EIO"))
    each.host.apply()
    run("mount", "-o", "remount,compress=lzo", each.image.path)
    assert "changed by someone else since run 2 set it" in told(each.host)


# --- one failure stays one


def test_a_fault_of_one_writer_is_the_failure_of_that_action(each: Each):
    ran = each.host.prepared(FAULT.format("LiveOption"), "apply", "--yes")
    assert ran.code == 3, ran
    assert "a fault of vmtune: ZeroDivisionError: odd" in ran.err
    assert "3 of 4 changes done, 1 failed" in ran.err
    assert "  not done, because compress live on" in ran.err
    assert "verified: 3 of 4" in ran.out
    assert is_nocow(each.new)
    assert "compress=zstd" in FSTAB.read_text()
    (record,) = records()
    begun = [event["begin"] for event in record if "begin" in event]
    assert begun == [event["end"] for event in record if "end" in event]
    assert len(begun) == 6
    each.host.apply()
    assert each.is_done()


def test_an_unwritable_fstab_keeps_the_rest_going(each: Each):
    each.host.bind(FSTAB)
    ran = each.host.apply(expect=7)
    assert is_nocow(each.new)
    assert compression(each.image.path) == ["compress=zstd:3"]
    last = ran.out.strip().splitlines()[-1]
    assert last == f"Not all is as declared: 1 refused: mount {each.image.path} (V210)."
    each.host.plan(expect=7)
    status = each.host.vmtune("status")
    assert status.code == 7, status
    assert last.endswith(f": {status.out.strip().splitlines()[-1]}.")


def test_a_saved_plan_ends_as_apply_does(host: World):
    images = host.area / "vm"
    images.mkdir()
    written(images / "a.raw", MIB)
    host.nocow(images)
    saved = str(host.area / "plan.json")
    host.vmtune("plan", "-o", saved)
    first = host.vmtune("apply", saved)
    again = host.vmtune("apply", saved)
    plain = host.apply(expect=7)
    for ran in (first, again, plain):
        assert ran.code == 7, ran
        last = ran.out.strip().splitlines()[-1]
        refused = f"1 refused: nocow {images}/a.raw (V101)"
        after_a_run, as_the_plan = f"Not all is as declared: {refused}.", "Nothing to change; "
        assert last == (f"{as_the_plan}{refused}; 1 in sync." if ran is plain else after_a_run)
    lines = [json.loads(line) for line in host.vmtune("apply", "-y", "--json").out.splitlines()]
    assert [row["code"] for row in lines[-2]["changes"]] == ["V101"]
    assert lines[-1] == {"event": "exit", "code": 7}


# --- what the plan knows


@pytest.fixture
def images(host: World) -> Path:
    top = host.area / "vm"
    top.mkdir()
    written(top / "a.raw", 2 * MIB)
    return top


def test_sharing_that_the_same_plan_ends_blocks_no_schedule(host: World, images: Path):
    run("cp", "--reflink=always", images / "a.raw", images / "b.raw")
    run("sync", "-f", images)
    host.declare(
        paths=[{"path": str(images), "nocow": True, "existing": "rewrite"}],
        defrag=[{"path": str(images), "schedule": "0 3 * * 0", "scheduler": "cron"}],
    )
    assert "V306" not in host.plan(expect=2).out
    host.apply()
    assert len(list(CRON_D.iterdir())) == 1
    host.plan()


def test_a_schedule_is_set_up_also_where_the_images_were_not_rewritten(host: World, images: Path):
    """Its runs are skipped while anything is shared, so it needs nothing of the images."""
    run("cp", "--reflink=always", images / "a.raw", images / "b.raw")
    run("sync", "-f", images)
    host.declare(
        paths=[{"path": str(images), "nocow": True, "existing": "rewrite"}],
        defrag=[{"path": str(images), "schedule": "0 3 * * 0", "scheduler": "cron"}],
    )
    ran = host.prepared(FAULT.format("Images"), "apply", "--yes")
    assert ran.code == 3, ran
    assert len(list(CRON_D.iterdir())) == 1


def test_an_immutable_directory_is_refused_in_the_plan(each: Each):
    made = each.new.parent
    made.mkdir(mode=0o755)
    run("chattr", "+i", made)
    try:
        planned = each.host.plan(expect=2)
        assert f"{made} is immutable" in planned.row(f"! nocow {each.new}")
        assert f"chattr -i {made} allows it" in planned.out
        each.host.apply(expect=7)
        assert is_nocow(each.old)
    finally:
        run("chattr", "-i", made)
    each.host.apply()
    assert each.is_done()


def test_so_is_a_directory_of_jobs_that_is_read_only(each: Each):
    each.host.bind(CRON_D, read_only=True)
    assert "/etc/cron.d is on a read-only filesystem" in each.host.plan(expect=2).out
    each.host.apply(expect=7)
    assert is_nocow(each.new)
    each.host.plan(expect=7)


def test_what_is_in_sync_is_so_on_a_read_only_mount(host: World):
    top = host.area / "vm"
    top.mkdir()
    host.nocow(top)
    host.apply()
    host.bind(top, read_only=True)
    assert host.plan().row(str(top)).startswith("= nocow")
    assert host.vmtune("status").code == 0
    run("mount", "-o", "remount,bind,rw", top)
    run("chattr", "-C", top)
    run("mount", "-o", "remount,bind,ro", top)
    assert "is on a read-only mount" in host.plan(expect=7).row("! nocow")


def test_a_subvolume_that_cannot_be_is_no_reason_to_leave_the_rest(host: World, images: Path):
    """The directory stays a plain one; it and its images are as declared all the same."""
    written(images / "b.raw", MIB)
    (host.area / "other name").hardlink_to(images / "a.raw")
    host.nocow(images, subvolume=True, existing="rewrite")
    planned = host.plan(expect=2)
    assert "   V609   why " in planned.row("! subvolume")
    ran = host.apply(expect=7)
    assert "2 refused: subvolume" in ran.out
    assert is_nocow(images)
    assert is_nocow(images / "b.raw")
    assert not is_nocow(images / "a.raw")
    assert (images / "a.raw").stat().st_nlink == 2
    host.plan(expect=7)


SANDBOX = """
unshare -m sh -c 'mount -o "remount,bind,ro" "$0"; exec "$@"' "$@"
exit $?
"""


@pytest.mark.parametrize("is_for_all", [False, True])
def test_what_is_read_only_for_a_sandbox_alone_is_no_obstacle(host: World, is_for_all: bool):
    """As systemd's ProtectSystem= does: the first process has the mount writable, or not."""
    images = host.area / "images"
    images.mkdir()
    host.nocow(images)
    mounted = run("findmnt", "-no", "TARGET", "-T", images).strip()
    first = f"mount -o remount,bind,ro {mounted}; " if is_for_all else ""
    argv = ["unshare", "-m", "-p", "-f", "--mount-proc", "sh", "-c", first + SANDBOX, "sh", mounted]
    ran = host.vmtune("status", under=argv)
    assert ran.code == (7 if is_for_all else 2), ran
    assert ("V411" in ran.out) == is_for_all
