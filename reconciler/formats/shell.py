"""Shell command lines and assignments, as far as needed to see which paths they defragment.

A reader, not a shell: POSIX.1-2017 Shell Command Language 2.2 and 2.6.1-2.
Variables have the values that the same text gives them. What only a running shell knows
(``$(...)``, other variables) makes a word unknown, and an unknown path is left out.

shlex does not do: it drops the quotes, and with them the difference between ``$HOME`` and
``'$HOME'``, ``*`` and ``'*'``, ``~`` and ``"~"``.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from contextlib import suppress
from itertools import chain, pairwise, takewhile
from typing import TYPE_CHECKING

from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


# No command line holds NUL, so these cannot be mistaken for text.
_UNKNOWN = "\0u"

_GLOB = "\0g"

_TOKEN = re.compile(
    r"""
    (?P<blank>[ \t]+)
  | (?P<comment>(?<![^\s;&|()])\#[^\n]*)
  | (?P<redirect>(?<![^\s;&|()])\d+(?=[<>])|&>>?|<<<|<<-?|<>|[<>]&|>\||>>?|<)
  | (?P<end>[;&|()\n]+)
  | '(?P<single>[^']*)'
  | "(?P<double>(?:[^"\\]|\\.)*)"
  | \\(?P<escaped>.)
  | (?P<tilde>(?<![^\s;&|()=])~(?=[/\s;&|()<>]|$))
  | (?P<home>\$HOME(?!\w)|\$\{HOME\})
  | (?P<unknown>\$\w+|\$\{[^}]*\}|\$\([^)]*\)|`[^`]*`|(?<![^\s;&|()])~)
  | (?P<glob>[*?\[])
  | (?P<plain>[^\s'"\\$`*?\[~\#;&|()<>]+|[~\#\r\v\f]|\$(?![({]))
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)

_IN_DOUBLE_QUOTES = re.compile(
    r"""\\(?P<escaped>[$`"\\\n])|(?P<home>\$HOME(?!\w)|\$\{HOME\})
      |(?P<unknown>\$\w+|\$\{[^}]*\}|\$\([^)]*\)|`[^`]*`)""",
    re.VERBOSE | re.ASCII,
)

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=", re.ASCII)

_LITERAL = r"'[^'\n]*'|\"[^\"\n$`\\]*\"|[^\s'\"$`\\;&|()<>*?\[~]+"

_SET = re.compile(
    rf"(?:^|[;&\n])[ \t]*(?:(?:export|readonly|local)[ \t]+)?([A-Za-z_]\w*)=({_LITERAL})"
    r"[ \t]*(?=[;&\n]|$)",
    re.ASCII,
)

_FOR = re.compile(r"\bfor[ \t]+([A-Za-z_]\w*)[ \t]+in[ \t]([^;\n]{1,1000})[;\n]", re.ASCII)

_RESERVED = frozenset(("if", "then", "else", "elif", "while", "until", "do", "!", "{", "exec"))

_RUNNERS = frozenset(
    """
    chronic chrt command doas env find flock ionice nice nohup setsid stdbuf sudo
    systemd-inhibit systemd-run taskset time timeout
    """.split()  # noqa: SIM905 - words, as a command line has them
)

_SHELLS = frozenset(("sh", "ash", "bash", "dash", "ksh", "su", "zsh"))


def defragmented(command: str, home: str) -> tuple[str, ...]:
    """The paths that `command` hands to ``btrfs filesystem defragment``, absolute, each once.

    `home` is where cron starts a command, and stands for ``~`` and ``$HOME``.
    Where ``find`` or a wildcard picks the files it is the directory above
    them. Empty when nothing is defragmented, or the command cannot be read.
    """
    found = (path for text in _spelled(command) for path in _below(text, home, home))
    return tuple(dict.fromkeys(filter(None, found)))


def is_vague(command: str, home: str) -> bool:
    """Whether `command` defragments something that only a running shell can name."""
    return any("" in _below(text, home, home) for text in _spelled(command))


def _spelled(command: str) -> list[str]:
    """Write the values of variables in their place: one text for each value that a loop goes over.

    A value is put in without its quotes, as sh(1) does, which splits it where it stands outside of
    quotes. One that is not written out (``$(...)``, a wildcard) leaves the variable unknown.
    """
    values: dict[str, list[str]] = {}
    for match in _SET.finditer(command):
        values.setdefault(match[1], []).append(match[2].strip("'\""))
    for match in _FOR.finditer(command):
        if words := _literals(match[2]):
            values.setdefault(match[1], []).extend(words)
    most = 64
    texts = [command]
    for name, many in values.items():
        found = [value.replace("\\", "\\\\") for value in dict.fromkeys(many)]
        use = re.compile(rf"\$(?:{name}\b|\{{{name}\}})", re.ASCII)
        if name != "HOME" and len(texts) * len(found) <= most and use.search(command):
            texts = [use.sub(value, text) for text in texts for value in found]
    return texts


def _literals(words: str) -> list[str]:
    """Return the words of a loop without their quotes; none where one is not written out."""
    found = re.findall(_LITERAL, words)
    is_whole = not re.sub(_LITERAL, "", words).strip()
    return [word.strip("'\"") for word in found] if is_whole else []


def _below(command: str, home: str, folder: str) -> Iterator[str]:
    """Yield each path, "" for one that only a shell can tell."""
    for words in _commands(command, home):
        if words[0] == "cd" and len(words) > 1:
            folder = _absolute(words[-1], folder) or folder
        yield from (_absolute(word, folder) for word in _operands(words))
        for script in _scripts(words):
            yield from _below(script, home, folder)


