"""All that ``vmtune doctor`` looks at, in the order in which it matters.

Doctor asks the plan of the configuration what it refuses, and names each code once. No check of
doctor's own says "ok" of a thing that the plan refuses, and none repeats what the plan says of the
same entry.

A new check is a function that is called in checks.py, check_boot.py or check_paths.py: their
docstrings say in which. A question that no other part of vmtune asks is a fact in facts.py, with
its answer in linux.py, which calls the module of linux/ that reads the file already: what is
private there becomes public. The code of the check has its paragraph in codes.py. Where a plan
refuses for the same reason, `_CHECKED` says so.

Tests: tests/unit/plan/hosts/nobodys-images.yaml answers the question for all cases; a case in
tests/unit/discovery/cases/doctor/ has each answer; tests/btrfs/commands/test_doctor.py asks the
judge. A row that says "ok" is in nearly all of the cases (python -m tests.unit.discovery.accept).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.discovery import check_boot, check_paths, checks
from reconciler.discovery.facts import WhoAsks
from reconciler.discovery.filesystems import filesystems
from reconciler.engine.ownership import is_orphaned
from reconciler.facts.diagnostics import Op
from reconciler.facts.discovered import ASK_ROOT, Health, Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from reconciler.discovery.subjects import Subjects
    from reconciler.engine.model import Change, Plan
    from reconciler.errors import ConfigError
    from reconciler.facts.host_view import HostView


def examine(subjects: Subjects, host: HostView) -> tuple[Row, ...]:
    """The host, then /etc/fstab, then the images and who else works on them."""
    found = filesystems(host)
    rows = (
        *checks.check_host(subjects, host),
        *checks.check_fstab(found, host),
        *check_boot.check_boot(subjects, found, host),
        *checks.check_images(subjects, found, host),
        *check_paths.check_paths(subjects, host),
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
