"""A case file as the pure planner's input: a HostView of answers that were written down.

Nothing is imitated: a HostView is a table of questions and answers, and this
reads one from YAML. A question that the case does not answer is an error of
the case, and so is an answer of its own that nobody asked for.

    host: [laptop]                    answers from hosts/laptop.yaml, which ``seen`` overrides
    seen:
      - {Locate: /srv/vm, is: {path: /srv/vm, kind: directory}}
      - {LiveOption: [/, compress], is: ""}
      - {Directory: /srv/vm, hidden: not readable as alice}

A question is its class and its fields: all in a list, or a single one bare.
Mounts and FstabLines are given as the text of the file, a NameList as all of its names.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
import types
import typing
from pathlib import Path
from typing import Any

import yaml

from reconciler.config.load import load
from reconciler.discovery import facts as discovery
from reconciler.engine.plan import declare, make_plan
from reconciler.facts import boot_order, images, mountable
from reconciler.facts import host as facts
from reconciler.facts.condition import Condition
from reconciler.facts.diagnostics import AsRoot
from reconciler.facts.host import Quota
from reconciler.facts.host_view import Fact, HostView, NotVisible
from reconciler.facts.stub import Stub
from reconciler.facts.tree import NameList, Tree
from reconciler.formats import fstab, libvirtxml, mountinfo
from reconciler.resources.registry import KINDS
from reconciler.value import Value, as_dataclass

if typing.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from reconciler.engine.model import Plan

HOSTS = Path(__file__).parent / "hosts"


def _kinds_of_question(base: type) -> Iterator[type]:
    for kind in base.__subclasses__():
        yield kind
        yield from _kinds_of_question(kind)


QUERIES = {
    kind.__name__: kind
    for kind in _kinds_of_question(Fact)
    if not inspect.isabstract(kind)
    and not kind.__parameters__  # what many are made of
    and kind.__module__.startswith("reconciler.")
}
# Rooms know what comes from formats, and from typing, for type checkers only.
_TYPES = {
    **{
        name: found
        for room in {
            kind.__module__ for kind in (*QUERIES.values(), NameList, Tree, Stub, Quota, Condition)
        }
        for name, found in vars(sys.modules[room]).items()
    },
    "Any": typing.Any,
    "ClassVar": typing.ClassVar,
    "Domain": libvirtxml.Domain,
    "Line": fstab.Line,
    "Mount": mountinfo.Mount,
    "MountUnit": boot_order.MountUnit,
    "Pool": libvirtxml.Pool,
}
_TEXTS = {
    facts.Mounts: lambda text: mountinfo.parse(text.encode()),
    facts.FstabLines: lambda text: fstab.parse(text.encode()),
}


_ORDINARY: dict[type[Fact[Any]], Any] = {
    facts.Fixed: "",
    facts.EntriesOf: (),
    facts.MountUnits: (),
    facts.SubvolumeAt: facts.SystemSubvolume(256, is_snapshot=False),
    facts.KernelCommandLine: "ro quiet",
    facts.DefaultAcl: False,
    discovery.LabelOf: None,
    images.Machines: (),
    images.NotStarted: (),
    AsRoot: False,
    mountable.SubvolumeNamed: mountable.Entry(0, "missing"),
}
"""What a host answers where a case says nothing else."""


class UnansweredError(AssertionError):
    """The planner asked what the case does not say."""


def decode(value: Any, kind: Any) -> Any:
    """Plain YAML values as a value of the type; a TypeError names what does not fit."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Union or isinstance(kind, types.UnionType):
        inner = next(a for a in arguments if a is not type(None))
        return None if value is None else decode(value, inner)
    if origin in {tuple, frozenset}:
        return origin(decode(each, arguments[0]) for each in value)
    if kind is NameList and isinstance(value, list):
        return NameList(len(value), tuple(value))
    if issubclass(kind, Value) or dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind, _TYPES)
        return kind(**{name: decode(each, hints[name]) for name, each in value.items()})
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is not a {kind.__name__}")
    return value


def question(name: str, given: Any) -> Fact[Any]:
    """``LiveOption: [/, compress]`` as a query."""
    kind = QUERIES[name]
    as_dataclass(kind)
    hints = typing.get_type_hints(kind, _TYPES)
    names = [each.name for each in dataclasses.fields(kind)]
    values = given if isinstance(given, list) else [given][: len(names)]
    return kind(**{n: decode(value, hints[n]) for n, value in zip(names, values, strict=False)})


def answer_type(query: Fact[Any]) -> Any:
    """The T of the Query[T] or Place[T] that a question is."""
    for kind in type(query).__mro__:
        for base in (
            types.get_original_bases(kind)
            if hasattr(types, "get_original_bases")
            else (getattr(kind, "__orig_bases__", ()))
        ):
            arguments = typing.get_args(base)
            if arguments and arguments[0] not in {"T", "V"}:
                return _named(arguments[0])
    raise TypeError(f"{query!r} has no type of answer")


def _named(kind: Any) -> Any:
    """Names in quotes inside ``tuple["Mount", ...]`` resolved."""
    scope = types.SimpleNamespace(__annotations__={"it": kind})
    return typing.get_type_hints(scope, _TYPES)["it"]


def answers(rows: Iterable[Mapping[str, Any]]) -> dict[Fact[Any], Any]:
    """Each row's question and its answer, or the NotVisible it ends in."""
    found: dict[Fact[Any], Any] = {}
    for row in rows:
        ((name, given),) = ((key, row[key]) for key in row if key in QUERIES)
        query = question(name, given)
        if "hidden" in row:
            found[query] = NotVisible(row["hidden"])
        elif type(query) in _TEXTS:
            found[query] = _TEXTS[type(query)](row["is"])
        else:
            found[query] = decode(row["is"], answer_type(query))
    return found


class World:
    """The answers of a case, and which of its own were asked for."""

    def __init__(self, case: Mapping[str, Any]) -> None:
        layers = [yaml.safe_load((HOSTS / f"{name}.yaml").read_text()) for name in case["host"]]
        self.own = answers(case.get("seen", ()))
        self.known = {**answers(row for layer in layers for row in layer), **self.own}
        self.asked: set[Fact[Any]] = set()

    def read(self, query: Fact[Any], _see: HostView) -> Any:
        if isinstance(query, facts.TreeOf):  # a case gives all that a close look would see
            query = facts.TreeOf(query.path, query.apart)
        self.asked.add(query)
        if query not in self.known and type(query) in _ORDINARY:
            return _ORDINARY[type(query)]
        if query not in self.known and isinstance(query, facts.Locate):
            lines = self.known.get(facts.FstabLines())
            if isinstance(lines, tuple) and query.path in {line.target for line in lines}:
                return facts.Location(query.path, "directory")  # a mount point is no link
        if query not in self.known:
            raise UnansweredError(f"the case does not answer {query!r}")
        if isinstance(self.known[query], NotVisible):
            raise self.known[query]
        return self.known[query]

    @property
    def idle(self) -> set[Fact[Any]]:
        """Answers of the case itself that nobody asked for."""
        return self.own.keys() - self.asked


def home_of(name: str) -> str | None:
    return {"": "/home/alice", "alice": "/home/alice"}.get(name)


def plan_of(case: Mapping[str, Any], world: World) -> Plan:
    """The whole pure way, from the text of vmtune.yaml to a plan."""
    items = load(case["config"].encode(), "vmtune.yaml", host="atlas", home_of=home_of)
    return make_plan(declare(items, KINDS), KINDS, HostView(world.read))
