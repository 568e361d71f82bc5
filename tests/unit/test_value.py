"""Values: dataclasses of the standard library that share what tells two of them apart."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import field, fields, is_dataclass, replace

import pytest

from reconciler.value import Value, as_dataclass


class Point(Value):
    x: int
    y: str = "none"
    seen: list[int] = field(default_factory=list, compare=False)


class Other(Value):
    x: int
    y: str = "none"


class Deep(Point):
    z: int = 0


class Same(Point):
    pass


class Empty(Value):
    pass


def test_it_is_a_dataclass() -> None:
    assert [each.name for each in fields(Deep(1))] == ["x", "y", "seen", "z"]
    assert is_dataclass(Point)
    assert replace(Point(1), y="b") == Point(1, "b")
    match Deep(3, "b"):
        case Deep(x, y):
            assert (x, y) == (3, "b")
    with pytest.raises(TypeError, match="'x'"):
        Point()  # type: ignore[call-arg]


def test_equal_is_what_has_equal_fields_and_the_same_class() -> None:
    assert Point(1) == Point(1, "none", [5])
    assert len({Point(1), Point(1, "none", [5]), Point(2), Other(1)}) == 3
    assert Point(1) != Other(1)
    assert Point(1) != Deep(1)
    assert Deep(1, z=1) != Deep(1)
    assert Same(1, "b") == Same(1, "b", [5])
    assert Same(1) != Point(1)
    assert Empty() == Empty()
    assert hash(Empty()) == hash(Empty())


def test_it_shows_all_of_itself() -> None:
    assert repr(Point(1)) == "Point(x=1, y='none', seen=[])"


def test_a_class_is_one_before_it_has_a_value_where_somebody_asks() -> None:
    class Base(Value):
        a: int = field(default=1)

    class Late(Base):
        b: tuple[int, ...] = field(default_factory=tuple)

    assert not is_dataclass(Late)
    as_dataclass(Late)
    assert [each.name for each in fields(Late)] == ["a", "b"]
    assert Late() == Late(1, ())
    assert Base(2) != Base()


def test_first_values_in_many_threads_are_of_one_class() -> None:
    for _ in range(50):

        class Raced(Value):
            a: int
            b: list[int] = field(default_factory=list)

        with ThreadPoolExecutor(8) as pool:
            made = set(map(repr, pool.map(Raced, range(8))))
        assert made == {f"{Raced.__qualname__}(a={each}, b=[])" for each in range(8)}
