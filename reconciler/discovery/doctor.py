"""All that ``vmtune doctor`` looks at, in the order in which it matters.

``check_boot`` looks at what decides mount options beside /etc/fstab, ``check_paths`` at what may
happen to a declared directory; the other checks are in checks.py.

Doctor asks the plan of the configuration what it refuses, and names each code once. No check of
doctor's own says "ok" of a thing that the plan refuses, and none repeats what the plan says of the
same entry.

A new check is a function that is called in ``check_boot``, in ``check_paths`` or in checks.py:
their docstrings say in which. A question that no other part of vmtune asks is a fact in facts.py,
with its answer in linux.py, which calls the module of linux/ that reads the file already: what is
private there becomes public. Of the kernel and the machine that is linux/machine.py. The code of
the check has its paragraph in codes.py. Where a plan refuses for the same reason, `_CHECKED` says
so.

Tests: tests/unit/plan/hosts/nobodys-images.yaml answers the question for all cases; a case in
tests/unit/discovery/cases/doctor/ has each answer; tests/btrfs/commands/test_doctor.py asks the
judge. A row that says "ok" is in nearly all of the cases (python -m tests.unit.discovery.accept).
"""

from __future__ import annotations

from dataclasses import replace
from shlex import quote
from typing import TYPE_CHECKING

from reconciler.discovery import checks
from reconciler.discovery.facts import LabelOf, SnapshotTools, WhoAsks
from reconciler.discovery.filesystems import filesystems
from reconciler.engine.ownership import is_orphaned
from reconciler.facts import boot_layouts, boot_order, booted, compression, fstab_line, other_jobs
from reconciler.facts.diagnostics import Op
from reconciler.facts.discovered import ASK_ROOT, Health, Row
from reconciler.facts.host import (
    FilesystemOf,
    FstabLines,
    FstabObstacle,
    HiddenCrontabs,
    Locate,
    Mounts,
    ShadowingUnit,
)
from reconciler.facts.host_view import NotVisible
from reconciler.formats import mountinfo, options
from reconciler.formats.paths import is_at_or_below

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from reconciler.discovery.facts import SnapshotTool
    from reconciler.discovery.filesystems import Btrfs
    from reconciler.discovery.subjects import Subject, Subjects
    from reconciler.engine.model import Change, Plan
    from reconciler.errors import ConfigError
    from reconciler.facts.diagnostics import Refusal
    from reconciler.facts.host_view import HostView
    from reconciler.formats.mountinfo import Mount


def check_boot(subjects: Subjects, found: Sequence[Btrfs], host: HostView) -> Iterator[Row]:
    """Yield rows for what is wrong, and none where nothing is."""
    seen = host.maybe(FstabLines())
    if seen is None:  # which is a row of its own
        return
    yield from _snapshot(host)
    for filesystem in found:
        yield from _idle(filesystem, host)
        yield from _at_boot(filesystem, host)
    lines = [line for line in seen if line.fstype == "btrfs"]
    for target in dict.fromkeys(line.target for line in lines):
        yield from _shadowed(target, host)
    declared = dict(subjects.mounts)
    for target in dict.fromkeys((*declared, *(line.target for line in lines))):
        refusal = _refusal(target, declared.get(target), host) if target[:1] == "/" else None
        if refusal:
            yield Row(Health.WARN, f"mount {target}", refusal.text, refusal.code, refusal.hint)
    if lines and (obstacle := host.maybe(FstabObstacle())):
        yield _fixed(obstacle, lines[0].target, lines[0].options)


def _snapshot(host: HostView) -> Iterator[Row]:
    here, ordinary = booted.in_place_of_the_system(host)
    if here:
        text = f"/ is booted from the snapshot {here}; an ordinary boot mounts {ordinary}"
        remedy = "boot the system itself before you change anything: changes here are left behind"
        yield Row(Health.WARN, "booted snapshot", text, "V525", remedy)


