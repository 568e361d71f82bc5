"""The short way to the commands that run most reads argv as click does, or leaves it to click."""

from __future__ import annotations

from typing import Any

import click
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reconciler import start
from reconciler.cli import cli

WORDS = (
    *("plan", "--config", "--host", "--color", "-v", "--verbose", "-q", "--quiet", "always"),
    *("never", "auto", "-o", "--output", "--json", "--detailed-exitcode", "--help", "-h", "--"),
    *("-", "", "file", "--conf", "--config=x", "-ofile", "-vq", "status", "apply", "-V", "@x"),
    *("-y", "--yes", "--html", "--approved", "--allow"),
)
COMMANDS = ("plan", "apply", "status")
VALUED = ("--config", "--host", "-o", "--output", "--html", "--approved")
pairs = st.tuples(st.sampled_from(VALUED), st.text("a-/", max_size=3)).map(list)
single = st.sampled_from(WORDS).map(lambda word: [word])
colour = st.sampled_from(["always", "never", "auto", "no"]).map(lambda word: ["--color", word])
some = st.lists(pairs | colour | single, max_size=4)
lines = st.builds(
    lambda before, command, after: [w for part in (*before, [command], *after) for w in part],
    some,
    st.sampled_from(COMMANDS),
    some,
) | some.map(lambda parts: [word for part in parts for word in part])


def by_click(arguments: list[str]) -> tuple[str | None, dict[str, Any]] | None:
    """What click makes of it, by the same names; None where it is a mistake, or asks for help."""
    try:
        context = cli.make_context("vmtune", list(arguments))
        # Before click 8.2 it has no underscore, and later the name without one only warns.
        parted = "_protected_args" if hasattr(context, "_protected_args") else "protected_args"
        rest = [*getattr(context, parted), *context.args]
        name, command, rest = cli.resolve_command(context, rest)
        below = command.make_context(name, rest, parent=context)
    except (click.ClickException, click.exceptions.Exit):
        return None
    long = {
        parameter.name: max(parameter.opts, key=len)
        for each in (cli, command)
        for parameter in each.params
    }
    given = [*context.params.items(), *below.params.items()]
    asked = {long[key]: value for key, value in given if value not in (None, False, ())}
    return name, _without_nothing_approved(asked)


def _without_nothing_approved(options: dict[str, Any]) -> dict[str, Any]:
    """An empty token is what click fills in where there is none."""
    return {key: value for key, value in options.items() if (key, value) != ("--approved", "")}


@given(lines)
@example(["plan"])
@example(["", "plan"])
@example(["--color", "no", "plan"])
@example(["--config", "-v", "plan"])
@example(["plan", "--json", "--json", "-o", "a", "-o", "b"])
@example(["-v", "--config", "a", "plan", "-o", "b", "--json"])
def test_what_is_read_is_what_click_reads(arguments: list[str]) -> None:
    found = start.read(arguments)
    if found is not None:
        command, options = found
        said = _without_nothing_approved({"--color": "auto", **options})
        assert (command, said) == by_click(arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ["plan"],
        ["plan", "--detailed-exitcode"],
        ["--config", "x", "plan", "--json"],
        ["-q", "--host", "a", "--color", "never", "plan", "-o", "p"],
        ["-v", "plan", "--output", "p", "--detailed-exitcode"],
        ["apply"],
        ["-q", "apply", "-y"],
        ["apply", "--yes", "--json", "--approved", "a-b"],
        ["status"],
        ["-q", "status", "-q"],
        ["status", "--json", "--html", "p"],
    ],
)
def test_the_short_way_is_taken(arguments: list[str]) -> None:
    assert start.read(arguments) is not None


def test_every_option_has_the_short_way_or_is_known_to_lack_it() -> None:
    commands = (cli, *(cli.commands[name] for name in COMMANDS))
    options = {max(each.opts, key=len) for command in commands for each in command.params}
    known = start._BEFORE.union(*start._AFTER.values())
    assert options - {"--version", "--allow", "entries", "words"} == known
