"""The user's side: what is printed where, how wide, in which colours, and what is asked."""

from __future__ import annotations

import errno
import functools
import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

from reconciler.facts.diagnostics import Op
from reconciler.report.wrap import DIM, ENDLESS, GONE, NAME, NEW, fitted, printable
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


_COLOURS = {
    Op.ADD: "32",
    Op.CHANGE: "33",
    Op.REMOVE: "31",
    Op.BLOCKED: "1;31",
    Op.UNKNOWN: "35",
    Op.WAITS: "36",
    Op.SAME: "2",
    DIM: "2",
    NAME: "1",
    GONE: "31",
    NEW: "32",
    "nocow": "32",
    "nocow-shared": "32",
    "cow": "33",
    "cow-shared": "33",
    "hole": "2",
}
"""Colours of symbols, of words, and of the parts of a bar."""

_WIDTH, _NARROWEST = 80, 40

_DIGITS = 6
"""No terminal is that wide, and int() refuses thousands of them."""


def _columns(stream: TextIO) -> int:
    """As shutil.get_terminal_size(): $COLUMNS, else what the terminal says, else 80.

    ENDLESS where the stream is no terminal, whatever $COLUMNS says: grep and other programs read
    whole lines there.
    """
    if not stream.isatty():
        return ENDLESS
    told = os.environ.get("COLUMNS", "")
    if told.isascii() and told.isdecimal() and len(told) < _DIGITS and int(told):
        return max(_NARROWEST, int(told))
    try:
        return max(_NARROWEST, os.get_terminal_size(stream.fileno()).columns or _WIDTH)
    except (AttributeError, ValueError, OSError):
        return _WIDTH


class Unheard(Exception):
    """The answer cannot be printed: why, or nothing when its reader just went away."""


def unheard(stream: TextIO, error: OSError) -> Unheard:
    """The same for what a stream would not take; it takes no more from then on."""
    # Or Python would try once more, and complain, when it ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return Unheard("" if error.errno == errno.EPIPE else str(error.strerror))


class Chosen(Value):
    """What the options of every command say; None where they are not given."""

    terminal: Terminal
    config: str | None = None
    host: str | None = None
    stands_at: str | None = None


class Terminal(Value):
    """Standard output is the answer; standard error is problems, questions and progress."""

    colour: str = "auto"
    verbose: bool = False
    quiet: bool = False
    json: bool = False
    lenient: bool = False
    """What cannot be printed is left out: nothing that is under way stops for it."""
    hushed: bool = False
    """Of the answer only what is wrong is said."""

    @property
    def width(self) -> int:
        """Columns of the terminal that shows the answer; ENDLESS in a pipe or a file."""
        return _columns(sys.stdout)

    @property
    def width_beside(self) -> int:
        """Columns of the terminal that shows problems and progress; ENDLESS where there is none."""
        return _columns(sys.stderr)

    def say(self, text: str = "", *, as_is: bool = False, wrong: bool = False) -> None:
        """Print lines of the answer, which fit the terminal; none where the answer is JSON.

        ``as_is``: what is a file in itself, as a suggested vmtune.yaml, or one line by its name
        (``--short``), is not wrapped.
        ``wrong``: it is said also where only what is wrong shall be.
        """
        if not self.json and (wrong or not self.hushed):
            width = ENDLESS if as_is else self.width
            self._write(sys.stdout, "".join(f"{fitted(x, width)}\n" for x in text.split("\n")))

    def tell(self, lines: Iterable[str]) -> None:
        """Print any number of lines of the answer, as ``say`` does."""
        if told := [*lines]:
            self.say("\n".join(told))

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
        """Say what is wrong, and what to do about it."""
        whole = f"vmtune: {text}\n    {hint}" if hint else f"vmtune: {text}"
        self.report("\n".join(map(printable, whole.split("\n"))))
        self.fail([{"message": text, "hint": hint}])

    def report(self, text: str) -> None:
        """Print lines on standard error: problems, and what goes on."""
        width = self.width_beside
        self._write(sys.stderr, "".join(f"{fitted(x, width)}\n" for x in text.split("\n")))

    def progress(self, text: str) -> None:
        """What is being done right now, unless nobody wants to know."""
        if not self.quiet:
            self.report(text)

    @property
    def can_redraw(self) -> bool:
        """Whether a line on standard error can be written again and again."""
        return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"

    def redraw(self, text: str) -> None:
        """Write the one line that changes, on standard error; "" takes it away."""
        self._write(sys.stderr, f"\r{text}\x1b[K")

    def paint(self, text: str, of: str) -> str:
        """A symbol, a word or a part of a bar, in its colour where it has one that is wanted."""
        if of not in _COLOURS or not self.coloured:
            return text
        return f"\x1b[{_COLOURS[of]}m{text}\x1b[0m"

    @functools.cached_property
    def unicode(self) -> bool:
        """Whether the locale has more than ASCII: the first of LC_ALL, LC_CTYPE and LANG says it.

        That is locale(7), with the environment of the process as it began: in a C locale Python
        prints UTF-8 all the same, and may have put LC_CTYPE=C.UTF-8 there (PEP 538, 540).
        """
        try:
            with open("/proc/self/environ", "rb") as file:
                pairs = (pair.split(b"=", 1) for pair in file.read().split(b"\0") if b"=" in pair)
                found = dict(pairs)
        except OSError:
            found = dict(os.environb)
        names = (b"LC_ALL", b"LC_CTYPE", b"LANG")
        locale = next((found[name] for name in names if found.get(name)), b"")
        return locale.lower().partition(b"@")[0].endswith((b".utf-8", b".utf8"))

    @property
    def dot(self) -> str:
        """What stands between the parts of a heading."""
        return "\u00b7" if self.unicode else "-"

    @property
    def coloured(self) -> bool:
        """Whether the answer has colours.

        --color, then NO_COLOR, FORCE_COLOR, CLICOLOR_FORCE, CLICOLOR=0, TERM=dumb, a terminal.
        """
        if self.colour != "auto":
            return self.colour == "always"
        if os.environ.get("NO_COLOR"):
            return False
        if os.environ.get("FORCE_COLOR") or os.environ.get("CLICOLOR_FORCE", "0") != "0":
            return True
        if os.environ.get("CLICOLOR") == "0" or os.environ.get("TERM") == "dumb":
            return False
        return sys.stdout.isatty()

    @property
    def can_ask(self) -> bool:
        """A person sits there: approval is never read from a pipe."""
        return sys.stdin.isatty() and sys.stderr.isatty()

    def ask(self, question: str) -> bool:
        """Whether the person typed yes, in full; end of file is no."""
        asked = "\n".join(fitted(x, self.width_beside - 4) for x in question.split("\n"))
        self._write(sys.stderr, f"{asked} Only `yes` does it: ")
        answer = sys.stdin.readline()
        if not answer.endswith("\n"):  # Ctrl-D leaves the cursor behind the question
            self._write(sys.stderr, "\n")
        return answer.strip() == "yes"

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


def is_read_by_journal() -> bool:
    """Tell whether standard output is a stream of the journal, and not what it was led on to.

    A service whose standard output is the journal's names that stream (systemd.exec(5)).
    """
    try:
        status = os.fstat(1)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
