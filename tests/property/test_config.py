"""Whatever is in the file: items, or problems that a person can read. Never anything else."""

from __future__ import annotations

import json
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.config.check import load_schema
from reconciler.config.hosts import PathError, expand
from reconciler.config.load import load, load_all_hosts
from reconciler.config.parse import read
from reconciler.errors import ConfigErrors
from reconciler.resources.registry import DEFAULTS, SECTIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.engine.item import Item, Section

EXAMPLE = (Path(__file__).parents[2] / "vmtune.yaml.example").read_text()
SCHEMA = load_schema()
IDENTITY = {section.name: section.identity for section in SECTIONS}

SNIPPETS = (
    *(f"{section}:\n" for section in IDENTITY),
    *("version: 1\n", "hosts:\n", "  - path: /x\n", "  a:\n"),
    *("    nocow: true\n", "    nocow: ", "  - target: /\n", "    options: ", "{compress: no}\n"),
    *("    schedule: ", '"0 12 * * *"\n', "remove: true", "&a ", "*a", "*a\n", "<<: ", "!!str "),
    *("[", "]", "{", "}", "{{", "- ", "? ", ": ", "\t", "\n", "\r", "\0", '"', "'", "|\n", ">-\n"),
    *("#", "%YAML 1.1\n", "%TAG ! x\n", "---\n", "...\n", "\ufeff", "\u2028", '"\\x"', '"\\U11"'),
    *("~", "~/", "~a/", "@daily", "9" * 20, "-0", "1:2", "null", "${A}", "/../", "true", "*"),
)
WORDS = (
    *("version", *IDENTITY, "hosts", "path", "nocow", "existing", "subvolume"),
    *("compression", "allow", "target", "options", "compress", "commit", "schedule", "scheduler"),
    *("remove", "a", "A.b", "ssd", "nodatacow", "dev", "x-a", "", "optoins", "raid", "/x", "~/x"),
)

# The first example imports yaml and jsonschema: longer than hypothesis allows for one.
unhurried = settings(deadline=None)

snippets = st.lists(st.sampled_from(SNIPPETS), max_size=14).map("".join)
anything = st.one_of(st.binary(max_size=80), st.text(max_size=80).map(str.encode))
leaves = st.one_of(
    st.booleans(), st.integers(), st.sampled_from(WORDS), st.sampled_from(["@daily", "zstd:3"])
)
shapes = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4)
    ),
    max_leaves=20,
)

names = st.text("ab.~ -_\u00fc", min_size=1, max_size=4).filter(
    lambda name: name not in (".", "..")
)
paths = st.lists(names, max_size=3).map(lambda parts: "/" + "/".join(parts))
RISKS = SCHEMA["$defs"]["allow"]["items"]["enum"]
risks = st.lists(st.sampled_from(RISKS), unique=True)
options = {
    "compress": st.sampled_from(["no", "lzo", "zlib", "zlib:9", "zstd", "zstd:-15", "zstd:15"]),
    "noatime": st.booleans(),
    "discard": st.sampled_from(["no", "sync", "async"]),
    "commit": st.integers(1, 300),
}
# Not compression, which is an error beside nocow: each entry of paths has that.
keys: dict[str, st.SearchStrategy[Any]] = {
    "path": paths,
    "target": paths,
    "nocow": st.booleans(),
    "existing": st.sampled_from(["report", "keep", "rewrite"]),
    "subvolume": st.booleans(),
    "allow": risks,
    "options": st.fixed_dictionaries({"ssd": st.booleans()}, optional=options),
    "schedule": st.sampled_from(["0 12 * * *", "@daily", "*/5 * * * 1-5"]),
    "scheduler": st.sampled_from(["auto", "systemd", "cron"]),
}


def entries(section: Section) -> st.SearchStrategy[dict[str, Any]]:
    """What can be written for an entry, by the section and its part of the schema."""
    needed = {section.identity, *section.required, *section.one_of[:1]}
    written = follow(follow(SCHEMA["properties"][section.name])["items"])["properties"]
    return st.fixed_dictionaries(
        {key: keys[key] for key in sorted(needed)},
        optional={key: keys[key] for key in written if key in keys.keys() - needed},
    )


def follow(schema: Any) -> Any:
    name = schema.get("$ref", "").removeprefix("#/$defs/")
    return SCHEMA["$defs"][name] if name else schema


