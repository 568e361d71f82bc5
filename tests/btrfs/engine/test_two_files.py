"""Two configurations on one host: each takes back what it had written itself, and no more."""

import json
from pathlib import Path

import pytest

from tests.btrfs.each import CRON_D
from tests.btrfs.outside import compression, is_nocow, mountinfo
from tests.btrfs.world import FSTAB, Image, Ran, World


class File:
    """One of the files, declared and applied on its own."""

    def __init__(self, host: World, name: str) -> None:
        self.host, self.path = host, host.file.with_name(name)
        self.declare()

    def declare(self, **sections: object) -> None:
        self.path.write_text(json.dumps({"version": 1, **sections}))
        self.path.chmod(0o644)

    def mount(self, image: Image, **options: object) -> None:
        self.declare(mounts=[{"target": str(image.path), "options": options}])

    def _run(self, *words: str, expect: int) -> Ran:
        ran = self.host.vmtune(*words, config=self.path)
        assert ran.code == expect, ran
        return ran

    def apply(self) -> Ran:
        return self._run("apply", "--yes", expect=0)

    def is_in_sync(self) -> bool:
        assert self._run("status", expect=0)
        return bool(self._run("plan", "--detailed-exitcode", expect=0))

    def differs(self) -> Ran:
        return self._run("plan", "--detailed-exitcode", expect=2)


@pytest.fixture
def one(host: World) -> File:
    return File(host, "one.yaml")


@pytest.fixture
def two(host: World) -> File:
    return File(host, "two.yaml")


@pytest.fixture
def image(host: World) -> Image:
    found = host.image("data", "compress=zstd")
    host.fstab(found.line("x-mine,compress=zstd,relatime"))
    return found


def state(image: Image) -> tuple[str, bool, list[str]]:
    """The options in the file; whether times of access are off, and the compression, live."""
    return (
        FSTAB.read_text().split()[3],
        "noatime" in mountinfo(image.path)[0],
        compression(image.path),
    )


BOTH = ("x-mine,compress=no,noatime", True, [])


@pytest.fixture
def shared(image: Image, one: File, two: File) -> Image:
    """A line of which each of them has one option."""
    one.mount(image, noatime=True)
    two.mount(image, compress="no")
    one.apply()
    two.apply()
    assert state(image) == BOTH
    return image


def test_neither_undoes_the_others_option(shared: Image, one: File, two: File):
    for each in (two, one, two):
        assert each.is_in_sync()
        each.apply()
        assert state(shared) == BOTH


@pytest.mark.parametrize("how", ["option", "entry"])
def test_the_first_takes_back_its_own(shared: Image, one: File, two: File, how: str):
    one.mount(shared, lazytime=False) if how == "option" else one.declare()
    one.apply()
    assert state(shared) == ("x-mine,compress=no,relatime", False, [])
    assert one.is_in_sync()
    assert two.is_in_sync()
    two.declare()
    two.apply()
    assert sorted(state(shared)[0].split(",")) == ["compress=zstd", "relatime", "x-mine"]
    assert state(shared)[1:] == (False, ["compress=zstd:3"])


def test_the_second_takes_back_its_own(shared: Image, one: File, two: File):
    two.declare()
    two.apply()
    assert state(shared) == ("x-mine,compress=zstd,noatime", True, ["compress=zstd:3"])
    assert one.is_in_sync()
    assert two.is_in_sync()


def test_runs_are_taken_back_one_after_the_other(host: World, shared: Image, one: File, two: File):
    first = host.vmtune("revert", "1")
    assert first.code == 1, first
    assert "run 2 changed it since: take that one back first" in first.out
    assert host.vmtune("revert", "2", "--yes").code == 0
    assert state(shared) == ("x-mine,compress=zstd,noatime", True, ["compress=zstd:3"])
    assert one.is_in_sync()
    assert two.differs()
    assert host.vmtune("revert", "1", "--yes").code == 0
    assert state(shared) == ("x-mine,compress=zstd,relatime", False, ["compress=zstd:3"])


def test_a_word_by_hand_is_nobodys(shared: Image, one: File):
    FSTAB.write_text(FSTAB.read_text().replace("x-mine", "x-mine,commit=60"))
    one.mount(shared, noatime=True, lazytime=True)
    one.apply()
    one.mount(shared, lazytime=True)
    one.apply()
    assert "commit=60" in state(shared)[0].split(",")
    assert "compress=no" in state(shared)[0].split(",")


def test_what_the_first_wrote_is_not_the_seconds_to_take_back(host: World, one: File, two: File):
    folder = host.area / "vm"
    folder.mkdir()
    entry = {"paths": [{"path": str(folder), "nocow": True}]}
    one.declare(**entry)
    two.declare(**entry)
    one.apply()
    assert two.is_in_sync()
    two.declare()
    two.apply()
    assert is_nocow(folder)
    assert one.is_in_sync()
    two.declare(**entry)
    one.declare()
    one.apply()
    assert not is_nocow(folder)
    assert two.differs()
    two.apply()
    assert is_nocow(folder)
    assert one.is_in_sync()


def test_a_schedule_is_of_the_one_that_declared_it_first(host: World, one: File, two: File):
    folder = host.area / "vm"
    folder.mkdir()

    def job() -> list[str]:
        return [Path(path).read_text() for path in CRON_D.iterdir()]

    def declare(file: File, when: str) -> None:
        file.declare(defrag=[{"path": str(folder), "schedule": when, "scheduler": "cron"}])

    declare(one, "0 3 * * 0")
    one.apply()
    declare(two, "0 4 * * 0")
    ran = two._run("apply", "--yes", expect=7)
    assert f"{one.path} declares another value" in ran.row("! defrag"), ran
    assert "0 3 * * 0" in job()[0]
    assert one.is_in_sync()
    one.declare()
    one.apply()
    assert job() == []
    two.apply()
    assert "0 4 * * 0" in job()[0]
    assert one.is_in_sync()
    two.declare()
    two.apply()
    assert job() == []
    assert one.is_in_sync()