def _idle(of: Btrfs, host: HostView) -> Iterator[Row]:
    """Yield a row for each compress option that changes nothing, and is not what is anyway."""
    layout = compression.layout(of.uuid, host)
    if layout.unseen:
        return
    boot, by = compression.decided(layout)
    numbers: dict[str, list[str]] = {}
    for line in layout.lines:
        said = "" if line.problem else options.value(line.options, options.COMPRESS) or ""
        if said and compression.words(said) != boot and compression.is_idle(layout, line):
            numbers.setdefault(said, []).append(str(line.number))
    for said, where in numbers.items():
        text = f"{said} has no effect at boot: {boot or 'not known'}, decided by {by}"
        way = compression.remedy(layout, said)
        remedy = f"{way}; or take it out" if way else "take it out"
        yield Row(Health.WARN, f"/etc/fstab:{','.join(where)}", text, "V510", remedy)


def _at_boot(of: Btrfs, host: HostView) -> Iterator[Row]:
    """Yield a row where the next boot changes the compression that is on now, or may change it."""
    layout = compression.layout(of.uuid, host)
    now = compression.now(of.mounts[0])
    boot, by = compression.decided(layout)
    is_open = all(outcome.by is None for outcome in boot_order.outcomes(layout))
    if now == boot or layout.unseen or is_open:  # open: whoever mounts it decides
        return
    text = f"compression is {now} now; at boot {boot or 'not known'}, decided by {by}"
    way = compression.remedy(layout, of.compress or "compress=no")
    yield Row(Health.WARN, of.name, text, "V526", f"to keep it, {way}" if way else "")


def _shadowed(target: str, host: HostView) -> Iterator[Row]:
    where = host.maybe(Locate(target)) if target.startswith("/") else None
    if not where or fstab_line.is_remounted(where.path):
        return
    if unit := host.maybe(ShadowingUnit(where.path)):
        text = f"systemd uses the options in {unit}, not those of its line in /etc/fstab"
        yield Row(Health.WARN, f"mount {target}", text, "V511", "keep one of the two")


def _refusal(target: str, tokens: Sequence[str] | None, host: HostView) -> Refusal | None:
    """Return why a plan would refuse to change the options of a mount point, but for /etc/fstab.

    ``tokens`` are the declared options; None where nothing is declared: then a mount point is
    judged by its line alone.
    """
    where, mounts = host.maybe(Locate(target)), host.maybe(Mounts()) or ()
    mount = mountinfo.at(mounts, where.path) if where else None
    if where is None or (mount and mount.fstype == "autofs"):
        return None
    is_readable = host.maybe(FstabLines()) is not None
    lines = fstab_line.lines_for(target, where.path, host) if is_readable else []
    if tokens is not None:
        image = boot_layouts.image(target, (), host) if tokens else None
        if image or fstab_line.not_btrfs(mount, lines):
            return None
        refusal = fstab_line.not_editable(target, where.path, lines, host, tokens)
        if refusal:
            # Of the line in /etc/fstab that is said already.
            is_told = refusal.code in {"V202", "V203"} or (refusal.code == "V204" and lines)
            return None if is_told else refusal
    if len(lines) != 1 or mount is None or mount.fstype != "btrfs":
        return None
    if tokens is None and not (target == "/" and booted.in_place_of_the_system(host)[0]):
        return None  # check_fstab says which subvolume the line would mount
    filesystem = host.maybe(FilesystemOf(mount.target))
    return (
        fstab_line.not_of_the_line(lines[0], mount, filesystem.uuid, host) if filesystem else None
    )


def _fixed(obstacle: str, target: str, line_options: str) -> Row:
    if obstacle.endswith(fstab_line.MADE_BY_NIXOS):
        written = fstab_line.nixos_option(target, line_options)
        remedy = f"declare no mounts; write options there, as in `{written}`"
    else:
        remedy = "mend that, if vmtune is to change mount options"
    return Row(Health.WARN, "/etc/fstab", f"cannot be replaced: {obstacle}", "V527", remedy)


def check_paths(subjects: Subjects, host: HostView) -> Iterator[Row]:
    """Yield rows for what is wrong, and one where no other job was found."""
    yield from _rollback(subjects, host)
    yield from _labels(subjects, host)
    yield from _jobs(subjects, host)


