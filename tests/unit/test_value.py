"""Values: dataclasses of the standard library that share what tells two of them apart."""

from __future__ import annotations

from dataclasses import field, fields, is_dataclass, replace

from reconciler.value import Value


class Point(Value):
    x: int
    y: str = "none"
    seen: list[int] = field(default_factory=list, compare=False)


class Other(Value):
    x: int
    y: str = "none"


class Deep(Point):
    z: int = 0


class Empty(Value):
    pass


def test_it_is_a_dataclass() -> None:
    assert is_dataclass(Point)
    assert [each.name for each in fields(Deep(1))] == ["x", "y", "seen", "z"]
    assert replace(Point(1), y="b") == Point(1, "b")
    match Deep(3, "b"):
        case Deep(x, y):
            assert (x, y) == (3, "b")


def test_equal_is_what_has_equal_fields_and_the_same_class() -> None:
    assert Point(1) == Point(1, "none", [5])
    assert len({Point(1), Point(1, "none", [5]), Point(2), Other(1)}) == 3
    assert Point(1) != Other(1)
    assert Point(1) != Deep(1)
    assert Deep(1, z=1) != Deep(1)
    assert Empty() == Empty()
    assert hash(Empty()) == hash(Empty())


def test_it_shows_all_of_itself() -> None:
    assert repr(Point(1)) == "Point(x=1, y='none', seen=[])"
