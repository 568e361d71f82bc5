"""Regular defragmentation of a directory, as a systemd timer or a file in /etc/cron.d.

Defragmenting rewrites what is in fragments. It copies what snapshots and clones
share, so space that was used once is then used for each of them. A scheduled
run leaves shared data alone. Where root owns the installation of vmtune, the
run is `vmtune defrag`, which leaves out the files that share data. Elsewhere
the run is btrfs-progs, and it is skipped while anything is shared. `allow:
[snapshots]` copies shared data as well. Nocow files that are never snapshotted
do not fragment, so a schedule does nothing for them.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from reconciler.engine import schedule
from reconciler.engine.item import Section
from reconciler.engine.resource import Kind
from reconciler.facts import compression, condition, locate, other_jobs
from reconciler.facts.diagnostics import COST, Note, Refusal
from reconciler.facts.host import HiddenCrontabs, OwnCommand, Program, SharedBelow, TreeOf
from reconciler.formats.sizes import binary
from reconciler.resources.defrag import job as defrag_job
from reconciler.resources.defrag.job import JOB
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.engine.item import Item, Items
    from reconciler.engine.model import Said
    from reconciler.engine.planned_state import Outlook
    from reconciler.engine.schedule import Setup, When, Work
    from reconciler.facts.host import Location, Sharing
    from reconciler.facts.host_view import HostView
    from reconciler.facts.tree import Tree


class Spec(Value):
    name: str
    path: str
    when: When
    allow: frozenset[str]
    nocow: bool
    """The same path is declared nocow."""


def parse(item: Item, items: Items) -> Spec:
    same = items.at(item.path)
    return Spec(
        item.name,
        item.path,
        schedule.parse(item),
        frozenset(item.data.get("allow", ())),
        any(other.section == "paths" and other.data.get("nocow") for other in same),
    )


def want(spec: Spec, host: HostView) -> Iterator[Said]:
    """The files of the chosen scheduler, and none of the other's."""
    ground = locate.ground(spec.path, host, ", not on Btrfs")
    if not isinstance(ground, tuple):
        yield ground
        return
    where, filesystem = ground
    setup = schedule.setup(JOB, where.path, spec.when, host)
    if (
        refusal := locate.no_directory(where)
        or schedule.unsayable(where.path)
        or schedule.lacks("btrfs", "btrfs-progs", host)
        or schedule.unable(setup, host)
        or _doubled(where, host)
    ):
        yield refusal
        return
    unsafe = condition.refusal(filesystem.condition, filesystem.profiles)
    if refusal := schedule.foreign(setup, host) or (unsafe and _moves(unsafe, spec, setup, host)):
        yield refusal
        return
    goals = schedule.goals(setup, _work(spec, host), host)
    if isinstance(goals, Refusal):
        yield goals
        return
    yield from goals
    yield from _sharing(spec, where, setup.scheduler, host)
    yield from _advice(spec, where, host)


def _doubled(where: Location, host: HostView) -> Refusal | None:
    """Refuse a second schedule for what another job defragments: two help nobody."""
    found = other_jobs.same(where.path, host)
    if not found:
        return None
    first, *more = found
    also = f"; and so does {', '.join(job.name for job in more)}" if more else ""
    stops = ", ".join(dict.fromkeys(job.stop for job in found))
    return Refusal(
        f"{first.name} already defragments there: {first.schedule} {first.command}{also}",
        f"{stops} to have vmtune do it, or drop this entry",
        "V305",
    )


def _moves(unsafe: Refusal, spec: Spec, setup: Setup, host: HostView) -> Refusal:
    """Refuse a schedule on a filesystem that is not whole; say what one that is there would do."""
    if _work(spec, host).prints:
        return unsafe  # vmtune refuses to defragment there
    stop = schedule.stop(setup, host)
    if not stop:
        return unsafe
    return Refusal(
        f"{unsafe.text}. The schedule that is set up would move images all the same",
        f"`{stop}` until this is mended; {unsafe.hint}",
        unsafe.code,
    )


def _work(spec: Spec, host: HostView) -> Work:
    """What a run does, and how it leaves what snapshots and clones share."""
    btrfs = host(Program("btrfs"))
    if "snapshots" in spec.allow:
        return defrag_job.copying(btrfs)
    vmtune = host(OwnCommand())
    return defrag_job.own(vmtune) if vmtune else defrag_job.guarded(btrfs)


