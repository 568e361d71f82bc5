"""How arguments are read: the options of every command, and what a shell completes as a value.

Commands and options complete by themselves. What a mistyped word may have meant is told here.

cli.py declares the commands with what is here; a new command needs nothing here.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from reconciler.console import Chosen, Terminal, is_read_by_journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence


# --- what a shell offers behind a command; click completes commands and options by itself
def complete_files(_context: Any, _parameter: Any, begun: str) -> list[CompletionItem]:
    """Leave names of files to the shell, which knows them best."""
    return [CompletionItem(begun, type="file")]


def complete_commands(context: Any, _parameter: Any, begun: str) -> list[CompletionItem]:
    """Offer the commands, for ``help``."""
    commands = context.find_root().command.commands
    found = ((name, commands[name]) for name in sorted(commands) if name.startswith(begun))
    return [CompletionItem(name, help=each.get_short_help_str()) for name, each in found]


def _completer(name: str) -> Callable[[Any, Any, str], list[CompletionItem]]:
    """Return the function of completion.py with that name, which is loaded once it is called."""

    def complete(context: Any, parameter: Any, begun: str) -> list[CompletionItem]:
        from reconciler import completion  # noqa: PLC0415 - it loads most of vmtune

        offered: list[CompletionItem] = getattr(completion, name)(context, parameter, begun)
        return offered

    return complete


complete_entries = _completer("entries")
complete_subjects = _completer("subjects")
complete_runs = _completer("runs")
complete_hosts = _completer("hosts")


# --- the options of every command
_JOURNALLED = frozenset({"apply", "defrag", "status"})
"""Commands that tell the journal of systemd in entries with fields, where it is their output."""

_DRAFTS = frozenset({"plan", "validate"})
"""Commands that read a configuration from standard input: what they read, nobody does."""

SHARED = (
    click.Option(["--config"], metavar="FILE", shell_complete=complete_files,
                 help="The configuration to use; - is a draft from standard input."),
    click.Option(["--as", "stands_at"], metavar="PATH", shell_complete=complete_files,
                 help="Treat the draft of `--config -` as the file at PATH."),
    click.Option(["--host"], metavar="NAME", shell_complete=complete_hosts,
                 help="Use what the configuration says for the host NAME."),
    click.Option(["--color"], type=click.Choice(["auto", "always", "never"]),
                 help="When to colour the output."),
    click.Option(["-v", "--verbose"], is_flag=True,
                 help="Show whole texts of files that would change, and all that is in sync."),
    click.Option(["-q", "--quiet"], is_flag=True,
                 help="Print no progress; `status` prints nothing, `apply --yes` what is wrong."),
)  # fmt: skip
"""Options that every command takes, before its name and behind it."""


def choose(before: Chosen | None, given: dict[str, Any]) -> Chosen:
    """Take the options of SHARED out of ``given``; where one stands twice, the later one counts."""
    name, at, host, color, verbose, quiet = (given.pop(str(option.name)) for option in SHARED)
    was = before or Chosen(Terminal())
    return Chosen(
        Terminal(
            color or was.terminal.colour,
            verbose or was.terminal.verbose,
            quiet or was.terminal.quiet,
            given.pop("as_json", False),
        ),
        was.config if name is None else name,
        was.host if host is None else host,
        was.stands_at if at is None else at,
    )


OTHER_OPTIONS = {
    **dict.fromkeys(("--auto-approve", "--assume-yes", "--noconfirm", "--no-confirm"), "--yes"),
    **dict.fromkeys(("--format", "--output-format"), "--json"),
    **dict.fromkeys(("--file", "--config-file", "-c", "-f"), "--config"),
    **dict.fromkeys(("--limit", "--hostname", "--inventory"), "--host"),
    **dict.fromkeys(("--out", "--output-file"), "--output"),
    **dict.fromkeys(("--silent",), "--quiet"),
    **dict.fromkeys(("--colour", "--colors", "--no-color"), "--color"),
}
"""Names that other programs have for an option."""

OTHER_COMMANDS = {
    **dict.fromkeys(("diff", "preview", "dry-run", "whatif", "refresh"), "plan"),
    **dict.fromkeys(("up", "sync", "run", "deploy", "install"), "apply"),
    **dict.fromkeys(("undo", "rollback", "destroy", "restore"), "revert"),
    **dict.fromkeys(("log", "logs", "runs"), "history"),
    **dict.fromkeys(("lint", "check-config"), "validate"),
    **dict.fromkeys(("check", "health", "diagnose"), "doctor"),
    **dict.fromkeys(("ls", "list", "state", "output"), "status"),
    **dict.fromkeys(("new", "generate", "import", "discover"), "init"),
    **dict.fromkeys(("bench", "benchmark", "test"), "measure"),
    **dict.fromkeys(("man", "usage"), "help"),
    **dict.fromkeys(("completions",), "completion"),
}
"""Names that other programs have for a command."""

NO_OPTIONS = {
    **dict.fromkeys(("--force",), "`--allow RISK` takes one risk, by its name"),
    **dict.fromkeys(
        ("--dry-run", "--check", "--noop", "-n"), "`vmtune plan` shows what would change"
    ),
    **dict.fromkeys(
        ("--target", "--only", "--tags", "-t"), "name the entries themselves: `vmtune plan ENTRY`"
    ),
    **dict.fromkeys(("--debug", "--trace"), "VMTUNE_DEBUG=1 in the environment shows faults"),
}
"""What other programs have an option for, and vmtune has not."""


def _meant(word: str, names: Sequence[str], other: Mapping[str, str]) -> str:
    """Say which name is meant by one that is unknown: one of ``names``; "" where none is near."""
    if other.get(word) in names:
        return f"did you mean {other[word]}?"
    if word in NO_OPTIONS:
        return NO_OPTIONS[word]
    begun = [name for name in names if name.startswith(word)] if len(word) > len("--x") else []
    close = begun or difflib.get_close_matches(word, names, 2, 0.7)
    return f"did you mean {' or '.join(close)}?" if close else ""


def _option_names(ctx: click.Context) -> list[str]:
    options_here = (each for each in ctx.command.get_params(ctx) if isinstance(each, click.Option))
    return [name for each in options_here if not each.hidden for name in each.opts]


_ONE_DASH = re.compile(r"-([a-z][a-z-]{2,})(?:=.*)?")


def _refuse_one_dash(args: Sequence[str], ctx: click.Context) -> None:
    """Raise UsageError for the name of an option after one dash, as other programs write it.

    click would read -out=x as -o with the value ut=x, and write a plan under that name.
    """
    for word in takewhile(lambda word: word != "--", args):
        if (found := _ONE_DASH.fullmatch(word)) and (name := f"--{found[1]}"):
            names = _option_names(ctx)
            known = {*names, *OTHER_OPTIONS, *NO_OPTIONS}
            if name in known:
                meant = f"did you mean {name}?" if name in names else ""
                meant = meant or _meant(name, names, OTHER_OPTIONS)
                raise click.UsageError(f"there is no option -{found[1]}\n{meant}", ctx)


_GLUE = "\N{NON-BREAKING HYPHEN}"


class _Formatter(click.HelpFormatter):
    """Help whose lines are not broken within a word: root-options is one."""

    def write(self, string: str) -> None:
        """Print what was laid out."""
        super().write(string.replace(_GLUE, "-"))

    def write_text(self, text: str) -> None:
        """Lay out paragraphs."""
        super().write_text(_glued(text))

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        """Lay out two columns."""
        glued = [(_glued(one), _glued(two)) for one, two in rows]
        super().write_dl(glued, col_max, col_spacing)


def _glued(text: str) -> str:
    return re.sub(r"(?<=\w)-(?=\w)", _GLUE, text)


class _Context(click.Context):
    formatter_class = _Formatter


class _Reader(click.Command):
    """What reads arguments; of an option that there is not, it says which one is meant."""

    context_class = _Context

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read them, those before a command as a command reads its own."""
        is_group = isinstance(self, click.Group)
        own = list(takewhile(lambda word: word.startswith("-"), args)) if is_group else args
        _refuse_one_dash(own, ctx)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            # Hidden options are not named, and those are that other programs have.
            meant = _meant(error.option_name, _option_names(ctx), OTHER_OPTIONS)
            said = f"there is no option {error.option_name}\n{meant}"
            raise click.UsageError(said, ctx) from None
        except click.UsageError as error:
            error.ctx = error.ctx or ctx  # click's parser leaves it out
            raise


