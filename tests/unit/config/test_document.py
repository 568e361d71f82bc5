"""YAML read strictly: what each text becomes, and where and why it is refused."""

from __future__ import annotations

import pytest

from reconciler.config.load import load
from reconciler.config.parse import MAX_NODES, read
from reconciler.errors import ConfigErrors

# Plain words, and what YAML 1.1 would have made of them where that differs.
VALUES = {
    "true": True,
    "false": False,
    "True": "True",  # True
    "yes": "yes",  # True
    "no": "no",  # False
    "off": "off",  # False
    "y": "y",
    "null": "null",  # None
    "~": "~",  # None
    "12:00": "12:00",  # 720
    "12:30:45": "12:30:45",  # 45045
    "0755": "0755",  # 493
    "0o17": "0o17",
    "0x1F": "0x1F",  # 31
    "1_000": "1_000",  # 1000
    "+1": "+1",  # 1
    "1.0": "1.0",  # 1.0
    "1e3": "1e3",
    ".inf": ".inf",  # inf
    "2026-01-02": "2026-01-02",  # a date
    "=": "=",  # an error
    "0": 0,
    "-7": -7,
    "300": 300,
    '"no"': "no",
    "'true'": "true",
    '"12"': "12",
    '""': "",
    "zstd:3": "zstd:3",
    "Sun *-*-* 03:00": "Sun *-*-* 03:00",
    ">-\n  a\n  b": "a b",
    '"\\u00e9"': "\u00e9",
}


@pytest.mark.parametrize("written", VALUES)
def test_value(written: str) -> None:
    document, problems = read(f"key: {written}\n".encode(), "f")
    assert not problems
    assert document is not None
    value = document.keys["key"].value
    assert value == VALUES[written]
    assert type(value) is type(VALUES[written])


def test_positions_of_keys_and_values() -> None:
    document, _ = read(b"a:\n  - b:   c\n    d: {e: f}\n", "f")
    assert document is not None
    entry = document.at(("a", 0))
    assert str(entry.origin) == "f:2:5"
    assert str(entry.keys["b"].key) == "f:2:5"
    assert str(entry.keys["b"].origin) == "f:2:10"
    assert str(document.at(("a", 0, "d", "e")).origin) == "f:3:12"


@pytest.mark.parametrize("text", [b"\xef\xbb\xbfa: b\n", b"a: b\r\nc: d\r\n", b"---\na: b\n...\n"])
def test_accepted(text: bytes) -> None:
    assert read(text, "f")[1] == ()


def test_an_alias_stands_for_its_anchor() -> None:
    document, problems = read(b"a: &x [1, 2]\nb: *x\n", "f")
    assert not problems
    assert document is not None
    assert document.plain() == {"a": [1, 2], "b": [1, 2]}
    assert str(document.keys["b"].origin) == "f:2:4"


def nested(levels: int) -> str:
    return "a: " + "[" * levels + "]" * levels


def doubling(levels: int) -> str:
    lines = ["l0: &l0 [x, x]"]
    lines += [f"l{n}: &l{n} [*l{n - 1}, *l{n - 1}]" for n in range(1, levels)]
    return "\n".join(lines)


