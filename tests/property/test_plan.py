"""Laws of planning, over generated hosts and configurations.

``Host`` is a whole small host in memory: directories, one Btrfs filesystem
with an fstab, unit files and timers. It answers the planner's questions from
what it holds, and takes the swaps of a plan as the real one would.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from reconciler.config.load import load
from reconciler.engine import directory as directory_place
from reconciler.engine.diff import compare
from reconciler.engine.directory import Folder
from reconciler.engine.model import Notify
from reconciler.engine.place import Swap
from reconciler.engine.plan import declare, make_plan
from reconciler.engine.schedule import TextFile, Timer
from reconciler.errors import ConfigErrors
from reconciler.facts import host as facts
from reconciler.facts import mountable
from reconciler.facts.diagnostics import Op
from reconciler.facts.host import OFF, ON
from reconciler.facts.host_view import HostView
from reconciler.facts.tree import NameList, Tree
from reconciler.formats import calendar, fstab, mountinfo, options
from reconciler.report import text
from reconciler.resources.mount import places as mount_places
from reconciler.resources.nocow import places as nocow_places
from reconciler.resources.registry import KINDS

ROOT = Path(__file__).parents[2]
QUICK = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
TREE = ("/srv/vm", "/srv/vm/a", "/srv/vm/a/b", "/srv/vm/ab", "/srv/iso")
TARGETS = ("/", "/home")
# What the kernel shows for what it is given: no compression as nothing, else with a level.
SHOWN = {"compress=no": "", "compress=zstd": "compress=zstd:3"}
UUID = "c6c9efea-0000-4000-8000-000000000001"


class Host:
    """Places by what they hold; the facts follow from them."""

    def __init__(self, folders, live, lines, schedulers):
        self.folders = {"/": PLAIN, "/srv": PLAIN, **folders}
        self.live = dict(live)
        self.fstab = "".join(
            f"UUID={UUID} {target} btrfs {opts} 0 0\n" for target, opts in lines.items()
        ).encode()
        self.schedulers = schedulers
        self.files = {}
        self.timers = set()

    def copy(self):
        other = Host({}, self.live, {}, self.schedulers)
        other.folders, other.fstab = dict(self.folders), self.fstab
        other.files, other.timers = dict(self.files), set(self.timers)
        return other

    def __eq__(self, other):
        return vars(self) == vars(other)

    __hash__ = None

    def read(self, query, _see=None):
        return getattr(self, f"_{type(query).__name__}")(query)

    def plan(self, config):
        items = load(config.encode(), "vmtune.yaml", host="atlas", home_of=lambda _: "/root")
        return make_plan(declare(items, KINDS), KINDS, HostView(self.read))

    # What a place holds, and how it takes another value.

    def _Directory(self, place):  # noqa: N802 - named as the query, here and below
        return self.folders.get(place.path)

    def _Fixed(self, _query):  # noqa: N802
        return ""

    def _KernelCommandLine(self, _query):  # noqa: N802
        return "ro quiet"

    def _EntriesOf(self, query):  # noqa: N802
        inside = (path.rpartition("/") for path in self.folders)
        return tuple(sorted(name for above, _, name in inside if above == query.path.rstrip("/")))

    def _SubvolumeAt(self, _query):  # noqa: N802
        return facts.SystemSubvolume(256, is_snapshot=False)

    def _MountUnits(self, _query):  # noqa: N802
        return ()

    def _NotStarted(self, _query):  # noqa: N802
        return ()

    def _Below(self, place):  # noqa: N802
        apart = tuple(f"{path}/" for path in place.apart)
        names = sorted(
            path.removeprefix(f"{place.path}/")
            for path, folder in self.folders.items()
            if path.startswith(f"{place.path}/") and not folder.nocow
            if not f"{path}/".startswith(apart)
        )
        return NameList(len(names), tuple(names))

    def _FstabOptions(self, place):  # noqa: N802
        return next(
            (
                line.options or None
                for line in fstab.parse(self.fstab)
                if line.target == place.target
            ),
            None,
        )

    def _LiveOption(self, place):  # noqa: N802
        option = options.option(place.name)
        return self.live.get((place.target if option.per_mount else "", place.name), "")

    def _TextFile(self, place):  # noqa: N802
        return self.files.get(place.path)

    _UnitFile = _TextFile

    def _Timer(self, place):  # noqa: N802
        return ON if place.unit in self.timers else OFF

    def put(self, place, want):
        match place:
            case directory_place.Directory():
                assert place.path.rpartition("/")[0] in self.folders, "parents come first"
                self.folders[place.path] = want
            case nocow_places.Below():
                for name in self.read(place).named:
                    path = f"{place.path}/{name}"
                    self.folders[path] = replace(self.folders[path], nocow=True, compression="")
            case mount_places.FstabOptions():
                (line,) = (x for x in fstab.parse(self.fstab) if x.target == place.target)
                self.fstab = fstab.with_options(self.fstab, line.number, want)
            case mount_places.LiveOption():
                option = options.option(place.name)
                assert want or option.off, "nothing switches it off"
                shown = SHOWN.get(want, want)
                self.live[place.target if option.per_mount else "", place.name] = shown
            case Timer():
                assert f"/etc/systemd/system/{place.unit}" in self.files, "a unit file is there"
                (self.timers.add if want == ON else self.timers.discard)(place.unit)
            case TextFile() if want is None:
                del self.files[place.path]
            case TextFile():
                self.files[place.path] = want

    # What follows from that.

    def _Locate(self, query):  # noqa: N802
        parts = query.path.split("/")
        above = ["/".join(parts[:end]) for end in range(2, len(parts) + 1)]
        missing = tuple(path for path in above if path not in self.folders)
        return facts.Location(query.path, "missing" if missing else "directory", missing)

    def _FilesystemOf(self, _query):  # noqa: N802
        return facts.Filesystem("btrfs", UUID, "", ("single",), 1 << 40)

    def _TreeOf(self, query):  # noqa: N802
        plain = self._Below(query)
        return Tree(plain=plain)

    def _Mounts(self, _query):  # noqa: N802
        compress = self.live.get(("", "compress"))
        flags = ",".join(filter(None, ("rw", compress)))
        rows = [
            f"{number} 1 0:22 /@{number} {target} "
            f"{','.join(filter(None, ('rw', self.live.get((target, 'atime')))))}"
            f" - btrfs /dev/vda2 {flags}\n"
            for number, target in enumerate(TARGETS, 25)
        ]
        rows[1] = rows[1].replace(" 1 0:22", " 25 0:22")
        return mountinfo.parse("".join(rows).encode())

    def _OwnFiles(self, _query):  # noqa: N802
        return tuple(
            sorted(path for path, held in self.files.items() if held.startswith(calendar.MARK))
        )

    def _Schedulers(self, _query):  # noqa: N802
        return self.schedulers

    _SnapshotsOf = _ForeignJobs = _OwnCommand = staticmethod(lambda _query: ())
    _SharedBelow = staticmethod(lambda _query: facts.Sharing(0, 0, nocow_only=True))
    _SourceUuid = staticmethod(lambda query: query.source.removeprefix("UUID="))
    _KernelTakes = staticmethod(lambda _query: facts.Verdict(True, "kernel 6.18 accepts it"))
    _ShadowingUnit = _FstabObstacle = _HiddenCrontabs = staticmethod(lambda _query: "")
    _KernelCommandLine = staticmethod(lambda _query: "quiet")
    _DefaultSubvolume = staticmethod(lambda _query: mountable.TOP)
    _SubvolumeNamed = staticmethod(lambda _query: mountable.Entry(256, mountable.SUBVOLUME))
    _CronDaemon = staticmethod(lambda _query: True)
    _SelinuxEnforces = staticmethod(lambda _query: False)
    _NeedsReload = staticmethod(lambda _query: False)
    _Program = staticmethod(lambda query: f"/usr/bin/{query.name}")
    _CalendarRuns = staticmethod(lambda _query: facts.Elapse("", "Tue 2026-03-03 12:00"))
    _CronRuns = staticmethod(lambda _query: "Tue 2026-03-03 12:00")

    def _FstabLines(self, _query):  # noqa: N802
        return fstab.parse(self.fstab)


PLAIN = Folder(nocow=False, compression="", mode=0o755, uid=0, gid=0)

folder = st.builds(
    lambda nocow, compression: replace(
        PLAIN, nocow=nocow, compression="" if nocow else compression
    ),
    st.booleans(),
    st.sampled_from(["", "zstd", "none"]),
)


@st.composite
def hosts(draw):
    there = {}
    for path in TREE:
        if path.rpartition("/")[0] in {"/srv", *there} and draw(st.booleans()):
            there[path] = draw(folder)
    live = {
        ("", "compress"): draw(st.sampled_from(["", "compress=zstd:3", "compress=lzo"])),
        **{(t, "atime"): draw(st.sampled_from(["relatime", "noatime"])) for t in TARGETS},
    }
    options_field = st.sampled_from(
        ["defaults", "noatime,compress=zstd", "compress=no", "subvol=@x,compress-force=lzo,ssd"]
    )
    lines = {target: draw(options_field) for target in TARGETS}
    runs = draw(st.sampled_from([{"systemd", "cron"}, {"systemd"}, {"cron"}]))
    return Host(there, live, lines, frozenset(runs))


@st.composite
def configs(draw):
    """YAML text: any of the tree's paths, targets and schedules, in any order."""
    rows = ["version: 1"]
    if paths := draw(st.lists(st.sampled_from(TREE), unique=True)):
        rows.append("paths:")
        for path in paths:
            existing = draw(st.sampled_from(["report", "keep"]))
            nocow = draw(st.sampled_from(["true", "true", "false"]))
            rows.append(f"  - {{path: {path}, nocow: {nocow}, existing: {existing}}}")
    if targets := draw(st.lists(st.sampled_from(TARGETS), unique=True)):
        rows.append("mounts:")
        for target in targets:
            wanted = draw(
                st.sampled_from(
                    ["compress: no", "compress: zstd", "noatime: true", "noatime: false"]
                )
            )
            rows.append(f"  - {{target: {target}, options: {{{wanted}}}}}")
    if paths := draw(st.lists(st.sampled_from(TREE), unique=True, max_size=3)):
        rows.append("defrag:")
        for path in paths:
            schedule = draw(st.sampled_from(["0 12 * * *", "@weekly"]))
            scheduler = draw(st.sampled_from(["auto", "systemd", "cron"]))
            rows.append(f'  - {{path: {path}, schedule: "{schedule}", scheduler: {scheduler}}}')
    return "\n".join(rows) + "\n"


