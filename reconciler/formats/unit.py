r"""Unit files: systemd.unit(5), systemd.service(5), systemd.syntax(7).

A ``%`` begins a specifier everywhere: "/srv/100%q" silently becomes the host
name. A ``$`` begins a variable in command lines only.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from reconciler.formats.calendar import MARK

if TYPE_CHECKING:
    from collections.abc import Sequence


_PLAIN_WORD = r"(?a)[\w@+=:,./-]+"

# Controls, and bytes that are not UTF-8 (surrogates, PEP 383): systemd drops a
# line that holds such bytes, but takes them escaped.
_BYTE = "[\x01-\x1f\x7f\udc80-\udcff]"


def word(text: str) -> str:
    """One argument of ExecStart=, not the program itself; ValueError on newline and NUL."""
    _one_line(text)
    doubled = text.replace("%", "%%").replace("$", "$$")
    if re.fullmatch(_PLAIN_WORD, doubled.replace("%", "").replace("$", "") or "x") and doubled:
        return doubled
    quoted = doubled.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(_BYTE, lambda match: f"\\x{ord(match[0]) & 0xFF:02x}", quoted) + '"'


def command(argv: Sequence[str]) -> str:
    """The value of ExecStart=; ValueError when the program is not one systemd would start."""
    program, *arguments = argv
    if not program.startswith("/") or re.search(r"[\s\"'\\$]", program):
        raise ValueError(
            f"{program!r} cannot be a program of ExecStart=: write a plain absolute path"
        )
    return " ".join((word(program), *map(word, arguments)))


def path(text: str) -> str:
    """One of a list of paths (RequiresMountsFor=, ReadWritePaths=), quoted where needed.

    ValueError on newline and NUL, on a path that is not absolute, and on bytes
    that are not UTF-8, as these settings know no escape for them.
    """
    _one_line(text)
    _utf8(text)
    if not text.startswith("/"):
        raise ValueError(f"{text!r} is not an absolute path")
    doubled = text.replace("%", "%%")
    if re.fullmatch(r"[^\s\"'\\]+", doubled):
        return doubled
    return '"' + doubled.replace("\\", "\\\\").replace('"', '\\"') + '"'


def literal(text: str) -> str:
    """A value that systemd takes as it stands: Description=, ConditionPathIsDirectory=."""
    return text.replace("%", "%%")


def render(
    comment_lines: Sequence[str], sections: Sequence[tuple[str, Sequence[tuple[str, str]]]]
) -> str:
    """A whole unit file that begins with the mark; values are written as they are given.

    ValueError on a value that systemd would read differently: more than one
    line, blanks at an end, a backslash at the end (it joins the next line),
    bytes that are not UTF-8.
    """
    lines = [MARK, *(f"# {_value(line)}" for line in comment_lines)]
    for name, settings in sections:
        lines += ["", f"[{name}]", *(f"{key}={_value(value)}" for key, value in settings)]
    return "\n".join(lines) + "\n"


def mount_unit(path: str) -> str:
    r"""The unit of a mount point, as ``systemd-escape --path --suffix=mount`` names it.

    "/" is "-.mount", "/home/a b" is "home-a\x20b.mount". ValueError on a path
    that is not absolute, or holds "..".
    """
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not path.startswith("/") or ".." in parts:
        raise ValueError(f"{path!r} is not a mount point: write an absolute path without ..")
    escaped = "".join(map(_escape_byte, "/".join(parts).encode("utf-8", "surrogateescape")))
    return (f"\\x2e{escaped[1:]}" if escaped.startswith(".") else escaped or "-") + ".mount"


def _escape_byte(byte: int) -> str:
    character = chr(byte)
    if character == "/":
        return "-"
    kept = character.isascii() and (character.isalnum() or character in ":_.")
    return character if kept else f"\\x{byte:02x}"


def _value(text: str) -> str:
    _one_line(text)
    _utf8(text)
    if text != text.strip() or text.endswith("\\"):
        raise ValueError(f"{text!r} would be read differently: blanks or a backslash at its end")
    return text


def _one_line(text: str) -> None:
    if "\n" in text or "\0" in text:
        raise ValueError(f"{text!r} does not fit on one line: it holds a newline or NUL")


def _utf8(text: str) -> None:
    if re.search("[\ud800-\udfff]", text):
        raise ValueError(f"{text!r} is not UTF-8, and systemd ignores such lines")