sections = st.fixed_dictionaries(
    {},
    optional={
        section.name: st.lists(entries(section), max_size=3, unique_by=itemgetter(section.identity))
        for section in SECTIONS
    },
)


def home_of(name: str) -> str | None:
    return None if name else "/home/me"


def refusal(call: Callable[[], object]) -> ConfigErrors | None:
    try:
        call()
    except ConfigErrors as problems:
        return problems
    return None


def attempt(text: bytes, overlay: bytes | None = None) -> None:
    own = (overlay, "hosts/a.yaml") if overlay is not None else None
    overlays = {"a": own} if own else {}
    for call in (
        lambda: load(text, "f", host="a", home_of=home_of, overlay=own),
        lambda: load_all_hosts(text, "f", home_of=home_of, overlays=overlays),
    ):
        found = refusal(call)
        assert found is None or found.problems
        for problem in found.problems if found else ():
            assert problem.message.isprintable()
            assert str(problem).encode()


def data(items: tuple[Item, ...]) -> list[tuple[str, str, Any]]:
    return [(item.section, item.path, item.data) for item in items]


def loaded(document: Any, overlay: Any = None) -> list[tuple[str, str, Any]]:
    own = (json.dumps(overlay).encode(), "hosts/a.yaml") if overlay is not None else None
    text = json.dumps(document).encode()
    return data(load(text, "f", host="a", home_of=home_of, overlay=own))


@unhurried
@given(anything, anything)
def test_any_bytes(text: bytes, overlay: bytes) -> None:
    attempt(text)
    attempt(b"version: 1\n", overlay)


@unhurried
@given(snippets, snippets)
def test_any_yaml(text: str, overlay: str) -> None:
    attempt(text.encode(), overlay.encode())
    attempt(b"version: 1\n" + text.encode())


@unhurried
@given(st.integers(0, len(EXAMPLE)), st.integers(0, 30), snippets)
def test_a_mutilated_example(start: int, length: int, snippet: str) -> None:
    attempt((EXAMPLE[:start] + snippet + EXAMPLE[start + length :]).encode())


@unhurried
@given(st.dictionaries(st.sampled_from(WORDS), shapes), shapes)
def test_any_shape(document: Any, overlay: Any) -> None:
    text = json.dumps({"version": 1, **document}).encode()
    attempt(text, json.dumps(overlay).encode())


@unhurried
@given(sections)
def test_what_is_valid_comes_back(document: dict[str, list[dict[str, Any]]]) -> None:
    expected = []
    for section, identity in IDENTITY.items():
        for entry in document.get(section, []):
            rest = {key: value for key, value in entry.items() if key != identity}
            rest |= {"allow": tuple(rest["allow"])} if "allow" in rest else {}
            expected.append((section, entry[identity], {**DEFAULTS[section], **rest}))
    assert loaded({"version": 1, **document}) == expected


@unhurried
@given(sections, sections)
def test_the_two_places_for_a_host_mean_the_same(base: Any, host: Any) -> None:
    entry = loaded({"version": 1, **base, "hosts": {"a": host}})
    assert entry == loaded({"version": 1, **base}, host)


@unhurried
@given(sections, sections)
def test_a_change_made_twice_is_made_once(base: Any, host: Any) -> None:
    document = {"version": 1, **base, "hosts": {"a": host}}
    assert loaded(document, host) == loaded(document)


@unhurried
@given(sections)
def test_removing_all_leaves_nothing(base: Any) -> None:
    host = {
        section: [{IDENTITY[section]: entry[IDENTITY[section]], "remove": True} for entry in found]
        for section, found in base.items()
    }
    assert loaded({"version": 1, **base, "hosts": {"a": host}}) == []


@unhurried
@given(st.text(st.characters(blacklist_categories=["C", "Zl", "Zp"])))
def test_quoted_text_is_that_text(text: str) -> None:
    document, problems = read(json.dumps({"key": text}, ensure_ascii=False).encode(), "f")
    assert document is not None
    assert document.keys["key"].value == text or any("template" in str(p) for p in problems)


@unhurried
@given(st.text("/~.a$", max_size=8))
def test_expanding_twice_is_expanding_once(written: str) -> None:
    try:
        path = expand(written, home_of)
    except PathError:
        return
    assert path.startswith("/")
    assert expand(path, home_of) == path
