"""Plans and journals as JSON: what is written is read back, and nothing else is believed."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.engine import directory as directory_place
from reconciler.engine import directory as subvolume_places
from reconciler.engine import document, preconditions, schedule
from reconciler.engine import (
    place as places,
)
from reconciler.engine.directory import Folder
from reconciler.engine.document import Document, World
from reconciler.engine.last_applied import Run, fold
from reconciler.engine.model import Change, Plan
from reconciler.engine.order import DAEMON_RELOAD
from reconciler.engine.place import LastApplied, Swap
from reconciler.errors import SourceLocation
from reconciler.facts.diagnostics import LABELS, Note, Op
from reconciler.facts.tree import MOST, NONE_LEFT, NameList
from reconciler.formats.jsondata import FormatError
from reconciler.resources.compression import places as compression_places
from reconciler.resources.images import places as images_places
from reconciler.resources.mount import places as mount_places
from reconciler.resources.nocow import places as nocow_places

QUICK = settings(max_examples=100, deadline=None, derandomize=True)

# Names and texts are bytes: what is not UTF-8 in them is a surrogate (PEP 383).
bytes_as_text = st.binary(max_size=12).map(lambda data: data.decode("utf-8", "surrogateescape"))
text = bytes_as_text | st.sampled_from(["", "None", "null", "ä日", "\x1b[0m\n", "a:1:2"])
name = text.map(lambda found: found.replace("\0", ""))
names = st.lists(name, max_size=3).map(tuple)
folder = st.builds(
    Folder, st.booleans(), name, st.integers(0, 0o7777), st.integers(0, 9), st.integers(0, 9)
)
standing = st.builds(NameList, st.integers(0, 9), names)
PLACES = {
    nocow_places.Below: (st.builds(nocow_places.Below, name, names), standing),
    directory_place.Directory: (st.builds(directory_place.Directory, name), st.none() | folder),
    mount_places.FstabOptions: (
        st.builds(mount_places.FstabOptions, name, st.integers(1, 99)),
        st.none() | text,
    ),
    mount_places.LiveOption: (st.builds(mount_places.LiveOption, name, name), name),
    schedule.TextFile: (st.builds(schedule.TextFile, name), st.none() | text),
    schedule.Timer: (st.builds(schedule.Timer, name), name),
    schedule.UnitFile: (st.builds(schedule.UnitFile, name), st.none() | text),
    images_places.Images: (st.builds(images_places.Images, name, name, names, names), standing),
    images_places.Image: (st.builds(images_places.Image, name, name, name), text),
    images_places.MachineImages: (
        st.builds(images_places.MachineImages, name, name, name, name, names),
        name,
    ),
    images_places.SavedMachine: (st.builds(images_places.SavedMachine, name, name), name),
    images_places.OneImage: (
        st.builds(images_places.OneImage, name, name, names, names, name),
        standing,
    ),
    compression_places.PropertyBelow: (
        st.builds(compression_places.PropertyBelow, name, name, names),
        standing,
    ),
    images_places.Strays: (st.builds(images_places.Strays, name, names), names),
    subvolume_places.Subvolume: (
        st.builds(subvolume_places.Subvolume, name, *[st.integers(0, 9)] * 3),
        name,
    ),
}
swap = st.one_of(
    [st.builds(Swap, place, value, value, text, text) for place, value in PLACES.values()]
)
action = swap | st.just(DAEMON_RELOAD)
change = st.builds(
    Change,
    st.sampled_from(Op),
    *[text] * 3,
    st.lists(swap, max_size=2).map(tuple),
    st.lists(
        st.builds(Note, text, text, st.sampled_from(sorted(LABELS)), st.booleans()), max_size=2
    ).map(tuple),
    *[text] * 2,
    st.booleans(),
    st.none() | st.builds(SourceLocation, text, st.integers(1, 99), st.integers(1, 99)),
    text,
    st.none() | st.just(DAEMON_RELOAD),
)
plan = st.builds(
    Plan, st.lists(change, max_size=3).map(tuple), st.lists(action, max_size=3).map(tuple)
)
fact = st.builds(preconditions.Precondition, st.sampled_from(sorted(preconditions.ASK)), name, text)
facts = st.none() | st.lists(fact, max_size=3).map(tuple)
documents = st.builds(
    Document,
    plan,
    st.builds(World, *[text] * 5, st.lists(text, max_size=2).map(tuple)),
    text,
    text,
    facts,
)


def through_json(data):
    return json.loads(json.dumps(data))


def concrete(kind):
    found = set()
    for sub in kind.__subclasses__():
        own = set() if sub.__abstractmethods__ else {sub.__name__}
        found |= {*own, *concrete(sub)}
    return found


def test_every_place_is_here():
    assert {kind.__name__ for kind in PLACES} == concrete(places.Place)


@pytest.mark.parametrize("kind", PLACES, ids=lambda kind: kind.__name__)
@QUICK
@given(data=st.data())
def test_a_place_and_its_value_come_back(kind, data):
    place, value = (data.draw(strategy) for strategy in PLACES[kind])
    again = document.place(through_json(document.plain_place(place)))
    assert again == place
    assert vars_of(again) == vars_of(place)
    assert place.decoded(through_json(document.plain_value(value))) == value
    hash(again)


def vars_of(place):
    """All fields, also those that equality leaves out."""
    return repr(place)


@QUICK
@given(documents)
def test_a_document_comes_back(made):
    data = document.plain(made)
    assert document.read_document(through_json(data)) == made
    assert document.plain(document.read_document(through_json(data))) == data
    json.dumps(data).encode("ascii")


@QUICK
@given(st.lists(action, max_size=3), st.lists(action, max_size=3))
def test_a_digest_tells_actions_apart(some, others):
    def written(actions):  # a line of fstab counts here, though it is no part of the place
        return [document.plain_action(action) for action in actions]

    assert (document.digest(some) == document.digest(others)) == (written(some) == written(others))


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 10**20),
    st.floats(),
    st.text(max_size=3),
    st.sampled_from(["\ud800", "\0", "nowhere", "Folder", "vmtune.plan/2"]),
)
JSON = st.recursive(
    SCALARS,
    lambda of: st.lists(of, max_size=3) | st.dictionaries(st.text(max_size=3), of),
    max_leaves=4,
)


def positions(data, path=()):
    """Where something could be something else."""
    yield path
    inner = (
        data.items()
        if isinstance(data, dict)
        else enumerate(data if isinstance(data, list) else ())
    )
    for key, value in inner:
        yield from positions(value, (*path, key))


@st.composite
def mutated(draw, made):
    """The data with one thing in it replaced, removed or added."""
    data = through_json(draw(made))
    path = draw(st.sampled_from(list(positions(data))))
    if not path:
        return draw(JSON)
    at = data
    for key in path[:-1]:
        at = at[key]
    match draw(st.sampled_from(["replace", "remove", "add"])):
        case "replace":
            at[path[-1]] = draw(JSON)
        case "remove":
            del at[path[-1]]
        case "add" if isinstance(at, dict):
            at[draw(st.text(max_size=5))] = draw(JSON)
        case _:
            at.insert(path[-1], draw(JSON))
    return data


@settings(QUICK, max_examples=600)
@given(mutated(documents.map(document.plain)))
def test_a_damaged_document_is_refused_or_whole(data):
    """What is read can also be compared, sorted out and written again."""
    try:
        made = document.read_document(data)
    except FormatError as error:
        assert str(error)  # noqa: PT017 - most are no errors
        return
    assert document.read_document(document.plain(made)) == made
    assert document.digest(made.plan.actions)
    hash(made.plan)
    for swap in (action for action in made.plan.actions if isinstance(action, Swap)):
        assert isinstance(swap.place.words(swap.have), str)
        assert isinstance(swap.place.words(swap.want), str)
        _ = swap.place.order, swap.place.full, swap.place.half_done(swap.have, swap.want, swap.have)


# --- what was written

FEW = [schedule.TextFile(path) for path in "ab"] + [mount_places.LiveOption("/", "compress")]
outcomes = st.sampled_from(["done", "failed", "already so", "changed since the plan", None])


@st.composite
def journals(draw):
    """Runs over a few places and values, with any outcome."""
    runs = []
    for number in range(1, draw(st.integers(1, 7)) + 1):
        swaps = draw(
            st.lists(
                st.builds(
                    Swap,
                    st.sampled_from(FEW),
                    st.sampled_from("xyz"),
                    st.sampled_from("xyz"),
                    st.just(""),
                    st.sampled_from(["mount /", "mount /home"]),
                ),
                max_size=3,
                unique_by=lambda swap: swap.place,
            )
        )
        ended = {n: draw(outcomes) for n in range(1, len(swaps) + 1)}
        begun = frozenset(n for n in ended if draw(st.booleans()) or ended[n])
        kept = {n: outcome for n, outcome in ended.items() if outcome}
        config = draw(st.sampled_from(["/a.yaml", "/b.yaml"]))
        runs.append(Run(number, "", "", "apply", config, tuple(swaps), begun, kept))
    return runs


@QUICK
@given(journals(), st.data())
def test_folding_in_two_steps_is_folding_at_once(runs, data):
    cut = data.draw(st.integers(0, len(runs)))
    assert fold(fold({}, runs[:cut]), runs[cut:]) == fold({}, runs)


@QUICK
@given(journals())
def test_what_is_known_to_be_written_was(runs):
    """A value that was there before, and the last that a configuration put, by who put it."""
    found = fold({}, runs)
    for place, was in ((place, was) for place, each in found.items() for was in each):
        assert isinstance(was, LastApplied)
        own = [run for run in runs if run.config == was.config]
        swaps = [(run, swap) for run in own for _, swap in run.done() if swap.place == place]
        assert was.values[-1] in {swap.want for _, swap in swaps}
        everybodys = (swap for run in runs for _, swap in run.done() if swap.place == place)
        assert was.original in {swap.have for swap in everybodys}
        assert was.original != was.values[-1]
        assert was.run in {run.number for run, _ in swaps}
        if was.certain:
            assert was.values == (swaps[-1][1].want,)
            assert was.owner == swaps[-1][1].owner
    for each in found.values():
        assert len({was.config for was in each}) == len(each)


@QUICK
@given(st.lists(st.sampled_from("xyz"), min_size=2, max_size=6))
def test_written_again_and_again_the_first_original_stays(values):
    place = FEW[0]
    steps = pairwise(values)
    runs = [
        Run(n, "", "", "apply", "", (Swap(place, have, want),), frozenset({1}), {1: "done"})
        for n, (have, want) in enumerate(steps, 1)
        if have != want
    ]
    (found,) = fold({}, runs).get(place, (None,))
    returned = [n for n, value in enumerate(values) if value == values[0]]
    if values[-1] == values[0]:
        assert found is None
    else:
        assert found
        assert found.original == values[max(returned)]
        assert found.values == (values[-1],)


def test_a_record_that_named_all_that_is_below_is_read():
    """Before there could be a million of them."""
    names = [f"{number:04}" for number in range(MOST + 1)]
    found = nocow_places.Below("/vm").decoded(names)
    assert found == NameList(MOST + 1, tuple(names[:MOST]))
    assert nocow_places.Below("/vm").decoded([]) == NONE_LEFT
