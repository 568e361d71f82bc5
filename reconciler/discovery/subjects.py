"""The directories that ``vmtune doctor`` looks at: what is declared, else what holds images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.discovery import entries
from reconciler.discovery.candidates import Candidate, candidates, tilde
from reconciler.discovery.facts import WhoAsks
from reconciler.facts.host import FilesystemOf, Locate
from reconciler.facts.host_view import NotVisible
from reconciler.facts.locate import stub_refusal
from reconciler.formats import options
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from reconciler.discovery.entries import State
    from reconciler.engine.item import Item
    from reconciler.facts.diagnostics import Refusal
    from reconciler.facts.host_view import HostView


class Subject(Value):
    """A directory of images on Btrfs; ``is_nocow``: it is, or is declared to be.

    ``declared``: it is declared nocow, so the plan refuses each risk that is not allowed.
    ``becomes``: it is declared a subvolume and is none yet, so it leaves the snapshots around it.
    """

    name: str
    state: State
    is_nocow: bool
    allow: frozenset[str]
    declared: bool
    becomes: bool = False
    existing: str = ""
    """What is declared about files that have data: report, keep or rewrite."""


class Subjects(Value):
    """Those on Btrfs; ``unseen`` names others that could not be looked at, with the reason.

    ``schedulers`` are those that declared schedules name: auto, systemd, cron.
    """

    found: tuple[Subject, ...]
    unseen: tuple[str, ...] = ()
    stubs: tuple[tuple[str, Refusal], ...] = ()
    """Declared names at which is an empty stub, with what to say of it."""
    schedulers: frozenset[str] = frozenset()
    mounts: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Declared mount points, each with the options that are to be written."""
    defragmented: frozenset[str] = frozenset()
    """Paths that are declared under ``defrag``, with every link resolved."""


def declared(items: Sequence[Item], host: HostView) -> Subjects:
    """What the configuration has under ``paths`` and ``defrag``."""
    defrag = [item for item in items if item.section == "defrag"]
    paths = [item for item in items if item.section == "paths"]
    known = {item.path for item in paths}
    looked = [
        (item.name, item.path, item.data if item.section == "paths" else {})
        for item in (*paths, *(item for item in defrag if item.path not in known))
    ]
    unseen: list[str] = []
    stubs = tuple(_stubs(((name, path) for name, path, _ in looked), host))
    found = [
        Subject(
            name,
            state,
            bool(data.get("nocow", state.is_nocow)),
            frozenset(data.get("allow", ())),
            declared=bool(data.get("nocow")),
            becomes=bool(data.get("subvolume")) and not state.is_subvolume,
            existing=data.get("existing", ""),
        )
        for name, path, data in looked
        for state in _state(name, Candidate(path, ()), host, unseen)
    ]
    schedulers = frozenset(i.data["scheduler"] for i in items if "scheduler" in i.data)
    places = (host.maybe(Locate(item.path)) for item in defrag)
    real = frozenset(where.path for where in places if where)
    return Subjects(tuple(found), tuple(unseen), stubs, schedulers, tuple(_mounts(items)), real)


def _mounts(items: Sequence[Item]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for item in items:
        if item.section == "mounts":
            settings = (options.setting(*each) for each in item.data["options"].items())
            yield item.path, tuple(setting.token for setting in settings if setting.token)


def discovered(host: HostView) -> Subjects:
    """What ``vmtune init`` would find."""
    unseen: list[str] = []
    home = host(WhoAsks()).home
    named = [(tilde(each.path, home), each) for each in candidates(host)]
    found = [
        Subject(name, state, state.is_nocow, frozenset(), declared=False)
        for name, each in named
        for state in _state(name, each, host, unseen)
    ]
    stubs = _stubs(((name, each.path) for name, each in named), host)
    return Subjects(tuple(found), tuple(unseen), tuple(stubs))


def _stubs(looked: Iterable[tuple[str, str]], host: HostView) -> Iterator[tuple[str, Refusal]]:
    for name, path in looked:
        where = host.maybe(Locate(path))
        if where and where.stub:
            yield name, stub_refusal(where.stub, host)


def _state(name: str, of: Candidate, host: HostView, unseen: list[str]) -> Iterator[State]:
    """One, or none where it is not on Btrfs."""
    try:
        where = host(Locate(of.path))
        filesystem = host(FilesystemOf(where.path))
    except NotVisible as hidden:
        unseen.append(f"{name}: {hidden.why}")
        return
    if filesystem.type == "btrfs" and where.kind in {"directory", "missing"}:
        yield entries.state(of, where, filesystem, host)