def planned(host, config):
    """The plan, of what does not contradict itself."""
    try:
        return host.plan(config)
    except ConfigErrors:
        assume(False)
        raise


def apply(host, plan):
    """As run/apply.py does it: each place must hold what the plan says when its turn comes."""
    for action in plan.actions:
        if isinstance(action, Swap):
            assert host.read(action.place) == action.have, f"{action} finds another value"
            host.put(action.place, action.want)
            assert host.read(action.place) == action.want, f"{action} does not hold"


@QUICK
@given(hosts(), configs())
def test_after_apply_nothing_is_left_to_do(host, config):
    plan = planned(host, config)
    apply(host, plan)
    again = host.plan(config)
    assert again.actions == ()
    assert again.count(Op.BLOCKED) == plan.count(Op.BLOCKED)


@QUICK
@given(hosts(), configs())
def test_planning_changes_nothing(host, config):
    before = host.copy()
    assert planned(host, config) == planned(host, config)
    assert host == before


NOCOW_TOP = replace(PLAIN, nocow=True)
ZSTD_TOP = replace(PLAIN, compression="zstd")


def one_top(top):
    lines = dict.fromkeys(TARGETS, "defaults")
    return Host({"/srv/vm": top}, {("", "compress"): ""}, lines, frozenset({"cron"}))


