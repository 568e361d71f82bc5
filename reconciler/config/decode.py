"""The bytes of a configuration file, as text that PyYAML may be shown."""

from __future__ import annotations

import re

from reconciler.core.origin import Origin, Problem, Problems

MAX_BYTES = 1 << 20

# What YAML 1.2 section 5.1 calls printable, less the three line breaks that
# PyYAML knows and editors do not (text after one of those would be on a line
# that nobody sees), and less the bidirectional controls (CVE-2021-42574: a
# reviewer is shown another text than is read).
_UNPRINTABLE = (
    "[^\x09\x0a\x0d\x20-\x7e\xa0-\u2027\u202f-\u2065\u206a-\ud7ff\ue000-\ufffd"
    "\U00010000-\U0010ffff]"
)
_LINE_BREAK = "\r\n|\r|\n"
_PRINTABLE = bytes({*b"\t\n\r", *range(0x20, 0x7F)})
_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


def decode(data: bytes, file: str) -> str:
    """Text of a UTF-8 file, with or without a byte order mark; raises Problems."""
    if len(data) > MAX_BYTES:
        raise _problem(Origin(file, 1, 1), f"the file has {len(data)} bytes; the limit is 1 MiB")
    if data.startswith(_UTF16_BOMS):
        raise _problem(Origin(file, 1, 1), "the file is UTF-16", "save it as UTF-8")
    try:
        text = data.removeprefix(_UTF8_BOM).decode()
    except UnicodeDecodeError as error:
        bad, before = error.object[error.start], error.object[: error.start].decode()
        message = f"byte 0x{bad:02X} is not UTF-8; is the file Latin-1?"
        raise _problem(locate(before, len(before), file), message, "save it as UTF-8") from None
    if not data.translate(None, _PRINTABLE):
        return text  # ASCII, as most are: the expression below takes 4 ms to compile
    if bad_character := re.search(_UNPRINTABLE, text):
        name = f"U+{ord(bad_character[0]):04X}"
        message = f"control character {name} is not allowed in a configuration file"
        raise _problem(locate(text, bad_character.start(), file), message, "remove it")
    return text


def locate(text: str, index: int, file: str) -> Origin:
    """Line and column, from 1, of the character at ``index``."""
    breaks = list(re.finditer(_LINE_BREAK, text[:index]))
    start = breaks[-1].end() if breaks else 0
    return Origin(file, len(breaks) + 1, index - start + 1)


def _problem(origin: Origin, message: str, hint: str = "") -> Problems:
    return Problems([Problem(origin, message, hint)])