def _sharing(spec: Spec, where: Location, scheduler: str, host: HostView) -> Iterator[Note]:
    """Say what a run leaves as of now; ``holds`` drops that where the plan ends the sharing."""
    found = host.maybe(SharedBelow(where.path)) if where.kind == "directory" else None
    if not found or not found.shared or "snapshots" in spec.allow:
        return
    left = (
        "a run leaves the files that have them, and says so"
        if _work(spec, host).prints
        else "while that is so, a run is skipped, and says so"
    )
    where_to = "the journal" if scheduler == "systemd" else "the log"
    yield Note(
        f"{binary(found.shared)} are shared with snapshots or clones: {left} in {where_to}. "
        "`allow: [snapshots]` has shared data copied",
        "V306",
    )


def _advice(spec: Spec, where: Location, host: HostView) -> Iterator[Said]:
    if where.path != spec.path:
        yield Note(f"the path leads to {where.path}")
    if hidden := host(HiddenCrontabs()):
        yield Note(f"{hidden}, so a job that was written there is not seen", is_of_host=True)
    for job in other_jobs.vague(host):
        text = f"defragments as well ({job.schedule} {job.command})"
        yield Note(f"{job.name} {text}; only its shell can tell what", "V320", is_of_host=True)
    tree = host.maybe(TreeOf(where.path))
    for name in tree.subvolumes if tree else ():
        yield Note(f"{name} is a subvolume of its own, which a run does not enter", "V308")
    if where.kind == "missing" and not spec.nocow:
        ends = "is skipped" if _work(spec, host).check else "fails"
        yield Note(f"there is no such directory yet: until there is one, a run {ends}")
    yield from worth(where, spec.nocow, host)


def holds(spec: Spec, note: Note | Refusal, outlook: Outlook) -> bool:
    """What is said of sharing and of its worth rests on other entries, too."""
    if note.code == "V306":
        return outlook.stays_shared(spec.path)
    if isinstance(note, Refusal):
        return True
    return advice_holds(spec.path, note, outlook)


DEFRAG = Section("defrag", "path", "Defragmentation", required=("schedule",))

KIND = Kind(
    "defrag",
    DEFRAG,
    parse,
    want,
    partial(schedule.leftovers, JOB),
    units=partial(schedule.units, JOB),
    holds=holds,
    places=partial(schedule.places, JOB),
    defaults={**schedule.DEFAULTS, "allow": ()},
    wrong=schedule.wrong,
    conflicts=schedule.conflicts,
    schedules=partial(schedule.schedules, JOB),
)

_IDLE = Note(
    "nocow files that no snapshot shares stay in one piece, so this schedule has nothing to do",
    "V309",
)

_EMPTY = Note(
    "new files will be nocow, and stay in one piece while no snapshot shares them, so this "
    "schedule will have nothing to do",
    "V309",
)

_WILL_BE_IDLE = Note(
    "the images become nocow, and stay in one piece while no snapshot shares them, so this "
    "schedule will have nothing to do",
    "V309",
)


_WILL_COMPRESS = Note(
    "this plan switches compression on, so a run will compress what it rewrites", "V312", COST
)


def worth(where: Location, nocow: bool, host: HostView) -> Iterator[Note]:
    """``nocow``: the same path is declared so. ``holds`` says which of the notes stay."""
    tree = host.maybe(TreeOf(where.path))
    sharing = host.maybe(SharedBelow(where.path)) if tree and tree.files else None
    shared = bool(sharing and (sharing.shared or sharing.unseen))
    if tree and not tree.files and nocow:
        yield _EMPTY
        return
    if tree and not shared and _idle(tree, sharing):
        yield _IDLE
        return
    if nocow and sharing and not shared:
        yield _WILL_BE_IDLE
    if token := compression.live(where.path, host):
        text = f"the filesystem is mounted with {token}, so a run compresses what it rewrites"
        yield Note(text, "V312", COST)
    else:
        yield _WILL_COMPRESS


def _idle(tree: Tree, sharing: Sharing | None) -> bool:
    """All that a run would find is nocow."""
    all_nocow = tree.nocow_only or not tree.data_files
    return bool(sharing and sharing.nocow_only and all_nocow)


def advice_holds(path: str, note: Note, outlook: Outlook) -> bool:
    """Once the plan is done: what the images become, and whether compression stays on."""
    if note == _EMPTY:
        return outlook.is_nocow(path)
    if note == _WILL_BE_IDLE:
        return outlook.rewrites(path)
    return note.code != "V312" or outlook.compresses(path)