# name: (text, every problem as "line:column: part of the message")
HOSTILE: dict[str, tuple[str | bytes, list[str]]] = {
    "empty": ("", ["1:1: the file is empty"]),
    "only comments": ("# nothing\n", ["1:1: the file is empty"]),
    "only a marker": ("---\n", ["1:1: the file is empty"]),
    "only blanks": ("  \n\n", ["1:1: the file is empty"]),
    "nul": ("version: 1\n# \0\n", ["2:3: control character U+0000"]),
    "escape sequence": ("a: \x1b[31m", ["1:4: control character U+001B"]),
    "hidden line break": ("# a\u2028b: c", ["1:4: control character U+2028"]),
    "text shown backwards": ("# a\u202eb", ["1:4: control character U+202E"]),
    "the same, escaped": ('a: "\\u2066"', ["1:4: control character U+2066"]),
    "next line": ("# a\x85b: c", ["1:4: control character U+0085"]),
    "latin-1": (b"version: 1\n# caf\xe9\n", ["2:6: byte 0xE9 is not UTF-8; is the file Latin-1?"]),
    "latin-1 after crlf": (b"a: b\r\n\xe9", ["2:1: byte 0xE9"]),
    "cut utf-8": (b"a: \xe2\x82", ["1:4: byte 0xE2"]),
    "utf-16": ("version: 1".encode("utf-16"), ["1:1: the file is UTF-16"]),
    "utf-16 without a mark": ("a: b".encode("utf-16-le"), ["1:2: control character U+0000"]),
    "windows-1252": (b"a: \x93b\x94", ["1:4: byte 0x93 is not UTF-8; is the file Latin-1?"]),
    "gzip": (b"\x1f\x8b\x08\0", ["1:2: byte 0x8B is not UTF-8"]),
    "a byte order mark inside": ("a: b\ufeffc", ["1:4: control character U+FEFF"]),
    "word joiner": ("a: b\u2060", ["1:4: control character U+2060"]),
    "too large": (b"#" * (1 << 20) + b"\n", ["1:1: the limit is 1 MiB"]),
    "tab before a key": ("a:\n\tb: c", ["2:1: a tab where YAML wants spaces"]),
    "tab after a colon": ("a:\tb", ["1:3: a tab"]),
    "tab at the end": ("a: b\t\n", ["1:5: a tab"]),
    "tab in a text": ('a: "b\tc"', ["1:4: the text holds control character U+0009"]),
    "line break in a text": ("a: |\n  b\n", ["1:4: the text holds a line break"]),
    "escaped nul": ('a: "\\0"', ["1:4: control character U+0000"]),
    "surrogate": ('a: "\\ud800"', ["1:4: control character U+D800"]),
    "escape beyond Unicode": ('a: "\\U00110000"', ["1:7: out of any range"]),
    "escape beyond C": ('a: "\\UFFFFFFFF"', ["1:7: out of any range"]),
    "unknown escape": ('a: "C:\\q"', ["1:8: a backslash in double quotes begins an escape"]),
    "windows path": ('a: "C:\\Users"', ["1:9: a backslash in double quotes"]),
    "cron with a star": (
        "s: * 12 * * *",
        ["1:4: begins with `*` means something else to YAML: quote it"],
    ),
    "cron with a step": ("s: */5 * * * *", ["1:4: begins with `*`"]),
    "cron shortcut": ("s: @daily", ["1:4: begins with `@`"]),
    "subvolume name": ("subvol: @rootfs", ["1:9: begins with `@`"]),
    "backtick": ("a: `b`", ["1:4: begins with ```"]),
    "percent": ("a: %b", ["1:4: begins with `%`"]),
    "comma": ("opts: ,compress=no", ["1:7: begins with `,`"]),
    "alias of nothing": ("a: *daily", ["1:4: alias '*daily' of nothing"]),
    "template in braces": ("path: {{home}}/x", ["1:7: is this an unrendered template?"]),
    "template with blanks": ("path: {{ .home }}\nb: c", ["1:7: unrendered template?"]),
    "template in a text": ("path: /home/{{ user }}/x", ["1:7: unrendered template?"]),
    "template in quotes": ('path: "{{ home }}/x"', ["1:7: unrendered template?"]),
    "template statement": ("{% if a %}\nb: c", ["1:2: unrendered template?"]),
    "template with a bad character": ("path: {{ @home }}", ["1:7: unrendered template?"]),
    "duplicate key": ("a: 1\nb: 2\na: 3", ["3:1: the key 'a' is written twice, in lines 1 and 3"]),
    "duplicate of another type": ('1: a\n"1": b', ["2:1: the key '1' is written twice"]),
    "duplicate below": ("a:\n  - b: 1\n    b: 2", ["3:5: the key 'b' is written twice"]),
    "merge key": ("<<: {a: b}", ["1:1: merge keys"]),
    "tag": ("a: !!str no", ["1:4: the tag '!!str' is not read here"]),
    "python tag": ("a: !!python/object/apply:os.system [x]", ["1:4: the tag '!!python"]),
    "own tag": ("a: !secret b", ["1:4: the tag '!secret'"]),
    "tag on a key": ("!!str a: b", ["1:1: the tag '!!str'"]),
    "tag without a name": ("a: ! b", ["1:4: the tag '!'"]),
    "no value": ("a:\nb: c", ["1:1: 'a' has no value"]),
    "no value in braces": ("{a, b: c}", ["1:2: 'a' has no value"]),
    "no entry": ("a:\n  -\n  - b", ["2:4: a value is missing"]),
    "no key": (": a", ["1:1: a key is missing"]),
    "no key after a question mark": ("?\n: a", ["1:2: a key is missing"]),
    "no key in braces": ("{: a}", ["1:2: a key is missing"]),
    "list as a key": ("? [a]\n: b", ["1:3: a key must be plain text"]),
    "alias as a key": ("a: &x b\n*x : c", ["2:1: a key must be plain text"]),
    "recursive list": ("a: &a [*a]", ["1:8: the alias '*a' contains itself"]),
    "recursive mapping": ("&a a: *a", ["1:7: of nothing"]),
    "recursive through two": ("a: &a {b: &b [*a]}", ["1:15: contains itself"]),
    "two documents": ("a: b\n---\nc: d", ["2:1: a second document"]),
    "deep": (nested(40), ["1:35: nested more than 32 levels"]),
    "very deep": (nested(100_000), ["1:35: nested more than 32 levels"]),
    "deep in dashes": ("- " * 40 + "x", ["1:65: nested more than 32 levels"]),
    "deep through aliases": (
        "\n".join(f"l{n}: &l{n} {'[' * 9}{f'*l{n - 1}' if n else 'x'}{']' * 9}" for n in range(5)),
        ["4:18: nested more than 32 levels"],
    ),
    "wide": ("[" + "x," * MAX_NODES + "]", ["1:200000: more than 100,000 values"]),
    "alias bomb": (doubling(30), ["15:18: more than 100,000 values"]),
    "number of 5,000 digits": ("a: " + "9" * 5000, ["1:4: a number of 5000 digits"]),
    "version of 5,000 digits": (
        "%YAML 1." + "9" * 5000 + "\n---\na: b",
        ["1:9: out of any range"],
    ),
    "unknown directive version": ("%YAML 2.0\n---\na: b", ["1:1: begins with `%`"]),
    "long text": ("a: " + "b" * 5000, ["1:4: a text of 5000 characters; the limit is 4096"]),
    "long alias": ("a: *" + "b" * 5000, ["1:4: bbb...' of nothing"]),
    "long tag": ("a: !" + "b" * 5000 + " c", ["1:4: the tag '!bbb"]),
    "long key": ("? " + "a" * 5000 + "\n:", ["1:3: aaa...' has no value"]),
    "long cron": ("a: * " + "b" * 5000, ["1:4: begins with `*`"]),
    "open quote": ("a: 'b\nc: d", ["1:4: a quote is not closed"]),
    "open bracket": ("a: [b\nc: d", ["2:2: a bracket is not closed"]),
    "closed twice": ("a: b]\nc: ]", ["2:4: begins with `]`"]),
    "two keys in a line": ("a: b: c", ["1:5: a second `key: value` on one line"]),
    "key without a colon": ("a: b\nc", ["2:2: expected `key: value`, found no colon"]),
    "indented too far": ("a: b\n  c: d", ["2:4: wrong indentation"]),
    "indented too little": ("a:\n    b: c\n  d: e", ["3:3: does not line up"]),
    "list beside its key": ("a: - b", ["1:4: a list cannot begin on the line of its key"]),
    "three at once": ("a:\nb: !x y\nc: 1\nc: 2", ["1:1: 'a'", "2:4: '!x'", "4:1: 'c'"]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile(name: str) -> None:
    text, expected = HOSTILE[name]
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    _, problems = read(data, "f")
    found = [str(problem) for problem in problems]
    assert len(found) == len(expected), found
    for message, (place, part) in zip(
        found, (line.split(" ", 1) for line in expected), strict=True
    ):
        assert message.startswith(f"f:{place} ")
        assert part in message


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_ends_in_problems(name: str) -> None:
    text, _ = HOSTILE[name]
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    with pytest.raises(ConfigErrors) as caught:
        load(data, "vmtune.yaml", host="atlas", home_of=lambda _: "/home/me")
    for problem in caught.value.problems:
        assert len(str(problem)) < 300
        assert problem.message.isprintable()


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("s: * 12 * * *  # noon", 'write "* 12 * * *"'),
        ("s: @daily", 'write "@daily"'),
        ("o: {a: no, s: @x}", 'write "@x"'),
        ("o: [@x, y]", 'write "@x"'),
        ('s: @a "b"', "write '@a \"b\"'"),
        ("", "the first line to write is `version: 1`"),
        ('a: "C:\\Users"', "use single quotes"),
    ],
)
def test_hint_says_what_to_write(text: str, hint: str) -> None:
    assert read(text.encode(), "f")[1][0].hint == hint
