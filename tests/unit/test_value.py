"""Value classes behave as the standard library's dataclasses: held against those, in turn."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import inspect
import operator
import pickle
import pkgutil
from typing import Any, ClassVar

import pytest

import reconciler
from reconciler import value


def classes(dataclass: Any, field: Any) -> tuple[Any, Any, Any, Any]:
    """The same classes, made by one and by the other."""

    @dataclass(frozen=True, slots=True)
    class Point:
        """Where it is."""

        x: int
        y: str = "none"
        seen: list[int] = field(default_factory=list, compare=False)
        kind: ClassVar[int] = 3

        def norm(self) -> int:
            return self.x + self.kind

    @dataclass(frozen=True, slots=True)
    class Other:
        x: int
        y: str = "none"

    @dataclass(frozen=True, slots=True, order=True)
    class Ordered:
        major: int
        minor: int = 0

    @dataclass(slots=True)
    class Open:
        names: list[str] = field(default_factory=list)

    return Point, Other, Ordered, Open


OURS = classes(value.dataclass, value.field)
THEIRS = classes(dataclasses.dataclass, dataclasses.field)
BOTH = pytest.mark.parametrize("made", [OURS, THEIRS], ids=["ours", "theirs"])


def outcome(call: Any) -> Any:
    """What comes of a call: a value, or which error."""
    try:
        return call()
    except (AttributeError, TypeError) as error:
        return type(error).__mro__[-4]  # FrozenInstanceError is an AttributeError


@pytest.mark.parametrize(
    "ask",
    [
        lambda point, *_: repr(point(1, "a")).rpartition(".")[2],
        lambda point, *_: point(1) == point(1, "none", [5]),
        lambda point, *_: point(1) == point(1, "other"),
        lambda point, other, *_: point(1) == other(1),
        lambda point, other, *_: point(1) != other(1),
        lambda point, *_: len({point(1), point(1), point(2)}),
        lambda point, *_: (point(1).y, point(1).seen, point(1).kind, point(1).norm()),
        lambda point, *_: point(1).seen is point(1).seen,
        lambda point, *_: (point(y="b", x=4).x, point(4, y="b").y),
        lambda point, *_: outcome(point),
        lambda point, *_: outcome(lambda: point(1, x=1)),
        lambda point, *_: outcome(lambda: point(1, "a", [], 4)),
        lambda point, *_: outcome(lambda: point(1, z=1)),
        lambda point, *_: outcome(lambda: setattr(point(1), "x", 2)),
        lambda point, *_: outcome(lambda: delattr(point(1), "x")),
        lambda point, *_: hasattr(point(1), "__dict__"),
        lambda point, *_: (point.__match_args__, point.__doc__, point.__name__),
        lambda point, *_: copy.copy(point(1, "a", [7])).seen,
        lambda point, *_: copy.deepcopy(point(1, "a", [7])) == point(1, "a"),
        lambda point, *_: [f.name for f in dataclasses.fields(point)],
        lambda point, *_: [f.compare for f in dataclasses.fields(point(1))],
        lambda point, *_: dataclasses.asdict(point(1, "b")),
        lambda point, *_: dataclasses.replace(point(1), y="c").y,
        lambda point, *_: dataclasses.is_dataclass(point),
        lambda *made: sorted([made[2](2), made[2](1, 9), made[2](1)])[1].minor,
        lambda *made: [
            outcome(lambda of=of: of(made[2](1), made[2](1, 1)))
            for of in (operator.lt, operator.le, operator.gt, operator.ge)
        ],
        lambda *made: outcome(lambda: made[2](1) < made[1](1)),
        lambda *made: outcome(lambda: made[0](1) < made[0](2)),
        lambda *made: outcome(lambda: hash(made[3]())),
        lambda *made: setattr(found := made[3](), "names", ["a"]) or found.names,
        lambda *made: made[3]() == made[3](),
    ],
)
def test_the_two_answer_alike(ask: Any) -> None:
    assert ask(*OURS) == ask(*THEIRS)


@BOTH
def test_a_class_matches(made: Any) -> None:
    point = made[0]
    match point(3, "b"):
        case point(x, y):
            assert (x, y) == (3, "b")
        case _:
            pytest.fail("no match")


def test_replacing() -> None:
    point = OURS[0](1, "a", [3])
    assert value.replace(point, y="b") == OURS[0](1, "b")
    assert value.replace(point, y="b").seen is point.seen
    with pytest.raises(TypeError):
        value.replace(point, z=1)


def everything() -> list[Any]:
    found = []
    for module in pkgutil.walk_packages(reconciler.__path__, "reconciler."):
        if not module.name.endswith("__main__"):
            room = importlib.import_module(module.name)
            found += [c for c in vars(room).values() if isinstance(c, type)]
    return [c for c in dict.fromkeys(found) if value.types_of(c)]


def test_every_class_of_vmtune_is_as_the_standard_library_makes_it() -> None:
    """Fields, their order and what tells values apart; and its values can be copied."""
    made = everything()
    assert len(made) > 80
    for cls in made:
        theirs = dataclasses.fields(cls)
        assert cls.__match_args__ == tuple(f.name for f in theirs)
        if inspect.isabstract(cls):
            continue  # its heirs are asked
        one = cls(*(f"{f.name}" for f in theirs))
        assert copy.copy(one) == one == pickle.loads(pickle.dumps(one))  # noqa: S301 - ours
        for f in theirs:
            other = value.replace(one, **{f.name: "another"})
            assert (other == one) is not f.compare, (cls, f.name)


def test_nothing_is_added_to_a_value() -> None:
    """Before 3.13 the standard library's classes with slots answer with an odd TypeError."""
    with pytest.raises(AttributeError):
        OURS[0](1).new = 2


def test_another_option_is_refused() -> None:
    with pytest.raises(TypeError):
        value.dataclass(frozen=True, slots=True, kw_only=True)  # type: ignore[call-overload]
