"""The command line: every command, and the one place where errors end.

argv goes in, text and an exit code come out. Commands are loaded when they are called, by
commands/call.py.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import get_completion_class

from reconciler import __version__, exit_codes
from reconciler.arguments import (
    SHARED,
    Command,
    Group,
    choose,
    complete_commands,
    complete_entries,
    complete_files,
    complete_runs,
    complete_subjects,
    told,
    unknown_command,
)
from reconciler.console import Chosen, Terminal, Unheard, unheard
from reconciler.report.wrap import Charset

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType


_HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

_TELLING = frozenset({"apply", "defrag"})
"""Commands that print lines of JSON with --json; the last line is the exit code."""


@click.group(cls=Group, context_settings=_HELP, params=[*SHARED])
@click.version_option(__version__, "-V", "--version", message="vmtune %(version)s")
@click.pass_context
def cli(context: click.Context, /, **given: Any) -> None:
    """Btrfs tuned for virtual machine images, as declared in vmtune.yaml.

    Write a first vmtune.yaml for this host, see what would change and why, then have
    it done:

    \b
      vmtune init -o ~/.config/vmtune/vmtune.yaml
      vmtune plan
      vmtune apply

    The options below may stand before the command or behind it.
    """  # noqa: D301 - click reads the backspace itself
    context.obj = choose(None, given)


# --- the commands
def _command(*params: click.Parameter) -> Callable[[Callable[[], None]], Command]:
    """Make a command of a function that has its name and its help.

    ``run`` of the module of that name, in commands/, does it and takes ``params`` by their names.
    """

    def declared(of: Callable[[], None]) -> Command:
        @click.pass_obj
        def callback(chosen: Chosen, /, **given: Any) -> int:
            from reconciler.commands.call import call  # noqa: PLC0415 - each pays for itself

            return call(of.__name__, chosen, **given)

        found = Command(of.__name__, callback=callback, help=of.__doc__, params=[*params])
        cli.add_command(found)
        return found

    return declared


def _flag(*names: str, text: str) -> click.Option:
    return click.Option(names, is_flag=True, help=text)


def _file(*names: str, text: str, metavar: str = "FILE") -> click.Option:
    return click.Option(names, metavar=metavar, shell_complete=complete_files, help=text)


SCHEMAS = ("vmtune", "host", "plan", "status", "events", "doctor", "history", "measure", "defrag",
           "error")  # fmt: skip

RISKS = ("raid", "snapshots", "rewrite-images", "suspend-machines", "root-options")

_ALLOW = click.Option(
    ["--allow"],
    metavar="RISK",
    multiple=True,
    type=click.Choice(RISKS),
    help=f"Accept a risk in this run (`allow:` in the file: in each run): {', '.join(RISKS)}.",
)
_APPROVED = click.Option(
    ["--approved"],
    metavar="TOKEN",
    default="",
    hidden=True,
    help="What was said yes to before root was asked for.",
)
_EVENTS = _flag("--json", "as_json", text="Print what happens as lines of JSON.")
_JSON = _flag("--json", "as_json", text="Print it as one JSON document.")
_OUTPUT = _file("-o", "--output", text="Write it to FILE. No file is overwritten.")
_RUN = click.Argument(
    ["number"], metavar="[RUN]", type=int, required=False, shell_complete=complete_runs
)
_YES = _flag("-y", "--yes", text="Do not ask.")


@_command(_OUTPUT)
def init() -> None:
    """Print a vmtune.yaml for this host.

    Init looks for Btrfs filesystems, libvirt pools and domains, GNOME Boxes,
    quickemu, image files in the usual places, programs that take snapshots, and
    jobs that defragment. The file says of each what was found, what is suggested,
    why, and at what price. With -o it also writes vmtune.schema.json beside FILE,
    for editors.
    """


@_command(
    click.Argument(["name"], metavar="[NAME]", type=click.Choice(SCHEMAS), default="vmtune"),
    _OUTPUT,
)
def schema() -> None:
    """Print the JSON Schema of vmtune.yaml, for editors and CI.

    NAME is vmtune (the default), host (for a file in hosts/), or a document that
    --json prints: plan, status, events (of apply), doctor, history, measure,
    defrag, error.
    """


@_command(
    click.Argument(["files"], nargs=-1, metavar="[FILE]...", shell_complete=complete_files),
    _flag("--all-hosts", text="Check what every host would get."),
)
def validate() -> None:
    """Check configurations, without a look at any host.

    Without FILE, the configuration that `vmtune plan` would use is checked. - and
    /dev/stdin are standard input. A file in hosts/ beside a vmtune.yaml is checked as
    what that host changes. All problems are printed at once, as file:line:column.
    """


@_command(
    click.Argument(["entries"], metavar="[ENTRY]...", nargs=-1, shell_complete=complete_entries),
    _file("-o", "--output", metavar="PLAN", text="Save the plan, for `vmtune apply PLAN`."),
    _flag("--json", "as_json", text="Print the plan as one JSON document."),
    _ALLOW,
    _flag("--detailed-exitcode", text="Exit with 2 or 7 if not in sync."),
)
def plan() -> None:
    """Show what would change and why; change nothing.

    Plan needs no root. What you may not see is shown as `?`.

    ENTRY is a path, a mount point, or a kind such as nocow. With ENTRY, the plan is
    about these entries only, and says how many others there are. An image below a
    declared path is an ENTRY too: that image alone. A path that is no longer declared
    is an ENTRY: the plan takes back what was done for it.

    The exit code is 0, also when something differs or is refused, and 6 when nothing
    differs but something could not be seen. With --detailed-exitcode it is 2 when
    something differs, and 7 when nothing can be changed but something is refused.
    """


@_command(
    click.Argument(["plan"], metavar="PLAN", shell_complete=complete_files),
    _JSON,
)
def show() -> None:
    """Show a saved plan, also one that is stale or was applied."""


@_command(
    click.Argument(["words"], metavar="[PLAN|ENTRY]...", nargs=-1, shell_complete=complete_entries),
    _YES,
    _ALLOW,
    _flag("--wait", text="Wait for images that are in use; rewrite each once it is free."),
    click.Option(["--wait-for"], metavar="TIME", help="As --wait, at most for TIME: 2h, 90m, 30s."),
    _EVENTS,
    _APPROVED,
)
def apply() -> None:
    """Show the plan, ask, do it, and read every change back.

    With PLAN, apply does exactly what that saved plan says, or nothing if the host has
    changed since. It asks only about what revert cannot take back, such as images that
    are rewritten. With ENTRY, it is about these entries only: `vmtune help plan` says
    what an ENTRY is.

    Apply becomes root through sudo, doas or run0 (VMTUNE_SUDO says which), and
    waits for another run for up to a minute. If a change fails, the changes that
    need it are not made, and all other changes are made. To do the rest, run apply
    again.

    With --wait, images that are in use count as changes. They are rewritten one by
    one, each as soon as its machine is off. Other runs may work meanwhile. Ctrl-C
    ends the wait with 130. With --wait-for, it ends with 7 when the time is up.
    """


@_command(
    _JSON,
    _file("--html", text="Also write it to FILE as a page with charts."),
    _flag("--short", text="Print one line, for a prompt or a login script."),
    _flag("-q", "--quiet", text="Print nothing; the exit code tells."),
)
def status() -> None:
    """Show whether all is as declared, and what it brought.

    Status prints first the verdict and what to do next, then each entry that is not
    as declared, with the reason (-v shows the others as well). Then it prints how
    the largest images lie on disk, what compresses, and how the last runs of
    schedules ended. The exit code is 0 when all is as declared, and 2 when
    something differs. It is 7 when nothing can be changed but something declared is
    refused, and 6 when not all could be seen.
    """


@_command(_JSON)
def doctor() -> None:
    """Check this host, and say what to do about each problem.

    Each check ends in ok, warn or fail, or in ? when it could not be seen. Without a
    configuration, doctor looks at the images that `vmtune init` finds. The exit
    code is 1 when something fails, else 6 when something could not be seen, else 0.
    """


@_command(_RUN, _YES, _APPROVED)
def revert() -> None:
    """Take back the last run, or run RUN of `vmtune history`.

    Revert shows a plan and asks, as apply does. What someone else has changed since
    then is left alone, and is named.
    """


@_command(
    click.Argument(
        ["subject"], nargs=-1, metavar="CODE|KIND|PATH", shell_complete=complete_subjects
    ),
    _flag("--list", "as_list", text="List all codes and kinds."),
)
def explain() -> None:
    """Explain a code (V101), a kind (nocow) or a path.

    PATH is the path of an entry, or of a file below one. Explain says where it is
    declared, how the file lies on disk, and what the plan says about it, and explains
    each code. The beginning of a row of the plan is fine as well:
    `images ~/images/win11.raw`.
    """


@_command(
    click.Argument(
        ["paths"], nargs=-1, required=True, metavar="PATH...", shell_complete=complete_files
    ),
    click.Option(
        ["--allow"],
        metavar="RISK",
        multiple=True,
        type=click.Choice(["snapshots"]),
        help="`snapshots`: also files that snapshots or clones share.",
    ),
    _flag("--scheduled", text="For a timer: what is shared is left, and that is no failure."),
    _EVENTS,
)
def defrag() -> None:
    """Defragment the files below PATH, or one image, now.

    Defrag works as `btrfs filesystem defragment -r` does, also while a machine runs,
    and shows its progress. It leaves files that are whole already, and files that
    snapshots or clones share, so a second run writes nothing. Ctrl-C ends it after the
    running step.

    Defrag runs as you, and names files that only root may write to. Nothing is
    journalled, because there is nothing to take back. A schedule under `defrag:` runs
    this command where root owns the installation of vmtune, else btrfs-progs: root's
    timer runs no program out of a home.
    """


@_command(
    click.Argument(["path"], metavar="PATH", shell_complete=complete_files),
    click.Option(
        ["--size"],
        default="128M",
        metavar="SIZE",
        show_default=True,
        help="Size of the temporary image.",
    ),
    click.Option(
        ["--rounds"],
        type=click.IntRange(1, 100),
        default=3,
        metavar="N",
        show_default=True,
        help="How often copy-on-write and nocow take turns.",
    ),
    _flag("-y", "--yes", text="Do not ask, also from 1 GiB on."),
    _JSON,
)
def measure() -> None:
    """Try in the directory PATH what nocow would bring there.

    Measure writes random blocks into temporary images, copy-on-write and nocow in
    turn. It compares how much the disk had to write, the fragments, the writes a
    second, and how fast the image is read afterwards. It says first what it will
    write. It needs no root where you may write, and leaves nothing behind.
    """


@_command(_RUN, _JSON)
def history() -> None:
    """Show what was changed, when, by whom and by which file.

    History says of each run which entries it changed, how it ended, and what it
    brought to images. With RUN, history shows every change of that run.
    """


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_obj
def completion(chosen: Chosen, shell: str) -> int:
    """Print a completion script for a shell.

    To try it in the running shell (bash or zsh, and fish):

    \b
      eval "$(vmtune completion bash)"
      vmtune completion fish | source

    To keep it for bash, zsh and fish, where new shells find it:

    \b
      d=~/.local/share/bash-completion/completions
      mkdir -p $d && vmtune completion bash > $d/vmtune

    \b
      d=~/.local/share/zsh/site-functions
      mkdir -p $d && vmtune completion zsh > $d/_vmtune
      # in ~/.zshrc, before compinit: fpath+=(~/.local/share/zsh/site-functions)

    \b
      d=~/.config/fish/completions
      mkdir -p $d && vmtune completion fish > $d/vmtune.fish
    """  # noqa: D301 - click reads the backspace itself
    if found := get_completion_class(shell):
        script = found(cli, {}, "vmtune", "_VMTUNE_COMPLETE").source()
        chosen.terminal.say(script, as_is=True)
    return exit_codes.DONE


@cli.command(name="help")
@click.argument("command", metavar="[COMMAND]", required=False, shell_complete=complete_commands)
@click.pass_context
def help_(context: click.Context, command: str | None) -> int:
    """Print the help of vmtune, or of one command.

    `vmtune COMMAND --help` prints the same.
    """
    above = context.parent or context
    if command is None:
        click.echo(above.get_help(), color=above.color)
        return exit_codes.DONE
    found = cli.get_command(above, command)
    if not found:
        raise unknown_command(command, above)
    click.echo(found.get_help(click.Context(found, parent=above, info_name=command)))
    return exit_codes.DONE


@cli.command()
@click.pass_obj
def version(chosen: Chosen) -> int:
    """Print the version of vmtune."""
    chosen.terminal.say(f"vmtune {__version__}")
    return exit_codes.DONE


# --- the end of every error
def run(arguments: Sequence[str]) -> int:
    """Do what the arguments say and return the exit code; an error is one line on standard error.

    With --json an error is one document on standard output, too.
    """
    terminal = Terminal(json="--json" in arguments)
    Charset.is_ascii = not terminal.unicode
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
    except Exception as error:
        if os.environ.get("VMTUNE_DEBUG"):
            raise
        terminal.complain(
            f"this is a fault of vmtune: {type(error).__name__}: {error}",
            "VMTUNE_DEBUG=1 shows where; please report it with that",
        )
        return exit_codes.ERROR
    return code if isinstance(code, int) else exit_codes.DONE


def _run(arguments: list[str], terminal: Terminal) -> Any:
    """Have click read the arguments and call the command; what click fails at is said here."""
    try:
        return cli.main(arguments, prog_name="vmtune", standalone_mode=False)
    except click.UsageError as error:
        terminal.complain(*told(error))
        return exit_codes.USAGE
    except click.ClickException as error:
        terminal.complain(error.format_message())
        return exit_codes.ERROR
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
