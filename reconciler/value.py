"""What most classes here are: values, which are set once and equal where their fields are.

``class Swap(Value)`` is a dataclass of the standard library, and to a type checker a frozen one.
``dataclasses.dataclass`` would compile six methods for each class as vmtune starts, half a
millisecond, and a plan loads 150 classes. Here it compiles ``__init__`` alone, when a class has its
first value, which half of them never have. One that adds no field is what its base is. What all
values have in common is below.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass
from operator import attrgetter
from threading import RLock
from typing import Any, ClassVar, Self, dataclass_transform

_ONCE = RLock()


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Value:
    """A value: equal to another of its class with equal fields, but for ``compare=False``."""

    compared: ClassVar[Any]
    """Gives the fields that tell two values apart; a class has it once it is a dataclass."""

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """Make a value, whose fields ``__init__`` sets then."""
        if "compared" not in vars(cls):
            as_dataclass(cls)
        return super().__new__(cls)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and type(self).compared(self) == type(self).compared(other)

    def __hash__(self) -> int:
        return hash(type(self).compared(self))

    def __repr__(self) -> str:
        shown = (f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__qualname__}({', '.join(shown)})"


def as_dataclass(kind: type[Value]) -> None:
    """Make a class a dataclass, and before it those that it inherits from.

    Who asks a class for its fields, and may have no value of it, calls this first.
    """
    with _ONCE:
        for each in reversed(kind.__mro__[: kind.__mro__.index(Value)]):
            if issubclass(each, Value) and "compared" not in vars(each):
                if each.__annotations__ or not is_dataclass(each):  # else it is what its base is
                    dataclass(repr=False, eq=False)(each)
                names = [of.name for of in fields(each) if of.compare]  # type: ignore[arg-type]
                each.compared = attrgetter(*names) if names else lambda _: ()