class Command(_Reader):
    """A command that takes the options of SHARED behind its name."""

    def __init__(self, *given: Any, **named: Any) -> None:
        """Add the options, but those of which the command has one of its own."""
        super().__init__(*given, **named)
        own = {parameter.name for parameter in self.params}
        self.params += [option for option in SHARED if option.name not in own]

    def invoke(self, ctx: click.Context) -> Any:
        """Call the command with what all options say, before its name and behind it."""
        ctx.obj = choose(ctx.obj, ctx.params)
        _refuse_draft(str(self.name), ctx.obj)
        was = ctx.obj.terminal
        if self.name in _JOURNALLED and not was.json and is_read_by_journal():
            from reconciler.commands.journal_terminal import JournalTerminal  # noqa: PLC0415 - rare

            journal = JournalTerminal(was.colour, was.verbose, was.quiet, lenient=True)
            ctx.obj = replace(ctx.obj, terminal=journal)
        return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Print the command's own options first."""
        of_all = [option for option in self.params if option in SHARED]
        options_here = (each for each in self.get_params(ctx) if isinstance(each, click.Option))
        own = [option for option in options_here if option not in of_all]
        for title, options in (("Options", own), ("Options of every command", of_all)):
            if rows := [row for option in options if (row := option.get_help_record(ctx))]:
                with formatter.section(title):
                    formatter.write_dl(rows)


