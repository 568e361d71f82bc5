"""The command line: every command, what a shell completes, and the one place where errors end.

argv goes in, text and an exit code come out. Commands are loaded when they are called.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from reconciler import __version__, exit_codes
from reconciler.console import Terminal, Unheard, for_journal, unheard
from reconciler.value import dataclass, replace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType


_HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

_TELLING = frozenset({"apply", "defrag"})
"""Commands that print lines of JSON with --json; the last line is the exit code."""

_JOURNALLED = _TELLING | {"status"}
"""Commands that tell the journal of systemd in entries with fields, where it is their output."""


# --- what a shell offers behind a command; click completes commands and options by itself
def _files(_context: Any, _parameter: Any, _begun: str) -> list[CompletionItem]:
    """Leave names of files to the shell, which knows them best."""
    return [CompletionItem(_begun, type="file")]


def _subjects(_context: Any, _parameter: Any, begun: str) -> list[CompletionItem]:
    """Offer what ``explain`` takes: a file, or a code in either case, a kind, a topic."""
    if begun.startswith(("/", "~", ".")):
        return [CompletionItem(begun, type="file")]
    from reconciler.commands import explain  # noqa: PLC0415 - a command is loaded when it is called

    names = (name for name in explain.names() if name.lower().startswith(begun.lower()))
    return [CompletionItem(name, help=explain.sentence(name)) for name in names]


def _runs(_context: Any, _parameter: Any, begun: str) -> list[CompletionItem]:
    """Offer the numbers of runs, the newest first; none where the journal cannot be read."""
    from reconciler.errors import HostError  # noqa: PLC0415 - as above
    from reconciler.run import journal  # noqa: PLC0415

    with suppress(HostError, OSError):
        found = [run for run in reversed(journal.runs()) if str(run.number).startswith(begun)]
        return [
            CompletionItem(str(run.number), help=f"{run.started[:10]} {run.command}")
            for run in found
        ]
    return []


# --- the options of every command
@dataclass(frozen=True, slots=True)
class Chosen:
    """What the options of every command say; None where they are not given."""

    terminal: Terminal
    config: str | None = None
    host: str | None = None
    stands_at: str | None = None


_DRAFTS = frozenset({"plan", "validate"})
"""Commands that read a configuration from standard input: what they read, nobody does."""

SHARED = (
    click.Option(["--config"], metavar="FILE", shell_complete=_files,
                 help="The configuration to use; - is a draft from standard input."),
    click.Option(["--as", "stands_at"], metavar="PATH", shell_complete=_files,
                 help="Take the draft of `--config -` as if it stood at PATH."),
    click.Option(["--host"], metavar="NAME", help="Read the configuration as on another host."),
    click.Option(["--color"], type=click.Choice(["auto", "always", "never"]),
                 help="When to colour the output."),
    click.Option(["-v", "--verbose"], is_flag=True,
                 help="Show whole texts of files that would change."),
    click.Option(["-q", "--quiet"], is_flag=True, help="Print no progress, and `status` nothing."),
)  # fmt: skip
"""Options that every command takes, before its name and behind it."""


def _choose(before: Chosen | None, given: dict[str, Any]) -> Chosen:
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


class Command(click.Command):
    """A command that takes the options of SHARED behind its name."""

    def __init__(self, *given: Any, **named: Any) -> None:
        """Add the options, but those of which the command has one of its own."""
        super().__init__(*given, **named)
        own = {parameter.name for parameter in self.params}
        self.params += [option for option in SHARED if option.name not in own]

    def invoke(self, ctx: click.Context) -> Any:
        """Call the command with what all options say, before its name and behind it."""
        ctx.obj = _choose(ctx.obj, ctx.params)
        _refuse_draft(str(self.name), ctx.obj)
        if self.name in _JOURNALLED:
            ctx.obj = replace(ctx.obj, terminal=for_journal(ctx.obj.terminal))
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
            f"{command} reads no draft from standard input: plan and validate do.\n"
            "Save the draft as a file, and name that one with --config."
        )


class Group(click.Group):
    """The program: its commands are of the class above."""

    command_class = Command


@click.group(cls=Group, context_settings=_HELP, params=[*SHARED])
@click.version_option(__version__, "-V", "--version", message="vmtune %(version)s")
@click.pass_context
def cli(context: click.Context, /, **given: Any) -> None:
    """Btrfs tuned for virtual machine images, as declared in vmtune.yaml.

    Read the host, see what would change and why, then have it done:

    \b
      vmtune plan
      vmtune apply

    The options below may stand before the command or behind it.
    """  # noqa: D301 - click reads the backspace itself
    context.obj = _choose(None, given)


# --- the commands
@cli.command()
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    shell_complete=_files,
    help="Write it to FILE, which must not be there.",
)
@click.pass_obj
def init(chosen: Chosen, output: str | None) -> int:
    """Print a vmtune.yaml for what this host has.

    Finds Btrfs filesystems, libvirt pools and domains, GNOME Boxes, quickemu,
    image files in the usual places, snapshot tools and other jobs that defragment.
    Says for each what was found, what is suggested, why, and at what price.
    """
    from reconciler.commands import init  # noqa: PLC0415

    return init.run(chosen.terminal, chosen.host, output)


SCHEMAS = ("vmtune", "host", "plan", "status", "events", "doctor", "measure", "defrag", "error")


@cli.command()
@click.argument("name", metavar="[NAME]", type=click.Choice(SCHEMAS), default="vmtune")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    shell_complete=_files,
    help="Write it to FILE, which must not be there.",
)
@click.pass_obj
def schema(chosen: Chosen, name: str, output: str | None) -> int:
    """Print the JSON Schema of vmtune.yaml, for editors and CI.

    NAME is vmtune; host, for a file in hosts/; or a document that --json
    prints: plan, status, events (of apply), doctor, measure, defrag, error.
    """
    from reconciler.commands import schema  # noqa: PLC0415

    return schema.run(chosen.terminal, name, output)


RISKS = ("raid", "snapshots", "rewrite-images", "root-options")

_allow = click.option(
    "--allow",
    metavar="RISK",
    multiple=True,
    type=click.Choice(RISKS),
    help=f"Take a risk for once, as `allow:` in the file does for good: {', '.join(RISKS)}.",
)


@cli.command()
@click.argument("files", nargs=-1, metavar="[FILE]...", shell_complete=_files)
@click.option("--all-hosts", is_flag=True, help="Check what every host would get.")
@click.pass_obj
def validate(chosen: Chosen, files: tuple[str, ...], all_hosts: bool) -> int:
    """Check configurations; look at no host.

    Without FILE it is the configuration that plan would use; - or /dev/stdin is
    standard input. All problems are printed at once as file:line:column.
    """
    from reconciler.commands import validate  # noqa: PLC0415 - each pays for itself

    named = files or (chosen.config,)
    return validate.run(chosen.terminal, named, chosen.host, chosen.stands_at, all_hosts=all_hosts)


@cli.command()
@click.argument("entries", metavar="[ENTRY]...", nargs=-1, shell_complete=_files)
@click.option(
    "-o",
    "--output",
    metavar="PLAN",
    shell_complete=_files,
    help="Save the plan, for `vmtune apply PLAN`.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the plan as one JSON document.")
@_allow
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 or 7 if not in sync.")
@click.pass_obj
def plan(
    chosen: Chosen,
    entries: tuple[str, ...],
    output: str | None,
    allow: tuple[str, ...],
    detailed_exitcode: bool,
) -> int:
    """Show what would change and why; change nothing.

    With ENTRY, a path, a mount point or a kind such as nocow, it is about those
    entries only; a path may name what is no longer declared. Needs no root: what may
    not be seen is shown as `?`. Exits with 0, also when something differs or is
    refused, and with 6 when nothing does but something could not be seen. With
    --detailed-exitcode it exits with 2 when something differs, and with 7 when nothing
    does that could be changed but something declared is refused.
    """
    from reconciler.commands import plan as planning  # noqa: PLC0415

    return planning.run(
        chosen.terminal,
        chosen.config,
        chosen.host,
        output,
        allow=allow,
        entries=entries,
        stands_at=chosen.stands_at,
        detailed=detailed_exitcode,
    )


@cli.command()
@click.argument("plan", metavar="PLAN", shell_complete=_files)
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON document.")
@click.pass_obj
def show(chosen: Chosen, plan: str) -> int:
    """Show a saved plan, also one that is stale or was applied."""
    from reconciler.commands import show  # noqa: PLC0415

    return show.run(chosen.terminal, plan)


@cli.command()
@click.argument("words", metavar="[PLAN|ENTRY]...", nargs=-1, shell_complete=_files)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@_allow
@click.option("--json", "as_json", is_flag=True, help="Print what happens as lines of JSON.")
@click.option("--approved", metavar="TOKEN", default="", hidden=True,
              help="What was said yes to before root was asked for.")  # fmt: skip
@click.pass_obj
def apply(
    chosen: Chosen,
    words: tuple[str, ...],
    yes: bool,
    allow: tuple[str, ...],
    approved: str,
) -> int:
    """Show the plan, ask, do it, and read every change back.

    With PLAN it does exactly that saved plan, or nothing when the host is no
    longer as it was; it asks only about what revert could not take back, as
    images that are rewritten. With ENTRY, a path, a mount point or a kind such as
    nocow, it is about those entries only; a path may name what is no longer
    declared, which is then taken back. Becomes root through sudo, doas or run0
    (VMTUNE_SUDO says which), and waits for another run for up to a minute. Where a
    change fails, those that need it are not made, and all others are. Running it
    again does the rest.
    """
    from reconciler.commands import apply  # noqa: PLC0415

    return apply.run(
        chosen.terminal, chosen.config, chosen.host, words, allow=allow, yes=yes, approved=approved
    )


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON document.")
@click.option(
    "--html",
    metavar="FILE",
    shell_complete=_files,
    help="Also write it to FILE as a page with charts.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print nothing; the exit code tells.")
@click.pass_obj
def status(chosen: Chosen, html: str | None) -> int:
    """Show whether all is as declared, and what it brought.

    First place by place what is wanted, there, and last written; then how the
    largest images lie on disk, what compresses, and when schedules ran. Exits
    with 0 when all is as declared, with 2 when something differs, with 7 when nothing
    differs that could be changed but something declared is refused, with 6 when only
    root could tell.
    """
    from reconciler.commands import status  # noqa: PLC0415

    return status.run(chosen.terminal, chosen.config, chosen.host, html)


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON document.")
@click.pass_obj
def doctor(chosen: Chosen) -> int:
    """Say what this host lacks, and the remedy.

    Each check ends in ok, warn or fail, or in ? when only root sees it. Without a
    configuration it looks at the images that `vmtune init` finds. Exits with 1 when
    something fails, else with 6 when something could not be seen.
    """
    from reconciler.commands import doctor  # noqa: PLC0415

    return doctor.run(chosen.terminal, chosen.config, chosen.host)


@cli.command()
@click.argument("run", metavar="[RUN]", type=int, required=False, shell_complete=_runs)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--approved", metavar="TOKEN", default="", hidden=True,
              help="What was said yes to before root was asked for.")  # fmt: skip
@click.pass_obj
def revert(chosen: Chosen, run: int | None, yes: bool, approved: str) -> int:
    """Take a run back: the last one, or RUN of `vmtune history`.

    Shown and asked like any other plan. What someone else changed since is
    left alone, and said.
    """
    from reconciler.commands import revert  # noqa: PLC0415

    return revert.run(chosen.terminal, run, yes=yes, approved=approved)


@cli.command()
@click.argument("subject", nargs=-1, metavar="CODE|KIND|PATH", shell_complete=_subjects)
@click.option("--list", "as_list", is_flag=True, help="List all codes and kinds.")
@click.pass_obj
def explain(chosen: Chosen, subject: tuple[str, ...], as_list: bool) -> int:
    """Say what a code (V101), a kind (nocow) or a path is about.

    PATH is that of an entry, or of a file below one: how it lies on disk, and
    what the plan says of it, with each code explained. A row of the plan can be
    named as it begins: `images ~/images/win11.raw`.
    """
    from reconciler.commands import explain  # noqa: PLC0415

    if as_list:
        return explain.listed(chosen.terminal)
    if not subject:
        raise click.UsageError("name a code, a kind or a path, or say --list")
    return explain.run(chosen.terminal, subject, chosen.config, chosen.host)


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_obj
def completion(chosen: Chosen, shell: str) -> int:
    """Print a completion script for a shell.

    To try it, in bash or zsh, and in fish:

    \b
      eval "$(vmtune completion bash)"
      vmtune completion fish | source
    """  # noqa: D301 - click reads the backspace itself
    from click.shell_completion import get_completion_class  # noqa: PLC0415

    found = get_completion_class(shell)
    if found:
        chosen.terminal.say(found(cli, {}, "vmtune", "_VMTUNE_COMPLETE").source())
    return exit_codes.DONE


@cli.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", shell_complete=_files)
@click.option("--allow", metavar="RISK", multiple=True, type=click.Choice(["snapshots"]),
              help="`snapshots`: also files that snapshots or clones share.")  # fmt: skip
@click.option("--scheduled", is_flag=True,
              help="For a timer: what is shared is left, and that is no failure.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print what happens as lines of JSON.")
@click.pass_obj
def defrag(
    chosen: Chosen, paths: tuple[str, ...], allow: tuple[str, ...], *, scheduled: bool
) -> int:
    """Defragment the files below PATH, or one image, now.

    As `btrfs filesystem defragment -r` does, also while a machine runs, but with
    progress; and what lies well, or what snapshots or clones share, is left as it
    is, so that a second run writes nothing. Ctrl-C ends it after the running step.

    Works as you: what only root may write to is named. Nothing is journalled,
    since there is nothing to take back. What is scheduled under `defrag:` is done
    by this command where root owns the installation of vmtune, else by btrfs-progs:
    root's timer runs no program out of a home.
    """
    from reconciler.commands import defrag  # noqa: PLC0415 - each pays for itself

    return defrag.run(chosen.terminal, paths, allow, is_scheduled=scheduled)


@cli.command()
@click.argument("path", metavar="PATH", shell_complete=_files)
@click.option("--size", default="128M", metavar="SIZE", show_default=True,
              help="Size of the temporary image.")  # fmt: skip
@click.option("--rounds", type=click.IntRange(1, 100), default=3, metavar="N", show_default=True,
              help="How often copy-on-write and nocow take turns.")  # fmt: skip
@click.option("-y", "--yes", is_flag=True, help="Do not ask, also from 1 GiB on.")
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON document.")
@click.pass_obj
def measure(chosen: Chosen, path: str, size: str, rounds: int, yes: bool) -> int:
    """Try in the directory PATH what nocow would bring there.

    Writes random blocks into temporary images, copy-on-write and nocow in
    turn, and compares what the disk had to write, fragments, writes a second
    and reading afterwards. Says first what it will write; needs no root where
    you may write, and leaves nothing behind.
    """
    from reconciler.commands import measure  # noqa: PLC0415

    return measure.run(chosen.terminal, path, size, rounds, yes=yes)


@cli.command()
@click.argument("run", metavar="[RUN]", type=int, required=False, shell_complete=_runs)
@click.pass_obj
def history(chosen: Chosen, run: int | None) -> int:
    """Show what was done, when, by whom and how it ended.

    With RUN, every action of that one.
    """
    from reconciler.commands import history  # noqa: PLC0415

    return history.run(chosen.terminal, run)


# --- the end of every error
def run(arguments: Sequence[str]) -> int:
    """Do what the arguments say and return the exit code; an error is one line on standard error.

    With --json an error is one document on standard output, too.
    """
    terminal = Terminal(json="--json" in arguments)
    code = _fenced(lambda: _run(list(arguments) or ["--help"], terminal), terminal)
    if terminal.json and _named(arguments) in _TELLING:
        _fenced(lambda: terminal.event("exit", code=code), terminal)
    return code


def _fenced(command: Callable[[], Any], terminal: Terminal) -> int:
    """Return the exit code of a call; raise nothing, but where VMTUNE_DEBUG asks for it."""
    try:
        code = command()
    except KeyboardInterrupt:
        terminal.complain("interrupted; nothing was changed")
        return exit_codes.INTERRUPTED
    except Unheard as nobody:
        if str(nobody):
            terminal.complain(f"the answer cannot be written: {nobody}")
        return exit_codes.ERROR
    except BrokenPipeError:
        # The reader of a pipe went away; without this Python complains at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_codes.ERROR
    except Exception as error:  # noqa: BLE001 - no traceback reaches a user
        return _unexpected(error, terminal)
    return code if isinstance(code, int) else exit_codes.DONE


def _run(arguments: list[str], terminal: Terminal) -> Any:
    """Have click read the arguments and call the command; what click fails at is said here."""
    try:
        return cli.main(arguments, prog_name="vmtune", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        terminal.fail([{"message": error.format_message(), "hint": ""}])
        return exit_codes.USAGE if isinstance(error, click.UsageError) else exit_codes.ERROR
    except click.Abort:
        raise KeyboardInterrupt from None
    except OSError as error:
        if not _is_clicks(error.__traceback__):
            raise
        raise unheard(sys.stdout, error) from None
    except (KeyError, ValueError, IndexError):
        if not os.environ.get("_VMTUNE_COMPLETE"):
            raise
        terminal.complain("_VMTUNE_COMPLETE is for the script of `vmtune completion` alone")
        return exit_codes.USAGE


def _named(arguments: Sequence[str]) -> str:
    """Return the command that the arguments name; "" where they name none."""
    with suppress(click.UsageError):
        words = cli.make_parser(click.Context(cli)).parse_args([*arguments])[1]
        return words[0] if words else ""
    return ""


def _is_clicks(trace: TracebackType | None) -> bool:
    """Say whether it was click that could not print: --help, --version, completions."""
    while trace and trace.tb_next:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__") == "click.utils"


def _unexpected(error: Exception, terminal: Terminal) -> int:
    """Name a fault of vmtune; VMTUNE_DEBUG shows where it is."""
    if os.environ.get("VMTUNE_DEBUG"):
        raise error
    terminal.complain(
        f"this is a fault of vmtune: {type(error).__name__}: {error}",
        "VMTUNE_DEBUG=1 shows where; please report it with that",
    )
    return exit_codes.ERROR
