"""Value classes: the standard library's dataclasses, made without compiling source text.

``dataclasses.dataclass`` writes six methods of each class as text and compiles
them, 0.4 ms a class; a plan that finds nothing to do has some eighty classes, and
spent more on them than on its work. Here the methods are closures over the names
of the fields. To a type checker, and to ``dataclasses.fields`` and its like, the
classes are what they would be: a test holds the two to the same answers.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from dataclasses import dataclass, field, replace
if TYPE_CHECKING:
    T = TypeVar("T")

__all__ = ["dataclass", "field", "replace", "types_of"]

_NOTHING: Any = object()


def types_of(of: object) -> dict[str, str]:
    """The names of the fields, with their types as written; none for any other object."""
    return {name: found.annotation for name, found in getattr(of, "__value__", {}).items()}


class _Field:
    """How a field is filled where no value is given, and whether it tells values apart."""

    __slots__ = ("annotation", "compare", "default", "factory")

    def __init__(self, default: Any, factory: Any, compare: bool) -> None:
        self.default = default
        self.factory = factory
        self.compare = compare
        self.annotation = ""

    def missing(self) -> Any:
        """What stands where nothing is given; _NOTHING where something must be."""
        return self.default if self.factory is _NOTHING else self.factory()


class _Fields:
    """``__dataclass_fields__``, made by the standard library for the few who ask."""

    def __get__(self, _instance: object, owner: Any) -> Mapping[str, Any]:
        import dataclasses  # noqa: PLC0415 - what this module is there to avoid

        fields = [(name, f.annotation, _standard(f)) for name, f in owner.__value__.items()]
        made: Any = dataclasses.make_dataclass(owner.__name__, fields)
        owner.__dataclass_fields__ = made.__dataclass_fields__
        found: Mapping[str, Any] = owner.__dataclass_fields__
        return found


def _standard(of: _Field) -> Any:
    import dataclasses  # noqa: PLC0415

    given = {"default": of.default, "default_factory": of.factory}
    known = {name: value for name, value in given.items() if value is not _NOTHING}
    return dataclasses.field(compare=of.compare, **known)


def _field(
    *, default: Any = _NOTHING, default_factory: Any = _NOTHING, compare: bool = True
) -> Any:
    return _Field(default, default_factory, compare)


def _dataclass(
    *, frozen: bool = False, slots: bool, order: bool = False
) -> Callable[[type[T]], type[T]]:
    """As ``dataclasses.dataclass``, for classes with slots; no other option is known."""
    del slots  # there are none without
    return lambda cls: _made(cls, frozen=frozen, order=order)


def _replace(of: T, /, **changes: Any) -> T:
    """As ``dataclasses.replace``."""
    cls: Any = type(of)
    kept = [changes.pop(n) if n in changes else getattr(of, n) for n in cls.__match_args__]
    made: T = cls(*kept, **changes)  # what is left is no field: TypeError
    return made


def _made(cls: type[T], *, frozen: bool, order: bool) -> type[T]:
    """The class again, with slots: they are laid out when a class is made."""
    body = {**vars(cls)}
    own = {
        name: _described(body.pop(name, _NOTHING), text)
        for name, text in cls.__annotations__.items()
        if not text.startswith("ClassVar")
    }
    body.pop("__dict__", None)
    body.pop("__weakref__", None)
    fields: dict[str, _Field] = {**getattr(cls, "__value__", {}), **own}
    puts: list[Callable[[Any, Any], None]] = []
    methods = {
        **_METHODS,
        "__init__": _init(cls.__qualname__, fields, puts),
        "__match_args__": (*fields,),
        "__value__": fields,
        "__key__": _key([name for name, of in fields.items() if of.compare]),
        **(_ORDER if order else {}),
        **(_FROZEN if frozen else _MUTABLE),
    }
    meta: Any = type(cls)
    made: type[T] = meta(cls.__name__, cls.__bases__, {**methods, **body, "__slots__": (*own,)})
    made.__qualname__ = cls.__qualname__
    puts.extend([getattr(made, name).__set__ for name in fields])
    return made


def _described(default: Any, annotation: str) -> _Field:
    found = default if isinstance(default, _Field) else _Field(default, _NOTHING, compare=True)
    found.annotation = annotation
    return found


def _init(
    name: str, fields: dict[str, _Field], puts: list[Callable[[Any, Any], None]]
) -> Callable[..., None]:
    """What fills the fields; ``puts`` will hold the slots' own setters, in order."""
    count = len(fields)

    def init(self: object, *given: Any, **named: Any) -> None:
        if named or len(given) != count:
            given = (*_filled(name, fields, given, named),)
        for put, value in zip(puts, given):  # noqa: B905 - as many: a third of the time is its
            put(self, value)

    return init


def _key(names: list[str]) -> Callable[[Any], Any]:
    """What tells a value from others of its class."""
    return operator.attrgetter(*names) if names else staticmethod(lambda _: ())


def _filled(
    name: str, fields: dict[str, _Field], given: tuple[Any, ...], named: dict[str, Any]
) -> list[Any]:
    """A value for each field: by position, by name, or its default; TypeError as a call's."""
    values = [*given]
    for each in (*fields,)[len(given) :]:
        value = named.pop(each, _NOTHING)
        if value is _NOTHING and (value := fields[each].missing()) is _NOTHING:
            raise TypeError(f"{name}() lacks {each}")
        values.append(value)
    if named:
        raise TypeError(f"{name}() got what it does not take, or has: {', '.join(named)}")
    if len(values) > len(fields):
        raise TypeError(f"{name}() takes {len(fields)} values, and got {len(given)}")
    return values


def _comparison(of: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Only values of the same class compare, by the fields that count."""

    def compare(self: Any, other: Any) -> Any:
        if other.__class__ is not self.__class__:
            return NotImplemented
        key = self.__key__  # of the class: an attrgetter binds to no value
        return of(key(self), key(other))

    return compare


def _hash(self: Any) -> int:
    return hash(self.__key__(self))


def _repr(self: Any) -> str:
    shown = ", ".join(f"{each}={getattr(self, each)!r}" for each in self.__match_args__)
    return f"{type(self).__qualname__}({shown})"


def _reduce(self: Any) -> tuple[Any, ...]:
    return type(self), tuple(getattr(self, each) for each in self.__match_args__)


def _refuse(self: object, name: str, *_: object) -> None:
    raise AttributeError(f"{name!r} of a {type(self).__name__} cannot be changed")


_METHODS = {
    "__repr__": _repr,
    "__reduce__": _reduce,
    "__eq__": _comparison(operator.eq),
    "__dataclass_fields__": _Fields(),
}

_ORDER = {f"__{name}__": _comparison(getattr(operator, name)) for name in ("lt", "le", "gt", "ge")}

_FROZEN = {"__hash__": _hash, "__setattr__": _refuse, "__delattr__": _refuse}

_MUTABLE = {"__hash__": None}


if not TYPE_CHECKING:
    dataclass, field, replace = _dataclass, _field, _replace
