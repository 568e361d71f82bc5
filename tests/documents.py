"""The commands and the YAML of the pages that users read, and which test runs each command."""

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from reconciler.cli import cli

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "README.pt-BR.md", *sorted(ROOT.glob("docs/*.md"))]
READ = [*PAGES, *sorted(ROOT.glob("man/*"))]
"""All that names commands: the manual too, in which an indented block has lines to type."""

NOT_RUN = {
    "make vm": "an hour of virtual machines; `make guest`, which .ci/run runs, is a part of it",
    "rpm-ostree kargs": "Debian has no rpm-ostree",
}
"""Commands that no test runs, and why."""
NO_COMMANDS = {
    "not applicable", "already so", "changed since the plan", "not done", "nocow /srv/vms",
    "no vmtune.yaml: looked for ...", "images ~/images/win11.raw",
}  # fmt: skip
"""Words within a sentence that only look like a command."""

_FENCE = re.compile(r"(?ms)^```(\w*)\n(.*?)^```$")
_INDENTED = re.compile(r"(?m)^(?: {4}.*\n)+")
_INLINE = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")
_NAME = re.compile(r"(?:#!\S+\n)?# (\S+)\n")
_COMMAND = re.compile(r"(?:[A-Za-z_]+=\S* )*[a-z][a-z0-9._-]* .+")
_NAMES = "PATH|PLAN|RUN|FILE|ENTRY|COMMAND|CODE|KIND|SHELL|SIZE|TARGET|NAME"
_PLACEHOLDER = re.compile(rf"\[.*?\](?:\.\.\.)?|\b(?:{_NAMES})\b(?:\||\.\.\.)?|\|")


@dataclass(frozen=True)
class Block:
    """A block of code: its language, and its text."""

    language: str
    text: str

    @property
    def name(self) -> str:
        """Return the file that the first line says the block to be; "" for lines to type."""
        found = _NAME.match(self.text)
        return found[1] if found else ""


def text_of(page: Path) -> str:
    """Return the text of a page; of one of the manual without what roff adds to dashes."""
    text = page.read_text(encoding="utf-8")
    return text if page.suffix == ".md" else text.replace("\\-", "-").replace("\\e", "\\")


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page in their order; an indented one has no language."""
    text = text_of(page)
    found = [(m.start(), Block(m[1], m[2])) for m in _FENCE.finditer(text)]
    fenced = [range(m.start(), m.end()) for m in _FENCE.finditer(text)]
    for m in _INDENTED.finditer(text):
        if not any(m.start() in span for span in fenced):
            found += [(m.start(), Block("", re.sub("(?m)^ {4}", "", m[0])))]
    return [block for _, block in sorted(found, key=lambda pair: pair[0])]


def recipe(name: str) -> str:
    """Return the block of the pages that is the file of this name, without the line that says so.

    Raises ValueError where not exactly one page has it.
    """
    [text] = [each.text for page in PAGES for each in blocks(page) if each.name == name]
    return text.replace(f"# {name}\n", "", 1)


# --- the commands of a page
def shell(page: Path) -> list[str]:
    """Return the lines to type of the blocks that are marked as a shell's."""
    typed = [x.text for x in blocks(page) if x.language == "sh" and not x.name]
    return [line for line in "".join(typed).splitlines() if line.strip()]


def said(page: Path) -> Iterator[str]:
    """Yield the commands in sentences and tables, and in blocks without a language.

    ``apply PLAN`` within a sentence is vmtune's own.
    """
    text = _FENCE.sub("", text_of(page))
    spans = [" ".join(span.split()) for span in _INLINE.findall(text)]
    plain = (block.text for block in blocks(page) if not block.language)
    lines = [line for block in plain for line in block.replace("\\\n", "").splitlines()]
    for span in [*spans, *lines]:
        for command in span.replace("\\|", "|").split(" && "):
            if _COMMAND.fullmatch(command) and command not in NO_COMMANDS:
                own = command.split()[0] in cli.commands
                yield f"vmtune {command}" if own else command


@cache
def commands(page: Path) -> tuple[str, ...]:
    """Return every command that a page names, once."""
    return (*dict.fromkeys([*shell(page), *said(page)]),)


def calls(line: str) -> Iterator[list[str]]:
    """Yield the words of each call of vmtune in a line; of an ENTRY in a synopsis as well."""
    lexer = shlex.shlex(re.sub(r"[][]|\.\.\.", "", line), posix=True, punctuation_chars=";&|<>()")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) <= set(";&|<>()"):
            while words and (words[0] == "sudo" or "=" in words[0]):
                words.pop(0)
            if words and words[0].rpartition("/")[2] == "vmtune":
                yield words[1:]
            words = []
        else:
            words.append(word)


# --- which test runs it
def as_typed(command: str, line: str = "") -> str:
    """Return a command of the pages, for a test to run; or the line that somebody makes of it.

    The line has the words of the command but for its placeholders, in their order. Raises
    LookupError where no page has the command, ValueError where the line is another command.
    """
    if not any(command in commands(page) for page in READ):
        raise LookupError(command)
    words = _PLACEHOLDER.sub(" ", command).split()
    if line and not re.search(".*".join(map(re.escape, words)), line):
        raise ValueError(line)
    return line or command


def has_placeholder(command: str) -> bool:
    """Tell whether nobody can type a command before something is put in its place."""
    return bool(_PLACEHOLDER.search(re.sub(r"\"[^\"]*\"| \| [a-z].*", "", command)))


@cache
def claimed() -> frozenset[str]:
    """Return the commands and blocks that tests take from the pages to run them.

    That is what calls of `as_typed` and `recipe` in a test name; and what .ci/run runs.
    """
    found = {*_of_ci()}
    for path in ROOT.glob("tests/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                given = [x.value for x in node.args if isinstance(x, ast.Constant)]
                found |= {*map(str, given[:1])} if name in ("as_typed", "recipe") else set()
    return frozenset(found)


def _of_ci() -> Iterator[str]:
    """Yield what .ci/run has make do: its own lines, its lanes, and the tiers of `make test`."""
    run, makefile = ((ROOT / name).read_text("utf-8") for name in (".ci/run", "Makefile"))
    yield from re.findall(r"(?m)^(?:timeout \S+ \d+ )?(make \w+)", run)
    for lists in (r"(?m)^for name in (.*); do\n +lane ", r"--keep-going BESIDE=yes (.*)"):
        for names in re.findall(lists, run + makefile):
            yield from (f"make {name}" for name in names.split())


def walked(page: Path) -> list[str]:
    """Return the commands of a page that no other test claims: the container's walk types them."""
    return [x for x in commands(page) if x not in claimed() and x not in NOT_RUN]
