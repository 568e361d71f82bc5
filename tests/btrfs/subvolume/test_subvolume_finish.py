"""What was killed is ended by a later run, while others have had the old directory meanwhile.

Between the two nobody holds its files: who found one of them before the names changed places may
write to it now, and what they wrote is nowhere else.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.btrfs.forked import Forked
from tests.btrfs.outside import run
from tests.btrfs.subvolume.test_subvolume_refused import python
from tests.btrfs.trees import is_subvolume, strays
from tests.btrfs.turning import Again, declared
from tests.btrfs.world import Ran, World

pytestmark = pytest.mark.sweep

WORK = b"a day of a guest's work"

# Has the image open, idle; writes when it is told, and ends.
GUEST = """
fd = os.open(sys.argv[1], os.O_RDWR)
print("ready", flush=True)
while not os.path.exists(sys.argv[2]):
    time.sleep(0.02)
os.pwrite(fd, sys.argv[3].encode(), 0)
os.fsync(fd)
print("written", flush=True)
time.sleep(60)
"""


class Killed:
    """A turn that was killed after the exchange."""

    def __init__(self, images: Path, forked: Forked) -> None:
        self.images, self._forked = images, forked
        self.again = Again(images)
        self._calls = forked.calls("apply", "--yes")

    def at(self, name: str, number: int = 1, words: str = "") -> Path:
        """Before the call of that name and number behind the exchange; the old directory."""
        calls = iter(self._calls)
        next(call for call in calls if call.name == "renameat2")
        found = [call for call in calls if call.name == name and words in call.line]
        self.again.reset()
        assert self._forked.at(found[number - 1], "signal=KILL", "apply", "--yes").code == -9
        assert is_subvolume(self.images)
        (beside,) = strays(self.again.top)
        return self.again.top / beside

    def apply(self) -> Ran:
        return self._forked("apply", "--yes")

    def keeps(self, path: Path, words: bytes) -> None:
        """Refused, as often as it is tried, with the name of what only the old one has."""
        for _ in range(2):
            ran = self.apply()
            assert ran.code == 3, ran
            assert f"{path} was changed after its directory was copied" in ran.err, ran
            assert words in path.read_bytes()
            self.again.is_whole()

    def is_ended(self) -> None:
        """Once what was written is taken out of it, nothing is in the way."""
        ran = self.apply()
        assert ran.code == 0, ran
        assert strays(self.again.top) == []
        self.again.is_whole()
        assert "vmtune" not in run("getfattr", "-Rhd", "-m", "-", self.images)


@pytest.fixture
def killed(host: World) -> Iterator[Killed]:
    images = declared(host)
    forked = Forked(host.file)  # sees what is mounted by now
    yield Killed(images, forked)
    forked.close()


def test_who_had_it_open_wrote_between_two_runs(killed: Killed, host: World):
    """The first of them says: end it, then run this again. That is done."""
    old = killed.at("fsync")
    go = host.area / "go"
    with python(GUEST, old / "nocow.raw", go, WORK.decode()) as guest:
        ran = killed.apply()
        assert ran.code == 3, ran
        assert f"{old}/nocow.raw was opened by" in ran.err, ran
        go.touch()
        assert guest.stdout
        assert guest.stdout.readline() == "written\n"
    killed.keeps(old / "nocow.raw", WORK)
    (old / "nocow.raw").rename(killed.again.top / "mine.raw")
    killed.is_ended()
    assert WORK in (killed.again.top / "mine.raw").read_bytes()


def test_who_wrote_after_a_kill_during_the_removal(killed: Killed):
    """The directory is marked as one that may go: that was said of what it held then."""
    for number in (1, 4):
        old = killed.at("unlinkat", number)
        with open(old / "nocow.raw", "r+b") as file:
            file.write(WORK)
        killed.keeps(old / "nocow.raw", WORK)
        (old / "nocow.raw").unlink()
        killed.is_ended()


def test_who_wrote_to_a_file_of_several_names(killed: Killed):
    """Each name that is removed changes the inode: that alone neither stops nor excuses."""
    for name in ("again.raw", "plain.raw", "also.raw"):  # as they are removed
        killed.at("unlinkat", words=f'"{name}"')
        killed.is_ended()
        old = killed.at("unlinkat", words=f'"{name}"')
        with open(old / "also.raw", "r+b") as file:
            file.write(WORK)
        killed.keeps(old / "also.raw", WORK)
        for left in ("also.raw", "cow/again.raw", "cow/plain.raw"):
            (old / left).unlink(missing_ok=True)
        killed.is_ended()


def test_killed_when_the_names_were_to_change_back(killed: Killed):
    """Marked for that already, and not done: then it goes on as after any other kill."""
    old = killed.at("fsync")
    mark = f"{old.stat().st_ino} back"
    run("setfattr", "-n", "trusted.vmtune.turning", "-v", mark, killed.images)
    (old / "late.raw").write_bytes(WORK)
    killed.keeps(old / "late.raw", WORK)
    (old / "late.raw").unlink()
    killed.is_ended()


def test_a_mark_of_an_earlier_turn_counts_for_nothing(killed: Killed):
    """The old directory was put back by hand, and is turned once more."""
    old = killed.at("unlinkat", words='"plain.raw"')
    top = killed.again.top
    run("btrfs", "subvolume", "delete", killed.images)
    old.rename(killed.images)
    before = sorted(path.name for path in killed.images.rglob("*"))
    ran = killed.apply()
    assert ran.code == 0, ran
    assert is_subvolume(killed.images)
    assert strays(top) == []
    assert sorted(path.name for path in killed.images.rglob("*")) == before
    assert "vmtune" not in run("getfattr", "-Rhd", "-m", "-", killed.images)
