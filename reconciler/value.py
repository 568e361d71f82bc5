"""What most classes here are: values, which are set once and equal where their fields are.

``class Swap(Value)`` is a dataclass of the standard library, and to a type checker a frozen one.
``dataclasses.dataclass`` itself would compile six methods for each class, half a millisecond, and a
plan has 150 classes. Here it compiles ``__init__`` alone; what all values have in common is below.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, ClassVar, dataclass_transform


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Value:
    """A value: equal to another of its class with equal fields, but for ``compare=False``."""

    compared: ClassVar[Any]
    """Gives the fields that tell two values apart."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        dataclass(repr=False, eq=False)(cls)
        names = [each.name for each in fields(cls) if each.compare]  # type: ignore[arg-type]
        cls.compared = attrgetter(*names) if names else lambda _: ()

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and type(self).compared(self) == type(self).compared(other)

    def __hash__(self) -> int:
        return hash(type(self).compared(self))

    def __repr__(self) -> str:
        shown = (f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__qualname__}({', '.join(shown)})"