def over_a_gap(top):
    return f"version: 1\npaths: [{{path: /srv/vm, {top}}}, {{path: /srv/vm/a/b, nocow: true}}]\n"


@QUICK
@given(hosts(), configs())
@example(one_top(NOCOW_TOP), over_a_gap("nocow: false"))
@example(one_top(PLAIN), over_a_gap("nocow: true"))
@example(one_top(ZSTD_TOP), over_a_gap("nocow: true"))
def test_every_prefix_of_a_plan_is_a_safe_place_to_stop(host, config):
    """Cut off after any action, a new plan does the rest and comes to the same end."""
    plan = planned(host, config)
    whole = host.copy()
    apply(whole, plan)
    for number in range(len(plan.actions)):
        part = host.copy()
        apply(part, replace(plan, actions=plan.actions[:number]))
        apply(part, part.plan(config))
        assert part == whole


@QUICK
@given(hosts(), configs(), configs())
def test_what_is_no_longer_declared_is_taken_back(host, first, second):
    """From one configuration to another: of the first one's schedules nothing stays."""
    apply(host, planned(host, first))
    apply(host, planned(host, second))
    assert host.plan(second).actions == ()
    declared = load(second.encode(), "f", host="atlas", home_of=lambda _: "/root")
    wanted = [item for item in declared if item.section == "defrag"]
    refused = host.plan(second).count(Op.BLOCKED)
    stems = {path.rpartition("/")[2].partition(".")[0] for path in host.files}
    assert len(stems) <= len(wanted)
    assert len(stems) >= len(wanted) - refused
    for unit in host.timers:
        assert f"/etc/systemd/system/{unit}" in host.files


