"""A directory within another: who decides it, by whatever path and in whichever file."""

from pathlib import Path

import pytest

from tests.btrfs.engine.test_ownership import applied, paths, planned, write
from tests.btrfs.outside import is_nocow
from tests.btrfs.world import World


def _not_nocow(path: Path) -> dict[str, object]:
    return {"path": str(path), "nocow": False}


@pytest.fixture
def nested(host: World) -> tuple[Path, Path]:
    """A directory and one below it."""
    outer = host.area / "var" / "vms"
    inner = outer / "in"
    inner.mkdir(parents=True)
    return outer, inner


@pytest.mark.parametrize("existing", ["keep", "rewrite"])
@pytest.mark.parametrize("way", ["home", "outer", "inner"])
def test_what_is_declared_on_its_own_is_left_alone_behind_a_link(
    host: World, nested: tuple[Path, Path], way: str, existing: str
):
    """As where /home leads to /var/home."""
    outer, inner = nested
    (inner / "a.raw").write_bytes(b"x" * 65536)
    link = host.area / "link"
    link.symlink_to({"home": outer.parent, "outer": outer, "inner": inner}[way])
    outer, inner = {
        "home": (link / "vms", link / "vms" / "in"),
        "outer": (link, inner),
        "inner": (outer, link),
    }[way]
    host.declare(
        paths=[{"path": str(outer), "nocow": True, "existing": existing}, _not_nocow(inner)]
    )
    host.apply()
    assert is_nocow(outer.resolve())
    assert not is_nocow(inner.resolve())
    assert not is_nocow(inner / "a.raw")
    planned(host)


@pytest.mark.parametrize("first", ["outer", "inner"])
def test_two_files_each_decide_their_own_directory(
    host: World, nested: tuple[Path, Path], first: str
):
    outer, inner = nested
    host.nocow(outer)
    other = write(host.file.with_name("other.yaml"), paths=[_not_nocow(inner)])
    files = [None, other] if first == "outer" else [other, None]
    for file in files:
        applied(host, file)
    for file in files:
        planned(host, file)
    assert is_nocow(outer)
    assert not is_nocow(inner)


def test_what_another_file_decides_as_part_of_its_own_is_not_put_back(
    host: World, nested: tuple[Path, Path]
):
    outer, inner = nested
    other = write(host.file.with_name("other.yaml"), **paths(inner))
    applied(host, other)
    host.nocow(outer)
    host.apply()
    write(other)
    applied(host, other)
    assert is_nocow(inner)
    planned(host)
    planned(host, other)
