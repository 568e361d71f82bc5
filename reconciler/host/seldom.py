"""Questions of some plans only, and of ``status``, ``explain`` and ``apply``: who answers them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.core import facts, images, layout, subvolume
from reconciler.host import machine
from reconciler.host.directories import below, directory
from reconciler.host.system import systemd

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.core.snapshot import Query, Snapshot
    from reconciler.core.standing import Standing
    from reconciler.core.stub import Stub


def _layouts(query: layout.LayoutsOf, see: Snapshot) -> layout.Layouts:
    from reconciler.host.directories import layout as room  # noqa: PLC0415 - only status looks that close

    return room.layouts(query.path, see(facts.TreeOf(query.path, query.apart)))


def _layout(query: layout.LayoutOf, _see: Snapshot) -> layout.Layout | None:
    from reconciler.host.directories import layout as room  # noqa: PLC0415 - only explain asks

    return room.one(query.path)


def _service_run(query: layout.ServiceRunOf, see: Snapshot) -> layout.ServiceRun:
    from reconciler.host.system import lastrun  # noqa: PLC0415 - only status and explain ask

    return lastrun.of(
        *(systemd.properties(f"{query.stem}.{kind}", see) for kind in ("timer", "service"))
    )


def _images(query: images.Images, see: Snapshot) -> Standing:
    from reconciler.host.directories import standing  # noqa: PLC0415 - the same

    return standing.look(query, see)


def _property(query: images.PropertyBelow, see: Snapshot) -> Standing:
    return below.standing(query, see(facts.TreeOf(query.path, query.apart, close=True)))


def _stub(path: str) -> Stub:
    from reconciler.host.kernel import stub  # noqa: PLC0415 - a rollback is seldom

    return stub.whither(path)


def _subvolume(query: subvolume.Subvolume, _see: Snapshot) -> str:
    from reconciler.host.kernel import subvolume as kernel  # noqa: PLC0415 - only where one is declared

    return kernel.look(query.path)


def _contents(query: subvolume.ContentsOf, see: Snapshot) -> subvolume.Contents:
    from reconciler.host.subvolumes import subtree  # noqa: PLC0415 - the same

    mounted = see(facts.Mounts())
    return subtree.contents(query.path, mounted, see(facts.Uses()))


def _uses(_query: facts.Uses, _see: Snapshot) -> Any:
    from reconciler.host.in_use import look  # noqa: PLC0415 - only where something is exchanged

    return look.look()


def _use_of(query: facts.UseOf, _see: Snapshot) -> str:
    from reconciler.host.in_use import guard  # noqa: PLC0415 - only where one is removed

    return guard.of(query.path)


ANSWERS: dict[type[Query[Any]], Callable[[Any, Snapshot], Any]] = {
    facts.StubOf: lambda q, _: _stub(q.path),
    facts.UseOf: _use_of,
    facts.Uses: _uses,
    images.Images: _images,
    images.PropertyBelow: _property,
    images.Strays: lambda q, see: see(facts.TreeOf(q.path, q.apart)).strays,
    layout.KernelCommandLine: lambda _, __: machine.command_line(),
    layout.LayoutOf: _layout,
    layout.LayoutsOf: _layouts,
    layout.ServiceRunOf: _service_run,
    facts.DirectoryId: lambda q, _: directory.identity(q.path),
    subvolume.ContentsOf: _contents,
    subvolume.Subvolume: _subvolume,
}


def reader(query: Query[Any]) -> Callable[[Any, Snapshot], Any]:
    """Who answers; what is left is asked by ``init`` and ``doctor``."""
    if found := ANSWERS.get(type(query)):
        return found
    from reconciler.host.found import discovery  # noqa: PLC0415 - it reads libvirt's files

    return discovery.ANSWERS[type(query)]