@QUICK
@given(hosts(), configs(), configs())
def test_order(host, first, second):
    """Off before its files go, live before fstab, one reload after the last file, on after that."""
    apply(host, planned(host, first))
    plan = planned(host, second)
    swaps = [action for action in plan.actions if isinstance(action, Swap)]
    at = {action.place: number for number, action in enumerate(plan.actions) if action in swaps}
    reloads = [n for n, action in enumerate(plan.actions) if isinstance(action, Notify)]
    loaded = [at[swap.place] for swap in swaps if swap.place.loaded_by_systemd]
    assert len(at) == len(swaps), "one action for each place"
    assert len(reloads) == bool(loaded and "systemd" in host.schedulers)
    live = [at[p] for p in at if isinstance(p, mount_places.LiveOption)]
    table = [at[p] for p in at if isinstance(p, mount_places.FstabOptions)]
    assert max(live, default=-1) < min(table, default=len(at) + 1)
    for swap in swaps:
        if isinstance(swap.place, Timer):
            here, others = at[swap.place], [*loaded, *reloads]
            assert all(here > n if swap.want == ON else here < n for n in others)


@QUICK
@given(hosts(), configs())
def test_the_printed_plan_counts_what_it_shows(host, config):
    plan = planned(host, config)
    lines = list(text.plan(plan, verbose=True))
    assert lines == list(text.plan(plan, verbose=True))
    for op in Op:
        rows = [line for line in lines if line.startswith(f"{op.value} ")]
        apart = sum(change.op is op and not change.applicable for change in plan.changes)
        assert len(rows) == plan.count(op) + apart
    shown = "\n".join(lines)
    for swap in (action for action in plan.actions if isinstance(action, Swap)):
        assert swap.place.label in shown or swap.place.word in shown
    assert f"{len(plan.steps)} to change" in lines[-1] or not plan.steps


# Names of files are bytes: what is not UTF-8 in them is a surrogate (PEP 383).
name = st.text(st.characters(blacklist_characters="\0") | st.sampled_from("\udc80\udcff\n\x1b"))
value = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    name | st.sampled_from(["0", "1", "None", "True", "()"]),
    st.lists(name, max_size=3).map(tuple),
    st.frozensets(name, max_size=3),
    st.builds(Folder, st.booleans(), name, st.integers(0, 3), st.integers(0, 2), st.integers(0, 2)),
)


@QUICK
@given(value, value)
def test_compare_is_empty_exactly_when_values_are_equal(before, after):
    assert (not compare(before, after)) == (before == after)
    assert compare(before, before) == ()


@QUICK
@given(*[st.builds(Folder, st.booleans(), name, *[st.integers(0, 2)] * 3)] * 2)
def test_compare_names_the_attributes_that_differ(before, after):
    differing = {
        (f.name, getattr(before, f.name), getattr(after, f.name))
        for f in fields(Folder)
        if getattr(before, f.name) != getattr(after, f.name)
    }
    assert {(d.name, d.before, d.after) for d in compare(before, after)} == differing


SEEDED = """
import sys
import yaml
from reconciler.report import text
from tests.unit.plan.decode import World, plan_of
case = yaml.safe_load(open(sys.argv[1], encoding="utf-8"))
plan = plan_of(case, World(case))
print(plan)
print("\\n".join(text.plan(plan)))
"""


@pytest.mark.parametrize("case", ["together/the-how-to", "mount/several-options", "nocow/raid"])
def test_hash_seeds_change_nothing(case):
    """There are frozensets in the specs: their order must not reach a plan."""
    outputs = {
        subprocess.run(
            [sys.executable, "-c", SEEDED, f"tests/unit/plan/cases/{case}.yaml"],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "4711")
    }
    assert len(outputs) == 1
    assert len(outputs.pop()) > 100
