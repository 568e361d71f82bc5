"""What ``vmtune init`` prints is valid, whatever a host's names are, and says those names."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.config.load import load
from reconciler.discovery.candidates import declarable, tilde
from reconciler.errors import ConfigErrors
from reconciler.facts.discovered import Choice, Entry, Remark, Suggestion
from reconciler.report.discovery import suggestion

HOME = "/home/alice"
AWKWARD = st.sampled_from(
    [
        *"'\"#%@`{}[],&*!|>?\\~=- \n\t\r\x00\x7f\x85\xa0\u2028\u202e\ufeff\ufffe\ud800\U000e0001",
        *(": ", " #", "- ", "<<", "---", "...", "true", "null", "12:00", "0755", "1e3"),
        *("é", "日本", "\U0001f600", "\x1b[31m", "$HOME", "${x}", "{{ a }}", "{%", "a" * 200),
    ]
)
NAME = st.lists(
    st.one_of(AWKWARD, st.text(st.characters(blacklist_characters="/", blacklist_categories=()))),
    min_size=1,
    max_size=4,
).map("".join)
TEXT = st.one_of(NAME, st.text(st.characters(blacklist_categories=())))
REAL = NAME.map(lambda name: name.replace("/", "_").replace("\0", "_")).filter(
    lambda name: name not in {"", ".", ".."}
)
PATH = st.lists(REAL, min_size=1, max_size=3).map(lambda names: "/" + "/".join(names))
HOMELY = PATH.map(lambda path: HOME + path)


def home_of(name: str) -> str | None:
    return None if name else HOME


def printed(of: Suggestion, width: int, encoding: str) -> bytes:
    """As a terminal of that width and encoding gets it: escapes for what it cannot say."""
    text = "".join(f"{line}\n" for line in suggestion(of, width))
    return text.encode(encoding, "backslashreplace").decode(encoding).encode()


@given(
    paths=st.lists(st.one_of(PATH, HOMELY), max_size=4, unique=True),
    said=st.lists(TEXT, min_size=1, max_size=3),
    active=st.booleans(),
    width=st.integers(40, 200),
    encoding=st.sampled_from(["utf-8", "ascii", "latin-1"]),
)
def test_it_is_valid_and_names_what_is_there(paths, said, active, width, encoding):
    remarks = tuple(Remark("found", text) for text in said)
    entries = [
        Entry("paths", {"path": tilde(path, HOME), "nocow": True}, remarks, _choices(said), active)
        for path in paths
        if not declarable(tilde(path, HOME))
    ]
    of = Suggestion(said[0], tuple(entries), remarks, tuple(said), is_root=active)
    items = load(printed(of, width, encoding), "printed", host="atlas", home_of=home_of)
    kept = [path for path in paths if not declarable(tilde(path, HOME))]
    assert [item.path for item in items] == (kept if active else [])


def _choices(said: list[str]) -> tuple[Choice, ...]:
    return tuple(Choice("existing", "rewrite", text) for text in said)


@pytest.mark.parametrize("hidden", ["\u200b", "\u2060", "\ufeff", "\u202e", "\u2028", "\x9f"])
def test_what_nobody_sees_is_neither_written_nor_read(hidden):
    assert declarable(f"/srv/v{hidden}m")
    text = f"version: 1\npaths: [{{path: /srv/v{hidden}m, nocow: true}}]\n"
    with pytest.raises(ConfigErrors):
        load(text.encode(), "printed", host="atlas", home_of=home_of)


@settings(deadline=None)  # the first mistake of a process waits for jsonschema
@given(path=st.one_of(PATH, HOMELY))
def test_what_is_called_unwritable_is_refused_by_the_reader_too(path):
    """Nothing is left out that could have been declared."""
    shown = tilde(path, HOME)
    if not declarable(shown):
        return
    of = Suggestion("atlas", (Entry("paths", {"path": shown, "nocow": True}, ()),))
    text = "".join(f"{line}\n" for line in suggestion(of, 80)).encode("utf-8", "surrogatepass")
    with pytest.raises(ConfigErrors):
        load(text, "printed", host="atlas", home_of=home_of)


@given(
    schedule=st.sampled_from(["0 12 * * *", "Sun 03:00", "@weekly", "*-*-* 12:00:00", "*:0/15"]),
    target=st.one_of(PATH, HOMELY),
    encoding=st.sampled_from(["utf-8", "ascii"]),
)
def test_other_sections_are_valid_too(schedule, target, encoding):
    if declarable(target):
        return
    of = Suggestion(
        "atlas",
        (
            Entry("mounts", {"target": target, "options": {"compress": "no"}}, ()),
            Entry("mounts", {"target": "/", "options": {"autodefrag": False}}, ()),
            Entry("defrag", {"path": target, "schedule": schedule, "allow": ["snapshots"]}, ()),
        ),
    )
    items = load(printed(of, 80, encoding), "printed", host="atlas", home_of=home_of)
    assert [item.path for item in items] == [target, "/", target]
    assert [item.data.get("options") for item in items[:2]] == [
        {"compress": "no"},
        {"autodefrag": False},
    ]
    assert items[2].data["schedule"] == schedule
