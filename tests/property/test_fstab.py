"""The laws of the fstab lens and of mount options, on whatever bytes there may be."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from reconciler.formats import fstab, options

WORDS = st.sampled_from(
    [
        b"UUID=b", b'LABEL="a\\040b"', b"/", b"/b", b"//b/", b"/b\\040c", b"btrfs", b"defaults",
        b"compress=zstd:3", b"noatime,compress=no", b'context="a,b"', b'"', b"a\\", b"0", b"1",
        b"#", b"#x", b"\xff", b"\xef\xbb\xbf", b"\0", b"\r", b"\x0b", b"\\000", b"\\777", b"-1",
    ]
)  # fmt: skip
BLANKS = st.sampled_from([b" ", b"\t", b"  ", b" \t "])
ENDS = st.sampled_from([b"\n", b"\n", b"\r\n", b"\n\n", b" \n", b"\r\r\n", b""])
ROWS = st.builds(
    lambda words, blank, lead, end: lead + blank.join(words) + end,
    st.lists(WORDS, max_size=8),
    BLANKS,
    st.sampled_from([b"", b"", b"  ", b"\t"]),
    ENDS,
)
GOOD = st.builds(
    lambda blank, target, tail, end: blank.join([b"UUID=b", target, b"btrfs", *tail]) + end,
    BLANKS,
    st.sampled_from([b"/", b"/b"]),
    st.sampled_from([[], [b"ro"], [b"ro", b"0"], [b"ro", b"0", b"1"], [b"ro", b"0", b"0", b"# x"]]),
    st.sampled_from([b"\n", b"\r\n", b" \n"]),
)
FILES = st.lists(GOOD | ROWS, max_size=6).map(b"".join) | st.binary(max_size=200)

WITH_A_LINE = st.tuples(st.lists(GOOD | ROWS, max_size=3), GOOD, st.lists(GOOD | ROWS, max_size=3))
EDITABLE = WITH_A_LINE.map(lambda parts: b"".join([*parts[0], parts[1], *parts[2]]))
"""Files with at least one line that may be edited, unless what is around it spoils the file."""

TOKENS = st.sampled_from(
    [
        "", "ro", "noatime", "defaults", "compress", "compress=no", "compress-force=zstd:3",
        "subvol=@a#b", "nodatacow", "x-a.b=c", 'c="a,b"', "d=\\040", "e=\udcff", "f=\\,x",
    ]
)  # fmt: skip
OPTIONS = st.lists(TOKENS, max_size=5).map(",".join)
COMPRESS = options.family("compress")

# Written apart from the code under test: a head of three fields, then the fourth, if any.
THREE_FIELDS = re.compile(
    rb"([ \t]*(?:[^ \t]+[ \t]+){2}[^ \t]+?)([ \t]*)((?<=[ \t])[^ \t\r]+)?((?:[ \t].*)?\r?)",
    re.DOTALL,
)


def editable(data: bytes) -> list[fstab.Line]:
    return [line for line in fstab.parse(data) if not line.problem]


@given(st.binary() | FILES)
def test_parse_never_raises(data):
    numbers = [line.number for line in fstab.parse(data)]
    assert numbers == sorted(set(numbers))
    assert all(0 < number <= data.count(b"\n") + 1 for number in numbers)
    assert all("\0" not in line.source + line.target for line in fstab.parse(data))


@given(FILES)
def test_get_put(data):
    for line in editable(data):
        assert fstab.with_options(data, line.number, line.options) == data


@given(EDITABLE, OPTIONS.filter(bool), st.data())
def test_put_get(data, new, draw):
    lines = editable(data)
    assume(lines)
    line = draw.draw(st.sampled_from(lines))
    after = fstab.with_options(data, line.number, new)
    for old, now in zip(fstab.parse(data), fstab.parse(after), strict=True):
        if old.number == line.number:
            assert now.options == new
            assert not now.problem
            assert (now.source, now.target, now.fstype) == (old.source, old.target, old.fstype)
        else:
            assert now == old


@given(EDITABLE, OPTIONS.filter(bool), OPTIONS.filter(bool), st.data())
def test_put_put(data, first, second, draw):
    lines = editable(data)
    assume(lines)
    number = draw.draw(st.sampled_from(lines)).number
    once = fstab.with_options(data, number, second)
    assert fstab.with_options(fstab.with_options(data, number, first), number, second) == once


@given(EDITABLE, OPTIONS.filter(bool), st.data())
def test_put_is_undone_byte_for_byte(data, new, draw):
    lines = editable(data)
    assume(lines)
    line = draw.draw(st.sampled_from(lines))
    after = fstab.with_options(data, line.number, new)
    assert fstab.with_options(after, line.number, line.options) == data


@given(EDITABLE, OPTIONS.filter(bool), st.data())
def test_only_the_bytes_of_the_field_change(data, new, draw):
    lines = editable(data)
    assume(lines)
    line = draw.draw(st.sampled_from(lines))
    before, after = data.split(b"\n"), fstab.with_options(data, line.number, new).split(b"\n")
    row, changed = before.pop(line.number - 1), after.pop(line.number - 1)
    assert before == after
    head, blanks, field, tail = THREE_FIELDS.fullmatch(row).groups()
    put = new.encode("utf-8", "surrogateescape")
    if field:
        assert changed == head + blanks + put + tail
    else:
        assert changed in {head + blank + put + blanks + tail for blank in (b" ", b"\t")}


@given(FILES, st.integers(-2, 9), st.text(max_size=12) | OPTIONS)
@example(b"UUID=b / btrfs", 1, "\ud800")
def test_an_edit_is_read_back_or_refused(data, number, new):
    """Whatever is asked for: either the line then holds it, or ValueError."""
    try:
        after = fstab.with_options(data, number, new)
    except ValueError:
        return
    line = next(line for line in fstab.parse(after) if line.number == number)
    assert (line.options, line.problem) == (new, "")


@given(OPTIONS)
def test_split_loses_nothing(text):
    assert ",".join(options.split(text)) == ",".join(part for part in text.split(",") if part)


@given(st.text(alphabet='a=,"\\', max_size=20))
def test_tokens_are_whole(text):
    if not options.well_formed(text):
        with pytest.raises(ValueError, match="open quote"):
            options.split(text)
        return
    tokens = options.split(text)
    assert all(options.split(token) == (token,) for token in tokens)
    assert options.split(text + ",b") == (*tokens, "b")


@given(OPTIONS, st.sampled_from(["compress=no", "compress-force=zstd"]))
def test_replacing_one_option_by_another_keeps_every_other_byte(text, token):
    """An option that is there once is exchanged where it stands; a new one goes to the end."""
    named = [t for t in options.split(text) if options.name(t) in COMPRESS]
    after = options.replace(text, COMPRESS, token)
    if not named:
        assert after in {text + token, f"{text},{token}"}
    elif len(named) == 1:
        before, _, behind = f",{text},".partition(f",{named[0]},")
        assert f",{after}," == f"{before},{token},{behind}"
    else:
        assert after.count(",") == text.count(",") - len(named) + 1


@given(OPTIONS, st.sampled_from(["compress=no", "compress-force=zstd", None]))
def test_replace(text, token):
    after = options.replace(text, COMPRESS, token)
    assert options.value(after, COMPRESS) == token
    assert options.replace(after, COMPRESS, token) == after
    others = [t for t in options.split(text) if options.name(t) not in COMPRESS]
    kept = [t for t in options.split(after) if options.name(t) not in COMPRESS]
    assert kept in (others, others or ["defaults"])
    assert sum(options.name(t) in COMPRESS for t in options.split(after)) == (token is not None)
