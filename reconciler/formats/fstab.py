"""/etc/fstab: its entries, and the options of one entry replaced (fstab(5)).

Two programs read this file: mount(8), through libmount, and at boot
systemd-fstab-generator(8), through getmntent(3). An entry that they would not
read alike, or not as it looks, has a ``problem`` and is never edited.
"""

from __future__ import annotations

import codecs
import re
from itertools import islice

from reconciler.formats.options import KNOWN, name, split, value, well_formed
from reconciler.value import Value

LONGEST = 4095
"""Bytes of a line, without its newline, that getmntent(3) reads; it forgets the rest."""

_ESCAPE = re.compile(rb"\\([0-7]{3})")

# libmount decodes every octal byte, glibc's getmntent(3) these and \012, of
# which systemd then makes a line of its own in the unit.
_SHARED_ESCAPES = frozenset({b"040", b"011", b"134"})

_TAG = re.compile(r"""\A(ID|UUID|LABEL|PARTUUID|PARTLABEL)=(["'])(.*)\2\Z""", re.DOTALL)

# fgets(3) returns the line whole, but getmntent(3) looks for its newline with
# strchr(3), does not get past the NUL, and skips the line after it instead.
_NUL = "the file holds NUL bytes, after which systemd skips a line"


class Line(Value):
    """One entry. ``number`` counts every line from 1; comments and blank lines are no entries.

    ``source`` and ``target`` are decoded (surrogateescape), the source without
    the quotes of UUID="...", the target without doubled and trailing slashes.
    ``options`` is the fourth field as written, "" where there is none.
    ``problem`` is "" or why the entry must not be edited.
    """

    number: int
    source: str
    target: str
    fstype: str
    options: str
    problem: str


def parse(data: bytes) -> tuple[Line, ...]:
    """Every entry in order, also those with a problem. Never raises."""
    everywhere = _NUL if b"\0" in data else ""
    rows = ((number, row, _fields(row)) for number, row in enumerate(data.split(b"\n"), 1))
    return tuple(
        _line(number, fields, everywhere or _problem(row, fields))
        for number, row, fields in rows
        if fields
    )


def with_options(data: bytes, number: int, options: str) -> bytes:
    """The file with the fourth field of line ``number`` replaced, every other byte kept.

    A line of three fields gets a fourth; "" takes the fourth away again, where
    it is the last. Raises ValueError for options that would not be read back
    as they are, and for a line that is no entry or has a problem.
    """
    rows = data.split(b"\n")
    row = rows[number - 1] if 0 < number <= len(rows) else b""
    fields = _fields(row)
    if not fields:
        raise ValueError(f"line {number} of fstab is not an entry")
    if problem := (_NUL if b"\0" in data else _problem(row, fields)) or _options_problem(options):
        raise ValueError(f"line {number} of fstab: {problem}")
    rows[number - 1] = _put(row, fields, options.encode("utf-8", "surrogateescape"))
    if len(rows[number - 1]) > LONGEST:
        raise ValueError(f"line {number} of fstab would be longer than {LONGEST} bytes")
    return b"\n".join(rows)


def unescape(field: bytes) -> str:
    r"""A field decoded: \040 is a blank, and so on for any octal byte (surrogateescape).

    Ends before a NUL, as it does for the programs that read it.
    """
    decoded = _ESCAPE.sub(lambda found: bytes([int(found[1], 8) & 0xFF]), field)
    return decoded.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _fields(row: bytes) -> tuple[re.Match[bytes], ...]:
    """The first seven fields of a line; none in a comment or a blank line."""
    # libmount takes one CR off the end of a line, and systemd off the end of
    # the line that it writes into the unit.
    fields = tuple(islice(re.finditer(rb"[^ \t]+", row.removesuffix(b"\r")), 7))
    return () if fields and fields[0][0].startswith(b"#") else fields


def _line(number: int, fields: tuple[re.Match[bytes], ...], problem: str) -> Line:
    source, target, fstype, options = ([field[0] for field in fields] + [b""] * 3)[:4]
    return Line(
        number=number,
        source=_TAG.sub(r"\1=\3", unescape(source)),
        target=_normal(unescape(target)),
        fstype=unescape(fstype),
        options=options.decode("utf-8", "surrogateescape"),
        problem=problem,
    )


