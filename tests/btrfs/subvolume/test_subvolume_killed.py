"""Killed, or told that the disk is full or broken, at every call of a turn that changes something.

At every point all images are whole under their own names, and one more run ends it.
"""

import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.btrfs.each import contents
from tests.btrfs.forked import Call, Forked, among, told
from tests.btrfs.outside import run, sync
from tests.btrfs.subvolume.test_subvolume_used import Turner
from tests.btrfs.trees import is_subvolume, planted, strays
from tests.btrfs.turning import Again, declared, sown
from tests.btrfs.world import World
from tests.oracles import oracle

CHANGING = {
    "fchmod": r".",
    "fchown": r".",
    "fchownat": r".",
    "fcntl": r"F_SETLEASE",
    "fremovexattr": r".",
    "fsetxattr": r".",
    "ioctl": r"SETFLAGS|FICLONE|SUBVOL_CREATE|SNAP_DESTROY|_IOC\(_IOC_WRITE, 0x94",
    "linkat": r".",
    "lsetxattr": r".",
    "mkdirat": r".",
    "openat": r"O_CREAT.*O_EXCL",
    "prlimit64": r"RLIMIT_NOFILE",
    "renameat2": r".",
    "symlinkat": r".",
    "unlinkat": r".",
    "utimensat": r".",
    "fallocate": r".",
}
FAILING = {**CHANGING, "fsync": r".", "syncfs": r"."}
NEED_NO_ROOM = {"fcntl", "prlimit64"}
# By their names; writing is left out: no data is, and what else is written is the journal's.
WOULD_CHANGE = re.compile(
    r"mk|rename|(un|sym)?link|[fl]?(ch(mod|own)|(set|remove)xattr)|falloc|utim"
)
OURS = re.compile(r"journal|/var/lib|/etc|\.jsonl|vmtune\.lock")


@pytest.fixture
def images(host: World) -> Path:
    return declared(host)


@pytest.fixture
def forked(host: World) -> Iterator[Forked]:
    found = Forked(host.file)
    yield found
    found.close()


@pytest.fixture
def few(host: World) -> Path:
    return declared(host, sown)


@pytest.fixture
def quick(host: World, few: Path) -> Iterator[Forked]:
    """Sees what is mounted by now."""
    assert few.parent.parent.is_mount()
    found = Forked(host.file, hold=0.01)
    yield found
    found.close()


def all_of(calls: list[Call], patterns: dict[str, str]) -> list[Call]:
    """Those of a run that change something; not the journal's, which has its own test."""
    return [call for call in among(calls, patterns) if not OURS.search(call.line)]


def ends_well(again: Again, forked: Forked) -> None:
    again.is_whole()
    ran = forked("apply", "--yes")
    assert ran.code == 0, ran
    assert is_subvolume(again.images)
    again.is_whole()
    assert strays(again.images.parent) == []
    assert "vmtune" not in run("getfattr", "-Rhd", "-m", "-", again.images)
    assert forked("plan", "--detailed-exitcode").code == 0


@pytest.mark.sweep
def test_killed_at_any_call_one_more_run_ends_it(few: Path, quick: Forked):
    """At every single call, of a small tree in which there is each thing that makes one.

    Left out are those of the journal, which has its own test, and a second kill,
    of the run that ends a killed one: the calls it makes are the last ones here.
    """
    again = Again(few)

    def counted() -> list[Call]:
        every = quick.calls("apply", "--yes")
        calls = all_of(every, CHANGING)
        again.is_whole()
        assert {call.name for call in calls} == CHANGING.keys()
        named = {call.name: WOULD_CHANGE.pattern for call in every if WOULD_CHANGE.match(call.name)}
        assert {call.name for call in all_of(every, named)} <= CHANGING.keys(), "more than is swept"
        return calls

    seen: Counter[str] = Counter()
    swept = quick.sweep(CHANGING, counted, again.reset, "signal=KILL", "apply", "--yes")
    for call, killed in swept:
        with told(call, killed):
            assert killed.code == -9
            left = "a stray" if strays(few.parent) else "no stray"
            seen[f"{'subvolume' if is_subvolume(few) else 'directory'}, {left}"] += 1
            ends_well(again, quick)
    assert seen["directory, a stray"] > 30, seen
    assert seen["subvolume, a stray"] > 8, seen