def _refuse_draft(command: str, chosen: Chosen) -> None:
    """Raise UsageError where a draft is given to a command that reads none."""
    if command in _DRAFTS or (chosen.config is None and chosen.stands_at is None):
        return
    from reconciler.linux import trusted_input  # noqa: PLC0415 - a command is loaded when called

    if chosen.stands_at is not None or chosen.config in trusted_input.STANDARD_INPUT:
        raise click.UsageError(
            f"{command} reads no draft from standard input: plan and validate do\n"
            "save the draft as a file, and name that one with --config"
        )


class Group(_Reader, click.Group):
    """The program: its commands are of the class above."""

    command_class = Command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; of one that there is not, say which one is meant."""
        if self.get_command(ctx, args[0]) or args[0][:1] == "-" or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        raise unknown_command(args[0], ctx)


def unknown_command(name: str, ctx: click.Context) -> click.UsageError:
    meant = _meant(name, sorted(getattr(ctx.find_root().command, "commands", ())), OTHER_COMMANDS)
    return click.UsageError(f"there is no command {name}\n{meant}", ctx)


def told(error: click.UsageError) -> tuple[str, str]:
    """Return what is wrong with a command line, and what to do, in the style of all other errors.

    vmtune's own messages have both, on a line each; click's are a sentence without advice.
    """
    message, _, hint = error.format_message().partition("\n")
    first, rest = message[:1], message[1:].removesuffix(".")
    advice = "`vmtune help` lists commands and options"
    if error.ctx and error.ctx.parent:  # it is of a command
        advice = f"`vmtune help {error.ctx.info_name}` says what it takes"
    return f"{first.lower()}{rest}", hint or advice