def _normal(target: str) -> str:
    # ".." stays: what it leads to depends on symbolic links.
    if not target.startswith("/"):
        return target
    return "/" + "/".join(name for name in target.split("/") if name not in {"", "."})


def _problem(row: bytes, fields: tuple[re.Match[bytes], ...]) -> str:
    words = [field[0] for field in fields]
    if len(row) > LONGEST:
        return f"longer than {LONGEST} bytes, of which systemd reads no more"
    if words[0].startswith(codecs.BOM_UTF8):
        return "begins with a byte order mark, which is read as part of the first field"
    if len(words) < 3:  # noqa: PLR2004 - fstab(5): source, mount point, type
        return f"only {len(words)} of at least 3 fields"
    options = b"".join(words[3:4]).decode("utf-8", "surrogateescape")
    if unshared := sorted({*_ESCAPE.findall(b" ".join(words[:3]))} - _SHARED_ESCAPES):
        return f"mount and systemd read \\{unshared[0].decode()} differently"
    return _options_problem(options) or _rest_problem(words[4:])


def _options_problem(options: str) -> str:
    if options.startswith("#"):
        return "the options begin with #, which is no comment there"
    if re.search(r"[\x00-\x20\x7f]", options):
        return "a blank or a control character in the options"
    if not well_formed(options):
        return "an open quote, or a backslash at the end, in the options"
    return _hidden_option_problem(options)


def _hidden_option_problem(options: str) -> str:
    """Say which escape in the options hides an option that counts; all others are copied.

    mount decodes each of them, systemd few. What is a comma between two options to one of
    them is a part of one option to the other.
    """
    raw = options.encode("utf-8", "surrogateescape")
    for escape in sorted({*_ESCAPE.findall(raw)}):
        if int(escape, 8) & 0xFF in {0, 10}:  # NUL, newline
            return f"mount and systemd read \\{escape.decode()} differently"
    decoded = unescape(raw)
    if not well_formed(decoded):
        return "an escape in the options is an open quote to mount, but not to systemd"
    written = {name(token) for token in split(options)}
    hidden = sorted({name(token) for token in split(decoded)} & KNOWN - written)
    return f"an escape hides {hidden[0]}, which mount reads and systemd does not" if hidden else ""


def _rest_problem(words: list[bytes]) -> str:
    """What is wrong after the options: libmount ignores a line whose 5th or 6th is no number."""
    for word in words[:2]:
        if word.startswith(b"#"):
            return "a comment before the 6th field, for which mount ignores the line: put 0 0 first"
        if not re.fullmatch(rb"[+-]?[0-9]+", word):
            shown = word[:40].decode("utf-8", "backslashreplace")
            return f"{shown!r} after the options is not a number: a blank inside the options?"
    if words[2:] and not words[2].startswith(b"#"):
        return "more than 6 fields: a blank inside one of them?"
    return ""


def _put(row: bytes, fields: tuple[re.Match[bytes], ...], options: bytes) -> bytes:
    fstype, *rest = fields[2:]
    if options and rest:
        return row[: rest[0].start()] + options + row[rest[0].end() :]
    if len(rest) > 1:
        raise ValueError("options cannot be empty where a fifth field follows")
    start, end = fstype.end(), (rest or [fstype])[0].end()
    blank = row[fstype.start() - 1 : fstype.start()] if options else b""
    return row[:start] + blank + options + row[end:]


def subvolume_named(line_options: str) -> str | None:
    """Return what subvol= of a line names, from the top level; None where that is not plain."""
    token = value(line_options, {"subvol"}) or ""
    path = unescape(token.partition("=")[2].encode("utf-8", "surrogateescape"))
    if path[:1] == path[-1:] == '"':
        path = path[1:-1]
    names = [name for name in path.split("/") if name not in {"", "."}]
    # What is left of quotes and backslashes, versions of mount(8) read differently.
    if not path or ".." in names or '"' in path or "\\" in path:
        return None
    return f"/{'/'.join(names)}"
