"""The user's side: what is printed where, how wide, in which colours, and what is asked."""

from __future__ import annotations

import errno
import functools
import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

from reconciler.facts.diagnostics import Op
from reconciler.report.wrap import printable
from reconciler.value import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


_COLOURS = {
    Op.ADD: "32",
    Op.CHANGE: "33",
    Op.REMOVE: "31",
    Op.BLOCKED: "1;31",
    Op.UNKNOWN: "35",
    Op.WAITS: "36",
    Op.SAME: "2",
}

_TINTS = {"nocow": "32", "cow": "33", "compressed": "35", "shared": "31", "hole": "2"}
"""Colours of the parts of a bar."""

_WIDTH = 80

_DIGITS = 6
"""No terminal is that wide, and int() refuses thousands of them."""


def _coloured(choice: str, stream: TextIO) -> bool:
    """--color, then NO_COLOR, FORCE_COLOR, CLICOLOR_FORCE, CLICOLOR=0, TERM=dumb, a terminal."""
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR") or os.environ.get("CLICOLOR_FORCE", "0") != "0":
        return True
    if os.environ.get("CLICOLOR") == "0" or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


@functools.cache
def _unicode() -> bool:
    """Whether the locale has more than ASCII (locale(7)): LC_ALL, LC_CTYPE, LANG, the first set.

    As it was when the process began: in a C locale Python prints UTF-8 all the
    same, and may have put LC_CTYPE=C.UTF-8 into its environment (PEP 538, 540).
    """
    try:
        with open("/proc/self/environ", "rb") as file:
            found = dict(pair.split(b"=", 1) for pair in file.read().split(b"\0") if b"=" in pair)
    except OSError:
        found = dict(os.environb)
    names = (b"LC_ALL", b"LC_CTYPE", b"LANG")
    locale = next((found[name] for name in names if found.get(name)), b"")
    return locale.lower().partition(b"@")[0].endswith((b".utf-8", b".utf8"))


def _columns() -> int:
    """As shutil.get_terminal_size(): $COLUMNS, else what the terminal says, else 80."""
    told = os.environ.get("COLUMNS", "")
    if told.isdecimal() and len(told) < _DIGITS and int(told):
        return int(told)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or _WIDTH
    except (AttributeError, ValueError, OSError):
        return _WIDTH


class Unheard(Exception):
    """The answer cannot be printed: why, or nothing when its reader just went away."""


def unheard(stream: TextIO, error: OSError) -> Unheard:
    """The same for what a stream would not take; it takes no more from then on."""
    # Or Python would try once more, and complain, when it ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return Unheard("" if error.errno == errno.EPIPE else str(error.strerror))