def _absolute(word: str, folder: str) -> str:
    """The path a word names, "" when only a shell can tell."""
    if not word or _UNKNOWN in word:
        return ""
    known, glob, _ = word.partition(_GLOB)
    joined = posixpath.join(folder, posixpath.dirname(known) if glob else known)
    # ".." behind a symbolic link is not the name before it: only the host can tell.
    return joined if ".." in joined.split("/") else posixpath.normpath(joined)


def _operands(words: Sequence[str]) -> Sequence[str]:
    """What one simple command hands to defragment, itself or through nice, find and the like.

    It is what ``find`` searches where that puts its findings in the place of a path.
    """
    names = [posixpath.basename(word) for word in words]
    if names[0] not in _RUNNERS and names[0] != "btrfs":
        return ()
    for index, name in enumerate(names):
        if name == "btrfs" and (rest := _defragment(words[index + 1 :])) is not None:
            starts = _searched(words[:index])
            paths = (starts if starts and "{}" in path else [path] for path in _paths(rest))
            return list(chain.from_iterable(paths))
    return ()


def _scripts(words: Sequence[str]) -> Iterator[str]:
    """What one simple command hands to ``sh -c``."""
    names = [posixpath.basename(word) for word in words]
    if names[0] in _RUNNERS | _SHELLS and _SHELLS & set(names):
        for option, script in pairwise(words):
            if re.fullmatch(r"-[a-z]*c", option):
                yield script


def _searched(words: Sequence[str]) -> list[str]:
    names = [posixpath.basename(word) for word in words]
    if "find" not in names or not {"-exec", "-execdir", "-ok", "-okdir"} & set(words):
        return []
    rest = [word for word in words[names.index("find") + 1 :] if word not in ("-H", "-L", "-P")]
    starts = list(takewhile(lambda word: word[:1] not in ("-", "(", "!"), rest))
    return starts or ["."]


def _defragment(arguments: Sequence[str]) -> Sequence[str] | None:
    """What follows "filesystem defragment", which btrfs takes in any abbreviation of its own."""
    index = 0
    while index < len(arguments) and arguments[index].startswith("-"):
        index += 2 if arguments[index] in {"--format", "--log"} else 1
    group, verb = (*arguments[index : index + 2], "", "")[:2]
    # "d" alone could be df or du.
    known = len(group) > 0 and len(verb) > 1
    if known and "filesystem".startswith(group) and "defragment".startswith(verb):
        return arguments[index + 2 :]
    return None


def _paths(arguments: Sequence[str]) -> list[str]:
    """The operands; btrfs takes options behind them too (getopt_long(3))."""
    paths: list[str] = []
    left = iter(arguments)
    for word in left:
        if word in (";", "+"):  # the end of find's -exec
            break
        if word == "--":
            paths += left
        elif not word.startswith("-") or word == "-":
            paths.append(word)
        elif _takes_next(word):
            next(left, None)
    return paths


def _takes_next(option: str) -> bool:
    """Whether an option's value is the next word: -t 32M, but not -t32M, nor -c zstd."""
    if option.startswith("--"):
        return option in {"--step", "--level"}
    return re.fullmatch(r"-[^cstlL]*[stlL]", option) is not None


def _commands(command: str, home: str) -> Iterator[list[str]]:
    """The simple commands of a list, without assignments and reserved words; none if unreadable."""
    commands: list[list[str]] = [[]]
    for word in _words(command, home) or ():
        if word is None:
            commands.append([])
        elif commands[-1] or not (word in _RESERVED or _ASSIGNMENT.match(word)):
            commands[-1].append(word)
    return filter(None, commands)


def _words(command: str, home: str) -> list[str | None] | None:
    """Words, with None between commands; None when quotes are not closed."""
    words: list[str | None] = []
    word: str | None = None
    target = False  # the next word is a file that output goes to
    position = 0
    while position < len(command):
        match = _TOKEN.match(command, position)
        if match is None:
            return None
        position = match.end()
        kind = match.lastgroup or ""
        if kind not in ("blank", "comment", "redirect", "end"):
            word = (word or "") + _text(kind, match[kind], home)
            continue
        if word is not None and not target:
            words.append(word)
        target = kind == "redirect" or (target and word is None)
        word = None
        if kind == "end":
            words.append(None)
    if word is not None and not target:
        words.append(word)
    return words


def _text(kind: str, text: str, home: str) -> str:
    if kind == "double":
        return _IN_DOUBLE_QUOTES.sub(
            lambda match: _text(match.lastgroup or "", match[match.lastgroup or 0], home), text
        )
    if kind == "escaped" and text == "\n":
        return ""
    return {"tilde": home, "home": home, "unknown": _UNKNOWN, "glob": _GLOB}.get(kind, text)


PATHS, _PERIOD = "BTRFS_DEFRAG_PATHS", "BTRFS_DEFRAG_PERIOD"

AUTO = "auto"
"""In place of a path: every Btrfs that is mounted."""


class MaintenanceJob(Value):
    """``line`` counts from 1; ``period`` is "none", or a word such as "weekly" or OnCalendar."""

    line: int
    paths: tuple[str, ...]
    period: str


def maintenance_job(data: bytes) -> MaintenanceJob | None:
    """Return what is defragmented, and how often; None where it names no path."""
    paths, period, at = "", "none", 0
    for number, line in enumerate(data.decode("utf-8", "surrogateescape").split("\n"), 1):
        with suppress(ValueError):  # a quote that is not closed
            for word in shlex.split(line, comments=True):
                name, _, value = word.partition("=")
                if name == PATHS:
                    paths, at = value, number
                elif name == _PERIOD:
                    period = value
    found = tuple(filter(None, paths.split(":")))
    return MaintenanceJob(at, found, period or "none") if found else None