@pytest.mark.sweep
@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_a_failing_call_leaves_all_in_place(few: Path, quick: Forked, error: str):
    """The same: every call fails once, for want of room where it can need any."""
    again = Again(few)

    def counted() -> list[Call]:
        calls = all_of(quick.calls("apply", "--yes"), FAILING)
        return [call for call in calls if error == "EIO" or call.name not in NEED_NO_ROOM]

    met: Counter[int] = Counter()
    swept = quick.sweep(FAILING, counted, again.reset, f"error={error}", "apply", "--yes")
    for call, ran in swept:
        with told(call, ran):
            met[ran.code] += 1
            # How often a question is asked depends on what is on disk: the number may hit one.
            # A plan that cannot look says so: `?`, exit 6.
            assert ran.code in {0, 1, 3, 6, 7}
            if not is_subvolume(few):
                again.is_whole()
                assert strays(few.parent) == [] or call.name in {"ioctl", "fsync", "syncfs"}
            ends_well(again, quick)
    assert met[3] > 20, met


@oracle("errno", "V612")
def test_a_full_filesystem(host: World):
    """Really full, and not found out by the plan: what was begun is taken away again."""
    image = host.image("full", mkfs=["--mixed"])
    images = planted(image.path / "images")
    for number in range(2000):
        (images / f"{number}.xml").write_bytes(b"x" * 1500)
    sync()
    with open(image.path / "filler", "wb", buffering=0) as filler:
        try:
            while True:
                filler.write(b"x" * (1 << 16))
        except OSError:
            os.fsync(filler.fileno())
    before = contents(images)
    host.declare(paths=[{"path": str(images), "subvolume": True}])
    assert "V612" in host.plan(expect=7).row("! subvolume")
    turner = Turner(0.01)
    assert "No space left on device" in turner.turn(images)
    turner.close()
    assert contents(images) == before
    assert not is_subvolume(images)
    assert strays(image.path) == []
    (image.path / "filler").unlink()
    sync()
    host.apply()
    assert contents(images) == before


def test_killed_after_the_exchange_while_someone_wrote(images: Path, forked: Forked):
    """What reached only the old directory is named, and kept until somebody moves it away."""
    again = Again(images)
    calls = iter(forked.calls("apply", "--yes"))
    next(call for call in calls if call.name == "renameat2")
    after = next(call for call in calls if call.name == "fsync")
    again.reset()
    assert forked.at(after, "signal=KILL", "apply", "--yes").code == -9
    assert is_subvolume(images)
    (beside,) = strays(again.top)
    late = again.top / beside / "late.raw"
    late.write_bytes(b"written in between")
    with open(again.top / beside / "nocow.raw", "ab") as file:
        file.write(b"written in between")
    ran = forked("apply", "--yes")
    assert ran.code == 3, ran
    assert f"{again.top}/{beside}/late.raw was changed after" in ran.err
    assert late.read_bytes() == b"written in between"
    again.is_whole()
    shutil.move(late, images / "late.raw")
    (again.top / beside / "nocow.raw").rename(again.top / "mine.raw")
    assert forked("apply", "--yes").code == 0
    assert strays(again.top) == []
    assert (images / "late.raw").exists()
    assert (again.top / "mine.raw").read_bytes().endswith(b"written in between")


def test_what_lies_under_our_name_but_is_not_ours_is_kept(images: Path, forked: Forked):
    """A subvolume without our mark, under the very name that a turn would use."""
    again = Again(images)
    assert forked.at(Call("fsetxattr", 1, ""), "signal=KILL", "apply", "--yes").code == -9
    (beside,) = strays(again.top)
    (again.top / beside / "precious").write_bytes(b"data")
    ran = forked("apply", "--yes")
    assert ran.code == 7, ran
    assert "V614" in ran.row(f"{again.top}/{beside} was to take its place")
    assert (again.top / beside / "precious").read_bytes() == b"data"
    again.is_whole()