def _rollback(subjects: Subjects, host: HostView) -> Iterator[Row]:
    """Yield a row for each subvolume that the next rollback leaves in the old place."""
    apart = [subject for subject in subjects.found if subject.state.is_subvolume]
    roll_back = {"snapper", "Timeshift"}
    tools = [tool for tool in host.maybe(SnapshotTools()) or () if tool.name in roll_back]
    if not apart or not tools:
        return
    mounts = host(Mounts())
    for subject in apart:
        if tool := _left_by(subject, tools, mounts, host):
            text = (
                f"a subvolume inside of {tool.path}: after a rollback by {tool.name} "
                f"({tool.file}) it stays in the old one, with all images"
            )
            remedy = (
                "keep it at the top level of the filesystem, with its own line in /etc/fstab "
                "(subvol=...): `vmtune explain subvolume` says how"
            )
            yield Row(Health.WARN, subject.name, text, "V535", remedy)


def _left_by(
    subject: Subject, tools: Sequence[SnapshotTool], mounts: Sequence[Mount], host: HostView
) -> SnapshotTool | None:
    path = subject.state.where.path
    own = mountinfo.at(mounts, path)
    here = mountinfo.containing(mounts, path)
    for tool in tools:
        where = host.maybe(Locate(tool.path))
        around = mountinfo.containing(mounts, where.path) if where else None
        if not where or not here or not around or here.device != around.device:
            continue
        top = _in_filesystem(around, where.path)
        inner = _in_filesystem(here, path)
        # Whatever is mounted at the path from the top level itself is not rolled back with that.
        if inner != top and is_at_or_below(inner, top) and not (own and top == "/"):
            return tool
    return None


def _in_filesystem(mount: Mount, path: str) -> str:
    """Return where a path lies in its filesystem, from the top level (proc_pid_mountinfo(5))."""
    inside = path.removeprefix(mount.target.rstrip("/")).strip("/")
    return f"{mount.root.rstrip('/')}/{inside}".rstrip("/") or "/"


_SUBJECT = "other jobs"


def _jobs(subjects: Subjects, host: HostView) -> Iterator[Row]:
    """Yield a row for each job that meets a directory, and one where there is none."""
    try:
        rows = [*_doubled(subjects, host), *_vague(host)]
    except NotVisible as hidden:
        yield Row(Health.UNSEEN, _SUBJECT, hidden.why, "V530", ASK_ROOT)
        return
    yield from rows
    if hidden_tables := host.maybe(HiddenCrontabs()):
        yield Row(Health.UNSEEN, _SUBJECT, hidden_tables, "V530", ASK_ROOT)
    elif not rows:
        yield Row(
            Health.OK, _SUBJECT, "of the system: none defragments a directory of images", "V530"
        )


def _doubled(subjects: Subjects, host: HostView) -> Iterator[Row]:
    """The plan refuses a schedule beside another job; without one the job may do harm alone."""
    for subject in subjects.found:
        for job in other_jobs.same(subject.state.where.path, host):
            text = f"{job.name} defragments it: {job.schedule} {job.command}"
            health, remedy = Health.FAIL, f"{job.stop}, or drop the `defrag` entry"
            if subject.state.where.path not in subjects.defragmented:
                text += ". Most such jobs copy what snapshots and clones share"
                health = Health.WARN
                remedy = f"to have that left alone: {job.stop}, and declare it under `defrag`"
            yield Row(health, subject.name, text, "V530", remedy)


def _vague(host: HostView) -> Iterator[Row]:
    for job in other_jobs.vague(host):
        text = f"{job.name} defragments, and what that is only its shell can tell: {job.command}"
        yield Row(Health.WARN, _SUBJECT, text, "V530", "read it; end it if it names your images")


def _labels(subjects: Subjects, host: HostView) -> Iterator[Row]:
    """Yield a row for each directory of another type than the policy's; none without SELinux."""
    for subject in subjects.found:
        where = subject.state.where
        label = host.maybe(LabelOf(where.path)) if where.kind == "directory" else None
        if label and label.differs:
            yield Row(
                Health.WARN,
                subject.name,
                f"its SELinux label is {label.have or 'missing'}, the policy has {label.want}: "
                "what is made in it gets the wrong one, too",
                "V538",
                f"restorecon -R -v {quote(where.path)}",
            )