@dataclass(frozen=True, slots=True)
class Terminal:
    """Standard output is the answer; standard error is problems, questions and progress."""

    colour: str = "auto"
    verbose: bool = False
    quiet: bool = False
    json: bool = False
    lenient: bool = False
    """What cannot be printed is left out: nothing that is under way stops for it."""

    @property
    def width(self) -> int:
        """Columns of the terminal; 80 where there is none."""
        return max(40, _columns())

    def say(self, text: str = "") -> None:
        """A line of the answer; none where the answer is JSON."""
        if not self.json:
            self._write(sys.stdout, f"{text}\n")

    def data(self, document: Mapping[str, Any]) -> None:
        """The answer as one JSON document, where that is asked for."""
        if self.json:
            import json  # noqa: PLC0415 - most answers are text

            self._write(sys.stdout, json.dumps(document) + "\n")

    def event(self, name: str, **fields: Any) -> None:
        """One line of JSON for something that happened, where that is asked for."""
        self.data({"event": name, **fields})

    def fail(self, problems: Sequence[Mapping[str, Any]]) -> None:
        """What went wrong, as the one document, where JSON is asked for."""
        self.data({"format": "vmtune.error/1", "problems": list(problems)})

    def complain(self, text: str, hint: str = "") -> None:
        """A problem, and what to do about it."""
        lines = f"vmtune: {text}\n" + (f"    {hint}\n" if hint else "")
        self._write(sys.stderr, "\n".join(map(printable, lines.split("\n"))))
        self.fail([{"message": text, "hint": hint}])

    def report(self, text: str) -> None:
        """Text for standard error as it is: lists of problems."""
        self._write(sys.stderr, f"{text}\n")

    def progress(self, text: str) -> None:
        """What is being done right now, unless nobody wants to know."""
        if not self.quiet:
            self.report(text)

    @property
    def can_redraw(self) -> bool:
        """Whether a line on standard error can be written again and again."""
        return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"

    def redraw(self, text: str) -> None:
        """The one line that changes; "" takes it away."""
        self._write(sys.stderr, f"\r{text}\x1b[K")

    def paint(self, text: str, op: Op) -> str:
        """A symbol in its colour, where colours are wanted."""
        if not self.coloured:
            return text
        return f"\x1b[{_COLOURS[op]}m{text}\x1b[0m"

    def dim(self, text: str) -> str:
        """What stands beside the answer, dimmed where colours are wanted."""
        return f"\x1b[2m{text}\x1b[0m" if self.coloured else text

    def tint(self, text: str, part: str) -> str:
        """A part of a bar in its colour, where colours are wanted."""
        if not self.coloured or part not in _TINTS:
            return text
        return f"\x1b[{_TINTS[part]}m{text}\x1b[0m"

    @property
    def unicode(self) -> bool:
        """Whether characters beyond ASCII may be printed."""
        return _unicode()

    @property
    def coloured(self) -> bool:
        """Whether the answer has colours."""
        return _coloured(self.colour, sys.stdout)

    @property
    def can_ask(self) -> bool:
        """A person sits there: approval is never read from a pipe."""
        return sys.stdin.isatty() and sys.stderr.isatty()

    def ask(self, question: str) -> bool:
        """Whether the person typed yes, in full; end of file is no."""
        self._write(sys.stderr, f"{question} Only `yes` does it: ")
        return sys.stdin.readline().strip() == "yes"

    def _write(self, stream: TextIO, text: str) -> None:
        """In an encoding that cannot say a character, its escape; Unheard if it is the answer."""
        encoding = (self.unicode and stream.encoding) or "ascii"
        try:
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            stream.flush()
        except OSError as error:
            failure = unheard(stream, error)
            if not self.lenient and stream is sys.stdout:
                raise failure from None


@dataclass(frozen=True, slots=True)
class JournalTerminal(Terminal):
    """The journal in place of a terminal: one entry for each event, with fields, and no text."""

    begun: dict[int, Any] = field(default_factory=dict)
    """Actions that are under way, by their number."""

    def say(self, text: str = "", **_how: bool) -> None:
        """Print nothing: the events say the same."""

    def progress(self, text: str) -> None:
        """Print nothing: an entry says when an action begins, and when it ends."""

    def complain(self, text: str, hint: str = "") -> None:
        """Tell a problem, and what to do about it, in one entry."""
        from reconciler.report import journald as entries  # noqa: PLC0415 - as below

        self._tell(entries.problem(text, hint))

    def data(self, document: Mapping[str, Any]) -> None:
        """Tell what a document or an event says."""
        from reconciler.report import journald as entries  # noqa: PLC0415 - most runs have no use

        for fields in entries.entries(document, self.begun):
            self._tell(fields)

    def _tell(self, fields: Mapping[str, str]) -> None:
        """Send an entry; print its text where the journal does not take it."""
        from reconciler.linux import journald  # noqa: PLC0415 - as above

        if not journald.send(fields):
            self._write(sys.stdout, f"{fields['MESSAGE']}\n")


def for_journal(terminal: Terminal) -> Terminal:
    """Return a terminal that tells the journal, where standard output is the journal's."""
    if terminal.json or "JOURNAL_STREAM" not in os.environ:
        return terminal
    from reconciler.linux import journald  # noqa: PLC0415 - as above

    if not journald.is_standard_output():
        return terminal
    return JournalTerminal(terminal.colour, terminal.verbose, terminal.quiet, lenient=True)