def examine(subjects: Subjects, host: HostView) -> tuple[Row, ...]:
    """The host, then /etc/fstab, then the images and who else works on them."""
    found = filesystems(host)
    rows = (
        *checks.check_host(subjects, host),
        *checks.check_fstab(found, host),
        *check_boot(subjects, found, host),
        *checks.check_images(subjects, found, host),
        *check_paths(subjects, host),
    )
    if not host(WhoAsks()).is_root:
        return rows
    return tuple(replace(row, remedy="") if row.remedy == ASK_ROOT else row for row in rows)


_CHECKED = {
    "V504": frozenset({"V302"}),
    "V506": frozenset({"V102"}),
    "V507": frozenset({"V103"}),
    "V508": frozenset({"V612", "V706"}),
    "V509": frozenset({"V201", "V202", "V203", "V208", "V209"}),
    "V510": frozenset({"V207"}),
    "V511": frozenset({"V204"}),
    "V514": frozenset({"V101"}),
    "V515": frozenset({"V205", "V206"}),
    "V518": frozenset({"V612", "V706"}),
    "V519": frozenset({"V114"}),
}
"""By code of a check of doctor's own: the codes by which a plan refuses for the same reason.

V516 is not here: it asks of one filesystem what the plan asks, so its "ok" is never untrue.
"""

_MOST = 20


def joined(checks: Iterable[Row], plan: Plan) -> tuple[Row, ...]:
    """Return doctor's rows with those of the plan's refused rows behind them.

    A check's row is left out where it says "ok" of what the plan refuses, or the same of the same
    entry; the plan's row has its health then.
    """
    refused = [change for change in plan.changes if change.op is Op.BLOCKED]
    kept: list[Row] = []
    health: dict[str, Health] = {}
    for row in checks:
        codes = {row.code} | _CHECKED.get(row.code, frozenset())
        same = [change for change in refused if change.code in codes]
        repeated = [change for change in same if _repeats(row, change)]
        for change in repeated:
            health[change.code] = _worse(health.get(change.code), row.health)
        if not repeated and not (same and row.health is Health.OK):
            kept.append(row)
    told = rows(refused)
    return (*kept, *(replace(row, health=health.get(row.code, row.health)) for row in told))


def rows(refused: Sequence[Change]) -> Iterator[Row]:
    """Yield a row for each code, or for each text without one, with the first remedy."""
    groups: dict[str, list[Change]] = {}
    for change in refused:
        # Each thing that a configuration left behind has a remedy of its own.
        key = change.name if is_orphaned(change) else ""
        groups.setdefault(f"{change.code or change.text} {key}", []).append(change)
    for found in groups.values():
        first = next((change for change in found if change.hint), found[0])
        more = f" and {len(found) - 1:,} more" if found[1:] else ""
        remedy = first.hint or f"`vmtune explain {first.code or first.kind}` says more"
        subject = f"{first.kind} {first.name}{more}"
        row = Row(Health.WARN, subject, first.text, "V537", remedy)
        yield replace(row, code=first.code) if first.code else row


def contradictions(problems: Sequence[ConfigError]) -> Iterator[Row]:
    """Yield a row for each of the first entries that no plan can be made of."""
    for problem in problems[:_MOST]:
        yield Row(Health.FAIL, str(problem.origin), problem.message, "V536", problem.hint)
    if more := len(problems[_MOST:]):
        remedy = "mend the others first"
        yield Row(Health.FAIL, "vmtune.yaml", f"{more:,} more of them", "V536", remedy)


def _repeats(row: Row, change: Change) -> bool:
    """Tell whether the plan's row is about what a check names, or in it, or says the same."""
    subject = row.subject.removeprefix(f"{change.kind} ").rstrip("/")
    is_about = f"{change.name.rstrip('/')}/".startswith(f"{subject}/")
    return is_about or (row.code == change.code and change.text in row.text)


def _worse(one: Health | None, other: Health) -> Health:
    return Health.FAIL if Health.FAIL in {one, other} else Health.WARN
